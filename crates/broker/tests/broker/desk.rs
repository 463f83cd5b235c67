//! A broker with what it said and sent, drained after each step.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_broker::consent::{ConsentPolicy, Violation};
use simopen_broker::directory::{Directory, User};
use simopen_broker::{
    AdminError, AdminId, AdminReply, AdminRequest, Broker, BrokerConfig, Event, Forged, Forging,
    LinkId, LinkOrigin, PairingOrder, PathEstimate, Persist, Transmit,
};
use simopen_packet::{
    Entropy, MAX_SYN_LEN, SeqNumber, Syn, SynOptions, Timestamp, Timestamps, Ttl,
};
use simopen_protocol::control::{
    Accept, Accepted, Action, Connect, ConnectionRequest, ErrorName, LoggedIn, Login, Message,
    Notification, Outcome, OutcomeState, Presence, Probe, PublicKey, Reachable, Reply, Request,
    SynBytes, SynReport, TransactionId,
};
use simopen_protocol::identity::{PeerId, SessionId, UserId};
use simopen_protocol::technique::{SynOwner, Technique};
use simopen_protocol::token::Token;

pub(crate) const KERNEL: Technique = Technique::ForgedSynAck(SynOwner::Kernel);
pub(crate) const USERSPACE: Technique = Technique::ForgedSynAck(SynOwner::Userspace);

/// What the wall clock says when a test begins: seconds since 1970.
pub(crate) const WALL: u64 = 1_800_000_000;

/// The first sequence number of every connection to the broker.
pub(crate) const PROBE_SEQUENCE: u32 = 77;

pub(crate) fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn secret(name: &str) -> Token {
    Token::from_random([name.as_bytes()[0]; 32])
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A SYN as Linux makes it.
pub(crate) fn syn(source: SocketAddr, destination: SocketAddr, sequence: u32) -> Syn {
    let timestamps = Timestamps { value: sequence ^ 0x5555, echo: 0 };
    Syn {
        source,
        destination,
        sequence: SeqNumber(sequence),
        window: 64_240,
        ttl: Ttl(64),
        ecn_setup: false,
        options: SynOptions::new(Some(1460), Some(7), true, Some(timestamps)),
    }
}

pub(crate) fn bytes(syn: &Syn) -> SynBytes {
    let mut buffer = [0; MAX_SYN_LEN];
    let length = syn.emit(&mut buffer).unwrap();
    SynBytes(buffer[..length].to_vec())
}

/// A logged-in device and how its one port looks.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) link: LinkId,
    pub(crate) peer: PeerId,
    pub(crate) probe_secret: Token,
    pub(crate) online: Vec<Presence>,
    pub(crate) local: SocketAddr,
    pub(crate) public: SocketAddr,
    pub(crate) sequence: u32,
}

impl Member {
    /// This side's SYN towards `to`.
    pub(crate) fn syn(&self, to: SocketAddr) -> Syn {
        syn(self.local, to, self.sequence)
    }

    /// The SYN that an originator commits to before it knows the other side.
    pub(crate) fn committed(&self) -> Syn {
        self.syn(endpoint("0.0.0.0:0"))
    }
}

pub(crate) struct Desk {
    pub(crate) broker: Broker,
    pub(crate) now: Timestamp,
    pub(crate) inbox: BTreeMap<LinkId, Vec<Message>>,
    pub(crate) closed: Vec<LinkId>,
    pub(crate) forged: Vec<Forged>,
    pub(crate) events: Vec<Event>,
    pub(crate) orders: Vec<PairingOrder>,
    /// What a store does that is asked to keep something.
    pub(crate) store: Store,
    /// What it has kept.
    pub(crate) kept: Directory,
    /// What it was asked to keep, and has not settled.
    pub(crate) asked: Vec<Persist>,
    answers: BTreeMap<AdminId, Result<AdminReply, AdminError>>,
    admins: u64,
    transaction: u32,
    next_link: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Keeps,
    Fails,
    Waits,
}

