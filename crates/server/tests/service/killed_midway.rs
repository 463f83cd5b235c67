//! A broker that is killed after each step by which two come together.

use std::net::SocketAddr;

use simopen_packet::{SeqNumber, Syn, SynOptions, Ttl};
use simopen_peer::Credentials;
use simopen_protocol::control::{
    Accept, Accepted, Action, Connect, ConnectionRequest, Destination, LoggedIn, Notification,
    Outcome, OutcomeState, Probe, Reply, SynBytes, SynReport,
};
use simopen_protocol::identity::{NoteId, SessionId};
use simopen_protocol::technique::{Carriage, Technique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE};
use crate::killed::{joined, loaded, names, note, prepare};
use crate::process::{Death, Process};
use crate::scratch::Scratch;

/// How far two have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    LoggedIn,
    OneProbed,
    Probed,
    /// The one has asked, and the other was told of it.
    Asked,
    Accepted,
    OneReported,
    Reported,
    /// The one has said that they are connected.
    OneConfirmed,
    Confirmed,
}

const STEPS: [Step; 9] = [
    Step::LoggedIn,
    Step::OneProbed,
    Step::Probed,
    Step::Asked,
    Step::Accepted,
    Step::OneReported,
    Step::Reported,
    Step::OneConfirmed,
    Step::Confirmed,
];

/// How far two have come who meet at the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AtRelay {
    ValuesGiven,
    OneIsThere,
    Joined,
}

const AT_RELAY: [AtRelay; 3] = [AtRelay::ValuesGiven, AtRelay::OneIsThere, AtRelay::Joined];

#[tokio::test]
async fn a_kill_after_any_step_of_signalling_loses_nothing_and_the_two_come_together_afterwards() {
    let mut home = Home::open().await;
    for until in STEPS {
        let mut two = Two::log_in(&home).await;
        two.come_together(until).await;
        home = home.killed_and_back(two, until).await;
        Two::log_in(&home).await.come_together(Step::Confirmed).await;
    }
}

#[tokio::test]
async fn a_kill_at_any_step_at_the_relay_loses_nothing_and_the_two_meet_afterwards() {
    let mut home = Home::open().await;
    for until in AT_RELAY {
        let mut two = Two::log_in(&home).await;
        two.meet(until).await;
        home = home.killed_and_back(two, until).await;
        Two::log_in(&home).await.meet(AtRelay::Joined).await;
    }
}

/// A broker's process, its directory, and two who have joined.
struct Home {
    process: Process,
    scratch: Scratch,
    all: Vec<Credentials>,
    /// Notes that were acknowledged.
    notes: Vec<NoteId>,
}

impl Home {
    async fn open() -> Self {
        let scratch = Scratch::new();
        prepare(scratch.path(), &names(2));
        let process = Process::start(scratch.path(), Death::Never, None);
        let all = joined(&process, scratch.path(), 2).await;
        Self { process, scratch, all, notes: Vec::new() }
    }

    /// The one keeps a note for the other, and the broker is killed at once and started again.
    async fn killed_and_back(mut self, mut two: Two, when: impl std::fmt::Debug) -> Self {
        let kept = two.one.request(note(&self.all[1])).await.unwrap();
        let Ok(Reply::NoteKept(id)) = kept else { panic!("{when:?}: {kept:?}") };
        self.notes.push(id);
        let (scratch, other) = (&self.scratch, &self.all[1].user);
        self.process = self.process.start_again(scratch.path(), || {
            let directory = loaded(scratch.path());
            let notes: Vec<NoteId> = directory.notes_of(other).map(|note| note.id).collect();
            assert_eq!(notes, self.notes, "{when:?}");
            assert_eq!(directory.devices().count(), 2, "{when:?}");
        });
        two.ended().await;
        self
    }
}

/// Two who are on their way to each other.
struct Two {
    at: SocketAddr,
    all: Vec<Credentials>,
    one: Client,
    other: Client,
    logged_in: [LoggedIn; 2],
    /// Probes, which stand as long as their endpoints are wanted.
    probes: Vec<Client>,
    /// What goes through the relay.
    carried: Vec<TcpStream>,
}

impl Two {
    /// Logs both in; the other hears of all notes that were kept.
    async fn log_in(home: &Home) -> Self {
        let at = home.process.at;
        let (one, first) = Client::log_in(at, &home.all[0]).await.unwrap();
        let (mut other, second) = Client::log_in(at, &home.all[1]).await.unwrap();
        for id in &home.notes {
            let is_it = |it: &Notification| matches!(it, Notification::Note(it) if it.id == *id);
            other.told(is_it).await.unwrap();
        }
        let (all, logged_in) = (home.all.clone(), [first, second]);
        Self { at, all, one, other, logged_in, probes: Vec::new(), carried: Vec::new() }
    }

