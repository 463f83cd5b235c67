//! Two machines that are honest, held against a model; and one whose other side is not.

use proptest::prelude::*;
use simopen_protocol::peer_frame::Flags;

use super::channel_state::WINDOW;
use super::*;

/// Hands all frames over, both ways, until nobody has any.
fn exchange(a: &mut Multiplexer, b: &mut Multiplexer) {
    loop {
        let (to_b, to_a) = (a.poll_frame(), b.poll_frame());
        if to_b.is_none() && to_a.is_none() {
            return;
        }
        to_b.into_iter().for_each(|frame| b.handle_frame(frame).unwrap());
        to_a.into_iter().for_each(|frame| a.handle_frame(frame).unwrap());
    }
}

fn events(machine: &mut Multiplexer) -> Vec<Event> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}

fn offered(machine: &mut Multiplexer) -> ChannelNumber {
    let found = events(machine).into_iter().find_map(|event| match event {
        Event::Offered(channel, _) => Some(channel),
        Event::Opened(_)
        | Event::Refused(..)
        | Event::Readable(_)
        | Event::Writable(_)
        | Event::Instant(_)
        | Event::Answered(_) => None,
    });
    found.expect("a channel is offered")
}

/// Two machines with a channel between them, and its number at each.
fn connected() -> (Multiplexer, Multiplexer, ChannelNumber, ChannelNumber) {
    let (mut a, mut b) = (Multiplexer::default(), Multiplexer::default());
    let (at_a, at_b) = connect(&mut a, &mut b);
    (a, b, at_a, at_b)
}

fn connect(a: &mut Multiplexer, b: &mut Multiplexer) -> (ChannelNumber, ChannelNumber) {
    let at_a = a.open("files").unwrap();
    exchange(a, b);
    let at_b = offered(b);
    b.accept(at_b);
    exchange(a, b);
    assert!(events(a).contains(&Event::Opened(at_a)));
    (at_a, at_b)
}

fn read_all(machine: &mut Multiplexer, channel: ChannelNumber) -> (Vec<u8>, ReadEnd) {
    let (mut all, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        match machine.read(channel, &mut buffer) {
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            Err(end) => return (all, end),
        }
    }
}

fn data(source: ChannelNumber, destination: ChannelNumber, flags: Flags, data: &[u8]) -> PeerFrame {
    let header = ChannelHeader { flags, source, destination };
    PeerFrame { head: PartA::Channel(header), data: data.to_vec() }
}

#[test]
fn each_direction_ends_by_itself() {
    let (mut a, mut b, at_a, at_b) = connected();
    assert_eq!(a.write(at_a, b"question"), Some(8));
    a.finish(at_a);
    exchange(&mut a, &mut b);
    assert_eq!(read_all(&mut b, at_b), (b"question".to_vec(), ReadEnd::Finished));
    assert_eq!(b.write(at_b, b"answer"), Some(6));
    b.finish(at_b);
    exchange(&mut a, &mut b);
    assert_eq!(read_all(&mut a, at_a), (b"answer".to_vec(), ReadEnd::Finished));
    assert!(a.is_finished(at_a) && b.is_finished(at_b));
    a.abandon(at_a);
    b.abandon(at_b);
    exchange(&mut a, &mut b);
    assert!(a.channels.is_empty() && b.channels.is_empty());
}

#[test]
fn what_was_written_before_a_side_went_away_still_arrives_and_the_other_learns_it() {
    let (mut a, mut b, at_a, at_b) = connected();
    a.write(at_a, b"last words");
    a.abandon(at_a);
    b.write(at_b, b"nobody hears this");
    exchange(&mut a, &mut b);
    assert_eq!(read_all(&mut b, at_b), (b"last words".to_vec(), ReadEnd::Broken));
    assert_eq!(b.write(at_b, b"nor this"), None);
    b.abandon(at_b);
    exchange(&mut a, &mut b);
    assert!(a.channels.is_empty() && b.channels.is_empty());
    assert_eq!((a.unread, b.unread), (0, 0));
}

