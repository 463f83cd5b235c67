//! The scripts: each a situation in which smoltcp and Linux differ, or in which they must not.

use std::time::Duration;

use simopen_packet::{IcmpError, TcpFlags};

use crate::script::{ACK, Call, Echo, FIN, SYN_ACK, Segment, Step, Use, segment, syn, syn_ack};

const DIAL: Step = Step::Call(Call::Dial);
const LISTEN: Step = Step::Call(Call::Listen);
const INSTALL: Step = Step::Call(Call::Install);
const READ: Step = Step::Call(Call::Use(Use::Read));
const CLOSE: Step = Step::Call(Call::Use(Use::Close));
const DROP: Step = Step::Call(Call::Use(Use::Drop));
const TELL: Step = Step::Tell;
/// Longer than Linux delays an acknowledgment (`TCP_DELACK_MAX`, 200 ms) or stays silent about
/// what is out of window (`tcp_invalid_ratelimit`, 500 ms).
const PAUSE: Step = Step::Wait(Duration::from_millis(550));

const RST: TcpFlags = TcpFlags::RST;
const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

const fn send(segment: Segment) -> Step {
    Step::Send(segment)
}

const fn write(bytes: &'static [u8]) -> Step {
    Step::Call(Call::Use(Use::Write(bytes)))
}

/// What nothing answers: a SYN, data after an opening, data of an installed connection.
pub(crate) fn unanswered() -> [(&'static str, Vec<Step>); 4] {
    let wait = Step::Wait(Duration::from_millis(3_200));
    let bytes = [write(b"hello"), Step::Wait(Duration::from_millis(1_300))];
    [
        ("a SYN", vec![DIAL, wait, TELL, DROP]),
        ("data", opened(&bytes)),
        (
            "data without selective acknowledgments",
            [&[DIAL, send(syn_ack().without_options()), TELL][..], &bytes].concat(),
        ),
        ("data of an installed connection", vec![INSTALL, bytes[0], wait]),
    ]
}

/// All scripts, by their names.
pub(crate) fn all() -> Vec<(String, Vec<Step>)> {
    let mut all = Vec::new();
    for scripts in
        [dials(), crossings(), listeners(), ports(), challenged(), data(), ends(), installed()]
    {
        all.extend(scripts.into_iter().map(|(name, script)| (name.to_owned(), script)));
    }
    all.extend(errors());
    all
}

fn dials() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "a dial that is answered carries data and ends with both closed",
            vec![
                DIAL,
                TELL,
                send(syn_ack()),
                TELL,
                write(b"hello"),
                send(segment(ACK, 1, 6)),
                send(segment(ACK, 1, 6).carrying(b"world")),
                PAUSE,
                READ,
                CLOSE,
                send(segment(ACK, 6, 7)),
                send(segment(FIN, 6, 7)),
                PAUSE,
            ],
        ),
        (
            "an answer without window scale, timestamps or any option",
            vec![DIAL, send(syn_ack().without_options()), TELL, write(b"hello")],
        ),
        (
            "an answer without timestamps",
            vec![DIAL, send(syn_ack().without_timestamps()), TELL, write(b"hello")],
        ),
        ("an answer that echoes nothing", vec![DIAL, send(syn_ack().echoing(Echo::Zero)), TELL]),
        (
            "an answer that echoes what was never sent",
            vec![
                DIAL,
                send(syn_ack().echoing(Echo::Before)),
                TELL,
                send(syn_ack().echoing(Echo::Future)),
                TELL,
                send(syn_ack()),
                TELL,
            ],
        ),
        (
            "an answer to another SYN",
            vec![
                DIAL,
                send(segment(SYN_ACK, 0, 2)),
                Step::Wait(Duration::from_millis(40)),
                send(segment(SYN_ACK, 0, 0)),
                Step::Wait(Duration::from_millis(40)),
                send(segment(ACK, 1, 1)),
                send(segment(ACK, 1, 7)),
                TELL,
                send(syn_ack()),
                TELL,
            ],
        ),
        (
            "resets of a dial: another's, one without acknowledgment, the right one",
            vec![
                DIAL,
                send(segment(RST_ACK, 0, 9)),
                Step::Wait(Duration::from_millis(40)),
                send(segment(RST, 0, 0)),
                TELL,
                send(segment(RST_ACK, 0, 1)),
                TELL,
            ],
        ),
        (
            "nonsense to a dial: FIN, nothing at all",
            vec![
                DIAL,
                send(segment(TcpFlags::FIN, 0, 0)),
                send(segment(TcpFlags::PSH, 0, 0)),
                send(segment(FIN, 0, 1)),
                TELL,
            ],
        ),
        (
            "a dial that is dropped says nothing, and its answer is refused",
            vec![DIAL, DROP, send(syn_ack())],
        ),
        (
            "a low TTL is raised from the next packet on",
            vec![
                Step::Call(Call::DialWithTtl(2)),
                Step::Call(Call::Use(Use::SetTtl(64))),
                Step::Wait(Duration::from_millis(1_200)),
                send(syn_ack()),
            ],
        ),
    ]
}

