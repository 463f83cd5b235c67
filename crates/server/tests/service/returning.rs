//! Peers of the real library that come back to a broker which was killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use simopen_peer::{
    Credentials, Links, MemoryPins, NewLinks, PeerConfig, Resident, Standing, Whom,
};
use simopen_protocol::identity::PeerId;
use simopen_protocol::technique::{Carriage, Technique};
use tokio::time::timeout;

use crate::client::PATIENCE;
use crate::killed::{joined, names, prepare};
use crate::process::{Death, Process};
use crate::scratch::Scratch;

/// Ten times what it may take.
const BOUND: Duration = Duration::from_secs(50);

const RELAY: Technique = Technique::Relay(Carriage::Any);

struct Peer {
    resident: Resident,
    links: Links,
    _new: NewLinks,
}

impl Peer {
    fn start(process: &Process, own: Credentials) -> Self {
        let (links, new) = Links::new(Arc::new(MemoryPins::default()));
        let config = PeerConfig::joined(vec![process.at.into()], own, links.clone());
        // Nobody may dial on loopback but a relay.
        let resident = Resident::start(PeerConfig { techniques: vec![RELAY], ..config });
        Self { resident, links, _new: new }
    }

    /// Returns when it is online by another login than that, and by which.
    async fn online(&self, before: Option<PeerId>) -> PeerId {
        let mut standing = self.resident.standing();
        let is_new =
            |it: &Standing| matches!(it, Standing::Online(peer) if Some(peer.id()) != before);
        let standing = standing.wait_for(is_new).await.unwrap();
        let Standing::Online(peer) = &*standing else { unreachable!() };
        peer.id()
    }
}

#[tokio::test]
async fn a_hundred_peers_come_back_to_a_broker_that_was_killed() {
    let scratch = Scratch::new();
    prepare(scratch.path(), &names(100));
    let process = Process::start(scratch.path(), Death::Never, None);
    let all = joined(&process, scratch.path(), 100).await;
    let to = Whom { user: all[1].user.clone(), device: None };
    let peers: Vec<Peer> = all.into_iter().map(|own| Peer::start(&process, own)).collect();
    let mut before = Vec::new();
    for peer in &peers {
        before.push(timeout(PATIENCE, peer.online(None)).await.unwrap());
    }

    let begun = Instant::now();
    let process = process.start_again(scratch.path(), || ());
    let back = timeout(BOUND, async {
        for (peer, before) in peers.iter().zip(before) {
            peer.online(Some(before)).await;
        }
    });
    back.await.unwrap();
    println!("a hundred peers were back {:?} after the kill", begun.elapsed());

    // And they can do what they could before.
    let linked = timeout(PATIENCE, peers[0].resident.link_to(&to, &mut |_| ())).await.unwrap();
    assert_eq!(linked.unwrap().technique(), RELAY);
    assert_eq!(peers[0].links.all().len(), 1);
    for peer in &peers {
        timeout(PATIENCE, peer.resident.stop()).await.unwrap();
    }
    process.kill();
}