#[test]
fn a_side_that_goes_away_once_it_has_finished_breaks_nothing_unless_it_says_so() {
    for (breaks, end) in [(false, ReadEnd::Finished), (true, ReadEnd::Broken)] {
        let (mut a, mut b, at_a, at_b) = connected();
        a.write(at_a, b"all");
        a.finish(at_a);
        exchange(&mut a, &mut b);
        if breaks {
            a.break_off(at_a);
        }
        a.abandon(at_a);
        exchange(&mut a, &mut b);
        assert_eq!(read_all(&mut b, at_b), (b"all".to_vec(), end));
        assert_eq!((b.write(at_b, b"x"), b.is_broken(at_b)), (None, breaks));
        b.abandon(at_b);
        exchange(&mut a, &mut b);
        assert!(a.channels.is_empty() && b.channels.is_empty());
    }
}

#[test]
fn a_channel_that_is_refused_or_given_up_leaves_nothing() {
    let (mut a, mut b) = (Multiplexer::default(), Multiplexer::default());
    let refused = a.open("files").unwrap();
    exchange(&mut a, &mut b);
    let at_b = offered(&mut b);
    b.refuse(at_b, "no-such-service");
    exchange(&mut a, &mut b);
    let told = Event::Refused(refused, ErrorName("no-such-service".into()));
    assert_eq!(events(&mut a), [told]);
    let given_up = a.open("files").unwrap();
    a.abandon(given_up);
    exchange(&mut a, &mut b);
    let at_b = offered(&mut b);
    b.accept(at_b);
    exchange(&mut a, &mut b);
    assert_eq!(b.write(at_b, b"x"), None, "nobody is there");
    b.abandon(at_b);
    exchange(&mut a, &mut b);
    assert!(a.channels.is_empty() && b.channels.is_empty());
}

#[test]
fn a_channel_that_nobody_reads_is_suspended_and_the_others_go_on() {
    let (mut a, mut b, slow, slow_at_b) = connected();
    let (quick, quick_at_b) = connect(&mut a, &mut b);
    let (mut sent, block) = (0, vec![7; 16 * 1024]);
    loop {
        let taken = a.write(slow, &block).unwrap();
        exchange(&mut a, &mut b);
        sent += taken;
        if taken == 0 {
            break;
        }
    }
    assert!(b.unread <= 512 * 1024, "{} are kept of {sent}", b.unread);
    for _ in 0..100 {
        assert_eq!(a.write(quick, &block), Some(block.len()));
        exchange(&mut a, &mut b);
        assert_eq!(read_all(&mut b, quick_at_b).0, block);
    }
    let mut got = 0;
    while got < sent {
        let (bytes, _) = read_all(&mut b, slow_at_b);
        assert!(!bytes.is_empty(), "it goes on when it is read: {got} of {sent}");
        got += bytes.len();
        exchange(&mut a, &mut b);
    }
}

#[test]
fn many_channels_take_turns() {
    let (mut a, mut b) = (Multiplexer::default(), Multiplexer::default());
    let channels: Vec<_> = (0..100).map(|_| connect(&mut a, &mut b)).collect();
    for (at_a, _) in &channels {
        assert_eq!(a.write(*at_a, &[1; 48 * 1024]), Some(48 * 1024));
    }
    for _ in 0..channels.len() {
        b.handle_frame(a.poll_frame().unwrap()).unwrap();
    }
    for (_, at_b) in &channels {
        assert_eq!(read_all(&mut b, *at_b).0.len(), 16 * 1024, "each had one turn");
    }
}

