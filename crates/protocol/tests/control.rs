//! Control messages: what is written is read back, and hostile documents are answered, not obeyed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use simopen_packet::{SeqNumber, Ttl};
use simopen_protocol::address::HostPort;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Accepted, Action, Certificate, Connect, ConnectionRequest, ControlError, Destination,
    ErrorName, Join, Joined, LoggedIn, Login, MAX_CERTIFICATE_BYTES, MAX_KEY_BYTES, MAX_NOTE_BYTES,
    MAX_SUBJECT_BYTES, Meeting, Member, Message, Note, NoteSend, Notification, Observed, Outcome,
    OutcomeState, PAGE, Presence, Probe, Proxy, PublicKey, Reachable, Recipient, Reply, Request,
    Response, Share, ShareId, SynBytes, SynReport, Team, TeamId, TeamMember, TransactionId,
};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{DeviceName, NoteId, PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

/// Any of the kinds of names.
fn names<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T>
{
    "[a-zA-Z0-9._-]{0,63}[a-zA-Z0-9_-]"
        .prop_map(|name| name.parse().expect("the pattern is a name's"))
}

fn devices() -> impl Strategy<Value = Option<DeviceName>> {
    prop::option::of(names())
}

fn teams() -> impl Strategy<Value = TeamId> {
    (names(), names()).prop_map(|(community, team)| TeamId { community, team })
}

fn team_members() -> impl Strategy<Value = TeamMember> {
    (teams(), users()).prop_map(|(team, user)| TeamMember { team, user })
}

fn share_ids() -> impl Strategy<Value = ShareId> {
    (teams(), names()).prop_map(|(team, name)| ShareId { team, name })
}

fn shares() -> impl Strategy<Value = Share> {
    (share_ids(), any::<u64>(), users(), devices()).prop_map(|(id, peer, user, device)| Share {
        id,
        peer: PeerId(peer),
        user,
        device,
    })
}

/// What people write, without white space at its ends.
fn texts() -> impl Strategy<Value = String> {
    "(\\PC[\\PC \n\t]{0,60}\\PC)?".prop_map(|text| text.trim().to_owned())
}

fn certificates() -> impl Strategy<Value = Option<Certificate>> {
    let bytes = prop::collection::vec(any::<u8>(), 1..80);
    prop::option::of(bytes.prop_map(Certificate))
}

fn notes() -> impl Strategy<Value = Note> {
    (any::<(u64, u64)>(), users(), prop::option::of(teams()), texts(), texts()).prop_map(
        |((id, sent), from, team, subject, text)| Note {
            id: NoteId(id),
            from,
            team,
            sent,
            subject,
            text,
        },
    )
}

fn destinations() -> impl Strategy<Value = Destination> {
    let host_port = prop_oneof![
        endpoints().prop_filter("a port", |endpoint| endpoint.port() != 0).prop_map(HostPort::from),
        ("[a-z0-9]{1,20}(\\.[a-z0-9-]{1,20}){0,2}", 1_u16..).prop_map(|(host, port)| {
            format!("{host}:{port}").parse().expect("the pattern is a host's")
        }),
    ];
    let meeting = (prop::collection::vec(host_port, 1..=4), tokens())
        .prop_map(|(relay, value)| Destination::Meeting(Meeting { relay, value }));
    prop_oneof![endpoints().prop_map(Destination::Endpoint), meeting]
}

fn users() -> impl Strategy<Value = UserId> {
    "[a-zA-Z0-9._-]{0,63}[a-zA-Z0-9_-]"
        .prop_map(|name| UserId::new(&name).expect("the pattern is a name's"))
}

fn tokens() -> impl Strategy<Value = Token> {
    any::<[u8; 32]>().prop_map(Token::from_random)
}

fn greetings() -> impl Strategy<Value = Greetings> {
    (tokens(), tokens()).prop_map(|(own, peer)| Greetings { own, peer })
}

fn syns() -> impl Strategy<Value = SynBytes> {
    prop::collection::vec(any::<u8>(), 0..=100).prop_map(SynBytes)
}

fn endpoints() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|endpoint| SocketAddr::new(endpoint.ip(), endpoint.port()))
}

fn techniques() -> impl Strategy<Value = Technique> {
    let mut all: Vec<Technique> = Technique::ALL.into();
    all.extend(Technique::BY_RELAY);
    prop::sample::select(all)
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let states = prop_oneof![
        Just(OutcomeState::Confirmed),
        prop::sample::select(Cause::ALL.to_vec()).prop_map(OutcomeState::Failed),
    ];
    (any::<u64>(), states)
        .prop_map(|(session, state)| Outcome { session: SessionId(session), state })
}

fn presences() -> impl Strategy<Value = Presence> {
    (any::<u64>(), users(), devices(), any::<bool>()).prop_map(|(peer, user, device, online)| {
        Presence { peer: PeerId(peer), user, device, online }
    })
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![attempts(), accounts(), communities()]
}

