//! Where an operator's words are answered.

use std::future::Future;

use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::BrokerName;
use simopen_protocol::invitation::Invitation;
use simopen_protocol::token::Token;

use super::reading::{refused, requests};
use super::words::{Answer, Count, Invited, Refused, Rendezvous, Told, Word};
use crate::broker;
use crate::figures::{Figure, of_broker};

/// What the name of a value ends with, for clients that ask the relay for it by CONNECT.
const RENDEZVOUS: &str = ".rendezvous:443";

/// A running broker, as an operator sees it.
pub trait Administered: Clone + Send + Sync + 'static {
    /// Asks the broker; `None` once it has ended.
    fn admin(
        &self,
        request: AdminRequest,
    ) -> impl Future<Output = Option<Result<AdminReply, AdminError>>> + Send;

    /// What is counted of it and around it; nothing once it has ended.
    fn figures(&self) -> impl Future<Output = Vec<Figure>> + Send;
}

impl Administered for broker::Desk {
    async fn admin(&self, request: AdminRequest) -> Option<Result<AdminReply, AdminError>> {
        Self::admin(self, request).await
    }

    async fn figures(&self) -> Vec<Figure> {
        Self::figures(self).await.map_or_else(Vec::new, |figures| of_broker(&figures))
    }
}

/// What invitations say of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// What the broker calls itself.
    pub name: BrokerName,
    /// Where devices reach it, best first.
    pub addresses: Vec<HostPort>,
    /// The SHA-256 of its authority's certificate.
    pub authority: [u8; 32],
}

impl Introduction {
    /// The whole invitation for a secret.
    #[must_use]
    pub fn invitation(&self, secret: Token, until: u64) -> Invitation {
        Invitation {
            broker: self.name.clone(),
            addresses: self.addresses.clone(),
            authority: self.authority,
            secret,
            until,
        }
    }
}

/// Answers an operator's words by asking the broker.
#[derive(Debug, Clone)]
pub struct Attendant<B> {
    broker: B,
    introduction: Introduction,
}

impl<B: Administered> Attendant<B> {
    /// For a broker.
    #[must_use]
    pub const fn new(broker: B, introduction: Introduction) -> Self {
        Self { broker, introduction }
    }

    /// Answers.
    pub async fn answer(&self, word: Word) -> Answer {
        match self.told(word).await {
            Ok(told) => Answer::Ok(told),
            Err(refused) => Answer::Error(refused),
        }
    }

    /// Answers one line with one line, both without their end.
    pub async fn answer_line(&self, line: &str) -> String {
        let answer = match serde_json::from_str(line) {
            Ok(word) => self.answer(word).await,
            Err(error) => Answer::Error(refused("bad-request", error)),
        };
        // Nothing in an answer can fail to be written as JSON: its keys are all text.
        serde_json::to_string(&answer).unwrap_or_default()
    }

    async fn told(&self, word: Word) -> Result<Told, Refused> {
        if matches!(word, Word::Stats {}) {
            let figures = self.broker.figures().await;
            return Ok(Told::Stats(figures.into_iter().map(Count::from).collect()));
        }
        let mut told = Told::Done {};
        let requests = requests(word)?;
        let last = requests.len();
        for (number, request) in (1..).zip(requests) {
            // Whoever is invited with communities may be a user already.
            let may_exist = number < last && is_preparation(&request);
            let answer = self.broker.admin(request).await;
            match answer.ok_or_else(|| refused("ended", "the broker has ended"))? {
                Ok(reply) => told = self.told_by(reply)?,
                Err(AdminError::Exists) if may_exist => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(told)
    }

    fn told_by(&self, reply: AdminReply) -> Result<Told, Refused> {
        Ok(match reply {
            AdminReply::Done => Told::Done {},
            AdminReply::Invited { secret, until } => {
                let line = self.introduction.invitation(secret, until).reveal();
                Told::Invited(Invited { line, until })
            }
            AdminReply::Users(users) => Told::Users(views(users)),
            AdminReply::Devices(devices) => Told::Devices(views(devices)),
            AdminReply::Peers(peers) => Told::Peers(views(peers)),
            AdminReply::Sessions(sessions) => Told::Sessions(views(sessions)),
            AdminReply::Teams(teams) => Told::Teams(views(teams)),
            AdminReply::Rendezvous { relay, values } => Told::Rendezvous(Rendezvous {
                relay: relay.iter().map(ToString::to_string).collect(),
                hosts: values.map(|value| value.reveal() + RENDEZVOUS),
            }),
            AdminReply::Stats(..) | _ => {
                return Err(refused("unknown-answer", "the broker answered something else"));
            }
        })
    }
}

/// Whether a request only makes sure that what the next one needs is there.
fn is_preparation(request: &AdminRequest) -> bool {
    matches!(request, AdminRequest::AddUser { .. } | AdminRequest::AddMember { .. })
}

fn views<E, V: From<E>>(entries: Vec<E>) -> Vec<V> {
    entries.into_iter().map(V::from).collect()
}

impl From<Figure> for Count {
    fn from(figure: Figure) -> Self {
        let label = figure.label.map(|(key, value)| [key.to_owned(), value]);
        Self { name: figure.name.to_owned(), label, value: figure.value }
    }
}
