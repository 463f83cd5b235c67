//! The middlebox: one machine that takes packets from two sides and says what becomes of each.

mod datagrams;
mod detour;
mod hairpin;
mod icmp_errors;
mod opening;
mod own_resets;
mod sessions;
mod strangers;
mod syn_proxy;

use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use simopen_packet::{Entropy, Layout, Packet, TcpFlags, TcpSegment, Timestamp, Transport};

use crate::answers::Answers;
use crate::bindings::{Bindings, Outside};
use crate::census::Census;
use crate::datagram_sessions::DatagramSessions;
use crate::endpoint::{Endpoint, Flow, Side, addresses};
use crate::flow_index::FlowHasher;
use crate::handshakes::Handshakes;
use crate::journal::{DropReason, EndCause, Journal, JournalEntry, JournalEvent, PacketSummary};
use crate::rewriter::Rewriter;
use crate::session::Sessions;
use crate::spec::{Hairpin, InboundBareSyn, InvalidOutbound, MiddleboxSpec, Refresh, Role};
use crate::stats::Stats;
use crate::tcp_tracking::lifetime::Lifetimes;
use crate::tcp_tracking::state::TcpState;
use crate::tcp_tracking::{Outcome, Rules};

/// What becomes of a packet. Complete: it will not grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It leaves on the other side, rewritten in place where the box translates.
    Forward,
    /// It leaves on the other side as it came, because tracking called it invalid.
    Untranslated,
    /// It leaves, rewritten in place, on the side that it came from.
    Hairpin,
    /// It goes no further.
    Drop(DropReason),
}

/// What a deadline is for. May grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Timer {
    /// A session may have run out. It may come up before the session's end, never after.
    Session,
    /// A held SYN is to be answered.
    HeldSyn,
    /// What an early packet left behind ends.
    EarlyPacket,
    /// A handshake that the box makes has not got beyond the inside host.
    Handshake,
}

/// One NAT or firewall between an inside and an outside.
///
/// Give it every packet that arrives ([`Self::handle_packet`]), then take out its own packets
/// ([`Self::poll_transmit`]) and call [`Self::handle_timeout`] at the time of
/// [`Self::poll_timeout`]. The TTL is the business of whoever forwards.
#[derive(Clone)]
pub struct Middlebox {
    spec: MiddleboxSpec,
    external: IpAddr,
    lifetimes: Lifetimes,
    /// Whether packets from each side prolong sessions.
    refreshed_by: [bool; 2],
    /// Whether packets may need more than translation, or may turn back.
    detours: bool,
    sessions: Sessions,
    tcp: Bindings,
    datagrams: DatagramSessions,
    udp: Bindings,
    echo: Bindings,
    outside: Outside,
    rewriter: Rewriter,
    handshakes: Handshakes,
    census: Census,
    answers: Answers,
    journal: Journal,
    stats: Stats,
}

/// How a packet is to be changed before it leaves.
enum Decision {
    /// Not at all.
    AsItIs,
    /// The source of a segment from inside, the destination of one from outside.
    Segment(Layout, Endpoint),
    /// The same for a UDP datagram or an ICMP echo message.
    Datagram(Layout, Endpoint),
    /// The same for an ICMP error, and the other end of the packet that it quotes.
    Quote(Layout, Endpoint),
    Untranslated(DropReason),
    Drop(DropReason),
}

impl Hash for Middlebox {
    /// Its state: two boxes made alike that hash alike do the same from now on. What was counted
    /// and journalled does not matter to that.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.sessions, &self.datagrams, &self.outside).hash(state);
        [&self.tcp, &self.udp, &self.echo].hash(state);
        (&self.handshakes, &self.census, &self.answers).hash(state);
    }
}