/// What concerns connections.
fn attempts() -> impl Strategy<Value = Action> {
    prop_oneof![
        (any::<u64>(), tokens(), any::<u16>(), any::<Option<u32>>()).prop_map(
            |(peer, secret, port, sequence)| {
                Action::Probe(Probe {
                    peer: PeerId(peer),
                    secret,
                    port,
                    sequence: sequence.map(SeqNumber),
                })
            }
        ),
        (users(), devices(), techniques(), any::<u16>(), prop::option::of(syns())).prop_map(
            |(to, device, technique, port, syn)| Action::Connect(Connect {
                to,
                device,
                technique,
                port,
                syn
            })
        ),
        (any::<u64>(), any::<u16>(), prop::option::of(syns()), any::<Option<IpAddr>>()).prop_map(
            |(session, port, syn, private)| {
                Action::Accept(Accept { session: SessionId(session), port, syn, private })
            }
        ),
        (any::<u64>(), syns())
            .prop_map(|(session, syn)| Action::Syn(SynReport { session: SessionId(session), syn })),
        outcomes().prop_map(Action::Outcome),
        (any::<u64>(), tokens(), tokens()).prop_map(|(session, one, other)| {
            Action::Proxy(Proxy { session: SessionId(session), values: [one, other] })
        }),
        any::<u64>().prop_map(|session| Action::ProxyEnd(SessionId(session))),
    ]
}

/// What concerns links and devices.
fn accounts() -> impl Strategy<Value = Action> {
    let reachable = prop::sample::select(vec![Reachable::Yes, Reachable::No]);
    prop_oneof![
        (users(), prop::option::of(tokens()), reachable).prop_map(|(user, secret, reachable)| {
            Action::Login(Login { user, secret, reachable })
        }),
        (names(), tokens(), prop::collection::vec(any::<u8>(), 1..=MAX_KEY_BYTES)).prop_map(
            |(device, secret, key)| Action::Join(Join { device, secret, key: PublicKey(key) })
        ),
        Just(Action::Ping),
        Just(Action::Logout),
        Just(Action::Certificate),
    ]
}

