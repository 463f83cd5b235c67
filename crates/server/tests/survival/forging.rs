//! Packets in other names that may not be sent.
//!
//! Not here are rules that no message can break: that a session is too old, or a proof, that nobody
//! is there, or that nothing was reported. They are judged once more before a packet leaves, and
//! `simopen-broker` breaks each of them, with the time in its hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simopen_benches::stand::{Prepared, Stand, community};
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::{AdminReply, AdminRequest, Forging};
use simopen_device::namespace::Namespace;
use simopen_device::socket::listener_saving_syn;
use simopen_packet::Syn;
use simopen_protocol::control::SynBytes;
use simopen_protocol::identity::SessionId;
use simopen_server::figures::{Exposition, of_broker};
use simopen_server::forger::{Limits, Refusal};

use crate::honest::{beside, block_on, in_time};
use crate::hostile_peer::{Member, Port};
use crate::place::{Place, forger, in_place, requires, take_addresses};
use crate::{asking, packets, proving, totals};

/// What a forger is asked for that may send so many packets.
type Demand = (Limits, fn(&Place));

/// What somebody asks for who has taken over the broker.
const DEMANDS: [Demand; 15] = {
    let usual = Limits { per_second: 1000, towards: 32 };
    [
        (usual, asking::proper_packets),
        (usual, asking::other_endpoints),
        (usual, asking::forbidden_endpoints),
        (usual, asking::no_evidence),
        (usual, asking::unreadable_requests),
        (usual, packets::no_bare_syn_acks),
        (usual, packets::own_syns),
        (usual, proving::second_tries),
        (usual, proving::addresses_of_ones_own),
        (usual, proving::wrong_numbers),
        (usual, totals::too_many),
        (usual, totals::changed_numbers),
        (usual, totals::confinement),
        (Limits { per_second: 0, ..usual }, |place| {
            totals::the_first_is_one_too_many(place, Refusal::TooMany);
        }),
        (Limits { towards: 0, ..usual }, |place| {
            totals::the_first_is_one_too_many(place, Refusal::TooManyTowards);
        }),
    ]
};

/// What no demand brings about.
const OF_ITSELF: [Refusal; 7] = [
    // The kernel keeps the SYN of a connection with it, and no other.
    Refusal::SynOfAnother,
    // After 30 s: tests of the forger's totals move the time.
    Refusal::ProofExpired,
    // Nobody connects from there.
    Refusal::Multicast,
    // The system's doing.
    Refusal::NotSent,
    // The broker's own words, where the forger does not answer or is not asked.
    Refusal::Gone,
    Refusal::Busy,
    Refusal::NoConnection,
];

pub(crate) fn of_a_hostile_broker() {
    let stand = Stand::start(1, |builder| builder).unwrap();
    let counted = block_on(beside(&stand, async {
        let demands = || DEMANDS.map(|(limits, demand)| in_place(limits, demand));
        tokio::task::spawn_blocking(demands).await.unwrap()
    }));
    let mut refused: BTreeMap<Refusal, u64> = BTreeMap::new();
    for (refusal, count) in counted.iter().flatten().flat_map(|counts| &counts.refused) {
        *refused.entry(*refusal).or_default() += count;
    }
    if counted.iter().all(Option::is_none) {
        return;
    }
    println!("  refused: {refused:?}");
    for refusal in Refusal::ALL {
        let (is_refused, is_none) = (refused.contains_key(refusal), OF_ITSELF.contains(refusal));
        assert!(is_refused != is_none, "{refusal}");
    }
}

pub(crate) fn of_hostile_peers() {
    if requires() {
        let thread = Namespace::spawn("hostile-peers", in_own_namespace);
        thread.unwrap().join().unwrap();
    }
}

