//! The state directory: what is kept comes back, and what is not as it should be is refused.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use simopen_peer::home::{DeviceKey, Event, Home, HomeError, Membership, Verified};
use simopen_protocol::control::{Certificate, PublicKey};
use simopen_protocol::identity::BrokerName;

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simopen-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn home(&self) -> PathBuf {
        self.0.join("state/simopen")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn membership(name: &str) -> Membership {
    Membership {
        name: name.parse().unwrap(),
        broker: "home".parse().unwrap(),
        addresses: vec!["broker.example:7443".parse().unwrap(), "[::1]:7443".parse().unwrap()],
        user: "alice".parse().unwrap(),
        device: "laptop".parse().unwrap(),
        authority: Certificate(vec![0x30; 300]),
        certificate: Certificate((0..=255).collect()),
        key: DeviceKey(vec![7; 138]),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn name(text: &str) -> BrokerName {
    text.parse().unwrap()
}

/// Every file and folder below.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn what_was_joined_comes_back_and_is_its_owners_alone() {
    let scratch = Scratch::new("home-kept");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("work")).unwrap();
    home.add(&membership("home")).unwrap();
    assert_eq!(home.brokers().unwrap(), [name("home"), name("work")]);
    assert_eq!(home.membership(&name("work")).unwrap(), membership("work"));
    assert_eq!(home.memberships().unwrap().len(), 2);
    assert_eq!(mode(home.path()), 0o700);
    for path in all_below(home.path()) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    let printed = format!("{:?}", membership("work").key);
    assert_eq!(printed, "DeviceKey(…)");
}

#[test]
fn a_certificate_that_was_renewed_takes_the_old_ones_place() {
    let scratch = Scratch::new("home-renewed");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("home")).unwrap();
    home.renew(&name("home"), &[1, 2, 3]).unwrap();
    let found = home.membership(&name("home")).unwrap();
    assert_eq!(found.certificate, Certificate(vec![1, 2, 3]));
    assert_eq!(found.key, membership("home").key);
    let leftover = all_below(home.path()).into_iter().find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
    });
    assert_eq!(leftover, None, "nothing unfinished stays");
}

#[test]
fn a_name_is_taken_until_its_broker_is_forgotten() {
    let scratch = Scratch::new("home-taken");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("home")).unwrap();
    let error = home.add(&membership("home")).unwrap_err();
    assert!(matches!(error, HomeError::AlreadyJoined { .. }), "{error}");
    home.forget(&name("home")).unwrap();
    assert_eq!(home.brokers().unwrap(), []);
    home.add(&membership("home")).unwrap();
}

#[test]
fn a_device_without_a_broker_says_what_to_do() {
    let scratch = Scratch::new("home-empty");
    let home = Home::open(&scratch.home()).unwrap();
    let error = home.memberships().unwrap_err().to_string();
    assert!(error.contains("simopen join"), "{error}");
    home.add(&membership("home")).unwrap();
    let error = home.membership(&name("work")).unwrap_err().to_string();
    assert_eq!(error, "no broker 'work' was joined on this device; joined are: home");
}

