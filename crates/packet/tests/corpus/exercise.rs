//! Does with bytes whatever can be done with them; the fuzz target and the tests share it.

use std::net::SocketAddr;

use simopen_packet::{
    IcmpError, Packet, Syn, SynAck, SynOptions, Ttl, error_quoting, reset_answering,
};

/// Reads, prints, answers and rewrites `bytes` as a packet.
///
/// # Panics
///
/// Panics where a promise breaks: what was read cannot be written again, or what was written has
/// a wrong checksum.
pub(crate) fn exercise(bytes: &[u8]) {
    let _ = Packet::verify_checksums(bytes);
    let _ = SynAck::parse(bytes);
    write_again(bytes);
    let Ok(packet) = Packet::parse(bytes) else {
        return;
    };
    let _ = packet.to_string();
    answer(&packet, bytes);
    rewrite(&packet, bytes);
}

fn write_again(bytes: &[u8]) {
    let mut buffer = [0; 128];
    if let Ok(options) = SynOptions::parse(bytes) {
        let length = options.emit(&mut buffer).expect("options that were read fit again");
        assert_eq!(SynOptions::parse(&buffer[..length]), Ok(options));
    }
    if let Ok(syn) = Syn::parse(bytes) {
        let length = syn.emit(&mut buffer).expect("a SYN that was read fits again");
        assert_eq!(Syn::parse(&buffer[..length]), Ok(syn));
        assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    }
}

fn answer(packet: &Packet<'_>, bytes: &[u8]) {
    let mut buffer = [0; 1280];
    if let Some(length) = reset_answering(packet, &mut buffer) {
        assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
    }
    for from in routers() {
        let error = error_quoting(IcmpError::TimeExceeded, from.ip(), bytes, &mut buffer);
        if let Some(length) = error {
            assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
        }
    }
}

fn rewrite(packet: &Packet<'_>, bytes: &[u8]) {
    let layout = packet.layout();
    let was_intact = Packet::verify_checksums(bytes).is_ok();
    let mut copy = bytes.to_vec();
    for to in routers() {
        layout.set_source(&mut copy, to);
        layout.set_destination(&mut copy, to);
        layout.set_quoted_source(&mut copy, to);
        layout.set_quoted_destination(&mut copy, to);
        layout.set_outer_source_addr(&mut copy, to.ip());
        layout.set_outer_destination_addr(&mut copy, to.ip());
    }
    layout.decrement_ttl(&mut copy);
    assert_eq!(Packet::verify_checksums(&copy).is_ok(), was_intact);

    // The layout of one packet on the bytes of a shorter one.
    let half = bytes.len() / 2;
    for to in routers() {
        layout.set_source(&mut copy[..half], to);
        layout.set_quoted_destination(&mut copy[..half], to);
    }
    layout.set_ttl(&mut [], Ttl(1));
}

fn routers() -> [SocketAddr; 2] {
    [([192, 0, 2, 9], 9).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9], 9).into()]
}