impl Middlebox {
    /// Makes a box with empty tables. `external` is its address outside; a firewall that does not
    /// translate answers ICMP errors from it.
    #[must_use]
    pub fn new(spec: MiddleboxSpec, external: IpAddr, entropy: Entropy, now: Timestamp) -> Self {
        let _ = now;
        let generator = ChaCha20Rng::from_seed(entropy.into_bytes());
        let mut outside = Outside::new(&spec, external, generator);
        let base = outside.base();
        let hasher = FlowHasher::drawn(&mut outside.generator);
        let rewriter = Rewriter::new(spec.rewriting, &mut outside.generator);
        let datagrams = || Bindings::new(spec.udp.mapping, spec.udp.filtering, &spec, base);
        Self {
            spec,
            external,
            lifetimes: Lifetimes::new(&spec.timers, spec.idle_killer),
            refreshed_by: [spec.refresh != Refresh::Inbound, spec.refresh != Refresh::Outbound],
            detours: (rewriter.is_active() && spec.role != Role::Transparent)
                || (spec.role == Role::Nat && spec.hairpin != Hairpin::Off),
            sessions: Sessions::new(base, hasher),
            tcp: Bindings::new(spec.mapping, spec.filtering, &spec, base),
            datagrams: DatagramSessions::default(),
            udp: datagrams(),
            echo: datagrams(),
            outside,
            rewriter,
            handshakes: Handshakes::default(),
            census: Census::new(spec.limits),
            answers: Answers::default(),
            journal: Journal::default(),
            stats: Stats::new(),
        }
    }

    /// Takes a packet from one side, rewrites it in place and says what becomes of it.
    ///
    /// `packet` is one whole IP packet. Whatever it holds, nothing panics; what cannot be read is
    /// dropped as malformed.
    pub fn handle_packet(&mut self, from: Side, packet: &mut [u8], now: Timestamp) -> Verdict {
        if self.detours {
            return self.handle_detour(from, packet, now);
        }
        self.pass(from, packet, now)
    }

    /// A packet goes to the other side and is translated at most.
    #[inline(always)]
    fn pass(&mut self, from: Side, packet: &mut [u8], now: Timestamp) -> Verdict {
        match self.look(from, packet, now) {
            Step::Everyday(layout, to) => {
                if self.spec.role == Role::Nat {
                    translate(from, packet, layout, to);
                }
                self.stats.forwarded += 1;
                Verdict::Forward
            }
            Step::Rare(met) => self.handle_rare(from, packet, met, now),
        }
    }