#[test]
fn a_sender_that_is_never_resumed_keeps_no_more_than_its_buffer() {
    let (mut a, mut b, at_a, at_b) = connected();
    a.handle_frame(data(at_b, at_a, Flags::SUSPEND, b"")).unwrap();
    let mut kept = 0;
    while let Some(taken @ 1..) = a.write(at_a, &[0; 4096]) {
        kept += taken;
    }
    assert_eq!(kept, 64 * 1024);
    assert_eq!(a.poll_frame(), None);
    a.handle_frame(data(at_b, at_a, Flags::RESUME, b"")).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(read_all(&mut b, at_b).0.len(), kept);
}

#[test]
fn a_sender_that_hears_nothing_stops_at_the_window_by_itself() {
    let (mut a, mut b, at_a, at_b) = connected();
    let (mut under_way, block) = (VecDeque::new(), vec![0; 16 * 1024]);
    while let Some(1..) = a.write(at_a, &block) {
        under_way.extend(std::iter::from_fn(|| a.poll_frame()));
    }
    let sent = |frames: &VecDeque<PeerFrame>| frames.iter().map(|f| f.data.len()).sum::<usize>();
    assert_eq!(sent(&under_way), WINDOW);
    // It goes on by one window more for each time that it is told to.
    for frame in under_way.drain(..) {
        b.handle_frame(frame).unwrap();
    }
    assert_eq!(read_all(&mut b, at_b).0.len(), WINDOW);
    exchange(&mut a, &mut b);
    assert_eq!(read_all(&mut b, at_b).0.len(), 64 * 1024, "what has waited");
}

#[test]
fn what_no_honest_peer_does_ends_the_link() {
    let far = ChannelNumber(77);
    let (mut a, _, at_a, at_b) = connected();
    assert_eq!(a.handle_frame(data(at_b, far, Flags::NONE, b"x")), Err(Violation::UnknownChannel));
    assert_eq!(a.handle_frame(data(far, at_a, Flags::NONE, b"x")), Err(Violation::UnknownChannel));
    assert_eq!(a.handle_frame(data(at_b, at_a, Flags::CLOSE, b"end")), Ok(()));
    assert_eq!(a.handle_frame(data(at_b, at_a, Flags::NONE, b"x")), Err(Violation::AfterClose));
    assert_eq!(a.handle_frame(data(at_b, at_a, Flags::CLOSE, b"")), Err(Violation::AfterClose));
    let junk = PeerFrame { head: PartA::Document(b"<junk/>".to_vec()), data: vec![] };
    assert_eq!(a.handle_frame(junk), Err(Violation::Malformed));
}

#[test]
fn a_sender_that_does_not_stop_when_it_is_suspended_ends_the_link_with_its_buffer_bounded() {
    let (_, mut b, at_a, at_b) = connected();
    let block = vec![0; 256 * 1024];
    let ended = (0..1000).find_map(|_| b.handle_frame(data(at_a, at_b, Flags::NONE, &block)).err());
    assert_eq!(ended, Some(Violation::TooMuch));
    assert!(b.unread <= MAX_UNREAD / 4 + block.len(), "{}", b.unread);
}

#[test]
fn a_channel_before_it_is_accepted_takes_no_data() {
    let (mut a, mut b) = (Multiplexer::default(), Multiplexer::default());
    let at_a = a.open("files").unwrap();
    exchange(&mut a, &mut b);
    let at_b = offered(&mut b);
    let early = data(at_a, at_b, Flags::NONE, b"x");
    assert_eq!(b.handle_frame(early), Err(Violation::UnknownChannel));
}

#[test]
fn opening_without_end_is_refused_and_then_ends_the_link() {
    let mut b = Multiplexer::default();
    let open = |number: u32| {
        let action = Action::Open { channel: ChannelNumber(number), service: "x".into() };
        let request = Request { id: TransactionId(number), action, unknown: vec![] };
        let document = Message::Request(request).to_bytes();
        PeerFrame { head: PartA::Document(document), data: vec![] }
    };
    let mut ended = None;
    for number in 0..10_000 {
        if let Err(violation) = b.handle_frame(open(number)) {
            ended = Some((number, violation));
            break;
        }
        while b.poll_frame().is_some() {}
    }
    let (number, violation) = ended.expect("it ends");
    assert_eq!(violation, Violation::TooManyRequests);
    assert_eq!(number as usize, 2 * MAX_CHANNELS);
    assert_eq!(b.channels.len(), MAX_CHANNELS);
}

