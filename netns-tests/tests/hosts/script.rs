//! A packet script: calls and packets in, what was answered out, in words that do not depend on
//! chance.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_packet::{
    IcmpError, Packet, SeqNumber, Syn, SynAck, SynOptions, TcpBuilder, TcpFlags, Timestamps,
    Transport, Ttl, error_quoting, option_kind,
};

/// The initial sequence number of whoever the script plays.
pub(crate) const PEER_ISN: SeqNumber = SeqNumber(0xf000_0000);
/// The one of a SYN that was sent outside the stack.
pub(crate) const OWN_ISN: SeqNumber = SeqNumber(0x9000_0000);
/// What the script's clock shows at its first step; it goes on by one with each.
const PEER_CLOCK: u32 = 5_000;
/// How long an answer is waited for. Where there is one, it is there at once.
const PATIENCE: Duration = Duration::from_millis(3);

/// One step of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A call that a program makes.
    Call(Call),
    /// A segment comes.
    Send(Segment),
    /// An ICMP error comes, which quotes the last packet that was sent.
    Icmp(IcmpError),
    /// So long nothing comes.
    Wait(Duration),
    /// What the program knows of its connection.
    Tell,
}

/// A call that a program makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Dial,
    DialWithTtl(u8),
    Listen,
    Swallow,
    Install,
    Use(Use),
}

/// A call on the connection that there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    SetTtl(u8),
    Write(&'static [u8]),
    Read,
    Close,
    Drop,
}

/// A segment of the script's side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    flags: TcpFlags,
    /// From the own initial sequence number.
    sequence: u32,
    /// From the other side's initial sequence number.
    acknowledgment: u32,
    payload: &'static [u8],
    options: Options,
    echo: Echo,
    /// How much older than now the timestamp is.
    age: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Options {
    Usual,
    WithoutScale,
    WithoutTimestamps,
    None,
}

/// What a segment echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// What the other side sent last.
    Right,
    Zero,
    /// What the other side never sent: a value before its first, or one of the future.
    Before,
    Future,
}

pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const FIN: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
pub(crate) const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);

pub(crate) const fn segment(flags: TcpFlags, sequence: u32, acknowledgment: u32) -> Segment {
    Segment {
        flags,
        sequence,
        acknowledgment,
        payload: b"",
        options: Options::Usual,
        echo: Echo::Right,
        age: 0,
    }
}

pub(crate) const fn syn() -> Segment {
    segment(TcpFlags::SYN, 0, 0)
}

pub(crate) const fn syn_ack() -> Segment {
    segment(SYN_ACK, 0, 1)
}

impl Segment {
    pub(crate) const fn carrying(self, payload: &'static [u8]) -> Self {
        Self { payload, ..self }
    }

    pub(crate) const fn echoing(self, echo: Echo) -> Self {
        Self { echo, ..self }
    }

    pub(crate) const fn aged(self, age: u32) -> Self {
        Self { age, ..self }
    }

    pub(crate) const fn without_scale(self) -> Self {
        Self { options: Options::WithoutScale, ..self }
    }

    pub(crate) const fn without_timestamps(self) -> Self {
        Self { options: Options::WithoutTimestamps, ..self }
    }

    pub(crate) const fn without_options(self) -> Self {
        Self { options: Options::None, ..self }
    }
}

/// Where a script is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The endpoint of the stack.
    pub(crate) local: SocketAddr,
    /// The endpoint of whoever the script plays.
    pub(crate) remote: SocketAddr,
}

impl Place {
    /// The SYN of a connection that is opened outside, and its answer.
    pub(crate) fn opened_outside(&self) -> (Syn, SynAck) {
        let timestamps = Timestamps { value: 0x1234_5678, echo: 0 };
        let options = SynOptions::new(Some(1460), Some(7), true, Some(timestamps));
        let own = Syn {
            source: self.local,
            destination: self.remote,
            sequence: OWN_ISN,
            window: 64_240,
            ttl: Ttl::DEFAULT,
            ecn_setup: false,
            options,
        };
        let timestamps = Timestamps { value: PEER_CLOCK, echo: timestamps.value };
        let answer = SynAck {
            source: self.remote,
            destination: self.local,
            sequence: PEER_ISN,
            acknowledgment: OWN_ISN + 1,
            window: 65_160,
            ttl: Ttl::DEFAULT,
            ece: false,
            options: SynOptions::new(Some(1460), Some(7), true, Some(timestamps)),
        };
        (own, answer)
    }
}

/// A stack that a script is played to.
pub(crate) trait Subject {
    fn call(&mut self, call: Call);
    fn deliver(&mut self, packet: &[u8]);
    /// What is sent within that time, and when.
    fn sent_within(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)>;
    /// What the program knows of its connection.
    fn tell(&mut self) -> String;
}

/// What came of a script: a line for each step, and one for each packet that was sent.
pub(crate) struct Played {
    pub(crate) lines: Vec<String>,
    /// When each packet was sent, since somebody last looked.
    pub(crate) times: Vec<Duration>,
}

/// Plays a script to a stack.
pub(crate) fn play(script: &[Step], place: Place, subject: &mut dyn Subject) -> Played {
    let mut session = Session {
        place,
        own: None,
        last: Vec::new(),
        clock: [None; 2],
        ticks: 0,
        played: Played { lines: Vec::new(), times: Vec::new() },
    };
    for (at, step) in script.iter().enumerate() {
        session.ticks += 1;
        session.perform(*step, subject);
        // Between a step and the wait behind it nobody looks: answers may take a moment.
        if !matches!(
            (step, script.get(at + 1)),
            (Step::Send(_) | Step::Call(_), Some(Step::Wait(_)))
        ) {
            session.listen(*step, subject);
        }
    }
    session.played
}

