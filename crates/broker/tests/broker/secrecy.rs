//! Users without a common community neither see nor reach each other, nor learn that the other
//! exists: whatever is asked, no document on a link names a stranger, and every question about a
//! stranger is answered as one about nobody.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use simopen_broker::directory::{Directory, User};
use simopen_broker::{AdminRequest, BrokerConfig, LinkId};
use simopen_protocol::control::{
    Action, Connect, Message, NoteSend, Recipient, ShareId, TeamId, TeamMember,
};
use simopen_protocol::identity::CommunityName;
use simopen_protocol::technique::{Carriage, Technique};

use crate::desk::{Desk, endpoint, secret, user};

/// Names of which none is a part of another, nor of anything else that is said.
const NAMES: [&str; 5] = ["Qanna", "Zbert", "Xclara", "Ydavid", "Wemil"];
const COMMUNITIES: [&str; 3] = ["Kred", "Kgreen", "Kblue"];

fn community(place: usize) -> CommunityName {
    COMMUNITIES[place].parse().unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Reconnect(usize),
    Close(usize),
    Connect(usize, usize, bool),
    Note(usize, usize),
    TeamNote(usize, usize),
    TeamCreate(usize, usize),
    TeamAdd(usize, usize, usize),
    Share(usize, usize),
    Opened,
    Enter(usize, usize),
    Leave(usize, usize),
    Revoke(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, where_) = (0_usize..5, 0_usize..3);
    prop_oneof![
        4 => who.clone().prop_map(Step::Reconnect),
        1 => who.clone().prop_map(Step::Close),
        4 => (who.clone(), who.clone(), any::<bool>())
            .prop_map(|(from, to, relay)| Step::Connect(from, to, relay)),
        3 => (who.clone(), who.clone()).prop_map(|(from, to)| Step::Note(from, to)),
        2 => (who.clone(), where_.clone()).prop_map(|(from, team)| Step::TeamNote(from, team)),
        3 => (who.clone(), where_.clone()).prop_map(|(by, team)| Step::TeamCreate(by, team)),
        4 => (who.clone(), where_.clone(), who.clone())
            .prop_map(|(by, team, user)| Step::TeamAdd(by, team, user)),
        2 => (who.clone(), where_.clone()).prop_map(|(by, team)| Step::Share(by, team)),
        2 => Just(Step::Opened),
        1 => (who.clone(), where_.clone()).prop_map(|(who, place)| Step::Enter(who, place)),
        1 => (who.clone(), where_).prop_map(|(who, place)| Step::Leave(who, place)),
        1 => who.prop_map(Step::Revoke),
    ]
}

struct World {
    desk: Desk,
    links: [LinkId; 5],
    /// Who ever had a community in common: only of those may be spoken.
    met: [[bool; 5]; 5],
    documents: usize,
}

impl World {
    fn new(memberships: &[[bool; 3]; 5]) -> Self {
        let mut directory = Directory::default();
        for (name, places) in NAMES.iter().zip(memberships) {
            let communities = (0..3).filter(|place| places[*place]).map(community).collect();
            directory.insert(user(name), User { secret: Some(secret(name)), communities });
        }
        let relay = vec!["192.0.2.1:7443".parse().unwrap()];
        let config = BrokerConfig { relay, ..BrokerConfig::default() };
        let mut desk = Desk::with_config(config, directory);
        let links = NAMES.map(|name| {
            let link = desk.link_from(endpoint("198.51.100.7:1"));
            desk.log_in(name, link).unwrap();
            link
        });
        let mut world = Self { desk, links, met: [[false; 5]; 5], documents: 0 };
        world.judge();
        world
    }

    fn team(place: usize) -> TeamId {
        TeamId { community: community(place), team: "Team".parse().unwrap() }
    }