#[test]
fn asking_without_reading_the_answers_ends_the_link() {
    let (mut a, mut b) = (Multiplexer::default(), Multiplexer::default());
    let mut ask = || {
        a.ping();
        b.handle_frame(a.poll_frame().unwrap())
    };
    let ended = (0..10_000).find_map(|_| ask().err());
    assert_eq!(ended, Some(Violation::TooManyRequests));
    assert!(b.documents.len() <= MAX_DOCUMENTS + 1);
}

/// One step of one of the two sides, on one of its channels.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Answer { accept: bool },
    Write { which: usize, length: usize },
    Read { which: usize, length: usize },
    Finish { which: usize },
    Abandon { which: usize },
    Deliver { frames: usize },
}

fn steps() -> impl Strategy<Value = (bool, Step)> {
    let which = 0_usize..8;
    let step = prop_oneof![
        2 => Just(Step::Open),
        2 => prop::bool::weighted(0.8).prop_map(|accept| Step::Answer { accept }),
        6 => (which.clone(), 0_usize..200_000).prop_map(|(which, length)| Step::Write { which, length }),
        6 => (which.clone(), 1_usize..300_000).prop_map(|(which, length)| Step::Read { which, length }),
        1 => which.clone().prop_map(|which| Step::Finish { which }),
        1 => which.prop_map(|which| Step::Abandon { which }),
        8 => (1_usize..40).prop_map(|frames| Step::Deliver { frames }),
    ];
    (any::<bool>(), step)
}

/// What a channel of one side has written and read, as bytes that count up.
#[derive(Debug, Default, Clone)]
struct Told {
    written: usize,
    read: usize,
    finished: bool,
    abandoned: bool,
    ended: bool,
    broken: bool,
}

/// One side, and the frames that are on their way to it.
#[derive(Default)]
struct Side {
    machine: Multiplexer,
    arriving: VecDeque<PeerFrame>,
    offers: Vec<ChannelNumber>,
    held: Vec<ChannelNumber>,
    told: BTreeMap<ChannelNumber, Told>,
    /// The other side's number of each channel.
    pairs: BTreeMap<ChannelNumber, ChannelNumber>,
}

impl Side {
    fn drain(&mut self, other: &mut VecDeque<PeerFrame>) {
        for event in events(&mut self.machine) {
            match event {
                Event::Offered(channel, _) => self.offers.push(channel),
                Event::Opened(channel) => self.held.push(channel),
                Event::Refused(..)
                | Event::Readable(_)
                | Event::Writable(_)
                | Event::Instant(_)
                | Event::Answered(_) => {}
            }
        }
        other.extend(std::iter::from_fn(|| self.machine.poll_frame()));
    }

    fn step(&mut self, step: &Step) {
        let held = |which: usize| self.held.get(which % self.held.len().max(1)).copied();
        match *step {
            Step::Open if self.held.len() < 8 => drop(self.machine.open("x")),
            Step::Answer { accept } => {
                if let Some(channel) = self.offers.pop() {
                    if accept {
                        self.machine.accept(channel);
                        self.held.push(channel);
                    } else {
                        self.machine.refuse(channel, "no");
                    }
                }
            }
            Step::Write { which, length } => {
                let Some(channel) = held(which) else { return };
                let told = self.told.entry(channel).or_default();
                let bytes: Vec<u8> =
                    (told.written..told.written + length).map(|n| n as u8).collect();
                told.written += self.machine.write(channel, &bytes).unwrap_or(0);
            }
            Step::Read { which, length } => {
                if let Some(channel) = held(which) {
                    self.read(channel, length);
                }
            }
            Step::Finish { which } => {
                let Some(channel) = held(which) else { return };
                self.machine.finish(channel);
                self.told.entry(channel).or_default().finished = true;
            }
            Step::Abandon { which } => {
                let Some(channel) = held(which) else { return };
                self.held.retain(|other| *other != channel);
                self.machine.abandon(channel);
                self.told.entry(channel).or_default().abandoned = true;
            }
            Step::Deliver { frames } => self.deliver(frames),
            Step::Open => {}
        }
    }

