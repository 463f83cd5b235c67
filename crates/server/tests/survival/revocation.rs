//! A user who may do nothing any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simopen_benches::client::{Client, dial};
use simopen_benches::stand::{Prepared, Stand};
use simopen_broker::{AdminReply, AdminRequest};
use simopen_device::socket::listener_saving_syn;
use simopen_protocol::control::{
    Accept, Action, Connect, Destination, Meeting, Message, Notification, Reply,
};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::{Carriage, Technique};
use simopen_server::relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::honest::{HONEST, block_on, in_time, logged_in, told};

/// Ten times the second within which a revoked user has lost everything.
const BOUND: Duration = Duration::from_secs(10);

const RELAY: Technique = Technique::Relay(Carriage::Any);

/// Bytes that make a round between two who have met.
const PIECE: usize = 1024;

/// A broker with a relay in its process, for users `u0`, `u1`, …
fn stand(users: usize) -> Stand {
    let listener = listener_saving_syn("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = listener.local_addr().unwrap();
    let with_relay = move |builder: simopen_server::broker::Builder| {
        builder.relay(vec![at.into()], relay::Builder::new().start().unwrap())
    };
    Prepared::new(users).unwrap().start_on(listener, with_relay).unwrap()
}

pub(crate) fn of_a_user() {
    let stand = stand(5);
    block_on(async {
        let mut alice = logged_in(&stand, 0).await;
        let mut bob = logged_in(&stand, 1).await;
        let mut carol = logged_in(&stand, 2).await;
        let mut dave = logged_in(&stand, 3).await;
        let of_alice = Traffic::between(&mut alice, &mut bob, &stand, 1).await;
        let of_others = Traffic::between(&mut carol, &mut dave, &stand, 3).await;
        of_alice.goes_on().await;
        of_others.goes_on().await;

        let begun = Instant::now();
        let revoke = AdminRequest::RevokeUser(stand.devices[0].user.clone());
        let reply = in_time("the operator's answer", stand.desk.admin(revoke)).await;
        assert_eq!(reply, Some(Ok(AdminReply::Done)));
        in_time("the end of the control link", async { while alice.read().await.is_ok() {} }).await;
        let user = stand.devices[0].user.clone();
        let is_revoked = |it: &Notification| matches!(it, Notification::Revoked { user: revoked, device: None } if *revoked == user);
        told(&mut bob, "the revocation, to whom there is a link", is_revoked).await;
        told(&mut carol, "the revocation, to another friend", is_revoked).await;
        of_alice.ends().await;
        let took = begun.elapsed();
        println!("  all was lost after {took:?}");
        assert!(took < BOUND);
        // The control: nobody else has lost a pair.
        of_others.goes_on().await;

        let again = Client::logged_in(stand.address, &stand.devices[0], Some(HONEST));
        assert!(in_time("an answer", again).await.is_err(), "it does not log in again");
        let to = stand.devices[0].user.clone();
        let asked = bob.request(connect(to)).await.unwrap();
        assert!(asked.is_err(), "nobody can ask for it");
        drop(logged_in(&stand, 4).await);
        of_others.goes_on().await;
        assert_eq!(pairs(&stand).await, 1);
        of_others.leave();
        in_time("the relay's word that the pair is no more", async {
            while pairs(&stand).await > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop((carol, dave));
    });
}

/// How many pairs the broker knows to stand at the relay.
async fn pairs(stand: &Stand) -> usize {
    in_time("the broker's figures", stand.desk.figures()).await.unwrap().gauges.pairings
}

/// Two who have met at the relay; bytes go round between them as fast as they can.
struct Traffic {
    rounds: Arc<AtomicU64>,
    sides: [JoinHandle<()>; 2],
}

impl Traffic {
    async fn between(one: &mut Client, other: &mut Client, stand: &Stand, number: usize) -> Self {
        let to = stand.devices[number].user.clone();
        let [mut near, mut far] = met(one, other, to).await;
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rounds);
        let asking = async move {
            let mut piece = [7; PIECE];
            while near.write_all(&piece).await.is_ok() && near.read_exact(&mut piece).await.is_ok()
            {
                assert_eq!(piece, [7; PIECE]);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let answering = async move {
            let mut piece = [0; PIECE];
            while far.read_exact(&mut piece).await.is_ok() && far.write_all(&piece).await.is_ok() {}
        };
        Self { rounds, sides: [tokio::spawn(asking), tokio::spawn(answering)] }
    }

    /// Returns when further bytes have made their round.
    async fn goes_on(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        in_time("bytes of a pair that stands", async {
            while self.rounds.load(Ordering::Relaxed) < before + 10 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Both close.
    fn leave(self) {
        for side in self.sides {
            side.abort();
        }
    }

    /// Returns when neither side can read or write any more.
    async fn ends(self) {
        for side in self.sides {
            in_time("the end of the pair", side).await.unwrap();
        }
    }
}

/// Both have presented what the broker gave them.
async fn met(one: &mut Client, other: &mut Client, to: UserId) -> [TcpStream; 2] {
    in_time("the request leaves", one.ask(connect(to))).await.unwrap();
    let is_request = |it: &Notification| matches!(it, Notification::ConnectionRequest(_));
    let request = told(other, "the request", is_request).await;
    let Notification::ConnectionRequest(request) = request else { panic!("{request:?}") };
    let accept = Accept { session: request.session, port: 0, syn: None, private: None };
    let accepted = in_time("an answer", other.request(Action::Accept(accept))).await.unwrap();
    assert_eq!(accepted, Ok(Reply::Done));
    let accepted = in_time("the other's consent", async {
        loop {
            if let Message::Response(response) = one.read().await.unwrap() {
                return response.result.unwrap();
            }
        }
    });
    let Reply::Accepted(accepted) = accepted.await else { panic!("no session") };
    let near = presented(accepted.destination).await;
    [near, presented(request.destination).await]
}

async fn presented(destination: Destination) -> TcpStream {
    let Destination::Meeting(Meeting { relay, value }) = destination else {
        panic!("{destination:?}");
    };
    let at: SocketAddr = relay[0].to_string().parse().unwrap();
    let mut stream = in_time("the relay", dial(at, Some(HONEST))).await.unwrap();
    stream.write_all(value.as_bytes()).await.unwrap();
    stream
}

fn connect(to: UserId) -> Action {
    Action::Connect(Connect { to, device: None, technique: RELAY, port: 0, syn: None })
}
