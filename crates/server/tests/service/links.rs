//! What a link may do to the broker, and what becomes of it.

use std::time::Duration;

use simopen_protocol::control::{Action, Message, Notification, Reply};
use simopen_protocol::frame;
use simopen_server::broker::{Refusal, ServiceLimits};
use simopen_server::front;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::stand::Stand;

/// The error word of the one response, and then the end.
async fn last_word(client: &mut Client) -> String {
    let message = client.read().await.unwrap();
    let Message::Response(response) = message else { panic!("{message:?}") };
    client.closed().await;
    response.result.unwrap_err().0
}

#[tokio::test]
async fn a_length_above_the_limit_is_answered_once_and_ends_the_link() {
    let stand = Stand::start();
    let mut client = Client::nobody(stand.at(), &stand.authority).await.unwrap();
    client.write(&[0, 0xff, 0xff, 0xff, b'<', b'<']).await.unwrap();
    assert_eq!(last_word(&mut client).await, "malformed");
    assert_eq!(stand.refused(Refusal::FrameTooLong).await, 1);
    stand.handle.stop().await;
}

#[tokio::test]
async fn what_is_no_document_is_answered_once_and_ends_the_link() {
    let stand = Stand::start();
    let mut client = Client::nobody(stand.at(), &stand.authority).await.unwrap();
    client.write(b"\0\0\0\x05<a/>x").await.unwrap();
    assert_eq!(last_word(&mut client).await, "malformed");
    assert_eq!(stand.refused(Refusal::Malformed).await, 1);
    stand.handle.stop().await;
}

#[tokio::test]
async fn clear_text_gets_no_answer_from_a_broker_with_an_authority() {
    let stand = Stand::start();
    let mut stream = TcpStream::connect(stand.at()).await.unwrap();
    stream.write_all(b"\0\0\0\x04<a/>").await.unwrap();
    let mut answer = Vec::new();
    // Closed with bytes unread, which may be a reset.
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_connection_that_does_not_show_who_it_is_is_closed_in_time() {
    let stand = Stand::start_as(|builder| {
        let mut limits = ServiceLimits::default();
        limits.front =
            front::Limits { newcomer_time: Duration::from_millis(100), ..front::Limits::default() };
        builder.service_limits(limits)
    });
    // One that says nothing, and one that is encrypted and then says nothing.
    let mut silent = TcpStream::connect(stand.at()).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    if let Ok(mut encrypted) = Client::nobody(stand.at(), &stand.authority).await {
        encrypted.closed().await;
    }
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_the_others_go_on() {
    let stand = Stand::start_as(|builder| {
        let mut limits = ServiceLimits::default();
        limits.waiting_of_link = 64 * 1024;
        builder.service_limits(limits)
    });
    let [deaf, alice] = [stand.joined("deaf").await, stand.joined("alice").await];
    let (mut deaf, _) = Client::log_in(stand.at(), &deaf).await.unwrap();
    let (mut alice, _) = Client::log_in(stand.at(), &alice).await.unwrap();
    // Answers repeat attributes; the kernels' buffers fill first.
    let long = format!("<PBReq Action=\"Ping\" ID=\"1\" Long=\"{}\"/>", "x".repeat(60_000));
    let mut asked = Vec::new();
    frame::encode(long.as_bytes(), &mut asked);
    while deaf.write(&asked).await.is_ok() {}
    assert_eq!(stand.refused(Refusal::ReaderTooSlow).await, 1);
    assert_eq!(alice.request(Action::Ping).await.unwrap(), Ok(Reply::Done));
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_broker_that_goes_away_says_so_and_waits_for_those_who_go() {
    let stand = Stand::start();
    let [one, other] = [stand.joined("one").await, stand.joined("other").await];
    let (mut one, _) = Client::log_in(stand.at(), &one).await.unwrap();
    let (mut other, _) = Client::log_in(stand.at(), &other).await.unwrap();
    let at = stand.at();
    let hours = Duration::from_secs(7200);
    let drained = tokio::spawn(stand.handle.drain(hours));
    for client in [&mut one, &mut other] {
        let is_wanted = |told: &Notification| matches!(told, Notification::Restarting { .. });
        client.told(is_wanted).await.unwrap();
    }
    // Nobody new is let in, and it has not ended yet.
    TcpStream::connect(at).await.map(drop).unwrap_err();
    assert!(!drained.is_finished());
    drop((one, other));
    drained.await.unwrap();
}

#[tokio::test]
async fn who_stays_when_a_broker_goes_away_is_closed_after_its_time() {
    let stand = Stand::start();
    let own = stand.joined("one").await;
    let (mut client, _) = Client::log_in(stand.at(), &own).await.unwrap();
    stand.handle.drain(Duration::from_millis(10)).await;
    client.closed().await;
}

#[tokio::test]
async fn members_of_a_community_learn_who_comes_and_goes() {
    let stand = Stand::start();
    let [one, other] = [stand.joined("one").await, stand.joined("other").await];
    let (mut one, _) = Client::log_in(stand.at(), &one).await.unwrap();
    let (client, reply) = Client::log_in(stand.at(), &other).await.unwrap();
    let is_about = |online: bool| {
        move |told: &Notification| {
            matches!(told, Notification::Presence(presence)
                if presence.peer == reply.peer && presence.online == online)
        }
    };
    one.told(is_about(true)).await.unwrap();
    drop(client);
    one.told(is_about(false)).await.unwrap();
    stand.handle.stop().await;
}
