//! Which word of the broker is for which of a peer's attempts.
//!
//! All attempts of a peer share its one control link. A response names the request that it
//! answers, a notification the session that it belongs to; this machine remembers whose they are.
//! How a world names an attempt is its own affair: a channel, a number.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use simopen_protocol::control::{
    Action, ConnectionRequest, ErrorName, LoggedIn, Message, Notification, Presence, Reply,
    Request, Response, TransactionId,
};
use simopen_protocol::identity::SessionId;

use crate::attempt::FromBroker;

/// The first transaction of every connection to the broker: its login, or its probe.
pub const FIRST: TransactionId = TransactionId(0);

/// The requests and sessions of all attempts of one peer; `K` names an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signalling<K> {
    pending: BTreeMap<TransactionId, K>,
    sessions: BTreeMap<SessionId, K>,
    next: u32,
}

/// What a message of the broker means to a peer that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Heard<K> {
    /// It is for this attempt.
    ForAttempt(K, FromBroker),
    /// Somebody asks for a connection.
    Asked(ConnectionRequest),
    /// A peer came or went.
    Presence(Presence),
    /// Nothing: it is late, it only says that something was done, or this version does not know it.
    Nothing,
}

impl<K> Default for Signalling<K> {
    fn default() -> Self {
        Self { pending: BTreeMap::new(), sessions: BTreeMap::new(), next: FIRST.0 + 1 }
    }
}

impl<K: Clone> Signalling<K> {
    /// Makes a request of an attempt: what the broker answers to it, and says to the session that
    /// it opens, is for that attempt.
    pub fn request(&mut self, action: Action, attempt: K) -> Request {
        let id = TransactionId(self.next);
        self.next = self.next.wrapping_add(1);
        self.pending.insert(id, attempt);
        Request::new(id, action)
    }

    /// What the broker says to this session is for that attempt.
    pub fn subscribe(&mut self, session: SessionId, attempt: K) {
        self.sessions.insert(session, attempt);
    }

    /// Forgets the sessions of attempts that have ended.
    pub fn retain(&mut self, mut goes_on: impl FnMut(&K) -> bool) {
        self.sessions.retain(|_, attempt| goes_on(attempt));
    }

    /// Takes a message of the broker.
    pub fn handle_message(&mut self, message: Message) -> Heard<K> {
        match message {
            Message::Response(response) => self.response(response),
            Message::Notification(notification) => self.notification(notification),
            // A broker asks nothing.
            Message::Request(_) => Heard::Nothing,
        }
    }

    fn response(&mut self, response: Response) -> Heard<K> {
        let Some(attempt) = response.head.id().and_then(|id| self.pending.remove(&id)) else {
            return Heard::Nothing;
        };
        match response.result {
            Ok(Reply::Accepted(accepted)) => {
                // Before the attempt learns of it: the next notification may be for it.
                self.sessions.insert(accepted.session, attempt.clone());
                Heard::ForAttempt(attempt, FromBroker::Accepted(Box::new(accepted)))
            }
            Ok(
                Reply::LoggedIn(_)
                | Reply::Observed(_)
                | Reply::Joined(_)
                | Reply::Certified(_)
                | Reply::NoteKept(_)
                | Reply::Done,
            ) => Heard::Nothing,
            Err(name) if is_late(&name) => Heard::Nothing,
            Err(name) => Heard::ForAttempt(attempt, FromBroker::Refused(name.cause())),
        }
    }

    fn notification(&self, notification: Notification) -> Heard<K> {
        match notification {
            Notification::ConnectionRequest(request) => Heard::Asked(request),
            Notification::PeerOutcome(outcome) => {
                self.sessions.get(&outcome.session).map_or(Heard::Nothing, |attempt| {
                    Heard::ForAttempt(attempt.clone(), FromBroker::PeerOutcome(outcome.state))
                })
            }
            Notification::Presence(presence) => Heard::Presence(presence),
            Notification::Member(_)
            | Notification::Team(_)
            | Notification::DropTeam(_)
            | Notification::AddShare(_)
            | Notification::DropShare(_)
            | Notification::Note(_)
            | Notification::DropNote(_)
            | Notification::Revoked { .. }
            | Notification::Restarting { .. }
            | Notification::Verify
            | Notification::Listed
            | Notification::Several(_)
            // One of a newer version.
            | _ => Heard::Nothing,
        }
    }
}

