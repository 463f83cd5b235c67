//! What the property tests draw from, and the fixed packets that the others start with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::{collection::vec, option, prelude::*};
use simopen_packet::{
    SeqNumber, Syn, SynOptions, TcpBuilder, TcpFlags, Timestamps, Ttl, option_kind,
};

/// Kinds that the crate takes apart or that are padding.
const KNOWN: [u8; 6] = [
    option_kind::END,
    option_kind::NO_OPERATION,
    option_kind::MSS,
    option_kind::WINDOW_SCALE,
    option_kind::SACK_PERMITTED,
    option_kind::TIMESTAMPS,
];

pub(crate) fn v4(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port)
}

pub(crate) fn v6(last: u16, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)), port)
}

/// The SYN that Linux sends, from `source` to `destination`.
pub(crate) fn linux_syn(source: SocketAddr, destination: SocketAddr) -> Syn {
    let timestamps = Some(Timestamps { value: 1_000, echo: 0 });
    Syn {
        source,
        destination,
        sequence: SeqNumber(0xffff_ffff),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::new(Some(1460), Some(7), true, timestamps),
    }
}

/// Writes a packet and returns exactly its bytes.
pub(crate) fn emitted(builder: &TcpBuilder, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 100 + payload.len()];
    let length = builder.emit(options, payload, &mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

pub(crate) fn emitted_syn(syn: &Syn) -> Vec<u8> {
    let mut buffer = vec![0xaa; simopen_packet::MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// Two endpoints of one family, each with an address of one host, so that errors may be sent.
pub(crate) fn endpoints() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(mut s, sp, mut d, dp)| {
            (s[0], d[0]) = (s[0] % 223 + 1, d[0] % 223 + 1);
            (SocketAddr::from((s, sp)), SocketAddr::from((d, dp)))
        }),
        any::<([u8; 16], u16, [u8; 16], u16)>().prop_map(|(mut s, sp, mut d, dp)| {
            (s[0], d[0]) = (s[0] % 0xfe + 1, d[0] % 0xfe + 1);
            (SocketAddr::from((s, sp)), SocketAddr::from((d, dp)))
        }),
    ]
}

/// Another endpoint of the same family.
pub(crate) fn endpoint_like(other: SocketAddr) -> BoxedStrategy<SocketAddr> {
    match other {
        SocketAddr::V4(_) => any::<([u8; 4], u16)>().prop_map(SocketAddr::from).boxed(),
        SocketAddr::V6(_) => any::<([u8; 16], u16)>().prop_map(SocketAddr::from).boxed(),
    }
}

pub(crate) fn builders() -> impl Strategy<Value = TcpBuilder> {
    (endpoints(), any::<(u8, u32, u32, u8, u16)>()).prop_map(
        |((source, destination), (ttl, sequence, acknowledgment, flags, window))| TcpBuilder {
            source,
            destination,
            ttl: Ttl(ttl),
            sequence: SeqNumber(sequence),
            acknowledgment: SeqNumber(acknowledgment),
            flags: TcpFlags(flags),
            window,
        },
    )
}

/// Unknown options as bytes, few enough that all known ones fit beside them.
pub(crate) fn unknown_options() -> impl Strategy<Value = Vec<u8>> {
    let kind = any::<u8>().prop_filter("known kinds", |kind| !KNOWN.contains(kind));
    vec((kind, vec(any::<u8>(), 0..5)), 0..4).prop_map(|options| {
        let bytes = options.into_iter().flat_map(|(kind, data)| {
            [kind, data.len() as u8 + 2].into_iter().chain(data).collect::<Vec<_>>()
        });
        bytes.collect()
    })
}

pub(crate) fn syn_options() -> impl Strategy<Value = SynOptions> {
    let timestamps = any::<(u32, u32)>().prop_map(|(value, echo)| Timestamps { value, echo });
    let known = (option::of(any::<u16>()), option::of(any::<u8>()), any::<bool>());
    (known, option::of(timestamps), unknown_options()).prop_map(
        |((mss, window_scale, sack_permitted), timestamps, unknown)| {
            let mut options = SynOptions::parse(&unknown).unwrap();
            options.mss = mss;
            options.window_scale = window_scale;
            options.sack_permitted = sack_permitted;
            options.timestamps = timestamps;
            options
        },
    )
}

pub(crate) fn syns() -> impl Strategy<Value = Syn> {
    (builders(), any::<bool>(), syn_options()).prop_map(|(header, ecn_setup, options)| Syn {
        source: header.source,
        destination: header.destination,
        sequence: header.sequence,
        window: header.window,
        ttl: header.ttl,
        ecn_setup,
        options,
    })
}
