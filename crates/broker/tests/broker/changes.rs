//! Whatever is asked in whatever order, and whatever the store does: what is acknowledged is kept,
//! what is kept gives the same directory again, and what was refused has changed nothing.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use simopen_broker::directory::{
    Change, Device, DeviceKind, Directory, Invitation, Invited, KeptNote, SecretHash, Standing,
};
use simopen_broker::{AdminReply, AdminRequest, LinkId};
use simopen_protocol::control::{
    Action, Join, NoteSend, PublicKey, Recipient, Reply, TeamId, TeamMember,
};
use simopen_protocol::identity::{CommunityName, NoteId, UserId};
use simopen_protocol::token::Token;

use crate::desk::{Desk, Store, endpoint, user};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn name() -> impl Strategy<Value = UserId> {
    prop::sample::select(NAMES.to_vec()).prop_map(user)
}

fn community() -> impl Strategy<Value = CommunityName> {
    prop::sample::select(vec!["friends", "others"]).prop_map(|name| name.parse().unwrap())
}

fn team() -> impl Strategy<Value = TeamId> {
    (community(), prop::sample::select(vec!["chess", "go"]))
        .prop_map(|(community, team)| TeamId { community, team: team.parse().unwrap() })
}

fn device() -> impl Strategy<Value = Device> {
    (name(), 0_u8..4, 0_u8..4, any::<bool>()).prop_map(|(user, called, key, is_good)| Device {
        user,
        name: format!("device-{called}").parse().unwrap(),
        key: PublicKey(vec![key]),
        kind: DeviceKind::Peer,
        joined: 1,
        invited_by: None,
        standing: if is_good { Standing::Good } else { Standing::Revoked },
    })
}

fn change() -> impl Strategy<Value = Change> {
    let hash = (0_u8..3).prop_map(|number| SecretHash([number; 32]));
    let invitation = (hash.clone(), name()).prop_map(|(hash, user)| Invitation {
        hash,
        invited: Invited::User(user),
        until: 5,
    });
    let recipients = prop::collection::btree_set(name(), 1..4);
    let note = (0_u64..4, name(), recipients).prop_map(|(id, from, recipients)| KeptNote {
        id: NoteId(id),
        from,
        team: None,
        sent: 1,
        subject: "s".into(),
        text: format!("{id}"),
        recipients,
    });
    prop_oneof![
        name().prop_map(|user| Change::User { user, secret: None }),
        name().prop_map(Change::UserRevoked),
        name().prop_map(Change::UserGone),
        (community(), name()).prop_map(|(community, user)| Change::Member { community, user }),
        (community(), name()).prop_map(|(community, user)| Change::Member { community, user }),
        (community(), name()).prop_map(|(community, user)| Change::MemberGone { community, user }),
        device().prop_map(Change::Device),
        (0_u8..4).prop_map(|key| Change::DeviceRevoked(PublicKey(vec![key]).fingerprint())),
        invitation.prop_map(Change::Invitation),
        hash.prop_map(Change::InvitationGone),
        (team(), name()).prop_map(|(team, owner)| Change::Team { team, owner }),
        team().prop_map(Change::TeamGone),
        (team(), name()).prop_map(|(team, user)| Change::TeamMember { team, user }),
        (team(), name()).prop_map(|(team, user)| Change::TeamMemberGone { team, user }),
        note.prop_map(Change::Note),
        (0_u64..4, name())
            .prop_map(|(id, recipient)| Change::NoteGone { note: NoteId(id), recipient }),
    ]
}

/// What is said of every directory, whatever made it.
fn assert_sound(directory: &Directory) {
    for (team, record) in directory.teams() {
        assert!(record.members.contains(&record.owner), "an owner is a member");
        for member in &record.members {
            assert!(directory.is_member(&team.community, member), "a team stays in its community");
            assert!(directory.teams_of(member).any(|one| one == team));
        }
    }
    for one in directory.users() {
        for community in directory.communities_of(one) {
            assert!(directory.members(community).any(|member| member == one));
        }
        let notes = directory.notes_of(one);
        let sizes: Vec<usize> = notes.map(KeptNote::size).collect();
        assert_eq!(directory.mailbox(one), (sizes.len(), sizes.iter().sum()));
        if directory.standing(one) == Some(Standing::Revoked) {
            assert_eq!(directory.devices_of(one).count(), 0);
            assert_eq!(directory.communities_of(one).count(), 0);
        }
    }
}

