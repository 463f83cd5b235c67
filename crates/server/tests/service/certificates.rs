//! Who may log in by which certificate, and how certificates follow each other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use simopen_broker::{AdminReply, AdminRequest};
use simopen_peer::DeviceKey;
use simopen_protocol::certificate_name;
use simopen_protocol::control::{Action, Login, Reachable, Reply};
use simopen_server::authority::{Authority, DEVICE_LIFETIME, SERVER_LIFETIME, Subject};
use simopen_server::broker::Refusal;

use crate::client::Client;
use crate::stand::{Stand, device, now, user};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_counted() {
    let stand = Stand::start();
    let mut own = stand.joined("alice").await;
    let public = own.key.public().unwrap();
    let subject = Subject { user: &own.user, device: &own.device, key: &public };
    let foreign = Authority::ephemeral(now()).unwrap();
    own.certificate = foreign.issue_device(subject, now()).unwrap();
    Client::log_in(stand.at(), &own).await.map(drop).unwrap_err();
    assert_eq!(stand.refused(Refusal::CertificateForeign).await, 1);
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_certificate_that_has_run_out_is_refused_and_counted() {
    let stand = Stand::start();
    let own = stand.joined("alice").await;
    Client::log_in(stand.at(), &own).await.map(drop).unwrap();
    stand.time.fetch_add(DEVICE_LIFETIME.as_secs() + 1, Ordering::Relaxed);
    Client::log_in(stand.at(), &own).await.map(drop).unwrap_err();
    assert_eq!(stand.refused(Refusal::CertificateExpired).await, 1);
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_certificate_is_for_its_own_user_alone() {
    let stand = Stand::start();
    let own = stand.joined("alice").await;
    stand.joined("bob").await;
    let mut client = Client::connect(stand.at(), &own).await.unwrap();
    let login = Login { user: user("bob"), secret: None, reachable: Reachable::Yes };
    let refused = client.request(Action::Login(login)).await.unwrap().unwrap_err();
    assert_eq!(refused.0, "not-authenticated");
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_key_that_never_joined_does_not_log_in_although_its_certificate_is_good() {
    let stand = Stand::start();
    let mut own = stand.joined("alice").await;
    own.key = DeviceKey::generate().unwrap();
    let own = stand.certified_at(&own, now());
    let error = Client::log_in(stand.at(), &own).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("not-authenticated"), "{error}");
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_on_the_link_and_good_for_longer() {
    let stand = Stand::start();
    let mut own = stand.joined("alice").await;
    let (mut client, _) = Client::log_in(stand.at(), &own).await.unwrap();
    stand.time.fetch_add((DEVICE_LIFETIME - DAY).as_secs(), Ordering::Relaxed);
    let renewed = client.request(Action::Certificate).await.unwrap();
    let Ok(Reply::Certified(Some(certificate))) = renewed else { panic!("{renewed:?}") };

    // The old one runs out; the link that it opened stands, and the new one opens others.
    stand.time.fetch_add(2 * DAY.as_secs(), Ordering::Relaxed);
    Client::log_in(stand.at(), &own).await.map(drop).unwrap_err();
    assert_eq!(client.request(Action::Ping).await.unwrap(), Ok(Reply::Done));
    own.certificate = certificate;
    Client::log_in(stand.at(), &own).await.map(drop).unwrap();
    stand.handle.stop().await;
}

#[tokio::test]
async fn the_broker_shows_a_new_certificate_in_time_and_no_link_notices() {
    let stand = Stand::start();
    // Back so far that the present is the time for another one; a clock that has gone back before
    // the certificate makes one too.
    let old = shown_by(&Client::nobody(stand.at(), &stand.authority).await.unwrap());
    let own = stand.joined("alice").await;
    let third = SERVER_LIFETIME.as_secs() / 3 * 2 + 1;
    stand.time.fetch_sub(third, Ordering::Relaxed);
    while shown_by(&Client::nobody(stand.at(), &stand.authority).await.unwrap()) == old {}
    let (mut client, _) =
        Client::log_in(stand.at(), &stand.certified_at(&own, now() - third)).await.unwrap();
    let first = shown_by(&client);
    stand.time.fetch_add(third, Ordering::Relaxed);
    // The broker looks at the clock once a second.
    loop {
        let another = Client::connect(stand.at(), &own).await.unwrap();
        if shown_by(&another) != first {
            break;
        }
    }
    assert_eq!(client.request(Action::Ping).await.unwrap(), Ok(Reply::Done));
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_clock_that_steps_ends_no_link() {
    let stand = Stand::start();
    let own = stand.joined("alice").await;
    let (mut client, _) = Client::log_in(stand.at(), &own).await.unwrap();
    for time in [0, u64::MAX / 4, now()] {
        stand.time.store(time, Ordering::Relaxed);
        assert_eq!(client.request(Action::Ping).await.unwrap(), Ok(Reply::Done));
        let figures = stand.handle.desk().figures().await.unwrap();
        assert_eq!(figures.gauges.peers, 1, "at {time}");
    }
    // Back in its time the broker does what it did before.
    Client::log_in(stand.at(), &own).await.map(drop).unwrap();
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_revoked_device_loses_its_link_and_does_not_come_back() {
    let stand = Stand::start();
    let own = stand.joined("alice").await;
    let (mut client, _) = Client::log_in(stand.at(), &own).await.unwrap();
    let revoke = AdminRequest::RevokeDevice { user: user("alice"), device: device("pc") };
    assert_eq!(stand.admin(revoke).await, Ok(AdminReply::Done));
    client.closed().await;
    Client::log_in(stand.at(), &own).await.map(drop).unwrap_err();
    stand.handle.stop().await;
}

/// The certificate that the broker showed.
fn shown_by(client: &Client) -> CertificateDer<'static> {
    client.stream.get_ref().1.peer_certificates().unwrap().first().unwrap().clone()
}

/// What the names of certificates are for stands in `certificate_name`; here is that they are in.
#[test]
fn a_sessions_certificate_names_its_side_its_session_and_its_device() {
    let authority = Authority::ephemeral(now()).unwrap();
    let key = DeviceKey::generate().unwrap().public().unwrap();
    let (alice, pc) = (user("alice"), device("pc"));
    let subject = Subject { user: &alice, device: &pc, key: &key };
    let session = simopen_protocol::identity::SessionId(7);
    let side = certificate_name::SessionSide::Responder;
    let issued = authority.issue_session(subject, side, session, now()).unwrap();
    let names =
        [certificate_name::of_session(session, side), certificate_name::of_device(&alice, &pc)];
    for name in names {
        let is_in = issued.0.windows(name.len()).any(|window| window == name.as_bytes());
        assert!(is_in, "{name}");
    }
    let certificate = CertificateDer::from(issued.0);
    assert_eq!(simopen_server::tls::key_of(&certificate), Some(key));
}
