//! Whatever three peers ask in whatever order: no panic, no packet without consent, no table that
//! stays full. Consent is judged by a model that knows the answers alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use simopen_broker::consent::{LOWEST_PORT, MAX_FORGED, PROOF_LIFETIME, SESSION_LIFETIME};
use simopen_broker::{Forged, LinkId, Party};
use simopen_packet::{SeqNumber, Syn, SynAck, Timestamp};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Action, Connect, ControlError, Login, Message, Notification, Outcome, OutcomeState,
    Probe, Reachable, Reply, SynBytes, SynReport,
};
use simopen_protocol::identity::{PeerId, SessionId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

use crate::desk::{Desk, PROBE_SEQUENCE, bytes, endpoint, secret, syn, user};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const PORTS: [u16; 3] = [4000, 5000, 6000];
const PUBLIC: [&str; 6] = [
    "198.51.100.7:41000",
    "203.0.113.9:52000",
    "198.51.100.8:61000",
    "127.0.0.1:41000",
    "198.51.100.7:22",
    "[::ffff:203.0.113.9]:52000",
];

/// One step of an adversary; the numbers choose among few things, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Login { who: usize, name: usize, right: bool },
    Probe { who: usize, port: usize, public: usize, sequence: Option<u32> },
    Connect { who: usize, to: usize, technique: Technique, port: Option<usize>, syn: Report },
    Accept { who: Option<usize>, session: usize, port: Option<usize>, syn: Report },
    Syn { who: usize, session: usize, syn: Report },
    Outcome { who: usize, session: usize, confirmed: bool },
    Garbage { who: usize },
    Close { who: usize },
    Pass { milliseconds: u64 },
}

/// A SYN to report: whose it claims to be, where to, with which number.
#[derive(Debug, Clone)]
enum Report {
    None,
    Proper,
    Other { port: usize, to: usize, sequence: u32 },
    Junk(Vec<u8>),
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        1 => Just(Report::None),
        8 => Just(Report::Proper),
        1 => (0..3_usize, 0..6_usize, 0..3_u32)
            .prop_map(|(port, to, sequence)| Report::Other { port, to, sequence }),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Report::Junk),
    ]
}

/// Mostly those for which packets are forged.
fn techniques() -> impl Strategy<Value = Technique> {
    let (forging, others): (Vec<_>, Vec<_>) =
        Technique::WITHOUT_RELAY.into_iter().partition(|one| one.needs_forging());
    prop_oneof![3 => prop::sample::select(forging), 1 => prop::sample::select(others)]
}

