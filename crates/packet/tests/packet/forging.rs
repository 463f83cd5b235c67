//! What a forged SYN-ACK carries, and what it must not.

use proptest::prelude::*;
use simopen_packet::{
    ForgeError, MAX_SYN_LEN, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder, TcpFlags,
    Timestamps, Ttl, option_kind,
};

use crate::strategy::{emitted, endpoint_like, linux_syn, syns, v4, v6};

/// A's SYN and B's, crossed.
fn crossed() -> (Syn, Syn) {
    let (a, b) = (v4(1, 4000), v4(2, 5000));
    let own = linux_syn(b, a);
    let mut answered = linux_syn(a, b);
    answered.sequence = SeqNumber(77);
    answered.options.mss = Some(1300);
    answered.options.timestamps = Some(Timestamps { value: 9_999, echo: 0 });
    (own, answered)
}

fn forged(own: &Syn, answered: &Syn) -> SynAck {
    SynAck::forge(own, answered, own.source, answered.source).unwrap()
}

fn with_raw(options: &SynOptions, raw: &[u8]) -> SynOptions {
    let mut with = SynOptions::parse(raw).unwrap();
    with.mss = options.mss;
    with
}

#[test]
fn a_forged_syn_ack_carries_the_own_number_and_acknowledges_the_other_plus_one() {
    let (own, answered) = crossed();

    let syn_ack = forged(&own, &answered);

    assert_eq!(syn_ack.sequence, own.sequence);
    assert_eq!(syn_ack.acknowledgment, SeqNumber(78));
    assert_eq!(forged(&answered, &own).acknowledgment, SeqNumber(0), "wraps");
    assert_eq!(syn_ack.window, own.window);
}

#[test]
fn a_forged_syn_ack_goes_between_the_given_endpoints() {
    let (own, answered) = crossed();

    let syn_ack = SynAck::forge(&own, &answered, v4(20, 2000), v4(10, 1000)).unwrap();

    assert_eq!((syn_ack.source, syn_ack.destination), (v4(20, 2000), v4(10, 1000)));
}

#[test]
fn the_segment_size_is_the_own_one_whatever_the_other_offers() {
    let (own, mut answered) = crossed();
    assert_eq!(forged(&own, &answered).options.mss, Some(1460));

    answered.options.mss = None;
    assert_eq!(forged(&own, &answered).options.mss, Some(1460));
    assert_eq!(forged(&answered, &own).options.mss, None);
}

#[test]
fn window_scale_is_there_only_if_both_offer_it() {
    let (mut own, mut answered) = crossed();
    answered.options.window_scale = Some(3);
    assert_eq!(forged(&own, &answered).options.window_scale, Some(7));

    answered.options.window_scale = None;
    assert_eq!(forged(&own, &answered).options.window_scale, None);

    (own.options.window_scale, answered.options.window_scale) = (None, Some(3));
    assert_eq!(forged(&own, &answered).options.window_scale, None);
}

#[test]
fn a_window_scale_over_fourteen_is_forged_as_fourteen() {
    let (mut own, answered) = crossed();
    own.options.window_scale = Some(200);

    assert_eq!(forged(&own, &answered).options.window_scale, Some(14));
}

#[test]
fn sack_is_permitted_only_if_both_permit_it() {
    for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut own, mut answered) = crossed();
        (own.options.sack_permitted, answered.options.sack_permitted) = (ours, theirs);

        assert_eq!(forged(&own, &answered).options.sack_permitted, ours && theirs);
    }
}

#[test]
fn timestamps_tell_the_own_clock_and_echo_the_answered_one() {
    let (own, answered) = crossed();

    let timestamps = forged(&own, &answered).options.timestamps;

    assert_eq!(timestamps, Some(Timestamps { value: 1_000, echo: 9_999 }));
}

#[test]
fn timestamps_are_there_only_if_both_offer_them() {
    let (mut own, answered) = crossed();
    own.options.timestamps = None;

    assert_eq!(forged(&own, &answered).options.timestamps, None);
    assert_eq!(forged(&answered, &own).options.timestamps, None);
}

