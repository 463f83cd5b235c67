//! How many packets may go where, whoever asks for them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use simopen_broker::consent::{MAX_FORGED, PROOF_LIFETIME, SESSION_LIFETIME};
use simopen_packet::{SeqNumber, SynAck, Timestamp};
use simopen_protocol::identity::SessionId;

use super::refusal::Refusal;

/// The most packets that one session sends: to each of two sides.
const MAX_FOR_SESSION: u8 = 2 * MAX_FORGED;

/// The most sockets, pairs and sessions that are remembered; who comes on top pushes out the oldest
/// socket, and is refused where sessions are meant.
const MAX_REMEMBERED: usize = 65_536;

/// A session and a pair are forgotten after this time, which is longer than they can be of use.
const MEMORY: Duration = Duration::from_secs(2 * SESSION_LIFETIME.as_secs());

/// The broker judges a moment after the forger has seen the proof.
const GRACE: Duration = Duration::from_secs(1);

/// How many packets may go, as the operator wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In one second, to everybody together.
    pub per_second: u32,
    /// In one second, to one address.
    pub towards: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 1000, towards: 32 }
    }
}

/// A socket, by the kernel's number of it.
pub(super) type Cookie = u64;

/// What has gone so far, and what has been proven.
#[derive(Debug)]
pub(super) struct Totals {
    limits: Limits,
    proofs: BTreeMap<Cookie, Timestamp>,
    proven: VecDeque<(Timestamp, Cookie)>,
    pairs: BTreeMap<[Cookie; 2], Pair>,
    sessions: BTreeMap<SessionId, Count>,
    second: u64,
    in_second: u32,
    towards: BTreeMap<IpAddr, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    sent: u8,
    first: Timestamp,
}

/// Two sockets, the lower number first: the initial sequence numbers that the first packet named,
/// and how many went to each.
#[derive(Debug, Clone, Copy)]
struct Pair {
    numbers: [SeqNumber; 2],
    sent: [u8; 2],
    first: Timestamp,
}