    /// Everything by which two come together directly, but that nobody dials: up to this step.
    async fn come_together(&mut self, until: Step) {
        if until < Step::OneProbed {
            return;
        }
        let near = self.probe(0).await;
        if until < Step::Probed {
            return;
        }
        let far = self.probe(1).await;
        if until < Step::Asked {
            return;
        }
        let request = self.ask(Technique::SimultaneousOpen, near.port()).await;
        assert_eq!(request.destination, Destination::Endpoint(near));
        if until < Step::Accepted {
            return;
        }
        let accepted = self.accept(request.session, far.port()).await;
        assert_eq!(accepted.destination, Destination::Endpoint(far));
        let session = request.session;
        if until >= Step::OneReported {
            done(&mut self.one, report(session, near, far)).await;
        }
        if until >= Step::Reported {
            done(&mut self.other, report(session, far, near)).await;
        }
        if until >= Step::OneConfirmed {
            confirm(&mut self.one, &mut self.other, session).await;
        }
        if until >= Step::Confirmed {
            confirm(&mut self.other, &mut self.one, session).await;
        }
    }

    /// The same at the relay.
    async fn meet(&mut self, until: AtRelay) {
        let request = self.ask(Technique::Relay(Carriage::Any), 0).await;
        let accepted = self.accepted().await;
        done(&mut self.other, accept(request.session, 0)).await;
        if until < AtRelay::OneIsThere {
            return;
        }
        let mut one = self.present_for_certain(&accepted.destination).await;
        if until < AtRelay::Joined {
            self.carried.push(one);
            return;
        }
        let mut other = self.present(&request.destination).await;
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut one, &mut other];
            ends[from].write_all(b"!").await.unwrap();
            let read = timeout(PATIENCE, ends[to].read_u8()).await.unwrap();
            assert_eq!(read.unwrap(), b'!');
        }
        self.carried.extend([one, other]);
    }

    async fn ask(&mut self, technique: Technique, port: u16) -> ConnectionRequest {
        let to = self.all[1].user.clone();
        let connect = Connect { to, device: None, technique, port, syn: None };
        self.one.ask(Action::Connect(connect)).await.unwrap();
        let is_it = |it: &Notification| matches!(it, Notification::ConnectionRequest(_));
        let told = self.other.told(is_it).await.unwrap();
        let Notification::ConnectionRequest(request) = told else { panic!("{told:?}") };
        request
    }

    async fn accept(&mut self, session: SessionId, port: u16) -> Accepted {
        done(&mut self.other, accept(session, port)).await;
        self.accepted().await
    }

    /// What the one is answered in the end.
    async fn accepted(&mut self) -> Accepted {
        let answer = self.one.answer().await.unwrap();
        let Ok(Reply::Accepted(accepted)) = answer else { panic!("{answer:?}") };
        accepted
    }

    /// Shows the broker an endpoint of the one or the other.
    async fn probe(&mut self, whose: usize) -> SocketAddr {
        let mut probe = Client::connect(self.at, &self.all[whose]).await.unwrap();
        let local = probe.stream.get_ref().0.local_addr().unwrap();
        let LoggedIn { peer, probe_secret: secret, .. } = self.logged_in[whose];
        let asked = Probe { peer, secret, port: local.port(), sequence: None };
        let answer = probe.request(Action::Probe(asked)).await.unwrap();
        let Ok(Reply::Observed(observed)) = answer else { panic!("{answer:?}") };
        assert_eq!(observed.endpoint, local);
        self.probes.push(probe);
        local
    }

    /// Presents a value.
    async fn present(&self, destination: &Destination) -> TcpStream {
        let Destination::Meeting(meeting) = destination else { panic!("{destination:?}") };
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(meeting.value.as_bytes()).await.unwrap();
        stream
    }

    /// Presents a value twice: when the relay has sent the one away, it has the other.
    async fn present_for_certain(&self, destination: &Destination) -> TcpStream {
        let (mut a, mut b) = (self.present(destination).await, self.present(destination).await);
        // Sent away is: closed, or reset, or told so.
        let is_first = timeout(PATIENCE, async {
            tokio::select! {
                _ = a.read_u8() => true,
                _ = b.read_u8() => false,
            }
        });
        let is_first = is_first.await.unwrap();
        if is_first { b } else { a }
    }

    /// Returns when everything that went to the broker has ended.
    async fn ended(mut self) {
        for link in [&mut self.one, &mut self.other].into_iter().chain(&mut self.probes) {
            link.closed().await;
        }
        for stream in &mut self.carried {
            // Closed or reset.
            let read = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
            assert_eq!(read.unwrap_or(0), 0);
        }
    }
}

async fn done(client: &mut Client, action: Action) {
    assert_eq!(client.request(action).await.unwrap(), Ok(Reply::Done));
}

fn accept(session: SessionId, port: u16) -> Action {
    Action::Accept(Accept { session, port, syn: None, private: None })
}

/// The SYN that leaves from there to there.
fn report(session: SessionId, source: SocketAddr, destination: SocketAddr) -> Action {
    let syn = Syn {
        source,
        destination,
        sequence: SeqNumber(1),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::new(Some(1460), Some(7), true, None),
    };
    let mut buffer = [0; 100];
    let length = syn.emit(&mut buffer).unwrap();
    Action::Syn(SynReport { session, syn: SynBytes(buffer[..length].to_vec()) })
}

/// The one says that they are connected, and the other hears of it.
async fn confirm(by: &mut Client, to: &mut Client, session: SessionId) {
    let state = OutcomeState::Confirmed;
    done(by, Action::Outcome(Outcome { session, state })).await;
    let is_it = |it: &Notification| matches!(it, Notification::PeerOutcome(it) if it.session == session && it.state == state);
    to.told(is_it).await.unwrap();
}