/// Where the peers have all the addresses that they could wish for.
fn in_own_namespace() {
    take_addresses();
    let at: SocketAddr = "192.0.2.1:7443".parse().unwrap();
    let forger = forger(Limits::default()).start().unwrap();
    let own = vec![at.ip()];
    let consent = ConsentPolicy { forging: Forging::Dangerous, own, networks: Vec::new() };
    let by_forger = forger.clone();
    let stand = Prepared::new(4)
        .unwrap()
        .start_on(listener_saving_syn(at).unwrap(), |broker| {
            broker.consent(consent).forger(by_forger)
        })
        .unwrap();
    block_on(beside(&stand, async {
        let mut hostile = Hostile::of(&stand).await;
        hostile.name_forbidden_endpoints().await;
        hostile.lie_about_syns().await;
        hostile.go_on_when_it_is_enough().await;
        hostile.prove_nothing().await;
        // The control: two packets to begin with, and two repeats.
        assert_eq!(in_time("its counts", forger.counts()).await.unwrap().sent, 4);
        hostile.hang_up().await;
        hostile.leave_the_community().await;
        kill(Pid::from_raw(forger.process_id().try_into().unwrap()), Signal::SIGKILL).unwrap();
        hostile.prove_to_nobody().await;
        hostile.tell().await;
    }));
}

/// Two who have agreed to misuse the broker.
struct Hostile<'a> {
    stand: &'a Stand,
    alice: Member<'a>,
    bob: Member<'a>,
    exposition: Exposition,
}

/// Packets that the broker did not write, and what its forger did not do.
const FORBIDDEN: &str = "simopen_forging_refused_total{rule";
const BY_FORGER: &str = "simopen_forger_refused_total{reason";
/// Requests that were answered with an error.
const REFUSED: &str = "simopen_refused_total{reason";

const A: &str = "198.51.100.7:41000";
const B: &str = "203.0.113.9:52000";

impl<'a> Hostile<'a> {
    async fn of(stand: &'a Stand) -> Self {
        let (alice, bob) = (Member::of(stand, 1).await, Member::of(stand, 2).await);
        Self { stand, alice, bob, exposition: Exposition::new() }
    }

    async fn name_forbidden_endpoints(&mut self) {
        for (from, rule) in [
            ("127.0.0.5:41000", "loopback"),
            ("169.254.1.1:41000", "link-local"),
            ("10.9.9.9:41000", "private"),
            ("203.0.113.9:1023", "low-port"),
            ("192.0.2.1:41000", "own-address"),
            (B, "same-endpoint"),
        ] {
            let named = self.alice.proven(from).await;
            let (port, sequence) = (named.endpoint.port(), named.sequence);
            // The same endpoint is free again for the other one.
            drop(named);
            let other = self.bob.proven(B).await;
            let session = self.alice.session(port, &mut self.bob, &other).await;
            let mut syn = other.syn(other.endpoint);
            (syn.source, syn.sequence) = (from.parse().unwrap(), sequence);
            // It is for the broker to know whether it may.
            assert_eq!(self.alice.report(session, &syn).await, Ok(()), "{rule}");
            self.is_counted(FORBIDDEN, &[rule]).await;
        }
    }

    async fn lie_about_syns(&mut self) {
        let (a, b, session) = self.begin().await;
        let refused = Err("consent-refused".to_owned());
        let for_a_victim = a.syn("198.51.100.8:43000".parse().unwrap());
        assert_eq!(self.alice.report(session, &for_a_victim).await, refused);
        self.is_counted(FORBIDDEN, &["syn-mismatch"]).await;
        assert_eq!(self.alice.report_bytes(session, SynBytes(vec![0x45; 40])).await, refused);
        self.is_counted(FORBIDDEN, &["not-a-syn"]).await;
        let proper = b.syn(a.endpoint);
        let changed = Syn { sequence: proper.sequence + 1, ..proper };
        assert_eq!(self.bob.report(session, &changed).await, refused);
        self.is_counted(FORBIDDEN, &["changed-syn"]).await;
    }