fn crossings() -> Vec<(&'static str, Vec<Step>)> {
    let crossed_ack = segment(SYN_ACK, 0, 1);
    vec![
        (
            "crossed SYNs, crossed SYN-ACKs, then data",
            vec![
                DIAL,
                send(syn()),
                TELL,
                send(crossed_ack),
                TELL,
                PAUSE,
                write(b"hello"),
                send(segment(ACK, 1, 6).carrying(b"world")),
                PAUSE,
            ],
        ),
        ("crossed SYNs, then a plain ACK", vec![DIAL, send(syn()), send(segment(ACK, 1, 1)), TELL]),
        (
            "crossed SYNs, then data",
            vec![DIAL, send(syn()), send(segment(ACK, 1, 1).carrying(b"hello")), TELL],
        ),
        (
            "a crossed SYN without window scale",
            vec![DIAL, send(syn().without_scale()), send(crossed_ack.without_scale()), TELL],
        ),
        (
            "a crossed SYN without options",
            vec![DIAL, send(syn().without_options()), send(crossed_ack.without_options()), TELL],
        ),
        (
            "a crossed SYN that comes again",
            vec![DIAL, send(syn()), send(syn()), send(syn()), PAUSE, send(syn()), TELL],
        ),
        (
            "a SYN-ACK overtakes the crossed SYN",
            vec![DIAL, send(syn_ack()), TELL, send(syn()), TELL, PAUSE, send(syn()), TELL],
        ),
        (
            "crossed SYNs, then resets: inexact, exact",
            vec![
                DIAL,
                send(syn()),
                send(segment(RST, 50, 0)),
                TELL,
                send(segment(RST_ACK, 1, 1)),
                TELL,
            ],
        ),
        (
            "crossed SYNs, then an acknowledgment of something else",
            vec![DIAL, send(syn()), send(segment(ACK, 1, 5)), send(segment(SYN_ACK, 0, 5)), TELL],
        ),
        (
            "crossed SYNs and nothing more",
            vec![DIAL, send(syn()), Step::Wait(Duration::from_millis(1_200)), TELL],
        ),
    ]
}