    /// Ends what has run out by `now`. Calling it early or late or twice does no harm.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(id) = self.sessions.next_expired(now) {
            self.expire_session(id, now);
        }
        while let Some(key) = self.datagrams.next_expired(now) {
            self.end_datagrams(key, EndCause::Expired, now);
        }
        self.tcp.reservations_mut().expire(now);
        self.udp.reservations_mut().expire(now);
        self.handshakes.expire(now);
        self.answer_held(now);
    }

    /// Whether [`Self::poll_transmit`] has a packet.
    #[inline]
    #[must_use]
    pub fn has_packets(&self) -> bool {
        self.answers.waiting() > 0
    }

    /// Writes the next packet of the box's own into `buffer` and says on which side it leaves and
    /// how long it is. `buffer` needs [`crate::MAX_ANSWER_LEN`] bytes.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(Side, usize)> {
        self.answers.poll(buffer)
    }

    /// The box starts anew: every session, mapping and held SYN is lost, and so is what waited to
    /// be sent. The journal and the figures stay.
    pub fn reboot(&mut self, now: Timestamp) {
        let lost = self.session_count() as u64;
        let mut entropy = [0; 32];
        self.outside.generator.fill_bytes(&mut entropy);
        let entropy = Entropy::new(entropy);
        let (journal, stats) = (core::mem::take(&mut self.journal), self.stats);
        let answers_lost = self.answers.lost();
        *self = Self { journal, stats, ..Self::new(self.spec, self.external, entropy, now) };
        self.answers.note_lost(answers_lost);
        self.stats.sessions_ended += lost;
        self.journal.write(now, JournalEvent::Rebooted { sessions: lost });
    }

    /// The next deadline and what it is for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Timestamp, Timer)> {
        let session = self.sessions.next_deadline().map(|at| (at, Timer::Session));
        if self.has_only_sessions() {
            return session;
        }
        let deadlines = [
            (self.datagrams.next_deadline(), Timer::Session),
            (self.answers.next_due(), Timer::HeldSyn),
            (self.tcp.reservations().next_end(), Timer::EarlyPacket),
            (self.udp.reservations().next_end(), Timer::EarlyPacket),
            (self.handshakes.next_end(), Timer::Handshake),
        ];
        let others = deadlines.into_iter().filter_map(|(at, timer)| Some((at?, timer)));
        session.into_iter().chain(others).min_by_key(|(at, _)| *at)
    }

    /// Whether no timer runs but those of TCP sessions.
    #[inline]
    fn has_only_sessions(&self) -> bool {
        self.datagrams.len() == 0
            && self.answers.next_due().is_none()
            && self.tcp.reservations().is_empty()
            && self.udp.reservations().is_empty()
            && self.handshakes.next_end().is_none()
    }

    /// Takes the oldest entry of the journal.
    pub fn poll_journal(&mut self) -> Option<JournalEntry> {
        self.journal.read()
    }

    /// How many journal entries were lost because nobody took them in time.
    #[must_use]
    pub const fn journal_lost(&self) -> u64 {
        self.journal.lost()
    }

    /// How many of the box's own packets were not sent for want of room.
    #[must_use]
    pub const fn answers_lost(&self) -> u64 {
        self.answers.lost()
    }

    /// The figures so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The specification that it was made from.
    #[must_use]
    pub const fn spec(&self) -> &MiddleboxSpec {
        &self.spec
    }

    /// Its address outside.
    #[must_use]
    pub const fn external(&self) -> IpAddr {
        self.external
    }

    /// All its addresses outside: the pool, which begins with [`Self::external`].
    pub fn external_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.spec.pool.members(self.external)
    }

    /// Whether an address is one of its own outside.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        address == self.external || self.external_addresses().any(|own| own == address)
    }

    /// How many sessions are open, of all protocols.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len() + self.datagrams.len()
    }

    /// How many mappings are open, of all protocols.
    #[must_use]
    pub fn mapping_count(&self) -> usize {
        [&self.tcp, &self.udp, &self.echo].map(Bindings::mapping_count).iter().sum()
    }

    /// Whether no state of any kind is left: no session, mapping, timer, held SYN or answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
            && self.datagrams.len() == 0
            && [&self.tcp, &self.udp, &self.echo].into_iter().all(Bindings::is_empty)
            && self.outside.ports.is_empty()
            && self.handshakes.is_empty()
            && self.answers.is_empty()
    }

    /// Looks at a packet as far as an everyday one needs it.
    #[inline(always)]
    fn look(&mut self, from: Side, bytes: &[u8], now: Timestamp) -> Step {
        // By reference: a packet is long, and a copy of it costs as much as the lookup.
        let Ok(packet) = &Packet::parse(bytes) else { return Step::Rare(None) };
        let Some(segment) = packet.tcp() else { return Step::Rare(None) };
        let Some(flow) = flow_of(from, packet, segment) else { return Step::Rare(None) };
        let Some(id) = self.sessions.find(&flow) else { return Step::Rare(None) };
        let external = self.sessions.external();
        let session = self.sessions.get_mut(id);
        if session.deadline <= now {
            self.expire_session(id, now);
            return Step::Rare(None);
        }
        let rules = Rules {
            tracking: self.spec.tracking,
            on_reset: self.spec.on_reset,
            lifetimes: &self.lifetimes,
        };
        let old = session.tracking.state();
        let direction = session.direction_from(from);
        let outcome = session.tracking.follow(segment, direction, &rules);
        let new = session.tracking.state();
        let Outcome::Accepted(lifetime) = outcome else {
            return Step::Rare(Some(Met { id, old, new, outcome }));
        };
        let prolongs = self.refreshed_by[from as usize] || old != new;
        let must_be_armed =
            prolongs && lifetime.is_some_and(|lifetime| session.refresh(lifetime.from(now)));
        let to = session.near(from.other(), external);
        if must_be_armed {
            self.sessions.arm(id);
        }
        if old == new && !segment.flags.contains(TcpFlags::SYN) {
            return Step::Everyday(packet.layout(), to);
        }
        Step::Rare(Some(Met { id, old, new, outcome }))
    }

    /// Everything but a segment that changes nothing in an open session. It reads the packet again:
    /// that keeps the everyday way short.
    #[inline(never)]
    fn handle_rare(
        &mut self,
        from: Side,
        packet: &mut [u8],
        met: Option<Met>,
        now: Timestamp,
    ) -> Verdict {
        match self.decide(from, packet, met, now) {
            Decision::AsItIs => {}
            Decision::Segment(layout, to) => translate(from, packet, layout, to),
            Decision::Datagram(layout, to) => translate_datagram(from, packet, layout, to),
            Decision::Quote(layout, to) => translate_quote(from, packet, layout, to),
            Decision::Untranslated(reason) => {
                let packet = summary(from, packet);
                self.journal.write(now, JournalEvent::LeftUntranslated { packet, reason });
                self.stats.untranslated += 1;
                return Verdict::Untranslated;
            }
            Decision::Drop(reason) => return self.refuse(from, packet, reason, now),
        }
        self.stats.forwarded += 1;
        Verdict::Forward
    }

    /// Writes down that a packet goes no further.
    fn refuse(&mut self, from: Side, packet: &[u8], reason: DropReason, now: Timestamp) -> Verdict {
        let packet = summary(from, packet);
        self.journal.write(now, JournalEvent::Refused { packet, reason });
        self.stats.count_drop(reason);
        Verdict::Drop(reason)
    }

    fn decide(&mut self, from: Side, bytes: &[u8], met: Option<Met>, now: Timestamp) -> Decision {
        if self.spec.role == Role::Transparent {
            return Decision::AsItIs;
        }
        let Ok(packet) = &Packet::parse(bytes) else {
            return Decision::Drop(DropReason::Malformed);
        };
        if addresses(&packet.ip).is_none() {
            return Decision::Drop(DropReason::Malformed);
        }
        match &packet.transport {
            Transport::Tcp(segment) => match met {
                Some(met) => self.follow_up(met, from, packet, bytes, now),
                None => self.handle_stranger(from, packet, segment, bytes, now),
            },
            Transport::Icmp(message) if message.quoted.is_some() => {
                self.handle_icmp_error(from, packet, message, now)
            }
            Transport::Fragment => Decision::Drop(DropReason::Fragment),
            Transport::Icmp(_) | Transport::Other => self.handle_datagram(from, packet, bytes, now),
        }
    }

    /// A segment that belongs to no session.
    fn handle_stranger(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        segment: &TcpSegment<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Decision {
        let Some(flow) = &flow_of(from, packet, segment) else {
            return Decision::Drop(DropReason::Malformed);
        };
        if let Some(reason) = self.misaddressed(flow) {
            if from == Side::Inside {
                self.answer_stranger(from, packet, bytes, now);
            }
            return Decision::Drop(reason);
        }
        match from {
            Side::Inside => self.open_outbound(flow, packet, segment, now),
            Side::Outside => self.open_inbound(flow, packet, segment, bytes, now),
        }
    }

    /// What remains to be done after a segment of a session that was no everyday one.
    fn follow_up(
        &mut self,
        met: Met,
        from: Side,
        packet: &Packet<'_>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Decision {
        let Some(segment) = packet.tcp() else { return Decision::Drop(DropReason::Malformed) };
        let Met { id, old, new, outcome } = met;
        match outcome {
            Outcome::Accepted(_) | Outcome::Ignored | Outcome::Ended => {}
            Outcome::Invalid(reason) => {
                return self.handle_invalid(from, packet, bytes, reason, now);
            }
            Outcome::InvalidEnd(reason, most) => {
                self.sessions.shorten(id, most.from(now));
                return self.handle_invalid(from, packet, bytes, reason, now);
            }
            Outcome::Reopening => {
                self.end_session(id, EndCause::Reopened, now);
                return self.handle_stranger(from, packet, segment, bytes, now);
            }
        }
        if old != new {
            let session = self.sessions.endpoints_of(id);
            self.journal.write(now, JournalEvent::Refreshed { session, by: from, old, new });
        }
        // Tracking has seen the SYN all the same, as a Linux forward chain comes after it.
        let is_dropped = from == Side::Outside
            && segment.flags.is_bare_syn()
            && self.spec.inbound_bare_syn == InboundBareSyn::Dropped;
        let decision = if is_dropped {
            Decision::Drop(DropReason::BareSynDropped)
        } else {
            self.translate(id, from, packet)
        };
        if outcome == Outcome::Ended {
            self.end_session(id, EndCause::Reset, now);
        }
        decision
    }

    /// How a packet of a session is changed on its way.
    fn translate(&self, id: u32, from: Side, packet: &Packet<'_>) -> Decision {
        if self.spec.role != Role::Nat {
            return Decision::AsItIs;
        }
        Decision::Segment(packet.layout(), self.sessions.translated(id, from))
    }

    /// What becomes of a segment that tracking calls invalid: outbound it may leave as it came,
    /// inbound it is taken for the box's own and meets its stack.
    fn handle_invalid(
        &mut self,
        from: Side,
        packet: &Packet<'_>,
        bytes: &[u8],
        reason: DropReason,
        now: Timestamp,
    ) -> Decision {
        match from {
            Side::Inside => self.invalid_outbound(packet, reason, now),
            Side::Outside => {
                self.answer_stranger(from, packet, bytes, now);
                Decision::Drop(reason)
            }
        }
    }

    /// What becomes of an outbound segment that tracking calls invalid.
    fn invalid_outbound(
        &mut self,
        packet: &Packet<'_>,
        reason: DropReason,
        now: Timestamp,
    ) -> Decision {
        match self.spec.invalid_outbound {
            InvalidOutbound::LeavesUntranslated => return Decision::Untranslated(reason),
            InvalidOutbound::Dropped => {}
            InvalidOutbound::AnsweredByRouter => self.reset_inside(packet, now),
        }
        Decision::Drop(reason)
    }

    /// Whether a packet without a session cannot be meant for the way through the box.
    fn misaddressed(&self, flow: &Flow) -> Option<DropReason> {
        if self.spec.role != Role::Nat {
            return None;
        }
        let is_own = |address| self.outside.place_of(address).is_some();
        match flow.side {
            // With hairpinning it is on its way out, to come in again.
            Side::Inside => (self.spec.hairpin == Hairpin::Off && is_own(flow.remote.address))
                .then_some(DropReason::Hairpin),
            Side::Outside => (!is_own(flow.near.address)).then_some(DropReason::NotAddressedHere),
        }
    }
}