    async fn go_on_when_it_is_enough(&mut self) {
        let (a, b, session) = self.begin().await;
        let syn = a.syn(b.endpoint);
        while self.count_of(FORBIDDEN, &["too-many-repeats"]).await == 0 {
            self.alice.report(session, &syn).await.unwrap();
        }
        self.alice.confirm(session).await;
        self.alice.report(session, &syn).await.unwrap();
        self.is_counted(FORBIDDEN, &["withdrawn"]).await;
    }

    async fn prove_nothing(&mut self) {
        let mut port = self.alice.port("198.51.100.8:43000").await;
        let sequence = port.sequence;
        self.alice.prove(&mut port, sequence + 1).await;
        self.is_counted(BY_FORGER, &["number-differs"]).await;
        self.alice.prove(&mut port, sequence).await;
        self.is_counted(BY_FORGER, &["no-syn"]).await;
        for (port, word) in [(43_000, "proxied-or-rewritten"), (43_001, "not-proven")] {
            assert_eq!(self.alice.connect(port, &self.bob).await, Err(word.to_owned()));
            self.is_counted(REFUSED, &[word]).await;
        }
    }

    /// Once it is proven. The broker may have noticed when it wants to send, or the forger does.
    async fn hang_up(&mut self) {
        let (a, b, session) = self.begin().await;
        let syn = a.syn(b.endpoint);
        drop(a);
        self.alice.report(session, &syn).await.unwrap();
        self.is_counted(BY_FORGER, &["no-connection", "not-established"]).await;
    }

    async fn leave_the_community(&mut self) {
        let (a, b, session) = self.begin().await;
        let community = community(0).unwrap();
        let user = self.stand.devices[2].user.clone();
        let leave = AdminRequest::RemoveMember { community, user };
        let left = in_time("the operator's answer", self.stand.desk.admin(leave)).await;
        assert_eq!(left, Some(Ok(AdminReply::Done)));
        // The session is over, and there will be no other.
        let reported = self.alice.report(session, &a.syn(b.endpoint)).await;
        assert_eq!(reported, Err("unknown-session".to_owned()));
        let asked = self.alice.connect(a.endpoint.port(), &self.bob).await;
        assert_eq!(asked, Err("unknown-peer".to_owned()));
        self.is_counted(REFUSED, &["unknown-session"]).await;
        self.is_counted(REFUSED, &["unknown-peer"]).await;
    }

    /// The forger has ended.
    async fn prove_to_nobody(&mut self) {
        drop(self.alice.proven(A).await);
        self.is_counted(BY_FORGER, &["gone"]).await;
    }

    /// A session in which nothing is wrong yet.
    async fn begin(&mut self) -> (Port, Port, SessionId) {
        let (a, b) = (self.alice.proven(A).await, self.bob.proven(B).await);
        let session = self.alice.session(a.endpoint.port(), &mut self.bob, &b).await;
        (a, b, session)
    }

    async fn is_counted(&self, what: &str, reasons: &[&str]) {
        in_time(what, async { while self.count_of(what, reasons).await == 0 {} }).await;
    }

    async fn count_of(&self, what: &str, reasons: &[&str]) -> u64 {
        let text = self.figures().await;
        let of = |reason: &&str| {
            let line = format!("{what}=\"{reason}\"}} ");
            let count = text.lines().find_map(|it| it.strip_prefix(&line));
            count.map_or(0, |count| count.parse::<u64>().unwrap())
        };
        reasons.iter().map(of).sum()
    }

    async fn tell(&self) {
        let text = self.figures().await;
        let refused = text
            .lines()
            .filter(|it| [FORBIDDEN, BY_FORGER, REFUSED].iter().any(|of| it.starts_with(of)));
        refused.for_each(|it| println!("  {it}"));
    }

    /// As Prometheus reads them.
    async fn figures(&self) -> String {
        let figures = in_time("figures", self.stand.desk.figures()).await.unwrap();
        self.exposition.render(&of_broker(&figures))
    }
}
