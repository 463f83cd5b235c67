//! A peer shows that it lives, and says so when it is asked.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::net::SocketAddr;
use std::time::Duration;

use simopen_peer::{News, Peer, PeerConfig};
use simopen_protocol::control::{
    Action, LoggedIn, Message, Notification, Reply, Request, Response,
};
use simopen_protocol::frame::{self, Decoder};
use simopen_protocol::identity::{PeerId, UserId};
use simopen_protocol::token::Token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A broker's end of one link.
struct Link {
    stream: TcpStream,
    decoder: Decoder,
}

impl Link {
    /// Takes the next connection and lets it log in.
    async fn logged_in(listener: &TcpListener, alive: Option<Duration>) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut link = Self { stream, decoder: Decoder::new(frame::TO_BROKER) };
        let login = link.asked().await;
        let probe_secret = Token::from_random([3; 32]);
        let reply = LoggedIn { peer: PeerId(1), probe_secret, alive, online: vec![] };
        link.answer(&login, Reply::LoggedIn(reply)).await;
        link
    }

    async fn asked(&mut self) -> Request {
        let mut buffer = [0; 4096];
        loop {
            if let Some(body) = self.decoder.poll_frame().unwrap() {
                let Message::Request(request) = Message::parse(&body).unwrap() else { panic!() };
                return request;
            }
            let length = timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(length, 0, "the peer has closed");
            self.decoder.push(&buffer[..length]);
        }
    }

    async fn answer(&mut self, request: &Request, reply: Reply) {
        self.say(Message::Response(Response { head: request.head(), result: Ok(reply) })).await;
    }

    async fn say(&mut self, message: Message) {
        let mut wire = Vec::new();
        frame::encode(&message.to_bytes(), &mut wire);
        self.stream.write_all(&wire).await.unwrap();
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn config(broker: SocketAddr) -> PeerConfig {
    PeerConfig::new(broker, UserId::new("a").unwrap(), Token::from_random([1; 32]))
}

#[tokio::test]
async fn a_peer_that_has_nothing_to_say_pings() {
    let (listener, broker) = listener().await;
    let login = tokio::spawn(Peer::login(config(broker)));
    let mut link = Link::logged_in(&listener, Some(Duration::from_secs(1))).await;
    let _peer = login.await.unwrap().unwrap();
    for _ in 0..3 {
        let ping = link.asked().await;
        assert_eq!(ping.action, Action::Ping);
        link.answer(&ping, Reply::Done).await;
    }
}

#[tokio::test]
async fn a_peer_gives_up_a_broker_that_answers_no_ping() {
    let (listener, broker) = listener().await;
    let login = tokio::spawn(Peer::login(config(broker)));
    let _silent = Link::logged_in(&listener, Some(Duration::from_secs(1))).await;
    let (peer, _incoming) = login.await.unwrap().unwrap();
    timeout(PATIENCE, peer.lost()).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_asked_whether_it_is_there_answers() {
    let (listener, broker) = listener().await;
    let login = tokio::spawn(Peer::login(config(broker)));
    let mut link = Link::logged_in(&listener, None).await;
    let _peer = login.await.unwrap().unwrap();
    link.say(Message::Notification(Notification::Verify)).await;
    assert_eq!(link.asked().await.action, Action::Ping);
}

#[tokio::test]
async fn what_comes_in_one_document_is_told_one_by_one_and_the_end_of_the_link_too() {
    let (listener, broker) = listener().await;
    let config = config(broker);
    let mut news = config.news.subscribe();
    let login = tokio::spawn(Peer::login(config));
    let mut link = Link::logged_in(&listener, None).await;
    let (peer, _incoming) = login.await.unwrap().unwrap();
    let within = Duration::from_secs(3);
    let several = vec![Notification::Listed, Notification::Restarting { within }];
    link.say(Message::Notification(Notification::Several(several.clone()))).await;
    assert_eq!(news.recv().await.unwrap(), News::Online(PeerId(1)));
    for notification in several {
        let told = timeout(PATIENCE, news.recv()).await.unwrap().unwrap();
        assert_eq!(told, News::Told(notification.into()));
    }
    assert_eq!(peer.restarting(), Some(within));
    drop(link);
    assert_eq!(timeout(PATIENCE, news.recv()).await.unwrap().unwrap(), News::Offline);
}