fn replayed(directory: &Directory) -> Directory {
    let mut again = Directory::default();
    directory.changes().iter().for_each(|change| again.apply(change));
    again
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_changes_leave_a_sound_directory_that_its_own_changes_make_again(
        changes in prop::collection::vec(change(), 0..60)
    ) {
        let mut directory = Directory::default();
        for change in &changes {
            directory.apply(change);
            let once = directory.clone();
            directory.apply(change);
            prop_assert_eq!(&directory, &once, "a change that is taken twice is taken once");
            assert_sound(&directory);
        }
        prop_assert_eq!(replayed(&directory), directory);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask(usize, Action),
    Admin(AdminRequest),
    Join(usize, u8, u8),
    Settle(bool),
    Reconnect(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let member = || (team(), name()).prop_map(|(team, user)| TeamMember { team, user });
    let to = prop_oneof![name().prop_map(Recipient::Member), team().prop_map(Recipient::Team)];
    let note = to.prop_map(|to| NoteSend { to, subject: "s".into(), text: "t".into() });
    let action = prop_oneof![
        note.prop_map(Action::NoteSend),
        (0_usize..8).prop_map(|place| Action::NoteDelete(NoteId(place as u64))),
        team().prop_map(Action::TeamCreate),
        team().prop_map(Action::TeamDelete),
        member().prop_map(Action::TeamAdd),
        member().prop_map(Action::TeamRemove),
        Just(Action::Ping),
    ];
    let admin = prop_oneof![
        name().prop_map(|user| AdminRequest::AddUser {
            user,
            communities: vec!["friends".parse().unwrap()]
        }),
        name().prop_map(AdminRequest::RevokeUser),
        name().prop_map(AdminRequest::RemoveUser),
        (community(), name())
            .prop_map(|(community, user)| AdminRequest::AddMember { community, user }),
        (community(), name())
            .prop_map(|(community, user)| AdminRequest::RemoveMember { community, user }),
        name().prop_map(|user| AdminRequest::Invite { user, lifetime: Duration::from_secs(60) }),
        name().prop_map(|user| AdminRequest::RevokeDevice {
            user,
            device: "device-1".parse().unwrap()
        }),
    ];
    prop_oneof![
        6 => (0_usize..4, action).prop_map(|(who, action)| Step::Ask(who, action)),
        3 => admin.prop_map(Step::Admin),
        2 => (0_usize..3, 0_u8..3, 0_u8..4)
            .prop_map(|(secret, device, key)| Step::Join(secret, device, key)),
        6 => any::<bool>().prop_map(Step::Settle),
        1 => (0_usize..4).prop_map(Step::Reconnect),
    ]
}

/// Four users with a link each, and a store that settles when it likes.
struct Scene {
    desk: Desk,
    links: [LinkId; 4],
    secrets: Vec<Token>,
    joins: usize,
}

impl Scene {
    fn new() -> Self {
        let mut desk = Desk::new();
        let links = NAMES.map(|name| {
            let link = desk.link_from(endpoint("198.51.100.7:1"));
            desk.log_in(name, link).unwrap();
            link
        });
        desk.store = Store::Waits;
        Self { desk, links, secrets: Vec::new(), joins: 0 }
    }

    fn take(&mut self, step: Step) {
        let before = self.desk.broker.directory().clone();
        match step {
            Step::Ask(who, action) => {
                let is_ping = action == Action::Ping;
                if let Some(Ok(reply)) = self.desk.ask(self.links[who], action) {
                    // Only what changes nothing is acknowledged without the store.
                    assert!(is_ping || reply == Reply::Done, "{reply:?}");
                }
            }
            Step::Admin(request) => {
                if let Some(Ok(AdminReply::Invited { .. })) = self.desk.try_admin(request) {
                    panic!("an invitation that nobody keeps");
                }
            }
            Step::Join(secret, device, key) => {
                let secret = self.secrets.get(secret).copied();
                let join = Join {
                    device: format!("device-{device}").parse().unwrap(),
                    secret: secret.unwrap_or(Token::from_random([0; 32])),
                    key: PublicKey(vec![key]),
                };
                self.joins += 1;
                // Each from an address of its own, so that nobody waits for a guesser.
                let address = u32::try_from(self.joins).unwrap() + 0xc633_0000;
                let remote = std::net::SocketAddr::new(std::net::Ipv4Addr::from(address).into(), 1);
                let link = self.desk.link_from(remote);
                drop(self.desk.ask(link, Action::Join(join)));
            }
            Step::Settle(keeps) if !self.desk.asked.is_empty() => {
                let asked = self.desk.asked[0].clone();
                self.desk.settle(if keeps { Store::Keeps } else { Store::Fails });
                self.learn();
                let mut expected = before;
                if keeps {
                    asked.changes.iter().for_each(|change| expected.apply(change));
                }
                assert_eq!(self.desk.broker.directory(), &expected);
            }
            Step::Settle(_) => {}
            Step::Reconnect(who) => {
                self.desk.close(self.links[who]);
                let link = self.desk.link_from(endpoint("198.51.100.7:1"));
                self.links[who] = link;
                let login = self.desk.log_in_if_possible(NAMES[who], link);
                drop(login);
            }
        }
        assert!(self.desk.asked.len() <= 1, "one change is with the store at a time");
        assert_eq!(self.desk.broker.directory(), &self.desk.kept, "what is in force is kept");
        assert_sound(&self.desk.kept);
        assert_eq!(replayed(&self.desk.kept), self.desk.kept);
    }

    /// Takes the secrets of invitations that were acknowledged.
    fn learn(&mut self) {
        while let Some(answer) = self.desk.any_answer() {
            if let Ok(AdminReply::Invited { secret, .. }) = answer {
                assert!(self.desk.kept.invitation(&SecretHash::of(&secret)).is_some(), "kept");
                self.secrets.insert(0, secret);
            }
        }
    }
}

#[test]
fn what_is_acknowledged_is_kept_and_what_is_in_force_is_what_is_kept() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let devices = std::cell::Cell::new(0);
    let notes = std::cell::Cell::new(0);
    let outcome = runner.run(&prop::collection::vec(step(), 1..80), |script| {
        let mut scene = Scene::new();
        for step in script {
            scene.take(step);
        }
        devices.set(devices.get() + scene.desk.kept.devices().count());
        notes.set(notes.get() + scene.desk.kept.notes().count());
        Ok(())
    });
    outcome.unwrap();
    assert!(
        devices.get() > 10 && notes.get() > 20,
        "{} devices, {} notes",
        devices.get(),
        notes.get()
    );
}
