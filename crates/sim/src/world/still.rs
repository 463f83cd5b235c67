//! A world in which somebody else says what arrives next.
//!
//! From the request on the network stands still: packets wait behind routers, documents at the
//! head of their streams, and no time goes by as long as one of them may arrive. So orders that
//! make no difference lead to the same state.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use simopen_packet::Packet;
use simopen_protocol::control::Message;

use super::World;
use super::streams::Towards;
use crate::explore::script::Choice;
use crate::explore::walk::{InFlight, Phase, Release, Step, Walk};
use crate::lines::LineNumber;

/// What came of asking for the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepped {
    /// Something happened at this moment.
    On,
    /// Nothing is to arrive before the next deadline.
    Quiet,
    /// The rest of the run is known.
    Over,
}

/// Something in flight.
#[derive(Debug, Clone, Copy)]
enum Item {
    /// The packet at this place among those that the network holds.
    Packet(usize),
    /// The document at the head of this stream.
    Document(Stream),
}

/// A line, in one of its two directions.
type Stream = (LineNumber, Towards);

/// What came to a station.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) enum Came<'a> {
    Packet(&'a [u8]),
    Document(LineNumber, &'a Message),
    /// A deadline.
    Timeout,
    /// The bytes by which a connection is proven, to be written or read.
    Bytes,
}

/// The lines above are those of probes: the first of each peer carries the control documents.
const CONTROL_LINES: LineNumber = 2;

impl World {
    /// From now on the order of what arrives is chosen by `walk`.
    pub(crate) fn stand_still(&mut self, walk: Rc<RefCell<Walk>>) {
        walk.borrow_mut().begin();
        self.fabric.stand_still();
        self.streams.stand_still();
        self.walk = Some(walk);
    }

    /// Whether the rest of the run is known, so that it need not be made.
    pub(crate) fn is_known(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.borrow().phase() == Phase::Known)
    }

    /// Whether somebody says what arrives next, and had nothing lost, copied or delayed.
    pub(crate) fn is_faultless(&self) -> bool {
        let is_faultless = |walk: &Walk| !walk.choices().iter().any(|choice| choice.is_fault());
        self.walk.as_ref().is_some_and(|walk| is_faultless(&walk.borrow()))
    }

    /// Folds something that came to a station into its history, where that is kept.
    #[inline]
    pub(super) fn remember(&mut self, station: usize, came: Came<'_>) {
        if self.walk.is_some() {
            let station = &mut self.stations[station];
            let mut hasher = DefaultHasher::new();
            (station.history, self.now, came).hash(&mut hasher);
            station.history = hasher.finish();
        }
    }

    /// Lets the next thing arrive, if there is one.
    pub(super) fn step_still(&mut self) -> Stepped {
        let Some(walk) = self.walk.clone() else { return Stepped::Quiet };
        match walk.borrow().phase() {
            Phase::Choosing => {}
            Phase::Ahead | Phase::Released => return Stepped::Quiet,
            Phase::Known => return Stepped::Over,
        }
        if self.pass_probes() {
            return Stepped::On;
        }
        let items = self.items();
        let contents: Vec<_> = items.iter().map(|item| self.content(*item)).collect();
        let step = walk.borrow_mut().step(&contents, |release| self.state(release));
        match step {
            Step::Choose(choice) => self.carry_out(choice, &items),
            Step::Wait => return Stepped::Quiet,
            Step::Release => {
                self.fabric.go_on(self.now);
                self.streams.go_on();
            }
            Step::Stop => return Stepped::Over,
        }
        Stepped::On
    }

    /// Lets the packets and documents of the connections that prove ports arrive at once, and of
    /// those that carry none of the attempt's documents: they are not what is explored.
    fn pass_probes(&mut self) -> bool {
        let broker = self.layout.hosts[self.places[2]].addresses.clone();
        let is_own = |packet: &[u8]| {
            let packet = Packet::parse(packet).ok();
            packet.is_some_and(|Packet { ip, .. }| {
                broker.iter().any(|(own, _)| [ip.source, ip.destination].contains(own))
            })
        };
        let place = self.fabric.held().position(|held| is_own(held.packet));
        if let Some(place) = place {
            self.fabric.deliver_held(place, self.now);
            return true;
        }
        let probe = self.heads().into_iter().find(|(line, _)| *line >= CONTROL_LINES);
        probe.is_some_and(|probe| self.deliver(probe))
    }

    /// The streams whose first document may arrive, since their line is known at its end.
    fn heads(&mut self) -> Vec<Stream> {
        let mut heads = self.streams.heads();
        heads.retain(|(line, towards)| self.end_of(*line, *towards).is_some());
        heads
    }

    fn deliver(&mut self, stream: Stream) -> bool {
        let document = self.streams.take(stream);
        document.is_some_and(|document| self.hand_over(document))
    }

    fn items(&mut self) -> Vec<Item> {
        let packets = 0..self.fabric.held().len();
        let documents = self.heads().into_iter().map(Item::Document);
        packets.map(Item::Packet).chain(documents).collect()
    }

    fn content(&self, item: Item) -> InFlight {
        let mut hasher = DefaultHasher::new();
        match item {
            Item::Packet(place) => {
                let held = self.fabric.held().nth(place);
                held.map(|held| (held.link, held.packet)).hash(&mut hasher);
            }
            Item::Document(stream) => self.streams.head(stream).hash(&mut hasher),
        }
        InFlight { content: hasher.finish(), is_packet: matches!(item, Item::Packet(_)) }
    }

    fn carry_out(&mut self, choice: Choice, items: &[Item]) {
        let (Choice::Deliver(place)
        | Choice::Delay(place)
        | Choice::Drop(place)
        | Choice::Copy(place)) = choice;
        let Some(item) = items.get(place).copied() else { return };
        self.log.tell(self.now, "order", || format!("{choice} of {} in flight", items.len()));
        match (choice, item) {
            (Choice::Deliver(_), Item::Packet(place)) => {
                self.fabric.deliver_held(place, self.now);
            }
            (Choice::Copy(_), Item::Packet(place)) => {
                self.fabric.copy_held(place);
                self.fabric.deliver_held(place, self.now);
            }
            (Choice::Drop(_), Item::Packet(place)) => self.fabric.drop_held(place, self.now),
            (Choice::Deliver(_), Item::Document(stream)) => {
                self.deliver(stream);
            }
            (Choice::Delay(_), _) | (Choice::Drop(_) | Choice::Copy(_), Item::Document(_)) => {}
        }
    }

    /// A hash of everything that decides over what comes. Hosts and peers hash by the history of
    /// what came to them, from which their states follow. In which order something was sent does
    /// not matter, as long as anything may arrive next.
    fn state(&self, release: Release) -> u64 {
        let mut hasher = DefaultHasher::new();
        if release == Release::Now {
            let held = self.fabric.held();
            held.for_each(|held| (held.link, held.packet).hash(&mut hasher));
            self.streams.hash_order(&mut hasher);
        }
        (self.now, &self.fabric, &self.streams, self.incidents.len()).hash(&mut hasher);
        self.server.hash_state(&mut hasher);
        for station in &self.stations {
            station.history.hash(&mut hasher);
        }
        hasher.finish()
    }
}
