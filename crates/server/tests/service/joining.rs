//! Joining by an invitation.

use std::time::Duration;

use simopen_peer::{DeviceKey, JoinError};
use simopen_protocol::control::{Action, Join, PublicKey};

use crate::client::Client;
use crate::stand::{Stand, device, join, user};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn who_has_an_invitation_joins_and_logs_in_by_the_certificate() {
    let stand = Stand::start();
    let own = stand.joined("alice").await;
    assert_eq!((own.user.clone(), own.device.clone()), (user("alice"), device("pc")));
    assert_eq!(own.authority, stand.authority.certificate());
    let (_client, reply) = Client::log_in(stand.at(), &own).await.unwrap();
    assert_eq!(reply.online, []);
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_broker_whose_authority_is_not_the_invitations_hears_no_secret() {
    let stand = Stand::start();
    stand.add("alice").await;
    let mut invitation = stand.invite("alice", HOUR).await;
    invitation.authority[0] ^= 1;
    let key = DeviceKey::generate().unwrap();
    let error = join(&invitation, &device("pc"), &key).await.unwrap_err();
    assert!(matches!(error, JoinError::NotAuthentic { .. }), "{error}");

    // The secret was not used up.
    invitation.authority[0] ^= 1;
    join(&invitation, &device("pc"), &key).await.unwrap();
    stand.handle.stop().await;
}

#[tokio::test]
async fn an_invitation_is_good_once() {
    let stand = Stand::start();
    stand.add("alice").await;
    let invitation = stand.invite("alice", HOUR).await;
    let key = DeviceKey::generate().unwrap();
    join(&invitation, &device("pc"), &key).await.unwrap();
    let other = DeviceKey::generate().unwrap();
    let error = join(&invitation, &device("phone"), &other).await.unwrap_err();
    assert!(matches!(error, JoinError::Refused(_)), "{error}");
    // The device that joined by it did not hear the answer, perhaps.
    join(&invitation, &device("pc"), &key).await.unwrap();
    stand.handle.stop().await;
}

#[tokio::test]
async fn an_invitation_is_good_until_it_says() {
    let stand = Stand::start();
    stand.add("alice").await;
    let invitation = stand.invite("alice", HOUR).await;
    stand.pass(2 * HOUR).await;
    let key = DeviceKey::generate().unwrap();
    let error = join(&invitation, &device("pc"), &key).await.unwrap_err();
    assert!(matches!(error, JoinError::Refused(_)), "{error}");

    // One that is made now is good now.
    let invitation = stand.invite("alice", HOUR).await;
    join(&invitation, &device("pc"), &key).await.unwrap();
    stand.handle.stop().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_certified_does_not_join() {
    let stand = Stand::start();
    stand.add("alice").await;
    let invitation = stand.invite("alice", HOUR).await;
    let mut client = Client::nobody(stand.at(), &stand.authority).await.unwrap();
    let asked = Join {
        device: device("pc"),
        secret: invitation.secret,
        key: PublicKey(vec![0x30, 0x03, 0x02, 0x01, 0x00]),
    };
    let refused = client.request(Action::Join(asked)).await.unwrap().unwrap_err();
    assert_eq!(refused.0, "incomplete");
    // The invitation is still good.
    join(&invitation, &device("pc"), &DeviceKey::generate().unwrap()).await.unwrap();
    stand.handle.stop().await;
}
