//! The store in a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use rusqlite::Connection;
use simopen_broker::directory::{Change, Directory, Invitation, Invited, KeptNote, SecretHash};
use simopen_protocol::control::TeamId;
use simopen_protocol::identity::{CommunityName, NoteId, TeamName, UserId};
use simopen_server::store::{Sqlite, Store, StoreError};

use crate::scratch::Scratch;

fn a_user(number: u8) -> UserId {
    UserId::new(&format!("u{number}")).unwrap()
}

fn any_change() -> impl Strategy<Value = Change> {
    let user = || (0..4_u8).prop_map(a_user);
    let community = || (0..3_u8).prop_map(|n| CommunityName::new(&format!("c{n}")).unwrap());
    let team = move || {
        (community(), 0..2_u8).prop_map(|(community, n)| TeamId {
            community,
            team: TeamName::new(&format!("t{n}")).unwrap(),
        })
    };
    let note = || (0..6_u64).prop_map(NoteId);
    let invitation = (0..3_u8, prop::option::of(user())).prop_map(|(n, user)| {
        let invited = user.map_or(Invited::Relay, Invited::User);
        Change::Invitation(Invitation { hash: SecretHash([n; 32]), invited, until: 9 })
    });
    let kept = (note(), user(), prop::collection::btree_set(user(), 1..4)).prop_map(
        |(id, from, recipients)| {
            Change::Note(KeptNote {
                id,
                from,
                team: None,
                sent: 3,
                subject: "s".into(),
                text: "text".into(),
                recipients,
            })
        },
    );
    prop_oneof![
        4 => user().prop_map(|user| Change::User { user, secret: None }),
        1 => user().prop_map(Change::UserRevoked),
        1 => user().prop_map(Change::UserGone),
        4 => (community(), user()).prop_map(|(community, user)| Change::Member { community, user }),
        1 => (community(), user()).prop_map(|(community, user)| Change::MemberGone { community, user }),
        1 => invitation,
        1 => (0..3_u8).prop_map(|n| Change::InvitationGone(SecretHash([n; 32]))),
        2 => (team(), user()).prop_map(|(team, owner)| Change::Team { team, owner }),
        1 => team().prop_map(Change::TeamGone),
        2 => (team(), user()).prop_map(|(team, user)| Change::TeamMember { team, user }),
        1 => (team(), user()).prop_map(|(team, user)| Change::TeamMemberGone { team, user }),
        2 => kept,
        1 => (note(), user()).prop_map(|(note, recipient)| Change::NoteGone { note, recipient }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_kept_is_there_when_the_file_is_opened_again(
        groups in prop::collection::vec(prop::collection::vec(any_change(), 0..8), 0..12),
    ) {
        let scratch = Scratch::new();
        let file = scratch.file("directory.sqlite");
        let mut expected = Directory::default();
        let mut store = Sqlite::open(&file).unwrap();
        for group in &groups {
            store.append(group).unwrap();
            group.iter().for_each(|change| expected.apply(change));
        }
        drop(store);
        prop_assert_eq!(Sqlite::open(&file).unwrap().load().unwrap(), expected);
    }
}

#[test]
fn a_log_that_has_grown_long_is_written_anew_and_says_the_same() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    let mut store = Sqlite::open(&file).unwrap();
    let user = Change::User { user: a_user(1), secret: None };
    for _ in 0..11 {
        store.append(&vec![user.clone(); 1000]).unwrap();
    }
    drop(store);
    let records: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT count(*) FROM change", [], |row| row.get(0))
        .unwrap();
    assert!(records < 1100, "{records} records for one user");
    let directory = Sqlite::open(&file).unwrap().load().unwrap();
    assert_eq!(directory.users().collect::<Vec<_>>(), [&a_user(1)]);
}

#[test]
fn nobody_else_can_read_the_file() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    let mut store = Sqlite::open(&file).unwrap();
    store.append(&[Change::User { user: a_user(1), secret: None }]).unwrap();
    for entry in fs::read_dir(scratch.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    drop(Sqlite::open(&file).unwrap());
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version=99").unwrap();
    let before = fs::read(&file).unwrap();
    let error = Sqlite::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    Connection::open(&file).unwrap().execute_batch("PRAGMA application_id=7").unwrap();
    let error = Sqlite::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let text = scratch.file("notes.txt");
    fs::write(&text, "Dear diary, ".repeat(100)).unwrap();
    let error = Sqlite::open(&text).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_file_that_another_broker_has_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    let first = Sqlite::open(&file).unwrap();
    let error = Sqlite::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(first);
    Sqlite::open(&file).unwrap();
}

#[test]
fn a_file_that_is_in_use_is_backed_up_by_another_connection() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    let mut store = Sqlite::open(&file).unwrap();
    let user = |number| Change::User { user: a_user(number), secret: None };
    store.append(&[user(1)]).unwrap();
    let other = Connection::open(&file).unwrap();
    let copy = scratch.file("copy.sqlite");
    other.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    // Who reads for long keeps nobody from writing.
    other.execute_batch("BEGIN; SELECT * FROM change;").unwrap();
    store.append(&[user(2)]).unwrap();
    let users = |file| Sqlite::open(file).unwrap().load().unwrap().users().count();
    assert_eq!(users(&copy), 1);
    drop(store);
    assert_eq!(users(&file), 2);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    let error = Sqlite::open(scratch.file("missing/directory.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("missing/directory.sqlite"), "{error}");
}

#[test]
fn a_damaged_record_is_named_by_its_number() {
    let scratch = Scratch::new();
    let file = scratch.file("directory.sqlite");
    let mut store = Sqlite::open(&file).unwrap();
    store.append(&[Change::User { user: a_user(1), secret: None }]).unwrap();
    drop(store);
    let damage = "INSERT INTO change (body) VALUES ('{}')";
    Connection::open(&file).unwrap().execute_batch(damage).unwrap();
    let error = Sqlite::open(&file).unwrap().load().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { number: 2, .. }), "{error}");
}
