//! `simopen peers`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use simopen_peer::home::{Event, Home, Membership, Pin, Verified};
use simopen_peer::key_words::key_words;
use simopen_peer::manager::PeerName;
use simopen_peer::manager::words::Refusal;
use simopen_protocol::control::PublicKey;
use simopen_protocol::identity::DeviceName;

use crate::device_session::refuse;
use crate::peer_arguments::PeersArguments;
use crate::{output, surroundings};

pub(crate) fn run(arguments: &PeersArguments) -> Result<ExitCode> {
    let home = surroundings::home(&arguments.home)?;
    if let Some(name) = &arguments.verify {
        return verify(&home, name, arguments.json);
    }
    if let Some(name) = &arguments.accept {
        return accept(&home, name, arguments.json);
    }
    let memberships = home.memberships()?;
    let text = if arguments.json {
        let brokers = memberships.iter().map(|joined| in_json(&home, joined));
        format!("{}\n", json!({ "brokers": brokers.collect::<Result<Vec<_>>>()? }))
    } else {
        let tables = memberships.iter().map(|joined| table(&home, joined));
        tables.collect::<Result<Vec<_>>>()?.join("\n")
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A person says that the words are those that the other device shows.
fn verify(home: &Home, name: &PeerName, is_json: bool) -> Result<ExitCode> {
    let (joined, pin) = find(home, name)?;
    if let Some(refused) = &pin.refused {
        let (user, device) = (&pin.user, &pin.device);
        bail!(
            "not verified: {user}/{device} came with another key, which stands refused. Pinned \
             is: {}. Refused was: {}. If that device itself shows the refused words: simopen peers \
             --accept {name}, then --verify again. If it shows the pinned ones, somebody stands \
             between: leave all as it is, and tell the broker's operator",
            key_words(pin.key.fingerprint()),
            key_words(refused.fingerprint())
        );
    }
    if !home.pins(&joined.name).verify(&pin.user, &pin.device, &pin.key)? {
        bail!("the key of {}/{} is another one by now; look at it again", pin.user, pin.device);
    }
    output::print(&if is_json {
        format!("{}\n", pin_in_json(&Pin { verified: Verified::Yes, ..pin }))
    } else {
        format!("{}/{} is verified: {}\n", pin.user, pin.device, key_words(pin.key.fingerprint()))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A person says that another key than the one that was met first is right.
fn accept(home: &Home, name: &PeerName, is_json: bool) -> Result<ExitCode> {
    let (joined, pin) = find(home, name)?;
    let Some(key) = home.pins(&joined.name).accept(&pin.user, &pin.device)? else {
        let (user, device) = (&pin.user, &pin.device);
        let why = format!("{user}/{device} has not come with another key; nothing is changed");
        return refuse(is_json, &Refusal::failed(why));
    };
    let peer = format!("{}/{}", pin.user, pin.device);
    let words = key_words(key.fingerprint());
    let fingerprint = key.fingerprint().to_string();
    home.log().add(&joined.name, Event::KeyAccepted { peer: peer.clone(), key: fingerprint });
    output::print(&if is_json {
        let pin = Pin { key, verified: Verified::No, refused: None, ..pin };
        format!("{}\n", pin_in_json(&pin))
    } else {
        format!("the key of {peer} is from now on: {words}\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The one device that is meant.
fn find(home: &Home, name: &PeerName) -> Result<(Membership, Pin)> {
    let joined = match &name.broker {
        Some(broker) => vec![home.membership(broker)?],
        None => home.memberships()?,
    };
    let mut found = Vec::new();
    for membership in joined {
        let is_meant = |pin: &Pin| {
            pin.user == name.user && name.device.as_ref().is_none_or(|device| pin.device == *device)
        };
        let pins = home.pins(&membership.name).all()?;
        found.extend(pins.into_iter().filter(is_meant).map(|pin| (membership.clone(), pin)));
    }
    match found.len() {
        0 => bail!("this device has never met {name}; `simopen peers` shows whom it has met"),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<String> = found
                .iter()
                .map(|(joined, pin)| format!("{}/{}@{}", pin.user, pin.device, joined.name))
                .collect();
            bail!("{name} may be {}; say which", names.join(" or "))
        }
    }
}

fn table(home: &Home, joined: &Membership) -> Result<String> {
    let mut text = format!("at {}\n", joined.name);
    let mut row = |mark: char, name: &str, key: &PublicKey, says: &str| {
        let words = key_words(key.fingerprint());
        let _ = writeln!(text, "{mark} {name:<24}  {words}{says}");
    };
    let own = format!("{}/{}", joined.user, joined.device);
    row(' ', &own, &joined.key.public()?, "  (this device)");
    let pins = home.pins(&joined.name).all()?;
    for pin in &pins {
        let name = name_of(&pin.user, &pin.device);
        match pin.verified {
            Verified::Yes => row('=', &name, &pin.key, "  (verified)"),
            Verified::No => row(' ', &name, &pin.key, ""),
        }
        if let Some(refused) = &pin.refused {
            row('!', &name, refused, "  (ANOTHER KEY, refused)");
        }
    }
    if pins.is_empty() {
        text.push_str("  no other device was met yet\n");
    }
    Ok(text)
}

fn name_of(user: &impl std::fmt::Display, device: &DeviceName) -> String {
    format!("{user}/{device}")
}

fn in_json(home: &Home, joined: &Membership) -> Result<Value> {
    let pins = home.pins(&joined.name).all()?;
    let own = joined.key.public()?.fingerprint();
    Ok(json!({
        "name": joined.name.as_str(),
        "user": joined.user.as_str(),
        "device": joined.device.as_str(),
        "key": own.to_string(),
        "words": key_words(own),
        "peers": pins.iter().map(pin_in_json).collect::<Value>(),
    }))
}

fn pin_in_json(pin: &Pin) -> Value {
    let refused = pin.refused.as_ref().map(|key| {
        let fingerprint = key.fingerprint();
        json!({ "key": fingerprint.to_string(), "words": key_words(fingerprint) })
    });
    json!({
        "user": pin.user.as_str(),
        "device": pin.device.as_str(),
        "key": pin.key.fingerprint().to_string(),
        "words": key_words(pin.key.fingerprint()),
        "verified": pin.verified == Verified::Yes,
        "refused": refused,
    })
}
