//! Two ends, of which one shows something else than it should.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData, date_time_ymd,
};
use simopen_protocol::identity::BrokerName;
use tokio::io::duplex;

use super::*;
use crate::credentials::DeviceKey;

const SESSION: SessionId = SessionId(7);

/// A public key, for an authority to sign.
struct Public(Vec<u8>);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = Certificate(params.self_signed(&key).unwrap().der().to_vec());
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self, key: &DeviceKey, said: &Said) -> Certificate {
        let names = vec![
            certificate_name::of_session(said.session, said.side),
            certificate_name::of_device(&said.user, &said.device),
        ];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![match said.side {
            SessionSide::Originator => ExtendedKeyUsagePurpose::ClientAuth,
            SessionSide::Responder => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(said.until, 1, 1);
        let pair = KeyPair::try_from(key.0.as_slice()).unwrap();
        let public = Public(pair.der_bytes().to_vec());
        Certificate(params.signed_by(&public, &self.issuer).unwrap().der().to_vec())
    }
}

/// What a certificate says.
#[derive(Clone)]
struct Said {
    session: SessionId,
    side: SessionSide,
    user: UserId,
    device: DeviceName,
    until: i32,
}

fn said(side: SessionSide) -> Said {
    let user = match side {
        SessionSide::Originator => "alice",
        SessionSide::Responder => "bob",
    };
    Said {
        session: SESSION,
        side,
        user: UserId::new(user).unwrap(),
        device: DeviceName::new("desk").unwrap(),
        until: 2100,
    }
}

struct End {
    own: Credentials,
    certificate: Certificate,
}

impl End {
    fn new(authority: &Authority, said: &Said) -> Self {
        let key = DeviceKey::generate().unwrap();
        let certificate = authority.sign(&key, said);
        let own = Credentials {
            broker: BrokerName::new("home").unwrap(),
            user: said.user.clone(),
            device: said.device.clone(),
            authority: authority.certificate.clone(),
            certificate: certificate.clone(),
            key,
        };
        Self { own, certificate }
    }
}

/// Lets both ends speak. Each expects the other of [`said`]; the answers are the keys that they
/// have seen.
async fn speak(originator: &End, responder: &End) -> [io::Result<PublicKey>; 2] {
    let (a, b) = duplex(64 * 1024);
    let (bob, alice) = (said(SessionSide::Responder), said(SessionSide::Originator));
    let at_a = Ends {
        session: SESSION,
        role: Role::Originator,
        certificate: &originator.certificate,
        user: &bob.user,
        device: &bob.device,
    };
    let at_b = Ends {
        session: SESSION,
        role: Role::Responder,
        certificate: &responder.certificate,
        user: &alice.user,
        device: &alice.device,
    };
    let (at_a, at_b) =
        tokio::join!(secure(a, &originator.own, &at_a), secure(b, &responder.own, &at_b));
    [at_a.map(|shown| shown.key), at_b.map(|shown| shown.key)]
}

fn both(authority: &Authority) -> (End, End) {
    let [originator, responder] = [SessionSide::Originator, SessionSide::Responder]
        .map(|side| End::new(authority, &said(side)));
    (originator, responder)
}

#[tokio::test]
async fn who_shows_what_the_broker_has_signed_is_known_by_its_key() {
    let (originator, responder) = both(&Authority::new());
    let [at_a, at_b] = speak(&originator, &responder).await;
    assert_eq!(at_a.unwrap(), responder.own.key.public().unwrap());
    assert_eq!(at_b.unwrap(), originator.own.key.public().unwrap());
}

#[tokio::test]
async fn a_responder_that_shows_anything_else_is_refused() {
    let authority = Authority::new();
    let right = said(SessionSide::Responder);
    for (what, wrong) in [
        ("expired", Said { until: 2021, ..right.clone() }),
        ("another session", Said { session: SessionId(8), ..right.clone() }),
        ("the other side", Said { side: SessionSide::Originator, ..right.clone() }),
        ("another user", Said { user: UserId::new("mallory").unwrap(), ..right.clone() }),
        ("another device", Said { device: DeviceName::new("phone").unwrap(), ..right }),
    ] {
        let originator = End::new(&authority, &said(SessionSide::Originator));
        let [at_a, _] = speak(&originator, &End::new(&authority, &wrong)).await;
        assert!(at_a.is_err(), "{what}");
    }
}

#[tokio::test]
async fn an_originator_that_shows_anything_else_is_refused() {
    let authority = Authority::new();
    let right = said(SessionSide::Originator);
    for (what, wrong) in [
        ("expired", Said { until: 2021, ..right.clone() }),
        ("another session", Said { session: SessionId(8), ..right.clone() }),
        ("the other side", Said { side: SessionSide::Responder, ..right.clone() }),
        ("another user", Said { user: UserId::new("mallory").unwrap(), ..right.clone() }),
        ("another device", Said { device: DeviceName::new("phone").unwrap(), ..right }),
    ] {
        let responder = End::new(&authority, &said(SessionSide::Responder));
        let [_, at_b] = speak(&End::new(&authority, &wrong), &responder).await;
        assert!(at_b.is_err(), "{what}");
    }
}

#[tokio::test]
async fn who_was_signed_for_by_somebody_else_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (originator, responder) = both(&authority);
    let (foreign_originator, foreign_responder) = both(&other);
    let [at_a, _] = speak(&originator, &foreign_responder).await;
    assert!(at_a.is_err());
    let [_, at_b] = speak(&foreign_originator, &responder).await;
    assert!(at_b.is_err());
}

#[tokio::test]
async fn a_certificate_without_its_key_is_good_for_nothing() {
    let authority = Authority::new();
    let (originator, responder) = both(&authority);
    let mut thief = End::new(&authority, &said(SessionSide::Responder));
    thief.certificate = responder.certificate.clone();
    let [at_a, _] = speak(&originator, &thief).await;
    assert!(at_a.is_err());
}