#[test]
fn multipath_fast_open_and_every_other_option_stay_out() {
    let (mut own, mut answered) = crossed();
    let raw = [
        28, 4, 0, 1, // user timeout
        30, 4, 0, 1, // Multipath TCP
        34, 2, // Fast Open
        253, 4, 0xf9, 0x89, 254, 4, 0xf9, 0x89, // experiments
    ];
    own.options = with_raw(&own.options, &raw);
    answered.options = with_raw(&answered.options, &raw);
    assert!(own.options.has(34) && own.options.has(254));

    let options = forged(&own, &answered).options;

    assert_eq!(options.unknown().count(), 0);
    assert_eq!(options, SynOptions::new(Some(1460), None, false, None));
}

#[test]
fn congestion_notification_is_agreed_only_if_both_ask_for_it() {
    for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut own, mut answered) = crossed();
        (own.ecn_setup, answered.ecn_setup) = (ours, theirs);

        let mut buffer = [0; MAX_SYN_LEN];
        let length = forged(&own, &answered).emit(&mut buffer).unwrap();
        let flags = Packet::parse(&buffer[..length]).unwrap().tcp().unwrap().flags;

        let ece = if ours && theirs { TcpFlags::ECE } else { TcpFlags::default() };
        assert_eq!(flags, TcpFlags::SYN | TcpFlags::ACK | ece, "never CWR");
    }
}

#[test]
fn a_signed_syn_on_either_side_is_refused_by_name() {
    let md5 = [&[option_kind::MD5_SIGNATURE, 18][..], &[7; 16]].concat();
    let ao = [&[option_kind::AUTHENTICATION, 16][..], &[7; 14]].concat();
    for (raw, refusal) in [(md5, ForgeError::TcpMd5), (ao, ForgeError::TcpAo)] {
        let (mut own, answered) = crossed();
        own.options = with_raw(&own.options, &raw);

        let (from, to) = (own.source, answered.source);
        assert_eq!(SynAck::forge(&own, &answered, from, to), Err(refusal));
        assert_eq!(SynAck::forge(&answered, &own, to, from), Err(refusal));
    }
}

#[test]
fn endpoints_of_two_families_are_refused() {
    let (own, answered) = crossed();

    let result = SynAck::forge(&own, &answered, v4(1, 1), v6(1, 1));

    assert_eq!(result, Err(ForgeError::MixedFamilies));
}

#[test]
fn data_in_a_syn_are_not_acknowledged() {
    let (own, _) = crossed();
    let with_data = TcpBuilder {
        source: v4(1, 4000),
        destination: v4(2, 5000),
        ttl: Ttl::DEFAULT,
        sequence: SeqNumber(100),
        acknowledgment: SeqNumber(0),
        flags: TcpFlags::SYN,
        window: 1000,
    };
    let answered = Syn::parse(&emitted(&with_data, &[], b"early data")).unwrap();

    assert_eq!(forged(&own, &answered).acknowledgment, SeqNumber(101));
}

#[test]
fn a_low_ttl_of_the_own_syn_does_not_shorten_the_way_of_the_answer() {
    let (mut own, answered) = crossed();
    own.ttl = Ttl(2);

    assert_eq!(forged(&own, &answered).ttl, Ttl::DEFAULT);
}

proptest! {
    #[test]
    fn two_syns_without_a_signature_always_give_a_syn_ack_that_fits(
        (own, answered, destination) in (syns(), syns())
            .prop_flat_map(|(own, answered)| {
                (Just(own), Just(answered), endpoint_like(own.source))
            }),
    ) {
        let is_signed = |syn: &Syn| syn.options.has(19) || syn.options.has(29);
        prop_assume!(!is_signed(&own) && !is_signed(&answered));

        let syn_ack = SynAck::forge(&own, &answered, own.source, destination).unwrap();
        let mut buffer = [0; MAX_SYN_LEN];
        let length = syn_ack.emit(&mut buffer).unwrap();

        prop_assert_eq!(Packet::verify_checksums(&buffer[..length]), Ok(()));
        prop_assert_eq!(SynAck::parse(&buffer[..length]), Ok(syn_ack));
    }
}