#[test]
fn what_others_may_read_is_refused_with_what_to_do() {
    let scratch = Scratch::new("home-open");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("home")).unwrap();
    let key = scratch.home().join("brokers/home/device.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = home.membership(&name("home")).unwrap_err();
    assert!(matches!(error, HomeError::Open { mode: 0o644, .. }), "{error}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    home.membership(&name("home")).unwrap();
    fs::set_permissions(scratch.home(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = Home::open(&scratch.home()).unwrap_err().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let scratch = Scratch::new("home-damaged");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("home")).unwrap();
    let folder = scratch.home().join("brokers/home");
    for (file, text, said) in [
        ("device.key", "nothing of the kind", "holds no PRIVATE KEY"),
        (
            "certificate.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "holds no",
        ),
        ("broker.json", "{", "is damaged"),
        (
            "broker.json",
            r#"{"broker":"home","addresses":[],"user":"a","device":"b"}"#,
            "no address",
        ),
    ] {
        let path = folder.join(file);
        let kept = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let error = home.membership(&name("home")).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(file), "{error}");
        fs::remove_file(&path).unwrap();
        let error = home.membership(&name("home")).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        fs::write(&path, kept).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        home.membership(&name("home")).unwrap();
    }
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let scratch = Scratch::new("home-foreign");
    let (foreign, own) = if fs::metadata("/proc/self").unwrap().uid_is_root() {
        let path = scratch.0.join("foreign");
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        (path, 12345)
    } else {
        let path = scratch.0.join("foreign");
        symlink("/", &path).unwrap();
        (path, 0)
    };
    let error = Home::open(&foreign).unwrap_err();
    assert!(matches!(error, HomeError::Foreign { owner, .. } if owner == own), "{error}");
}

trait Owner {
    fn uid_is_root(&self) -> bool;
}

impl Owner for fs::Metadata {
    fn uid_is_root(&self) -> bool {
        std::os::unix::fs::MetadataExt::uid(self) == 0
    }
}

#[test]
fn the_log_keeps_what_happened_and_stays_bounded() {
    let scratch = Scratch::new("home-log");
    let home = Home::open(&scratch.home()).unwrap();
    assert_eq!(home.log().entries().unwrap(), []);
    let why = "x".repeat(10_000);
    for number in 0..800 {
        let event = if number % 2 == 0 {
            Event::LoggedIn { peer: number }
        } else {
            Event::LinkLost { why: why.clone() }
        };
        home.log().add(&"home", event);
    }
    let entries = home.log().entries().unwrap();
    assert_eq!(entries.last().unwrap().event, Event::LinkLost { why: why.clone() });
    assert_eq!(entries[entries.len() - 2].event, Event::LoggedIn { peer: 798 });
    assert!(entries.len() < 800, "the oldest are forgotten");
    let bytes: u64 = ["log.jsonl", "log.old.jsonl"]
        .iter()
        .map(|file| fs::metadata(scratch.home().join(file)).unwrap().len())
        .sum();
    assert!(bytes < 2 * (1024 * 1024 + 20_000), "{bytes}");
    assert_eq!(mode(&scratch.home().join("log.jsonl")), 0o600);
}

#[test]
fn the_first_key_of_a_device_stays_until_another_is_accepted() {
    let scratch = Scratch::new("home-pins");
    let home = Home::open(&scratch.home()).unwrap();
    home.add(&membership("home")).unwrap();
    let pins = home.pins(&name("home"));
    let (user, device) = ("bob".parse().unwrap(), "laptop".parse().unwrap());
    let [first, other] = [1, 2].map(|byte| PublicKey(vec![byte; 91]));
    assert_eq!(pins.all().unwrap(), []);
    assert_eq!(pins.keep(&user, &device, &first).unwrap(), first);
    assert_eq!(pins.keep(&user, &device, &other).unwrap(), first, "the first one is kept");
    assert_eq!(pins.accept(&user, &device).unwrap(), None, "none was refused yet");
    assert!(!pins.verify(&user, &device, &other).unwrap());
    assert!(pins.verify(&user, &device, &first).unwrap());
    pins.refuse(&user, &device, &other).unwrap();
    let pin = pins.find(&user, &device).unwrap().unwrap();
    assert_eq!((pin.key, pin.verified), (first, Verified::Yes));
    assert_eq!(pin.refused, Some(other.clone()));
    assert_eq!(pins.accept(&user, &device).unwrap(), Some(other.clone()));
    let pin = pins.find(&user, &device).unwrap().unwrap();
    assert_eq!((pin.key, pin.verified, pin.refused), (other, Verified::No, None));
    assert_eq!(pins.find(&user, &"phone".parse().unwrap()).unwrap(), None);
}