/// What concerns notes, teams and shares.
fn communities() -> impl Strategy<Value = Action> {
    let to = prop_oneof![users().prop_map(Recipient::Member), teams().prop_map(Recipient::Team)];
    prop_oneof![
        (to, texts(), texts()).prop_map(|(to, subject, text)| Action::NoteSend(NoteSend {
            to,
            subject,
            text
        })),
        any::<u64>().prop_map(|note| Action::NoteDelete(NoteId(note))),
        teams().prop_map(Action::TeamCreate),
        teams().prop_map(Action::TeamDelete),
        team_members().prop_map(Action::TeamAdd),
        team_members().prop_map(Action::TeamRemove),
        share_ids().prop_map(Action::ShareAdd),
        share_ids().prop_map(Action::ShareDrop),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    (any::<u32>(), actions(), prop::collection::btree_map("X[a-z]{1,5}", "[ -~]{0,8}", 0..3))
        .prop_map(|(id, action, unknown)| {
            let mut request = Request::new(TransactionId(id), action);
            let unknown = unknown.into_iter().map(|(name, value)| (name.into(), value));
            request.unknown = unknown.collect();
            request
        })
}

/// A reply that fits the action.
fn reply_to(action: &Action) -> BoxedStrategy<Reply> {
    match action {
        Action::Login(_) => {
            let alive = prop::option::of(any::<u32>().prop_map(|s| Duration::from_secs(s.into())));
            (any::<u64>(), tokens(), alive, prop::collection::vec(presences(), 0..3))
                .prop_map(|(peer, probe_secret, alive, online)| {
                    Reply::LoggedIn(LoggedIn { peer: PeerId(peer), probe_secret, alive, online })
                })
                .boxed()
        }
        Action::Probe(_) => (endpoints(), any::<u8>())
            .prop_map(|(endpoint, ttl)| Reply::Observed(Observed { endpoint, ttl: Ttl(ttl) }))
            .boxed(),
        Action::Connect(_) => {
            let who = (any::<(u64, u64, u32)>(), devices());
            (who, destinations(), greetings(), prop::option::of(endpoints()), certificates())
                .prop_map(|(who, destination, greetings, private, certificate)| {
                    let ((session, peer, micros), device) = who;
                    Reply::Accepted(Accepted {
                        session: SessionId(session),
                        peer: PeerId(peer),
                        device,
                        destination,
                        certificate,
                        round_trip: Duration::from_micros(micros.into()),
                        greetings,
                        private,
                    })
                })
                .boxed()
        }
        Action::Join(_) => (users(), names(), certificates(), certificates())
            .prop_map(|(user, broker, authority, certificate)| {
                Reply::Joined(Joined { user, broker, authority, certificate })
            })
            .boxed(),
        Action::Certificate => certificates().prop_map(Reply::Certified).boxed(),
        Action::NoteSend(_) => any::<u64>().prop_map(|note| Reply::NoteKept(NoteId(note))).boxed(),
        Action::Accept(_)
        | Action::Syn(_)
        | Action::Outcome(_)
        | Action::Ping
        | Action::Logout
        | Action::Proxy(_)
        | Action::ProxyEnd(_)
        | Action::NoteDelete(_)
        | Action::TeamCreate(_)
        | Action::TeamDelete(_)
        | Action::TeamAdd(_)
        | Action::TeamRemove(_)
        | Action::ShareAdd(_)
        | Action::ShareDrop(_)
        | _ => Just(Reply::Done).boxed(),
    }
}

fn responses() -> impl Strategy<Value = Response> {
    requests().prop_flat_map(|request| {
        let failed =
            prop::sample::select(Cause::ALL.to_vec()).prop_map(|cause| Err(ErrorName::from(cause)));
        let results = prop_oneof![reply_to(&request.action).prop_map(Ok), failed];
        results.prop_map(move |result| Response { head: request.head(), result })
    })
}

fn single_notifications() -> impl Strategy<Value = Notification> {
    let who = (any::<(u64, u64, u32)>(), users(), devices(), techniques());
    let requests = (who, destinations(), greetings(), certificates()).prop_map(
        |(who, destination, greetings, certificate)| {
            let ((session, peer, micros), user, device, technique) = who;
            Notification::ConnectionRequest(ConnectionRequest {
                session: SessionId(session),
                peer: PeerId(peer),
                user,
                technique,
                device,
                destination,
                certificate,
                round_trip: Duration::from_micros(micros.into()),
                greetings,
            })
        },
    );
    let members = (names(), users(), any::<bool>())
        .prop_map(|(community, user, is_member)| Member { community, user, is_member });
    let told_teams = (teams(), users(), prop::collection::vec(users(), 0..4))
        .prop_map(|(id, owner, members)| Team { id, owner, members });
    let revoked =
        (users(), devices()).prop_map(|(user, device)| Notification::Revoked { user, device });
    let restarting = any::<u32>()
        .prop_map(|within| Notification::Restarting { within: Duration::from_secs(within.into()) });
    prop_oneof![
        requests,
        presences().prop_map(Notification::Presence),
        outcomes().prop_map(Notification::PeerOutcome),
        members.prop_map(Notification::Member),
        told_teams.prop_map(Notification::Team),
        teams().prop_map(Notification::DropTeam),
        shares().prop_map(Notification::AddShare),
        shares().prop_map(Notification::DropShare),
        notes().prop_map(Notification::Note),
        any::<u64>().prop_map(|note| Notification::DropNote(NoteId(note))),
        revoked,
        restarting,
        Just(Notification::Verify),
        Just(Notification::Listed),
    ]
}

/// One of them, or a list; a list of one is that one.
fn notifications() -> impl Strategy<Value = Notification> {
    let lists = prop::collection::vec(single_notifications(), 0..6);
    let lists = lists.prop_filter("a list", |list| list.len() != 1);
    prop_oneof![single_notifications(), lists.prop_map(Notification::Several)]
}

proptest! {
    #[test]
    fn a_written_message_is_read_back(message in prop_oneof![
        requests().prop_map(Message::Request),
        responses().prop_map(Message::Response),
        notifications().prop_map(Message::Notification),
    ]) {
        prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
    }

    #[test]
    fn a_response_repeats_every_attribute_of_its_request(request in requests()) {
        let document = Message::Response(Response { head: request.head(), result: Err(ErrorName("x".into())) });
        let text = String::from_utf8(document.to_bytes()).unwrap();
        for (name, _) in &request.unknown {
            prop_assert!(text.contains(&**name), "{name} is missing in {text}");
        }
    }

    #[test]
    fn no_secret_stands_in_an_attribute(user in users(), secret in tokens()) {
        let login = Request::new(TransactionId(1), Action::Login(Login { user, secret: Some(secret), reachable: Reachable::Yes }));
        let text = String::from_utf8(Message::Request(login).to_bytes()).unwrap();
        let start_tag = text.split('>').next().unwrap();
        prop_assert!(!start_tag.contains(&secret.reveal()));
        prop_assert!(text.contains(&secret.reveal()));
    }

    #[test]
    fn a_broken_message_never_panics(message in requests(), cut in 0_usize..400, flip in any::<u8>()) {
        let mut bytes = Message::Request(message).to_bytes();
        let at = cut % bytes.len();
        bytes[at] ^= flip;
        let _ = Message::parse(&bytes);
        bytes.truncate(at);
        let _ = Message::parse(&bytes);
    }
}

#[test]
fn an_unknown_action_can_still_be_answered() {
    let error = Message::parse(br#"<PBReq Action="Dance" ID="5" Style="x"/>"#).unwrap_err();
    assert_eq!(error.name(), ErrorName("unknown-action".into()));
    let head = error.into_head();
    assert_eq!(head.id(), Some(TransactionId(5)));
    assert_eq!(head.action(), Some("Dance"));
}

#[test]
fn a_missing_field_is_named() {
    let error = Message::parse(br#"<PBReq Action="Accept" ID="5" SessionID="1"/>"#).unwrap_err();
    assert_eq!(error.to_string(), "PBReq lacks Port, or it has no proper value");
    assert!(matches!(error, ControlError::Missing { what: "Port", .. }));
}

fn parsed(text: &str) -> Result<Message, ControlError> {
    Message::parse(text.as_bytes())
}

#[test]
fn what_is_longer_than_its_limit_is_refused() {
    use base64::Engine as _;
    let base64 = |length| base64::engine::general_purpose::STANDARD.encode(vec![7; length]);
    let secret = Token::from_random([1; 32]).reveal();
    let join = |length| {
        format!(
            r#"<PBReq Action="Join" ID="1" Device="d"><Secret>{secret}</Secret><PublicKey>{}</PublicKey></PBReq>"#,
            base64(length)
        )
    };
    let note = |subject: usize, text: usize| {
        format!(
            r#"<PBReq Action="NoteSend" ID="1" UserID="u"><Subject>{}</Subject><Text>{}</Text></PBReq>"#,
            "s".repeat(subject),
            "t".repeat(text)
        )
    };
    let certificate = |length| {
        format!(
            r#"<PBResp Error="0" Action="Certificate" ID="1"><Certificate>{}</Certificate></PBResp>"#,
            base64(length)
        )
    };
    for (proper, too_long) in [
        (join(MAX_KEY_BYTES), join(MAX_KEY_BYTES + 1)),
        (note(MAX_SUBJECT_BYTES, 1), note(MAX_SUBJECT_BYTES + 1, 1)),
        (note(1, MAX_NOTE_BYTES), note(1, MAX_NOTE_BYTES + 1)),
        (certificate(MAX_CERTIFICATE_BYTES), certificate(MAX_CERTIFICATE_BYTES + 1)),
    ] {
        assert!(parsed(&proper).is_ok());
        assert!(matches!(parsed(&too_long), Err(ControlError::Missing { .. })));
    }
}

#[test]
fn a_list_is_bounded_and_what_nobody_knows_is_passed_over() {
    let list = |lines: usize| format!("<PBNotify>{}</PBNotify>", "<Verify/><New/>".repeat(lines));
    let several = vec![Notification::Verify; PAGE];
    assert_eq!(parsed(&list(PAGE)), Ok(Message::Notification(Notification::Several(several))));
    assert!(parsed(&list(PAGE + 1)).is_err());
    assert_eq!(parsed(&list(1)), Ok(Message::Notification(Notification::Verify)));
    let unknown = Message::Notification(Notification::Several(Vec::new()));
    assert_eq!(parsed("<PBNotify><New/></PBNotify>"), Ok(unknown));
}

#[test]
fn values_and_invitations_secrets_stand_in_no_attribute() {
    let [one, other] = [1, 2].map(|byte| Token::from_random([byte; 32]));
    let join = Join { device: "d".parse().unwrap(), secret: one, key: PublicKey(vec![1]) };
    let proxy = Proxy { session: SessionId(1), values: [one, other] };
    for action in [Action::Join(join), Action::Proxy(proxy)] {
        let request = Request::new(TransactionId(1), action);
        let head = request.head();
        let response = Message::Response(Response { head, result: Ok(Reply::Done) });
        let repeated = String::from_utf8(response.to_bytes()).unwrap();
        let asked = String::from_utf8(Message::Request(request).to_bytes()).unwrap();
        assert!(asked.contains(&one.reveal()));
        assert!(!repeated.contains(&one.reveal()) && !repeated.contains(&other.reveal()));
    }
}

#[test]
fn white_space_that_was_written_as_references_is_passed_on_as_it_was() {
    let note = parsed(
        r#"<PBReq Action="NoteSend" ID="1" UserID="u" X="a&#10;b&#13;c&#9;d"><Text>a&#13;b&#13;&#10;c&#9;d</Text></PBReq>"#,
    )
    .unwrap();
    let Message::Request(request) = &note else { panic!("{note:?}") };
    let Action::NoteSend(send) = &request.action else { panic!("{note:?}") };
    assert_eq!((send.text.as_str(), request.unknown[0].1.as_str()), ("a\rb\r\nc\td", "a\nb\rc\td"));
    assert_eq!(Message::parse(&note.to_bytes()), Ok(note));
}