    fn read(&mut self, channel: ChannelNumber, length: usize) {
        let told = self.told.entry(channel).or_default();
        let mut buffer = vec![0; length];
        match self.machine.read(channel, &mut buffer) {
            Ok(length) => {
                assert!(!told.ended, "nothing comes after the end");
                let counted = (told.read..told.read + length).map(|n| n as u8);
                assert!(buffer[..length].iter().copied().eq(counted), "in order, once");
                told.read += length;
            }
            Err(ReadEnd::Finished) => told.ended = true,
            Err(ReadEnd::Broken) => (told.ended, told.broken) = (true, true),
            Err(ReadEnd::Empty) => {}
        }
    }

    fn deliver(&mut self, frames: usize) {
        for frame in self.arriving.drain(..frames.min(self.arriving.len())) {
            if let PartA::Channel(header) = &frame.head {
                self.pairs.insert(header.destination, header.source);
            }
            self.machine.handle_frame(frame).expect("both sides are honest");
        }
        let unread: usize = self.machine.channels.len() * 3 * WINDOW;
        assert!(self.machine.unread <= unread);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_honest_sides_lose_nothing_and_keep_nothing(
        steps in prop::collection::vec(steps(), 1..200),
    ) {
        let mut sides = [Side::default(), Side::default()];
        for (which, step) in &steps {
            let [one, other] = &mut sides;
            let (one, other) = if *which { (one, other) } else { (other, one) };
            one.step(step);
            one.drain(&mut other.arriving);
        }
        // From here on everything is delivered, answered and read.
        let [one, other] = &mut sides;
        while settle(one, other) | settle(other, one) {}
        let [one, other] = &sides;
        for (one, other) in [(one, other), (other, one)] {
            for (channel, told) in &one.told {
                let Some(pair) = one.pairs.get(channel).and_then(|pair| other.told.get(pair)) else {
                    continue;
                };
                if !told.abandoned {
                    let all = told.read == pair.written || (pair.abandoned && told.read <= pair.written);
                    prop_assert!(all, "{channel:?} has read {} of {}", told.read, pair.written);
                    prop_assert_eq!(told.ended, pair.finished || pair.abandoned || told.ended);
                    prop_assert_eq!(told.broken, pair.abandoned && !pair.finished);
                }
            }
        }
        // When nobody holds anything any more, nothing is kept.
        for _ in 0..3 {
            let [one, other] = &mut sides;
            for side in [&mut *one, &mut *other] {
                for channel in std::mem::take(&mut side.held) {
                    side.machine.abandon(channel);
                }
            }
            while settle(one, other) | settle(other, one) {}
        }
        for side in &sides {
            prop_assert!(side.machine.channels.is_empty(), "{:?}", side.machine.channels);
            prop_assert_eq!(side.machine.unread, 0);
        }
    }
}

/// Delivers, answers and reads everything at one side. Whether anything happened.
fn settle(one: &mut Side, other: &mut Side) -> bool {
    let mut progress = !one.arriving.is_empty() || !one.offers.is_empty();
    one.deliver(usize::MAX);
    one.drain(&mut other.arriving);
    while !one.offers.is_empty() {
        one.step(&Step::Answer { accept: true });
    }
    for channel in one.held.clone() {
        let before = one.told.get(&channel).cloned().unwrap_or_default();
        one.read(channel, 1 << 20);
        let after = &one.told[&channel];
        progress |= after.read != before.read || after.ended != before.ended;
    }
    one.drain(&mut other.arriving);
    progress || !other.arriving.is_empty()
}