/// How far the first look at a packet led.
enum Step {
    /// A segment of a session that changed no state, and what it is translated to.
    Everyday(Layout, Endpoint),
    /// Anything else; with the session that was met, if there is one.
    Rare(Option<Met>),
}

/// A session that a segment met, and what tracking made of it.
#[derive(Clone, Copy)]
struct Met {
    id: u32,
    old: TcpState,
    new: TcpState,
    outcome: Outcome,
}

/// The flow of a segment; none if its addresses are malformed.
#[inline(always)]
fn flow_of(from: Side, packet: &Packet<'_>, segment: &TcpSegment<'_>) -> Option<Flow> {
    let (source, destination) = addresses(&packet.ip)?;
    let source = Endpoint { address: source, port: segment.source_port };
    let destination = Endpoint { address: destination, port: segment.destination_port };
    Some(match from {
        Side::Inside => Flow { side: from, near: source, remote: destination },
        Side::Outside => Flow { side: from, near: destination, remote: source },
    })
}

/// Rewrites a segment.
#[inline(always)]
fn translate(from: Side, packet: &mut [u8], layout: Layout, to: Endpoint) {
    let to = to.to_socket_addr();
    match from {
        Side::Inside => layout.set_source(packet, to),
        Side::Outside => layout.set_destination(packet, to),
    };
}