impl Totals {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            proofs: BTreeMap::new(),
            proven: VecDeque::new(),
            pairs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            second: 0,
            in_second: 0,
            towards: BTreeMap::new(),
        }
    }

    /// A peer has shown that the socket is its own.
    pub(super) fn prove(&mut self, socket: Cookie, now: Timestamp) {
        while let Some((at, oldest)) = self.proven.front().copied()
            && (now - at > PROOF_LIFETIME + GRACE || self.proofs.len() >= MAX_REMEMBERED)
        {
            self.proven.pop_front();
            self.proofs.remove(&oldest);
        }
        self.proofs.insert(socket, now);
        self.proven.push_back((now, socket));
    }

    /// Whether a socket counts as proven.
    pub(super) fn is_proven(&self, socket: Cookie, now: Timestamp) -> Result<(), Refusal> {
        let at = self.proofs.get(&socket).ok_or(Refusal::NotProven)?;
        if now - *at > PROOF_LIFETIME + GRACE { Err(Refusal::ProofExpired) } else { Ok(()) }
    }

    /// Takes one packet from the allowances of pair, session, address and second, if all of them
    /// have one left; nothing is taken else.
    pub(super) fn take(
        &mut self,
        session: SessionId,
        [receiver, sender]: [Cookie; 2],
        packet: &SynAck,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.forget(now);
        let is_first = receiver < sender;
        let key = if is_first { [receiver, sender] } else { [sender, receiver] };
        let of_receiver = packet.acknowledgment - 1;
        let numbers =
            if is_first { [of_receiver, packet.sequence] } else { [packet.sequence, of_receiver] };
        let new = Pair { numbers, sent: [0; 2], first: now };
        let mut pair = self.pairs.get(&key).copied().unwrap_or(new);
        if pair.numbers != numbers {
            return Err(Refusal::NumbersChanged);
        }
        let mut of_session =
            self.sessions.get(&session).copied().unwrap_or(Count { sent: 0, first: now });
        let to_receiver = if is_first { &mut pair.sent[0] } else { &mut pair.sent[1] };
        if *to_receiver >= MAX_FORGED {
            return Err(Refusal::TooManyForPair);
        }
        let is_full = of_session.sent == 0 && self.sessions.len() >= MAX_REMEMBERED;
        if of_session.sent >= MAX_FOR_SESSION || is_full {
            return Err(Refusal::TooManyForSession);
        }
        let towards = self.towards.get(&packet.destination.ip()).copied().unwrap_or_default();
        if towards >= self.limits.towards {
            return Err(Refusal::TooManyTowards);
        }
        if self.in_second >= self.limits.per_second {
            return Err(Refusal::TooMany);
        }
        *to_receiver += 1;
        of_session.sent += 1;
        self.pairs.insert(key, pair);
        self.sessions.insert(session, of_session);
        self.towards.insert(packet.destination.ip(), towards + 1);
        self.in_second += 1;
        Ok(())
    }

    /// Begins a new second, in which what is too old is left behind.
    fn forget(&mut self, now: Timestamp) {
        let second = now.as_nanos() / 1_000_000_000;
        if second == self.second {
            return;
        }
        self.second = second;
        self.in_second = 0;
        self.towards.clear();
        self.pairs.retain(|_, pair| now - pair.first <= MEMORY);
        self.sessions.retain(|_, count| now - count.first <= MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use simopen_packet::{SynOptions, Ttl};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn packet(to: [u8; 4], sequence: u32, acknowledgment: u32) -> SynAck {
        SynAck {
            source: SocketAddr::from(([203, 0, 113, 9], 5000)),
            destination: SocketAddr::from((to, 4000)),
            sequence: SeqNumber(sequence),
            acknowledgment: SeqNumber(acknowledgment),
            window: 1,
            ttl: Ttl::DEFAULT,
            ece: false,
            options: SynOptions::default(),
        }
    }

    const A: [u8; 4] = [198, 51, 100, 7];
    const B: [u8; 4] = [198, 51, 100, 8];

    #[test]
    fn three_packets_go_from_one_peer_to_the_other_and_three_back() {
        let mut totals = Totals::new(Limits::default());
        let now = Timestamp::ZERO;
        for _ in 0..MAX_FORGED {
            totals.take(SessionId(1), [7, 9], &packet(A, 100, 201), now).unwrap();
        }
        let again = totals.take(SessionId(2), [7, 9], &packet(A, 100, 201), now);
        assert_eq!(again, Err(Refusal::TooManyForPair), "another session number does not help");
        for _ in 0..MAX_FORGED {
            totals.take(SessionId(1), [9, 7], &packet(B, 200, 101), now).unwrap();
        }
        let other = totals.take(SessionId(1), [7, 11], &packet(A, 100, 201), now);
        assert_eq!(other, Err(Refusal::TooManyForSession), "other sockets do not help");
        let late = now + MEMORY + SECOND;
        totals.take(SessionId(1), [7, 11], &packet(A, 100, 201), late).unwrap();
    }

    #[test]
    fn the_numbers_between_two_peers_are_those_of_the_first_packet_both_ways() {
        let mut totals = Totals::new(Limits::default());
        let now = Timestamp::ZERO;
        totals.take(SessionId(1), [7, 9], &packet(A, 100, 0), now).unwrap();
        for (sockets, sequence, acknowledgment) in
            [([7, 9], 101, 0), ([7, 9], 100, 1), ([9, 7], u32::MAX, 100), ([9, 7], 0, 101)]
        {
            let refused =
                totals.take(SessionId(1), sockets, &packet(A, sequence, acknowledgment), now);
            assert_eq!(refused, Err(Refusal::NumbersChanged));
        }
        totals.take(SessionId(1), [9, 7], &packet(B, u32::MAX, 101), now).unwrap();
    }

    #[test]
    fn an_address_and_a_second_have_their_allowances_and_a_refused_packet_takes_none() {
        let mut totals = Totals::new(Limits { per_second: 3, towards: 2 });
        let now = Timestamp::ZERO;
        for session in 0..2 {
            let sockets = [session, 100 + session];
            totals.take(SessionId(session), sockets, &packet(A, 1, 2), now).unwrap();
        }
        let third = totals.take(SessionId(3), [3, 103], &packet(A, 1, 2), now);
        assert_eq!(third, Err(Refusal::TooManyTowards));
        totals.take(SessionId(3), [3, 103], &packet(B, 1, 2), now).unwrap();
        let fourth = totals.take(SessionId(4), [4, 104], &packet(B, 1, 2), now);
        assert_eq!(fourth, Err(Refusal::TooMany));
        totals.take(SessionId(4), [4, 104], &packet(B, 1, 2), now + SECOND).unwrap();
    }

    #[test]
    fn a_proof_is_good_for_its_time_and_the_oldest_goes_where_there_are_too_many() {
        let mut totals = Totals::new(Limits::default());
        let now = Timestamp::ZERO;
        assert_eq!(totals.is_proven(1, now), Err(Refusal::NotProven));
        for socket in 0..=MAX_REMEMBERED as u64 {
            totals.prove(socket, now);
        }
        assert_eq!(totals.is_proven(0, now), Err(Refusal::NotProven));
        assert_eq!(totals.is_proven(1, now + PROOF_LIFETIME), Ok(()));
        assert_eq!(
            totals.is_proven(1, now + PROOF_LIFETIME + 2 * SECOND),
            Err(Refusal::ProofExpired)
        );
        assert_eq!(totals.proofs.len(), MAX_REMEMBERED);
    }
}