fn listeners() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "a connection to a listener carries data, and the other side closes first",
            vec![
                LISTEN,
                send(syn()),
                send(segment(ACK, 1, 1)),
                TELL,
                send(segment(ACK, 1, 1).carrying(b"hello")),
                PAUSE,
                READ,
                write(b"world"),
                send(segment(ACK, 6, 6)),
                send(segment(FIN, 6, 6)),
                PAUSE,
                TELL,
                CLOSE,
                send(segment(ACK, 7, 7)),
            ],
        ),
        ("a SYN without options", vec![LISTEN, send(syn().without_options())]),
        ("a SYN without timestamps", vec![LISTEN, send(syn().without_timestamps())]),
        ("a SYN without window scale", vec![LISTEN, send(syn().without_scale())]),
        (
            "a SYN that comes again before the last ACK",
            vec![LISTEN, send(syn()), send(syn()), send(syn()), PAUSE, send(syn())],
        ),
        (
            "what is no SYN, to a listener",
            vec![
                LISTEN,
                send(segment(ACK, 1, 1)),
                send(segment(ACK, 1, 1).carrying(b"hello")),
                send(segment(FIN, 1, 1)),
                send(segment(RST, 1, 1)),
                send(syn_ack()),
                send(segment(TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0), 0, 0)),
                TELL,
            ],
        ),
        (
            "a wrong last ACK, then the right one",
            vec![LISTEN, send(syn()), send(segment(ACK, 1, 9)), send(segment(ACK, 1, 1)), TELL],
        ),
        (
            "a reset before the last ACK",
            vec![LISTEN, send(syn()), send(segment(RST, 1, 0)), send(segment(ACK, 1, 1)), TELL],
        ),
        (
            "what is outside the window before the last ACK",
            vec![
                LISTEN,
                send(syn()),
                send(segment(TcpFlags::SYN, 0x1000_0000, 0)),
                PAUSE,
                send(syn_ack()),
                PAUSE,
                send(segment(ACK, 0x1000_0000, 1).carrying(b"hello")),
                send(segment(RST, 0x1000_0000, 0)),
                send(segment(ACK, 1, 1)),
                TELL,
            ],
        ),
        (
            "another SYN within the window before the last ACK",
            vec![
                LISTEN,
                send(syn()),
                send(segment(TcpFlags::SYN, 100, 0)),
                send(segment(ACK, 1, 1)),
                TELL,
            ],
        ),
        (
            "an inexact reset before the last ACK",
            vec![LISTEN, send(syn()), send(segment(RST, 100, 0)), send(segment(ACK, 1, 1)), TELL],
        ),
        (
            "data with the last ACK",
            vec![LISTEN, send(syn()), send(segment(ACK, 1, 1).carrying(b"hello")), TELL],
        ),
        (
            "a SYN and nothing more",
            vec![LISTEN, send(syn()), Step::Wait(Duration::from_millis(1_200))],
        ),
    ]
}

/// Whatever may come to a port.
fn every_kind() -> Vec<Step> {
    vec![
        send(syn()),
        send(syn_ack()),
        send(segment(ACK, 1, 1)),
        send(segment(ACK, 1, 1).carrying(b"hello")),
        send(segment(FIN, 1, 1)),
        send(segment(RST, 1, 1)),
        send(segment(TcpFlags::FIN, 1, 0)),
        send(segment(TcpFlags::default(), 1, 0)),
    ]
}

fn ports() -> Vec<(&'static str, Vec<Step>)> {
    let swallowing = [vec![Step::Call(Call::Swallow)], every_kind()].concat();
    vec![("a closed port", every_kind()), ("a swallowing port", swallowing)]
}

/// A connection that was dialled and is open, then more.
fn opened(more: &[Step]) -> Vec<Step> {
    [&[DIAL, send(syn_ack()), TELL][..], more].concat()
}

/// What must not end an open connection, or must.
fn challenged() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("a SYN to an open connection", opened(&[send(syn()), send(syn()), PAUSE, send(syn())])),
        (
            "a SYN within the window of an open connection",
            opened(&[send(segment(TcpFlags::SYN, 100, 0)), TELL]),
        ),
        ("a SYN-ACK to an open connection", opened(&[send(syn_ack()), send(syn_ack()), TELL])),
        (
            "resets of an open connection: outside the window, inexact, exact",
            opened(&[
                send(segment(RST, 0x1000_0000, 0)),
                send(segment(RST, 0, 0)),
                TELL,
                send(segment(RST, 100, 0)),
                TELL,
                send(segment(RST, 1, 0)),
                TELL,
            ]),
        ),
    ]
}

fn data() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "an acknowledgment of what was never sent",
            opened(&[send(segment(ACK, 1, 50)), send(segment(ACK, 1, 50).carrying(b"x")), TELL]),
        ),
        (
            "an old acknowledgment beside new data",
            opened(&[
                write(b"hello"),
                send(segment(ACK, 1, 6)),
                send(segment(ACK, 1, 1).carrying(b"world")),
                PAUSE,
            ]),
        ),
        (
            "data that come twice",
            opened(&[
                send(segment(ACK, 1, 1).carrying(b"hello")),
                PAUSE,
                send(segment(ACK, 1, 1).carrying(b"hello")),
                PAUSE,
            ]),
        ),
        (
            "data that come in the wrong order",
            opened(&[
                send(segment(ACK, 6, 1).carrying(b"world")),
                send(segment(ACK, 1, 1).carrying(b"hello")),
                PAUSE,
            ]),
        ),
        (
            "data beyond the window",
            opened(&[send(segment(ACK, 0x1000_0000, 1).carrying(b"hello")), PAUSE]),
        ),
        (
            "an acknowledgment before the window, as a keep-alive",
            opened(&[send(segment(ACK, 0, 1)), send(segment(ACK, 0, 1)), PAUSE]),
        ),
        (
            "data whose timestamp is old",
            opened(&[send(segment(ACK, 1, 1).carrying(b"hello").aged(1_000)), PAUSE]),
        ),
        ("a reset whose timestamp is old", opened(&[send(segment(RST, 1, 0).aged(1_000)), TELL])),
        (
            "data without timestamps",
            opened(&[send(segment(ACK, 1, 1).carrying(b"hello").without_timestamps()), PAUSE]),
        ),
        (
            "data without ACK",
            opened(&[send(segment(TcpFlags::PSH, 1, 0).carrying(b"hello")), PAUSE]),
        ),
    ]
}