impl Desk {
    /// alice, bob and carol are friends, dave is a stranger; forging is on.
    pub(crate) fn new() -> Self {
        Self::with(Forging::Dangerous)
    }

    pub(crate) fn with(forging: Forging) -> Self {
        let own = vec!["192.0.2.1".parse().unwrap()];
        Self::with_policy(ConsentPolicy { forging, own, networks: Vec::new() })
    }

    pub(crate) fn with_policy(consent: ConsentPolicy) -> Self {
        let mut directory = Directory::default();
        for (name, community) in
            [("alice", "friends"), ("bob", "friends"), ("carol", "friends"), ("dave", "others")]
        {
            let communities = [community.parse().unwrap()].into();
            directory.insert(user(name), User { secret: Some(secret(name)), communities });
        }
        Self::with_config(BrokerConfig { consent, ..BrokerConfig::default() }, directory)
    }

    /// The same people, and a broker that is set up otherwise.
    pub(crate) fn set_up(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::default();
        change(&mut config);
        Self::with_config(config, Self::new().kept)
    }

    pub(crate) fn with_config(config: BrokerConfig, directory: Directory) -> Self {
        let kept = directory.clone();
        let mut broker = Broker::new(config, directory, Entropy::new([9; 32]));
        broker.handle_wall_clock(WALL, Timestamp::ZERO);
        Self {
            broker,
            kept,
            store: Store::Keeps,
            asked: Vec::new(),
            orders: Vec::new(),
            answers: BTreeMap::new(),
            admins: 0,
            now: Timestamp::ZERO,
            inbox: BTreeMap::new(),
            closed: Vec::new(),
            forged: Vec::new(),
            events: Vec::new(),
            transaction: 0,
            next_link: 0,
        }
    }

    /// Lets time pass, stopping at every deadline as a world does.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.broker.poll_timeout()
            && at <= end
        {
            self.now = at.max(self.now);
            self.broker.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass in one step: a world that was held up.
    pub(crate) fn stall(&mut self, time: Duration) {
        self.now += time;
        self.broker.handle_timeout(self.now);
        self.drain();
    }

    /// Accepts a connection whose SYN was saved.
    pub(crate) fn link_from(&mut self, remote: SocketAddr) -> LinkId {
        // As it was on the wire: an IPv4 peer of a listener for both families sent an IPv4 packet.
        let source = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let saved = syn(source, endpoint("192.0.2.1:443"), PROBE_SEQUENCE);
        self.accept_link(LinkOrigin { remote, syn: Some(saved), key: None })
    }

    pub(crate) fn accept_link(&mut self, origin: LinkOrigin) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.broker.handle_link(link, origin, self.now);
        link
    }

    pub(crate) fn close(&mut self, link: LinkId) {
        self.broker.handle_link_closed(link, self.now);
        self.drain();
    }

    pub(crate) fn set_one_way(&mut self, member: &Member, one_way: Duration) {
        self.broker.handle_path(member.link, PathEstimate { round_trip: one_way * 2 });
    }

    /// Makes a request; gives the response, where it was answered at once.
    pub(crate) fn ask(&mut self, link: LinkId, action: Action) -> Option<Result<Reply, ErrorName>> {
        self.transaction += 1;
        let id = TransactionId(self.transaction);
        self.ask_as(link, Request::new(id, action))
    }

    pub(crate) fn ask_as(
        &mut self,
        link: LinkId,
        request: Request,
    ) -> Option<Result<Reply, ErrorName>> {
        let id = request.id;
        self.broker.handle_request(link, request, self.now);
        self.drain();
        self.response(link, id)
    }