struct Session {
    place: Place,
    /// The stack's initial sequence number.
    own: Option<SeqNumber>,
    /// Its last packet.
    last: Vec<u8>,
    /// What its clock showed first and last.
    clock: [Option<u32>; 2],
    ticks: u32,
    played: Played,
}

impl Session {
    fn perform(&mut self, step: Step, subject: &mut dyn Subject) {
        let mut line = format!("{step:?}");
        match step {
            Step::Call(call) => {
                if matches!(call, Call::Install) {
                    let (own, _) = self.place.opened_outside();
                    self.own = Some(own.sequence);
                    self.clock = [own.options.timestamps.map(|it| it.value); 2];
                }
                subject.call(call);
            }
            Step::Send(segment) => subject.deliver(&self.written(&segment)),
            Step::Icmp(error) => {
                let mut buffer = [0; 1280];
                let quoted = error_quoting(error, self.place.remote.ip(), &self.last, &mut buffer);
                subject.deliver(&buffer[..quoted.expect("what was sent can be quoted")]);
            }
            Step::Wait(_) => {}
            Step::Tell => line = format!("Tell: {}", subject.tell()),
        }
        self.played.lines.push(line);
    }

    /// Writes down what is sent after a step.
    fn listen(&mut self, step: Step, subject: &mut dyn Subject) {
        let patience = if let Step::Wait(time) = step { time } else { PATIENCE };
        for (at, packet) in subject.sent_within(patience) {
            self.played.times.push(at);
            self.hear(&packet);
        }
    }

    /// Writes down a packet that the stack sent.
    fn hear(&mut self, bytes: &[u8]) {
        Packet::verify_checksums(bytes).expect("what leaves has right checksums");
        let packet = Packet::parse(bytes).expect("what leaves is whole");
        let Transport::Tcp(segment) = packet.transport else {
            return self.played.lines.push(format!("  {packet}"));
        };
        let options = SynOptions::parse(segment.options).expect("what leaves has whole options");
        if segment.flags.contains(TcpFlags::SYN) {
            self.own = Some(segment.sequence);
        }
        if let Some(Timestamps { value, .. }) = options.timestamps {
            self.clock = [self.clock[0].or(Some(value)), Some(value)];
        }
        // Zero stands for no number in an RST that answers a SYN.
        let counts = segment.sequence != SeqNumber(0);
        let own = self.own.filter(|_| counts).unwrap_or_default();
        let mut line = format!("  {}", segment.flags);
        let sequence = segment.sequence.distance_from(own) as i32;
        write!(line, " seq {sequence}").expect("a string takes all");
        if segment.flags.contains(TcpFlags::ACK) {
            let acknowledgment = segment.acknowledgment.distance_from(PEER_ISN) as i32;
            write!(line, " ack {acknowledgment}").expect("a string takes all");
        }
        line += &told(&options);
        let (length, ttl) = (segment.payload.len(), packet.ip.ttl);
        write!(line, " len {length} ttl {ttl}").expect("a string takes all");
        self.played.lines.push(line);
        self.last = bytes.to_vec();
    }

    /// The bytes of a segment of the script's side.
    fn written(&self, segment: &Segment) -> Vec<u8> {
        let own = self.own.unwrap_or_default();
        let has_ack = segment.flags.contains(TcpFlags::ACK);
        let echo = match segment.echo {
            Echo::Right => self.clock[1].unwrap_or(0),
            Echo::Zero => 0,
            Echo::Before => self.clock[0].unwrap_or(0).wrapping_sub(100),
            Echo::Future => self.clock[1].unwrap_or(0).wrapping_add(100_000),
        };
        let value = PEER_CLOCK + self.ticks - segment.age;
        let timestamps = Timestamps { value, echo: if has_ack { echo } else { 0 } };
        let is_syn = segment.flags.contains(TcpFlags::SYN);
        let mut options =
            SynOptions::new(is_syn.then_some(1460), is_syn.then_some(7), is_syn, Some(timestamps));
        match segment.options {
            Options::Usual => {}
            Options::WithoutScale => options.window_scale = None,
            Options::WithoutTimestamps => options.timestamps = None,
            Options::None => options = SynOptions::default(),
        }
        let mut laid_out = [0; 40];
        let length = options.emit(&mut laid_out).expect("there is room");
        let header = TcpBuilder {
            source: self.place.remote,
            destination: self.place.local,
            ttl: Ttl::DEFAULT,
            sequence: PEER_ISN + segment.sequence,
            acknowledgment: if has_ack { own + segment.acknowledgment } else { SeqNumber(0) },
            flags: segment.flags,
            window: if is_syn { 65_160 } else { 512 },
        };
        let mut packet = vec![0; 1500];
        let length =
            header.emit(&laid_out[..length], segment.payload, &mut packet).expect("it is a packet");
        packet.truncate(length);
        packet
    }
}

/// What options say that does not depend on clocks or memory sizes.
fn told(options: &SynOptions) -> String {
    let mut told = String::new();
    if let Some(mss) = options.mss {
        told += &format!(" mss {mss}");
    }
    if options.window_scale.is_some() {
        told += " wscale";
    }
    if options.sack_permitted {
        told += " sack";
    }
    if let Some(Timestamps { echo, .. }) = options.timestamps {
        told += &format!(" ts /{echo}");
    }
    for (kind, data) in options.unknown() {
        let numbers = data.as_chunks::<4>().0.iter();
        let blocks: Vec<u32> =
            numbers.map(|at| SeqNumber(u32::from_be_bytes(*at)).distance_from(PEER_ISN)).collect();
        debug_assert_ne!(kind, option_kind::TIMESTAMPS);
        told += &format!(" option {kind} {blocks:?}");
    }
    told
}