    fn take(&mut self, step: Step) {
        self.meet();
        match step {
            Step::Reconnect(who) => {
                self.desk.close(self.links[who]);
                self.links[who] = self.desk.link_from(endpoint("198.51.100.7:1"));
                drop(self.desk.log_in_if_possible(NAMES[who], self.links[who]));
            }
            Step::Close(who) => self.desk.close(self.links[who]),
            Step::Connect(from, to, relay) => {
                let technique = if relay {
                    Technique::Relay(Carriage::Any)
                } else {
                    Technique::SimultaneousOpen
                };
                let to_user = |to| Connect { to, device: None, technique, port: 4000, syn: None };
                self.ask_alike(from, to, |to| Action::Connect(to_user(to)));
            }
            Step::Note(from, to) => self.ask_alike(from, to, |to| {
                let (to, subject, text) = (Recipient::Member(to), "s".into(), "t".into());
                Action::NoteSend(NoteSend { to, subject, text })
            }),
            Step::TeamNote(from, place) => {
                let to = Recipient::Team(Self::team(place));
                let note = NoteSend { to, subject: "s".into(), text: "t".into() };
                self.desk.ask(self.links[from], Action::NoteSend(note));
            }
            Step::TeamCreate(by, place) => {
                self.desk.ask(self.links[by], Action::TeamCreate(Self::team(place)));
            }
            Step::TeamAdd(by, place, to) => {
                let team = Self::team(place);
                let add = |user| Action::TeamAdd(TeamMember { team: team.clone(), user });
                self.ask_alike(by, to, add);
            }
            Step::Share(by, place) => {
                let share = ShareId { team: Self::team(place), name: "Share".parse().unwrap() };
                self.desk.ask(self.links[by], Action::ShareAdd(share));
            }
            Step::Opened => {
                if let Some(simopen_broker::PairingOrder::Open(proxy)) = self.desk.orders.pop() {
                    self.desk.broker.handle_pairing_opened(proxy.session, self.desk.now);
                    self.desk.drain();
                }
            }
            Step::Enter(who, place) => {
                let request =
                    AdminRequest::AddMember { community: community(place), user: user(NAMES[who]) };
                // Whoever meets by this is told in the same call.
                for (other, name) in NAMES.iter().enumerate() {
                    let directory = self.desk.broker.directory();
                    if directory.is_member(&community(place), &user(name)) {
                        self.met[who][other] = true;
                        self.met[other][who] = true;
                    }
                }
                drop(self.desk.admin(request));
            }
            Step::Leave(who, place) => {
                let community = community(place);
                let request = AdminRequest::RemoveMember { community, user: user(NAMES[who]) };
                drop(self.desk.admin(request));
            }
            Step::Revoke(who) => drop(self.desk.admin(AdminRequest::RevokeUser(user(NAMES[who])))),
        }
        self.judge();
    }

    /// Asks about somebody; a stranger is answered as nobody is.
    fn ask_alike(
        &mut self,
        by: usize,
        to: usize,
        action: impl Fn(simopen_protocol::identity::UserId) -> Action,
    ) {
        let directory = self.desk.broker.directory();
        let is_stranger = !directory.share_community(&user(NAMES[by]), &user(NAMES[to]));
        let answer = self.desk.ask(self.links[by], action(user(NAMES[to])));
        if is_stranger {
            let nobody = self.desk.ask(self.links[by], action(user("nobody")));
            assert_eq!(answer, nobody, "{} of {}", NAMES[by], NAMES[to]);
            assert!(!matches!(answer, Some(Ok(_))), "{answer:?}");
        }
    }

    fn meet(&mut self) {
        let directory = self.desk.broker.directory();
        for (one, name) in NAMES.iter().enumerate() {
            for (other, with) in NAMES.iter().enumerate() {
                self.met[one][other] |=
                    one == other || directory.share_community(&user(name), &user(with));
            }
        }
    }

    fn judge(&mut self) {
        self.meet();
        for (who, link) in self.links.iter().enumerate() {
            for message in self.desk.inbox.remove(link).unwrap_or_default() {
                self.documents += 1;
                // What an asker said comes back in the response.
                let Message::Notification(_) = &message else { continue };
                let text = String::from_utf8(message.to_bytes()).unwrap();
                for (other, name) in NAMES.iter().enumerate() {
                    let may_know = self.met[who][other];
                    assert!(may_know || !text.contains(name), "{} reads {text}", NAMES[who]);
                }
            }
        }
    }
}

#[test]
fn no_document_names_a_stranger_and_strangers_are_answered_for_like_nobody() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let documents = std::cell::Cell::new(0);
    let scripts = (any::<[[bool; 3]; 5]>(), prop::collection::vec(step(), 1..60));
    let outcome = runner.run(&scripts, |(memberships, script)| {
        let mut world = World::new(&memberships);
        for step in script {
            world.take(step);
        }
        documents.set(documents.get() + world.documents);
        Ok(())
    });
    outcome.unwrap();
    assert!(documents.get() > 10_000, "{} documents were looked at", documents.get());
}