fn steps() -> impl Strategy<Value = Step> {
    let who = 0..3_usize;
    let port = prop_oneof![4 => Just(None), 1 => (0..3_usize).prop_map(Some)];
    let asked = prop_oneof![4 => Just(None), 1 => (0..3_usize).prop_map(Some)];
    let session = prop_oneof![4 => Just(0), 1 => 0..4_usize];
    let sequence = prop_oneof![
        6 => Just(Some(PROBE_SEQUENCE)),
        1 => Just(None),
        1 => Just(Some(PROBE_SEQUENCE + 1)),
    ];
    prop_oneof![
        2 => (who.clone(), 0..3_usize, any::<bool>())
            .prop_map(|(who, name, right)| Step::Login { who, name, right }),
        3 => (who.clone(), 0..3_usize, 0..6_usize, sequence)
            .prop_map(|(who, port, public, sequence)| Step::Probe { who, port, public, sequence }),
        4 => (who.clone(), 0..3_usize, techniques(), port.clone(), reports()).prop_map(
            |(who, to, technique, port, syn)| Step::Connect { who, to, technique, port, syn }
        ),
        5 => (asked, session.clone(), port, reports())
            .prop_map(|(who, session, port, syn)| Step::Accept { who, session, port, syn }),
        6 => (who.clone(), session.clone(), reports())
            .prop_map(|(who, session, syn)| Step::Syn { who, session, syn }),
        1 => (who.clone(), session, any::<bool>())
            .prop_map(|(who, session, confirmed)| Step::Outcome { who, session, confirmed }),
        1 => who.clone().prop_map(|who| Step::Garbage { who }),
        1 => who.prop_map(|who| Step::Close { who }),
        3 => prop_oneof![0..50_u64, 0..20_000_u64]
            .prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

/// All three logged in and proven, then anything.
fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let begin = (0..3).flat_map(|who| {
        let probe = Step::Probe { who, port: who, public: who, sequence: Some(PROBE_SEQUENCE) };
        [Step::Login { who, name: who, right: true }, probe]
    });
    let begin: Vec<_> = begin.collect();
    prop::collection::vec(steps(), 1..80)
        .prop_map(move |rest| begin.iter().cloned().chain(rest).collect())
}

/// What is known of one session from the answers of the broker.
struct Known {
    created: Timestamp,
    technique: Technique,
    asked: usize,
    sides: [Option<SideKnown>; 2],
    over: bool,
}

#[derive(Clone)]
struct SideKnown {
    peer: PeerId,
    port: u16,
    proof: (SocketAddr, Timestamp),
    syns: Vec<Syn>,
    forged: u8,
}

/// Three adversaries and the model.
struct Adversaries {
    desk: Desk,
    links: [LinkId; 3],
    peers: [Option<(PeerId, Token)>; 3],
    proofs: BTreeMap<(PeerId, u16), (SocketAddr, Timestamp)>,
    sessions: Vec<SessionId>,
    known: BTreeMap<SessionId, Known>,
    forged: usize,
}

impl Adversaries {
    fn new() -> Self {
        let mut desk = Desk::new();
        let links = [0, 1, 2].map(|_| desk.link_from(endpoint("198.51.100.7:30000")));
        Self {
            desk,
            links,
            peers: [None; 3],
            proofs: BTreeMap::new(),
            sessions: Vec::new(),
            known: BTreeMap::new(),
            forged: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Login { who, name, right } => self.login(who, name, right),
            Step::Probe { who, port, public, sequence } => self.probe(who, port, public, sequence),
            Step::Connect { who, to, technique, port, syn } => {
                let port = PORTS[port.unwrap_or(who)];
                let syn = self.report(who, None, port, &syn);
                self.connect(who, NAMES[to], technique, port, syn);
            }
            Step::Accept { who, session, port, syn } => self.accept(who, session, port, &syn),
            Step::Syn { who, session, syn } => self.syn(who, session, &syn),
            Step::Outcome { who, session, confirmed } => self.outcome(who, session, confirmed),
            Step::Garbage { who } => {
                self.desk.broker.handle_malformed(self.links[who], ControlError::UnknownRoot);
                self.desk.drain();
                self.close(who);
            }
            Step::Close { who } => self.close(who),
            Step::Pass { milliseconds } => self.desk.pass(Duration::from_millis(milliseconds)),
        }
        self.judge();
    }

    fn login(&mut self, who: usize, name: usize, right: bool) {
        let secret = secret(NAMES[if right { name } else { (name + 1) % 3 }]);
        let login = Action::Login(Login {
            user: user(NAMES[name]),
            secret: Some(secret),
            reachable: Reachable::Yes,
        });
        if let Some(Ok(Reply::LoggedIn(logged_in))) = self.desk.ask(self.links[who], login) {
            assert!(right, "a wrong secret logs nobody in");
            self.peers[who] = Some((logged_in.peer, logged_in.probe_secret));
        }
    }

    fn probe(&mut self, who: usize, port: usize, public: usize, sequence: Option<u32>) {
        let Some((peer, secret)) = self.peers[who] else {
            return;
        };
        let remote = endpoint(PUBLIC[public]);
        let canonical = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let link = self.desk.link_from(canonical);
        let sequence = sequence.map(SeqNumber);
        let probe = Action::Probe(Probe { peer, secret, port: PORTS[port], sequence });
        let answer = self.desk.ask(link, probe).unwrap();
        let key = (peer, PORTS[port]);
        if answer.is_ok() {
            if sequence.is_some_and(|number| number.0 == PROBE_SEQUENCE) {
                self.proofs.insert(key, (canonical, self.desk.now));
            } else {
                // Observed only: nothing may be forged to it or from it.
                self.proofs.remove(&key);
            }
        }
        self.desk.close(link);
    }

    fn connect(
        &mut self,
        who: usize,
        to: &str,
        technique: Technique,
        port: u16,
        syn: Option<SynBytes>,
    ) {
        let connect = Connect { device: None, to: user(to), technique, port, syn: syn.clone() };
        self.desk.inbox.clear();
        let answer = self.desk.ask(self.links[who], Action::Connect(connect));
        let created = self.desk.now;
        let peer = self.peers[who].map(|(peer, _)| peer);
        let request = |messages: &Vec<Message>| {
            messages.iter().find_map(|message| match message {
                Message::Notification(Notification::ConnectionRequest(request)) => {
                    Some(request.clone())
                }
                Message::Notification(_) | Message::Request(_) | Message::Response(_) => None,
            })
        };
        let inboxes = &self.desk.inbox;
        let asked = inboxes.iter().find_map(|(link, inbox)| Some((*link, request(inbox)?)));
        let Some((link, request)) = asked else {
            return;
        };
        let asked = self.links.iter().position(|one| *one == link).unwrap();
        assert_eq!(answer, None, "a request that is passed on is answered later");
        assert_eq!(Some(request.peer), peer);
        self.sessions.push(request.session);
        let side = self.side(request.peer, port, request.destination.endpoint().unwrap(), syn);
        let sides = [Some(side), None];
        let known = Known { created, technique, asked, sides, over: false };
        self.known.insert(request.session, known);
    }

    /// `None` for who: the one that was asked; for the port: the usual one.
    fn accept(&mut self, who: Option<usize>, session: usize, port: Option<usize>, syn: &Report) {
        let Some(&session) = self.sessions.iter().rev().nth(session) else {
            return;
        };
        let who = who.unwrap_or(self.known[&session].asked);
        let port = PORTS[port.unwrap_or(who)];
        let syn = self.report(who, Some((session, 1)), port, syn);
        let accept = Accept { session, port, syn: syn.clone(), private: None };
        let answer = self.desk.ask(self.links[who], Action::Accept(accept));
        if let (Some(Ok(_)), Some((peer, _))) = (answer, self.peers[who]) {
            let endpoint = self.proofs.get(&(peer, port)).map(|proof| proof.0);
            let side = self.side(peer, port, endpoint.unwrap_or(NOWHERE), syn);
            let known = self.known.get_mut(&session).unwrap();
            assert!(known.sides[1].is_none(), "accepted twice");
            assert_ne!(known.sides[0].as_ref().unwrap().peer, peer, "accepted by its own asker");
            known.sides[1] = Some(side);
        }
    }

    fn syn(&mut self, who: usize, session: usize, syn: &Report) {
        let Some(&session) = self.sessions.iter().rev().nth(session) else {
            return;
        };
        let Some((peer, _)) = self.peers[who] else {
            return;
        };
        let of_peer = |side: &Option<SideKnown>| side.as_ref().is_some_and(|one| one.peer == peer);
        let place = self.known[&session].sides.iter().position(of_peer);
        let port = place
            .map_or(PORTS[who], |place| self.known[&session].sides[place].as_ref().unwrap().port);
        let Some(syn) = self.report(who, Some((session, place.unwrap_or(0))), port, syn) else {
            return;
        };
        let report = Action::Syn(SynReport { session, syn: syn.clone() });
        // The report counts before the packets that it lets go are looked at.
        let answer = self.desk.ask(self.links[who], report);
        if let Some(Ok(_)) = answer {
            let place = place.expect("only a side of the session reports");
            let side = self.known.get_mut(&session).unwrap().sides[place].as_mut().unwrap();
            side.syns.push(Syn::parse(&syn.0).unwrap());
        }
    }

    fn outcome(&mut self, who: usize, session: usize, confirmed: bool) {
        let Some(&session) = self.sessions.iter().rev().nth(session) else {
            return;
        };
        let state =
            if confirmed { OutcomeState::Confirmed } else { OutcomeState::Failed(Cause::NoAnswer) };
        let outcome = Action::Outcome(Outcome { session, state });
        if let Some(Ok(_)) = self.desk.ask(self.links[who], outcome) {
            self.known.get_mut(&session).unwrap().over = true;
        }
    }

    fn close(&mut self, who: usize) {
        self.desk.close(self.links[who]);
        if let Some((gone, _)) = self.peers[who].take() {
            for known in self.known.values_mut() {
                known.over |= known.sides.iter().flatten().any(|side| side.peer == gone);
            }
        }
        self.links[who] = self.desk.link_from(endpoint("198.51.100.7:30000"));
    }

    fn side(
        &self,
        peer: PeerId,
        port: u16,
        observed: SocketAddr,
        syn: Option<SynBytes>,
    ) -> SideKnown {
        let proof = self.proofs.get(&(peer, port)).copied();
        // An endpoint that was shown but not proven: as if proven before all time.
        let proof = proof.unwrap_or((observed, Timestamp::ZERO));
        let syns = syn.map(|syn| Syn::parse(&syn.0).unwrap()).into_iter().collect();
        SideKnown { peer, port, proof, syns, forged: 0 }
    }

    /// The bytes to report: a proper one is for the other side of that session.
    fn report(
        &self,
        who: usize,
        of: Option<(SessionId, usize)>,
        port: u16,
        report: &Report,
    ) -> Option<SynBytes> {
        let source = SocketAddr::new([10, 0, 0, 2].into(), port);
        let own = 1000 * (u32::try_from(who).unwrap() + 1);
        match report {
            Report::None => None,
            Report::Proper => {
                let other = of.and_then(|(session, place)| {
                    self.known[&session].sides[1 - place].as_ref().map(|side| side.proof.0)
                });
                Some(bytes(&syn(source, other.unwrap_or(NOWHERE), own)))
            }
            Report::Other { port, to, sequence } => {
                let source = SocketAddr::new(source.ip(), PORTS[*port]);
                let to = endpoint(PUBLIC[*to]);
                let to = SocketAddr::new(to.ip().to_canonical(), to.port());
                Some(bytes(&syn(source, to, own + sequence)))
            }
            Report::Junk(junk) => Some(SynBytes(junk.clone())),
        }
    }

    fn judge(&mut self) {
        for forged in std::mem::take(&mut self.desk.forged) {
            self.forged += 1;
            self.judge_one(&forged);
        }
    }

    fn judge_one(&mut self, forged: &Forged) {
        let consent = forged.consent;
        let packet = SynAck::parse(forged.packet()).unwrap();
        assert_eq!((packet.source, packet.destination), (consent.source, consent.destination));
        let known = self.known.get_mut(&consent.session).expect("a session that was asked for");
        assert!(!known.over, "neither side has ended it");
        assert!(known.technique.needs_forging());
        assert!(consent.at - known.created <= SESSION_LIFETIME);
        let to = usize::from(consent.towards == Party::Responder);
        let (receiver, sender) = (known.sides[to].clone(), known.sides[1 - to].clone());
        let (mut receiver, sender) = (receiver.unwrap(), sender.unwrap());
        assert_eq!((sender.proof.0, receiver.proof.0), (packet.source, packet.destination));
        assert_ne!(packet.source, packet.destination);
        for side in [&receiver, &sender] {
            assert!(consent.at - side.proof.1 <= PROOF_LIFETIME, "proven too long ago");
            assert!(side.proof.0.port() >= LOWEST_PORT && !side.proof.0.ip().is_loopback());
        }
        let (own, answered) = (sender.syns.last().unwrap(), receiver.syns.last().unwrap());
        let expected = SynAck::forge(own, answered, packet.source, packet.destination).unwrap();
        assert_eq!(packet, expected);
        receiver.forged += 1;
        assert!(
            receiver.forged <= MAX_FORGED && usize::from(receiver.forged) <= receiver.syns.len()
        );
        known.sides[to] = Some(receiver);
    }

    /// Everybody goes.
    fn finish(mut self) -> usize {
        for who in 0..3 {
            self.close(who);
            self.desk.close(self.links[who]);
        }
        assert!(self.desk.broker.is_idle(), "{:?}", self.desk.broker);
        assert_eq!(self.desk.broker.poll_timeout(), None);
        self.forged
    }
}

const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

#[test]
fn no_order_of_requests_forges_a_packet_without_consent_or_leaves_a_table_full() {
    let config = Config { cases: 1500, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let forged = std::cell::Cell::new(0);
    let outcome = runner.run(&scripts(), |script| {
        let mut adversaries = Adversaries::new();
        for step in script {
            adversaries.take(step);
        }
        forged.set(forged.get() + adversaries.finish());
        Ok(())
    });
    outcome.unwrap();
    assert!(forged.get() > 100, "the scripts reach what they are to judge: {}", forged.get());
}
