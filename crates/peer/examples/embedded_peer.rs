//! A program with a peer inside. It joins by an invitation, says something to whoever opens its
//! service `greeting`, and asks another user's program for the same, through whatever stands
//! between, encrypted from end to end.
//!
//! ```text
//! cargo run -p simopen-peer --example embedded_peer -- 'simopen://…' laptop bob
//! ```
//!
//! A program that lives longer keeps its credentials and its pins in a place of its own, instead of
//! joining at each start; `simopen_peer::home` is one.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;

use simopen_peer::carriage::Carriage;
use simopen_peer::{
    DeviceKey, Links, MemoryPins, NewLinks, Offered, PeerConfig, PeerLink, Resident, Whom, join,
};
use simopen_protocol::invitation::Invitation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SERVICE: &str = "greeting";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(invitation), Some(device)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embedded_peer INVITATION DEVICE [USER]".into());
    };
    let invitation: Invitation = invitation.parse()?;

    // The lines that matter: join, be there, answer, reach.
    let key = DeviceKey::generate()?;
    let credentials = join(&invitation, &device.parse()?, &key, &Carriage::default()).await?;
    let (links, new_links) = Links::new(Arc::new(MemoryPins::default()));
    let peer = Resident::start(PeerConfig::joined(invitation.addresses, credentials, links));
    tokio::spawn(answer(new_links));
    peer.online().await.ok_or("stopped")?;
    if let Some(user) = arguments.next() {
        let whom = Whom { user: user.parse()?, device: None };
        let link = peer.link_to(&whom, &mut |step| eprintln!("{step:?}")).await?;
        println!("{user} says: {}", ask(&link).await?);
    }

    eprintln!("there until interrupted");
    peer.closed().await;
    Ok(())
}

/// Answers on every link, whoever opened it.
async fn answer(mut new_links: NewLinks) {
    while let Some(link) = new_links.next().await {
        tokio::spawn(async move {
            while let Some(offered) = link.accept().await {
                if let Err(error) = greet(&link, offered).await {
                    eprintln!("not answered: {error}");
                }
            }
        });
    }
}

async fn greet(link: &PeerLink, offered: Offered) -> std::io::Result<()> {
    if offered.service() != SERVICE {
        offered.refuse("no-such-service");
        return Ok(());
    }
    let words = format!("hello {}, by {}", link.remote().user, link.technique());
    let mut channel = offered.accept();
    channel.write_all(words.as_bytes()).await?;
    channel.shutdown().await?;
    // A program that ended here would call `link.settle()` before; this one stays.
    Ok(())
}

async fn ask(link: &PeerLink) -> Result<String, Box<dyn Error>> {
    let mut words = String::new();
    let mut channel = link.open(SERVICE).await?;
    // This side has nothing to say. The end of the answer tells that it is whole.
    channel.shutdown().await?;
    channel.read_to_string(&mut words).await?;
    Ok(words)
}