fn ends() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "ICMP errors about an open connection",
            opened(&[
                write(b"hello"),
                Step::Icmp(IcmpError::TimeExceeded),
                Step::Icmp(IcmpError::PortUnreachable),
                Step::Icmp(IcmpError::AdminProhibited),
                TELL,
                send(segment(ACK, 1, 6)),
            ]),
        ),
        (
            "a connection that is dropped with bytes unread is reset",
            opened(&[
                send(segment(ACK, 1, 1).carrying(b"hello")),
                DROP,
                send(segment(ACK, 6, 2).carrying(b"world")),
            ]),
        ),
        (
            "a connection that is dropped says FIN, and resets what comes then",
            opened(&[
                write(b"hello"),
                send(segment(ACK, 1, 6)),
                DROP,
                send(segment(ACK, 1, 7)),
                send(segment(ACK, 1, 7).carrying(b"world")),
                send(segment(FIN, 6, 7)),
            ]),
        ),
        (
            "a connection that is dropped ends with the other side's FIN",
            opened(&[DROP, send(segment(ACK, 1, 2)), send(segment(FIN, 1, 2)), PAUSE]),
        ),
        (
            "a half-closed connection takes data",
            opened(&[
                CLOSE,
                send(segment(ACK, 1, 2)),
                send(segment(ACK, 1, 2).carrying(b"hello")),
                PAUSE,
                send(segment(FIN, 6, 2)),
                send(segment(FIN, 6, 2)),
            ]),
        ),
    ]
}

fn installed() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        (
            "an installed connection is silent, challenges what opened it, and carries data",
            vec![
                INSTALL,
                TELL,
                Step::Wait(Duration::from_millis(100)),
                send(syn_ack()),
                TELL,
                write(b"hello"),
                send(segment(ACK, 1, 6).carrying(b"world")),
                PAUSE,
                READ,
                CLOSE,
                send(segment(FIN, 6, 7)),
                PAUSE,
            ],
        ),
        (
            "an installed connection hears before it speaks",
            vec![INSTALL, send(segment(ACK, 1, 1).carrying(b"hello")), PAUSE, write(b"world")],
        ),
        (
            "a SYN and resets to an installed connection",
            vec![
                INSTALL,
                send(syn()),
                PAUSE,
                send(segment(RST, 100, 0)),
                TELL,
                send(segment(RST, 1, 0)),
                TELL,
            ],
        ),
        (
            "an installed connection repeats what is not acknowledged",
            vec![INSTALL, write(b"hello"), Step::Wait(Duration::from_millis(1_200))],
        ),
    ]
}

/// Each ICMP error in SYN-SENT, in SYN-RECEIVED after a crossed SYN, and at a listener.
fn errors() -> Vec<(String, Vec<Step>)> {
    let errors = [
        IcmpError::TimeExceeded,
        IcmpError::PortUnreachable,
        IcmpError::HostUnreachable,
        IcmpError::AdminProhibited,
    ];
    let of = |error| {
        let icmp = Step::Icmp(error);
        [
            (format!("{error:?} about a dial"), vec![DIAL, icmp, TELL, send(syn_ack())]),
            (
                format!("{error:?} about a SYN-ACK that crossed"),
                vec![DIAL, send(syn()), icmp, TELL],
            ),
            (
                format!("{error:?} about a listener's SYN-ACK"),
                vec![LISTEN, send(syn()), icmp, send(segment(ACK, 1, 1)), TELL],
            ),
        ]
    };
    errors.into_iter().flat_map(of).collect()
}