/// A report that crossed the session's end is no failure of anything.
fn is_late(name: &ErrorName) -> bool {
    name.0 == "unknown-session"
}

/// What the broker answers to a login.
///
/// # Errors
///
/// The word with which the broker refuses.
pub fn login_answer(response: Response) -> Result<LoggedIn, ErrorName> {
    match response.result? {
        Reply::LoggedIn(logged_in) => Ok(logged_in),
        Reply::Observed(_)
        | Reply::Accepted(_)
        | Reply::Joined(_)
        | Reply::Certified(_)
        | Reply::NoteKept(_)
        | Reply::Done => Err(ErrorName("an answer to another question".into())),
    }
}

#[cfg(test)]
mod tests {
    use simopen_protocol::cause::Cause;
    use simopen_protocol::control::{Accepted, Destination};
    use simopen_protocol::control::{Outcome, OutcomeState};
    use simopen_protocol::greeting::Greetings;
    use simopen_protocol::identity::PeerId;
    use simopen_protocol::token::Token;

    use super::*;

    fn answered(request: &Request, result: Result<Reply, ErrorName>) -> Message {
        Message::Response(Response { head: request.head(), result })
    }

    fn accepted(session: SessionId) -> Accepted {
        let token = Token::from_random([1; 32]);
        Accepted {
            session,
            peer: PeerId(2),
            device: None,
            certificate: None,
            destination: Destination::Endpoint("203.0.113.9:52000".parse().unwrap()),
            round_trip: core::time::Duration::ZERO,
            greetings: Greetings { own: token, peer: token },
            private: None,
        }
    }

    fn outcome(session: SessionId) -> Message {
        let state = OutcomeState::Failed(Cause::NoAnswer);
        Message::Notification(Notification::PeerOutcome(Outcome { session, state }))
    }

    #[test]
    fn an_answer_is_for_the_attempt_that_asked_and_only_once() {
        let mut signalling = Signalling::default();
        let [one, other] = ["one", "other"].map(|name| signalling.request(Action::Ping, name));
        assert_ne!(one.id, other.id);
        let refusal = || answered(&other, Err(Cause::NotProven.into()));
        let told = FromBroker::Refused(Cause::NotProven);
        assert_eq!(signalling.handle_message(refusal()), Heard::ForAttempt("other", told));
        assert_eq!(signalling.handle_message(refusal()), Heard::Nothing);
    }

    #[test]
    fn a_session_is_known_as_soon_as_its_request_is_accepted() {
        let mut signalling = Signalling::default();
        let request = signalling.request(Action::Ping, 1);
        let reply = accepted(SessionId(7));
        let heard =
            signalling.handle_message(answered(&request, Ok(Reply::Accepted(reply.clone()))));
        assert_eq!(heard, Heard::ForAttempt(1, FromBroker::Accepted(Box::new(reply))));
        let told = FromBroker::PeerOutcome(OutcomeState::Failed(Cause::NoAnswer));
        assert_eq!(signalling.handle_message(outcome(SessionId(7))), Heard::ForAttempt(1, told));
        assert_eq!(signalling.handle_message(outcome(SessionId(8))), Heard::Nothing);
    }

    #[test]
    fn a_report_that_comes_after_the_end_of_its_session_is_no_refusal() {
        let mut signalling = Signalling::default();
        let request = signalling.request(Action::Ping, 1);
        let late = answered(&request, Err(ErrorName("unknown-session".into())));
        assert_eq!(signalling.handle_message(late), Heard::Nothing);
    }

    #[test]
    fn a_session_whose_attempt_has_ended_is_forgotten() {
        let mut signalling = Signalling::default();
        signalling.subscribe(SessionId(1), 1);
        signalling.subscribe(SessionId(2), 2);
        signalling.retain(|attempt| *attempt != 1);
        assert_eq!(signalling.handle_message(outcome(SessionId(1))), Heard::Nothing);
        assert!(matches!(
            signalling.handle_message(outcome(SessionId(2))),
            Heard::ForAttempt(2, _)
        ));
    }
}
