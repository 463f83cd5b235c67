//! A user who may do nothing any more.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simopen_benches::client::Client;
use simopen_benches::stand::Stand;
use simopen_broker::{AdminReply, AdminRequest, PairingOrder};
use simopen_protocol::control::{Accept, Action, Connect, Notification, Reply};
use simopen_protocol::identity::{SessionId, UserId};
use simopen_protocol::technique::{Carriage, Technique};
use simopen_server::broker::{PairingAnswer, Pairings};
use tokio::sync::mpsc;

use crate::honest::{HONEST, block_on, in_time, logged_in, told};

/// Ten times the second within which a revoked user has lost everything.
const BOUND: Duration = Duration::from_secs(10);

const RELAY: Technique = Technique::Relay(Carriage::Any);

/// A relay that takes every order and remembers it.
struct Obedient {
    orders: Arc<Mutex<Vec<PairingOrder>>>,
    answers: mpsc::UnboundedSender<PairingAnswer>,
}

impl Pairings for Obedient {
    fn order(&mut self, order: PairingOrder) {
        if let PairingOrder::Open(proxy) = &order {
            let _ = self.answers.send(PairingAnswer::Opened(proxy.session));
        }
        self.orders.lock().unwrap().push(order);
    }
}

pub(crate) fn of_a_user() {
    let orders = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&orders);
    let stand = Stand::start(4, move |builder| {
        let (answers, answered) = mpsc::unbounded_channel();
        let relay = vec!["127.0.0.1:7443".parse().unwrap()];
        builder.pairings(relay, Box::new(Obedient { orders: kept, answers }), answered)
    })
    .unwrap();
    block_on(async {
        let mut alice = logged_in(&stand, 0).await;
        let mut bob = logged_in(&stand, 1).await;
        let mut carol = logged_in(&stand, 2).await;
        let session = paired(&mut alice, &mut bob, &stand).await;

        let begun = Instant::now();
        let revoke = AdminRequest::RevokeUser(stand.devices[0].user.clone());
        let reply = in_time("the operator's answer", stand.desk.admin(revoke)).await;
        assert_eq!(reply, Some(Ok(AdminReply::Done)));
        in_time("the end of the control link", async { while alice.read().await.is_ok() {} }).await;
        let user = stand.devices[0].user.clone();
        let is_revoked = |it: &Notification| matches!(it, Notification::Revoked { user: revoked, device: None } if *revoked == user);
        told(&mut bob, "the revocation, to whom there is a link", is_revoked).await;
        told(&mut carol, "the revocation, to another friend", is_revoked).await;
        let ended = PairingOrder::End(session);
        assert!(orders.lock().unwrap().contains(&ended), "the pair at the relay ends");
        let took = begun.elapsed();
        println!("  all was lost after {took:?}");
        assert!(took < BOUND);

        let again = Client::logged_in(stand.address, &stand.devices[0], Some(HONEST));
        assert!(in_time("an answer", again).await.is_err(), "it does not log in again");
        let to = stand.devices[0].user.clone();
        let asked = bob.request(connect(to)).await.unwrap();
        assert!(asked.is_err(), "nobody can ask for it");
        drop(logged_in(&stand, 3).await);
    });
}

/// Both have what they need to meet at the relay.
async fn paired(alice: &mut Client, bob: &mut Client, stand: &Stand) -> SessionId {
    let asked = alice.ask(connect(stand.devices[1].user.clone()));
    in_time("the request leaves", asked).await.unwrap();
    let is_request = |it: &Notification| matches!(it, Notification::ConnectionRequest(_));
    let request = told(bob, "the request", is_request).await;
    let Notification::ConnectionRequest(request) = request else { panic!("{request:?}") };
    let accept = Accept { session: request.session, port: 0, syn: None, private: None };
    let accepted = in_time("an answer", bob.request(Action::Accept(accept))).await.unwrap();
    assert_eq!(accepted, Ok(Reply::Done));
    request.session
}

fn connect(to: UserId) -> Action {
    Action::Connect(Connect { to, device: None, technique: RELAY, port: 0, syn: None })
}
