//! How a relay becomes its broker's, and stays it.

use std::env;
use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use simopen_peer::carriage::Carriage;
use simopen_peer::home::{Home, Membership};
use simopen_peer::{DeviceKey, JoinError, join, renewal};
use simopen_protocol::identity::DeviceName;
use simopen_protocol::invitation::Invitation;
use simopen_server::data_directory::DataDirectory;
use simopen_server::relay::authentication::{Door, Identity};
use simopen_server::wall_clock::WallClock;
use tokio::task::spawn_blocking;

use crate::surroundings;

/// An invitation is some hundred bytes long; whatever is longer is none.
const MAX_LINE_BYTES: u64 = 8192;
/// The environment variable that may have it.
const VARIABLE: &str = "SIMOPEN_RELAY_INVITATION";
/// What stands for standard input in the place of a line.
const STANDARD_INPUT: &str = "-";
/// The file that keeps it: who joins again by the same invitation with the same key is the same
/// relay, and gets a new certificate.
const KEPT: &str = "invitation.json";

/// What a relay is told of how it is to join.
pub(super) struct Given<'a> {
    /// `--invitation`.
    pub(super) line: Option<&'a str>,
    /// What it is to be called at its broker, where that is said.
    pub(super) name: Option<DeviceName>,
}

/// Whether a relay was one before it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// It has joined now.
    Now,
    /// It had joined.
    Before,
}

/// A relay that has joined.
pub(super) struct Joined {
    home: Home,
    membership: Membership,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    line: String,
}

impl Joined {
    /// As it was kept, or by an invitation.
    pub(super) async fn find_or_join(
        data: &DataDirectory,
        given: Given<'_>,
    ) -> Result<(Self, Joining)> {
        let home = Home::open(data.path())?;
        if let Some(name) = home.brokers()?.into_iter().next() {
            let joined = Self { membership: home.membership(&name)?, home };
            joined.warn_of_what_is_not_done(data, &given)?;
            return Ok((joined, Joining::Before));
        }
        let Some(line) = invitation(given.line).await? else {
            bail!(
                "this relay has not joined a broker yet: give it the line of `simopen admin \
                 relay-invite` by --invitation or {VARIABLE}"
            );
        };
        let invitation: Invitation = line.trim().parse()?;
        let name = given.name.or_else(surroundings::machine_name);
        let device = name.map_or_else(|| DeviceName::new("relay"), Ok)?;
        let key = DeviceKey::generate()?;
        let joined = join(&invitation, &device, &key, &Carriage::default()).await;
        let joined = joined.map_err(|error| unjoined(error, &device))?;
        if joined.user.as_str() != simopen_broker::directory::RELAY {
            bail!(
                "the invitation was for a device of {}, not for a relay: revoke {}/{} there, and \
                 use `simopen admin relay-invite`",
                joined.user,
                joined.user,
                joined.device
            );
        }
        let membership = Membership {
            name: joined.broker.clone(),
            broker: joined.broker,
            addresses: invitation.addresses.clone(),
            user: joined.user,
            device: joined.device,
            authority: joined.authority,
            certificate: joined.certificate,
            key: joined.key,
        };
        home.add(&membership)?;
        home.write_json(&membership.name, KEPT, &Kept { line: invitation.reveal() })?;
        Ok((Self { home, membership }, Joining::Now))
    }

    /// Of its broker, whom it belongs to.
    pub(super) const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Who gives a relay that has joined another invitation, or another name, believes that it
    /// counts.
    fn warn_of_what_is_not_done(&self, data: &DataDirectory, given: &Given<'_>) -> Result<()> {
        let Membership { name, broker, device, .. } = &self.membership;
        let kept: Option<Kept> = self.home.read_json(name, KEPT)?;
        let is_kept = |line: &str| kept.is_some_and(|kept| kept.line == line.trim());
        let is_other = given_line(given.line).is_some_and(|line| !is_kept(&line));
        if is_other || given.name.as_ref().is_some_and(|name| name != device) {
            tracing::warn!(
                broker = %broker,
                name = %device,
                "this relay has joined already: the invitation or name that it was given is not \
                 used. To join anew, as after a revocation, stop it, empty {} and start it with an \
                 invitation that is not used up",
                data.path().display()
            );
        }
        Ok(())
    }

    /// Joins again as the same relay.
    pub(super) async fn renew(&mut self) -> Result<()> {
        let name = &self.membership.name;
        let kept: Option<Kept> = self.home.read_json(name, KEPT)?;
        let kept = kept.context("the invitation was not kept")?;
        let invitation: Invitation = kept.line.parse()?;
        let Membership { device, key, .. } = &self.membership;
        let joined = join(&invitation, device, key, &Carriage::default()).await?;
        self.home.renew(name, &joined.certificate.0)?;
        self.membership.certificate = joined.certificate;
        Ok(())
    }

    /// How long it is until another certificate is wanted.
    pub(super) fn due_in(&self, clock: &WallClock) -> Duration {
        let now = UNIX_EPOCH + Duration::from_secs(clock.seconds());
        // One that cannot be read is good for nothing.
        renewal::due_in(&self.membership.certificate, now).unwrap_or_default()
    }

    /// By which the broker, and nobody else, gets in.
    pub(super) fn door(&self, clock: &WallClock) -> Result<Door> {
        let Membership { key, certificate, authority, .. } = &self.membership;
        let identity = Identity {
            key: key.0.clone(),
            certificate: certificate.clone(),
            authority: authority.clone(),
        };
        Ok(Door::new(&identity, clock.clone())?)
    }
}

/// The line that an argument or the environment has.
fn given_line(argument: Option<&str>) -> Option<String> {
    match argument {
        Some(STANDARD_INPUT) => None,
        Some(line) => Some(line.to_owned()),
        None => env::var(VARIABLE).ok(),
    }
}

async fn invitation(argument: Option<&str>) -> Result<Option<String>> {
    if argument != Some(STANDARD_INPUT) {
        return Ok(given_line(argument));
    }
    // Where it may wait: the relay can be told to end meanwhile.
    let read = spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().take(MAX_LINE_BYTES).read_to_string(&mut line).map(|_| line)
    });
    let line = read.await?.context("reading the invitation from standard input")?;
    Ok(Some(line))
}

fn unjoined(error: JoinError, device: &DeviceName) -> anyhow::Error {
    let is_taken = matches!(&error, JoinError::Refused(word) if word == "device-exists");
    let error = anyhow::Error::new(error);
    if is_taken {
        return error.context(format!(
            "another relay of this broker is called {device}: give this one another name by \
             --name (the invitation is still good), or revoke relay/{device}"
        ));
    }
    error.context("the relay has not joined")
}
