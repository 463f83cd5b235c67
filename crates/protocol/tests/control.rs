//! Control messages: what is written is read back, and hostile documents are answered, not obeyed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use simopen_packet::{SeqNumber, Ttl};
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Accept, Accepted, Action, Connect, ConnectionRequest, ControlError, Destination, ErrorName,
    LoggedIn, Login, Message, Notification, Observed, Outcome, OutcomeState, Presence, Probe,
    Reachable, Reply, Request, Response, SynBytes, SynReport, TransactionId,
};
use simopen_protocol::greeting::Greetings;
use simopen_protocol::identity::{PeerId, SessionId, UserId};
use simopen_protocol::technique::Technique;
use simopen_protocol::token::Token;

fn users() -> impl Strategy<Value = UserId> {
    "[a-zA-Z0-9._-]{1,64}".prop_map(|name| UserId::new(&name).expect("the pattern is a name's"))
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
    prop::sample::select(Technique::ALL.to_vec())
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
    (any::<u64>(), users(), any::<bool>()).prop_map(|(peer, user, online)| Presence {
        device: None,
        peer: PeerId(peer),
        user,
        online,
    })
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        (users(), tokens()).prop_map(|(user, secret)| Action::Login(Login {
            user,
            secret: Some(secret),
            reachable: Reachable::Yes
        })),
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
        (users(), techniques(), any::<u16>(), prop::option::of(syns())).prop_map(
            |(to, technique, port, syn)| Action::Connect(Connect {
                to,
                device: None,
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
        Just(Action::Ping),
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
        Action::Login(_) => (any::<u64>(), tokens(), prop::collection::vec(presences(), 0..3))
            .prop_map(|(peer, probe_secret, online)| {
                Reply::LoggedIn(LoggedIn { peer: PeerId(peer), probe_secret, alive: None, online })
            })
            .boxed(),
        Action::Probe(_) => (endpoints(), any::<u8>())
            .prop_map(|(endpoint, ttl)| Reply::Observed(Observed { endpoint, ttl: Ttl(ttl) }))
            .boxed(),
        Action::Connect(_) => {
            (any::<(u64, u64, u32)>(), endpoints(), greetings(), prop::option::of(endpoints()))
                .prop_map(|((session, peer, micros), endpoint, greetings, private)| {
                    Reply::Accepted(Accepted {
                        session: SessionId(session),
                        peer: PeerId(peer),
                        device: None,
                        destination: Destination::Endpoint(endpoint),
                        certificate: None,
                        round_trip: Duration::from_micros(micros.into()),
                        greetings,
                        private,
                    })
                })
                .boxed()
        }
        Action::Accept(_) | Action::Syn(_) | Action::Outcome(_) | Action::Ping | _ => {
            Just(Reply::Done).boxed()
        }
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

fn notifications() -> impl Strategy<Value = Notification> {
    let requests = (any::<(u64, u64, u32)>(), users(), techniques(), endpoints(), greetings())
        .prop_map(|((session, peer, micros), user, technique, endpoint, greetings)| {
            Notification::ConnectionRequest(ConnectionRequest {
                session: SessionId(session),
                peer: PeerId(peer),
                user,
                technique,
                device: None,
                destination: Destination::Endpoint(endpoint),
                certificate: None,
                round_trip: Duration::from_micros(micros.into()),
                greetings,
            })
        });
    prop_oneof![
        requests,
        presences().prop_map(Notification::Presence),
        outcomes().prop_map(Notification::PeerOutcome),
    ]
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