    /// Makes a request, and waits for an answer that is held back.
    pub(crate) fn ask_patiently(
        &mut self,
        link: LinkId,
        action: Action,
    ) -> Result<Reply, ErrorName> {
        if let Some(answer) = self.ask(link, action) {
            return answer;
        }
        let id = TransactionId(self.transaction);
        self.pass(Duration::from_secs(20));
        self.response(link, id).expect("an answer")
    }

    /// Takes the response to a request out of the inbox.
    pub(crate) fn response(
        &mut self,
        link: LinkId,
        id: TransactionId,
    ) -> Option<Result<Reply, ErrorName>> {
        let inbox = self.inbox.entry(link).or_default();
        let answers = |message: &Message| matches!(message, Message::Response(one) if one.head.id() == Some(id));
        let place = inbox.iter().position(answers)?;
        match inbox.remove(place) {
            Message::Response(response) => Some(response.result),
            Message::Request(_) | Message::Notification(_) => None,
        }
    }

    /// Takes the response to the last request out of the inbox.
    pub(crate) fn last_response(&mut self, link: LinkId) -> Option<Result<Reply, ErrorName>> {
        self.response(link, TransactionId(self.transaction))
    }

    /// Takes everything unasked out of the inbox, lists taken apart.
    pub(crate) fn lines(&mut self, link: LinkId) -> Vec<Notification> {
        let apart = |notification| {
            if let Notification::Several(lines) = notification { lines } else { vec![notification] }
        };
        self.notifications(link).into_iter().flat_map(apart).collect()
    }

    /// A connection of a device that shows its key.
    pub(crate) fn link_with_key(&mut self, remote: &str, key: &PublicKey) -> LinkId {
        let key = Some(key.fingerprint());
        self.accept_link(LinkOrigin { remote: endpoint(remote), syn: None, key })
    }

    /// Takes everything unasked out of the inbox.
    pub(crate) fn notifications(&mut self, link: LinkId) -> Vec<Notification> {
        let all = self.inbox.remove(&link).unwrap_or_default();
        let (notifications, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| matches!(one, Message::Notification(_)));
        self.inbox.insert(link, rest);
        let notification = |message| match message {
            Message::Notification(notification) => Some(notification),
            Message::Request(_) | Message::Response(_) => None,
        };
        notifications.into_iter().filter_map(notification).collect()
    }

    pub(crate) fn outcomes(&mut self, link: LinkId) -> Vec<OutcomeState> {
        let outcome = |notification| {
            let Notification::PeerOutcome(outcome) = notification else { return None };
            Some(outcome.state)
        };
        self.notifications(link).into_iter().filter_map(outcome).collect()
    }

    pub(crate) fn request_for(&mut self, member: &Member) -> Option<ConnectionRequest> {
        let request = |notification| {
            let Notification::ConnectionRequest(request) = notification else { return None };
            Some(request)
        };
        self.notifications(member.link).into_iter().find_map(request)
    }

    pub(crate) fn log_in(&mut self, name: &str, link: LinkId) -> Result<LoggedIn, ErrorName> {
        let login =
            Login { user: user(name), secret: Some(secret(name)), reachable: Reachable::Yes };
        let reply = self.ask(link, Action::Login(login)).unwrap()?;
        let Reply::LoggedIn(logged_in) = reply else { panic!("{reply:?}") };
        Ok(logged_in)
    }

    /// The same for somebody who may have been revoked, or whose answer is held back.
    pub(crate) fn log_in_if_possible(&mut self, name: &str, link: LinkId) -> Option<LoggedIn> {
        let login =
            Login { user: user(name), secret: Some(secret(name)), reachable: Reachable::Yes };
        match self.ask(link, Action::Login(login)) {
            Some(Ok(Reply::LoggedIn(logged_in))) => Some(logged_in),
            Some(Ok(_) | Err(_)) | None => None,
        }
    }

