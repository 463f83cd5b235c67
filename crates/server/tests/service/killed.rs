//! A broker that is killed at every step loses nothing that it has acknowledged; and a full disk.

use std::path::Path;

use simopen_broker::directory::{
    Change, Directory, Invitation as Invited, Invited as For, SecretHash,
};
use simopen_peer::{Credentials, DeviceKey};
use simopen_protocol::control::{Action, NoteSend, Notification, Recipient, Reply};
use simopen_protocol::identity::{BrokerName, CommunityName};
use simopen_protocol::invitation::Invitation;
use simopen_protocol::token::Token;
use simopen_server::authority::Authority;
use simopen_server::store::{Sqlite, Store};

use crate::client::Client;
use crate::process::{Death, Process};
use crate::scratch::Scratch;
use crate::stand::{device, join, now, user};

/// Two users in one community, one invitation for each.
pub(crate) fn prepare(directory: &Path, names: &[String]) {
    let home = CommunityName::new("home").unwrap();
    let mut changes = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let (user, community) = (user(name), home.clone());
        let hash = SecretHash::of(&secret(place));
        changes.push(Change::User { user: user.clone(), secret: None });
        changes.push(Change::Member { community, user: user.clone() });
        let until = now() + 3600;
        changes.push(Change::Invitation(Invited { hash, invited: For::User(user), until }));
    }
    Sqlite::open(directory.join("directory.sqlite")).unwrap().append(&changes).unwrap();
}

fn secret(place: usize) -> Token {
    let mut bytes = [7; 32];
    bytes[1..9].copy_from_slice(&place.to_be_bytes());
    Token::from_random(bytes)
}

fn invitation(process: &Process, directory: &Path, place: usize) -> Invitation {
    Invitation {
        broker: BrokerName::new("broker").unwrap(),
        addresses: vec![process.at.into()],
        authority: Authority::open(directory, now()).unwrap().fingerprint(),
        secret: secret(place),
        until: now() + 3600,
    }
}

pub(crate) fn loaded(directory: &Path) -> Directory {
    Sqlite::open(directory.join("directory.sqlite")).unwrap().load().unwrap()
}

pub(crate) fn names(number: usize) -> Vec<String> {
    (0..number).map(|place| format!("u{place}")).collect()
}

pub(crate) async fn joined(process: &Process, directory: &Path, number: usize) -> Vec<Credentials> {
    let mut all = Vec::new();
    for place in 0..number {
        let key = DeviceKey::generate().unwrap();
        let invitation = invitation(process, directory, place);
        all.push(join(&invitation, &device("pc"), &key).await.unwrap());
    }
    all
}

pub(crate) fn note(to: &Credentials) -> Action {
    let to = Recipient::Member(to.user.clone());
    Action::NoteSend(NoteSend { to, subject: "hello".into(), text: "there".into() })
}

#[tokio::test]
async fn a_join_that_was_acknowledged_outlives_a_kill() {
    let scratch = Scratch::new();
    prepare(scratch.path(), &names(1));
    let process = Process::start(scratch.path(), Death::Never, None);
    let all = joined(&process, scratch.path(), 1).await;
    process.kill();
    let process = Process::start(scratch.path(), Death::Never, None);
    Client::log_in(process.at, &all[0]).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_join_that_was_not_acknowledged_is_asked_again_and_comes_about() {
    for death in [Death::BeforeItIsKept, Death::AfterItIsKept] {
        let scratch = Scratch::new();
        prepare(scratch.path(), &names(1));
        let process = Process::start(scratch.path(), death, None);
        let key = DeviceKey::generate().unwrap();
        let asked = join(&invitation(&process, scratch.path(), 0), &device("pc"), &key).await;
        assert!(asked.is_err(), "{death:?}");
        process.died();
        let is_kept = loaded(scratch.path()).devices().next().is_some();
        assert_eq!(is_kept, death == Death::AfterItIsKept);

        let process = Process::start(scratch.path(), Death::Never, None);
        let own =
            join(&invitation(&process, scratch.path(), 0), &device("pc"), &key).await.unwrap();
        Client::log_in(process.at, &own).await.map(drop).unwrap();
    }
}

#[tokio::test]
async fn a_note_that_was_acknowledged_outlives_a_kill_and_reaches_who_was_away() {
    let scratch = Scratch::new();
    prepare(scratch.path(), &names(2));
    let process = Process::start(scratch.path(), Death::Never, None);
    let all = joined(&process, scratch.path(), 2).await;
    let (mut sender, _) = Client::log_in(process.at, &all[0]).await.unwrap();
    let kept = sender.request(note(&all[1])).await.unwrap();
    let Ok(Reply::NoteKept(id)) = kept else { panic!("{kept:?}") };
    process.kill();

    let process = Process::start(scratch.path(), Death::Never, None);
    let (mut recipient, _) = Client::log_in(process.at, &all[1]).await.unwrap();
    let is_note = |told: &Notification| matches!(told, Notification::Note(note) if note.id == id);
    recipient.told(is_note).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_dies_over_a_note_acknowledges_nothing_and_has_it_whole_or_not_at_all() {
    for death in [Death::BeforeItIsKept, Death::AfterItIsKept] {
        let scratch = Scratch::new();
        prepare(scratch.path(), &names(2));
        let process = Process::start(scratch.path(), Death::Never, None);
        let all = joined(&process, scratch.path(), 2).await;
        process.kill();
        let process = Process::start(scratch.path(), death, None);
        let (mut sender, _) = Client::log_in(process.at, &all[0]).await.unwrap();
        assert!(sender.request(note(&all[1])).await.is_err(), "{death:?}");
        process.died();
        let notes = loaded(scratch.path()).notes_of(&all[1].user).count();
        assert_eq!(notes, usize::from(death == Death::AfterItIsKept));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_to_who_asks_and_ends_nothing() {
    const ROOM: u32 = 400;
    let scratch = Scratch::new();
    prepare(scratch.path(), &names(2));
    let process = Process::start(scratch.path(), Death::Never, Some(ROOM));
    let all = joined(&process, scratch.path(), 2).await;
    let (mut sender, _) = Client::log_in(process.at, &all[0]).await.unwrap();
    let mut kept = 0;
    let refused = loop {
        let to = Recipient::Member(all[1].user.clone());
        let text = "x".repeat(16_000);
        let asked = Action::NoteSend(NoteSend { to, subject: String::new(), text });
        match sender.request(asked).await.unwrap() {
            Ok(Reply::NoteKept(_)) => kept += 1,
            other => break other,
        }
    };
    assert_eq!(refused.unwrap_err().0, "storage-failed");
    assert!(kept > 0, "nothing was kept from the beginning");
    // What changes nothing goes on, and others log in.
    assert_eq!(sender.request(Action::Ping).await.unwrap(), Ok(Reply::Done));
    Client::log_in(process.at, &all[1]).await.map(drop).unwrap();
    process.kill();
    assert_eq!(loaded(scratch.path()).notes_of(&all[1].user).count(), kept);
}