/// Rewrites a UDP datagram or an ICMP echo message.
#[cold]
fn translate_datagram(from: Side, packet: &mut [u8], layout: Layout, to: Endpoint) {
    let to = to.to_socket_addr();
    match from {
        Side::Inside => layout.set_datagram_source(packet, to),
        Side::Outside => layout.set_datagram_destination(packet, to),
    };
}

/// Rewrites an ICMP error.
#[cold]
fn translate_quote(from: Side, packet: &mut [u8], layout: Layout, to: Endpoint) {
    let to = to.to_socket_addr();
    match from {
        Side::Inside => {
            layout.set_outer_source_addr(packet, to.ip());
            layout.set_quoted_destination(packet, to);
        }
        Side::Outside => {
            layout.set_outer_destination_addr(packet, to.ip());
            layout.set_quoted_source(packet, to);
        }
    }
}

/// What the journal says of a packet that goes no further.
#[cold]
fn summary(from: Side, bytes: &[u8]) -> PacketSummary {
    let nothing = PacketSummary { from, endpoints: None, flags: None };
    let Ok(packet) = Packet::parse(bytes) else { return nothing };
    PacketSummary {
        endpoints: packet.source_endpoint().zip(packet.destination_endpoint()),
        flags: packet.tcp().map(|segment| segment.flags),
        ..nothing
    }
}