    /// Logs in from an own link, without any proof.
    pub(crate) fn member(&mut self, name: &str, local: &str, public: &str) -> Member {
        let link = self.link_from(SocketAddr::new(endpoint(public).ip(), 30_000));
        let logged_in = self.log_in(name, link).unwrap();
        // What there was.
        self.notifications(link);
        Member {
            link,
            peer: logged_in.peer,
            probe_secret: logged_in.probe_secret,
            online: logged_in.online,
            local: endpoint(local),
            public: endpoint(public),
            sequence: u32::from(name.as_bytes()[0]) << 24 | 0x0f_ffff,
        }
    }

    /// Logs in and proves the public endpoint.
    pub(crate) fn proven(&mut self, name: &str, local: &str, public: &str) -> Member {
        let member = self.member(name, local, public);
        self.prove(&member, Some(PROBE_SEQUENCE)).unwrap();
        member
    }

    pub(crate) fn prove(
        &mut self,
        member: &Member,
        sequence: Option<u32>,
    ) -> Result<Reply, ErrorName> {
        let link = self.link_from(member.public);
        self.probe_on(link, member, sequence)
    }

    pub(crate) fn probe_on(
        &mut self,
        link: LinkId,
        member: &Member,
        sequence: Option<u32>,
    ) -> Result<Reply, ErrorName> {
        let probe = Probe {
            peer: member.peer,
            secret: member.probe_secret,
            port: member.local.port(),
            sequence: sequence.map(SeqNumber),
        };
        self.ask(link, Action::Probe(probe)).unwrap()
    }

    /// The usual two, both proven.
    pub(crate) fn alice_and_bob(&mut self) -> [Member; 2] {
        [
            self.proven("alice", "10.0.1.2:4000", "198.51.100.7:41000"),
            self.proven("bob", "10.0.2.2:5000", "203.0.113.9:52000"),
        ]
    }

    /// Asks; the answer comes with the acceptance.
    pub(crate) fn connect(
        &mut self,
        from: &Member,
        to: &str,
        technique: Technique,
        syn: Option<&Syn>,
    ) -> (TransactionId, Option<Result<Reply, ErrorName>>) {
        let connect = Connect {
            device: None,
            to: user(to),
            technique,
            port: from.local.port(),
            syn: syn.map(bytes),
        };
        let answer = self.ask(from.link, Action::Connect(connect));
        (TransactionId(self.transaction), answer)
    }

    pub(crate) fn accept(
        &mut self,
        by: &Member,
        session: SessionId,
        syn: Option<&Syn>,
    ) -> Result<Reply, ErrorName> {
        let accept = Accept { session, port: by.local.port(), syn: syn.map(bytes), private: None };
        self.ask(by.link, Action::Accept(accept)).unwrap()
    }

    pub(crate) fn report(
        &mut self,
        by: &Member,
        session: SessionId,
        syn: &Syn,
    ) -> Result<Reply, ErrorName> {
        self.ask(by.link, Action::Syn(SynReport { session, syn: bytes(syn) })).unwrap()
    }

    pub(crate) fn outcome(
        &mut self,
        by: &Member,
        session: SessionId,
        state: OutcomeState,
    ) -> Result<Reply, ErrorName> {
        self.ask(by.link, Action::Outcome(Outcome { session, state })).unwrap()
    }

    /// Asks and accepts: the SYNs are those of the technique. Gives the session and what the
    /// originator was told.
    pub(crate) fn session(
        &mut self,
        [from, to]: [&Member; 2],
        technique: Technique,
    ) -> (SessionId, Result<Reply, ErrorName>) {
        let committed = (technique == USERSPACE).then(|| from.committed());
        let name = if to.local.port() == 5000 { "bob" } else { "carol" };
        let (id, _) = self.connect(from, name, technique, committed.as_ref());
        let request = self.request_for(to).expect("the request is passed on");
        let answer =
            technique.needs_forging().then(|| to.syn(request.destination.endpoint().unwrap()));
        self.accept(to, request.session, answer.as_ref()).unwrap();
        (request.session, self.response(from.link, id).expect("the acknowledgement"))
    }

    /// A session of the usual two in which everything was reported but nothing has left yet.
    pub(crate) fn both_reported(&mut self, technique: Technique) -> ([Member; 2], SessionId) {
        let [alice, bob] = self.alice_and_bob();
        let (session, _) = self.session([&alice, &bob], technique);
        if technique == KERNEL {
            self.report(&alice, session, &alice.syn(bob.public)).unwrap();
        }
        ([alice, bob], session)
    }

    pub(crate) fn violations(&self, of: Violation) -> u64 {
        self.broker.stats().violations.get(&of).copied().unwrap_or(0)
    }

    /// Exactly this was forbidden and nothing was forged.
    #[track_caller]
    pub(crate) fn assert_refused(&self, violation: Violation) {
        let counted: Vec<_> = self.broker.stats().violations.keys().copied().collect();
        assert_eq!(counted, [violation]);
        assert!(self.forged.is_empty(), "{:?}", self.forged);
        assert_eq!(self.broker.stats().forged, 0);
    }

    /// An operator asks; the answer, where there was one at once.
    pub(crate) fn try_admin(
        &mut self,
        request: AdminRequest,
    ) -> Option<Result<AdminReply, AdminError>> {
        self.admins += 1;
        let id = AdminId(self.admins);
        self.broker.handle_admin(id, request, self.now);
        self.drain();
        self.answers.remove(&id)
    }

    #[track_caller]
    pub(crate) fn admin(&mut self, request: AdminRequest) -> Result<AdminReply, AdminError> {
        self.try_admin(request).expect("an answer")
    }

    pub(crate) fn any_answer(&mut self) -> Option<Result<AdminReply, AdminError>> {
        self.answers.pop_first().map(|(_, answer)| answer)
    }

    pub(crate) fn late_answer(&mut self) -> Option<Result<AdminReply, AdminError>> {
        self.answers.remove(&AdminId(self.admins))
    }

    /// The store settles what it was asked first.
    pub(crate) fn settle(&mut self, how: Store) {
        let persist = self.asked.remove(0);
        self.settle_one(&persist, how);
        self.drain();
    }

    fn settle_one(&mut self, persist: &Persist, how: Store) {
        match how {
            Store::Keeps => {
                persist.changes.iter().for_each(|change| self.kept.apply(change));
                self.broker.handle_persisted(persist.id, self.now);
            }
            Store::Fails => self.broker.handle_persist_failed(persist.id, self.now),
            Store::Waits => self.asked.push(persist.clone()),
        }
    }

    pub(crate) fn drain(&mut self) {
        self.drain_transmits();
        while let Some(persist) = self.broker.poll_persist() {
            self.settle_one(&persist, self.store);
            self.drain_transmits();
        }
        while let Some(order) = self.broker.poll_pairing() {
            self.orders.push(order);
        }
        while let Some((id, answer)) = self.broker.poll_admin() {
            self.answers.insert(id, answer);
        }
        while let Some(forged) = self.broker.poll_forge() {
            self.forged.push(forged);
        }
        while let Some(event) = self.broker.poll_event() {
            self.events.push(event);
        }
    }

    fn drain_transmits(&mut self) {
        while let Some(transmit) = self.broker.poll_transmit() {
            match transmit {
                Transmit::Message(link, message) => {
                    self.inbox.entry(link).or_default().push(message);
                }
                Transmit::Page(link, message) => {
                    self.inbox.entry(link).or_default().push(message);
                    self.broker.handle_page_sent(link, self.now);
                }
                Transmit::Close(link) => self.closed.push(link),
            }
        }
    }
}

pub(crate) fn accepted(result: Result<Reply, ErrorName>) -> Accepted {
    match result {
        Ok(Reply::Accepted(accepted)) => accepted,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn word(result: Result<Reply, ErrorName>) -> String {
    result.unwrap_err().0
}
