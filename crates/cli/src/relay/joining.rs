//! How a relay becomes its broker's, and stays it.

use std::env;
use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use simopen_peer::carriage::Carriage;
use simopen_peer::home::{Home, Membership};
use simopen_peer::{DeviceKey, join, renewal};
use simopen_protocol::identity::DeviceName;
use simopen_protocol::invitation::Invitation;
use simopen_server::data_directory::DataDirectory;
use simopen_server::relay::authentication::{Door, Identity};
use simopen_server::wall_clock::WallClock;

use crate::surroundings;

/// An invitation is some hundred bytes long; whatever is longer is none.
const MAX_LINE_BYTES: u64 = 8192;
/// The environment variable that may have it.
const VARIABLE: &str = "SIMOPEN_RELAY_INVITATION";
/// The file that keeps it: who joins again by the same invitation with the same key is the same
/// relay, and gets a new certificate.
const KEPT: &str = "invitation.json";

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
    pub(super) async fn find_or_join(data: &DataDirectory, line: Option<&str>) -> Result<Self> {
        let home = Home::open(data.path())?;
        if let Some(name) = home.brokers()?.into_iter().next() {
            let membership = home.membership(&name)?;
            return Ok(Self { home, membership });
        }
        let Some(line) = invitation(line)? else {
            bail!(
                "this relay has not joined a broker yet: give it the line of `simopen admin \
                 relay-invite` by --invitation or {VARIABLE}"
            );
        };
        let invitation: Invitation = line.trim().parse()?;
        let device = surroundings::machine_name().map_or_else(|| DeviceName::new("relay"), Ok)?;
        let key = DeviceKey::generate()?;
        let joined = join(&invitation, &device, &key, &Carriage::default()).await;
        let joined = joined.context("the relay has not joined")?;
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
        Ok(Self { home, membership })
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

fn invitation(argument: Option<&str>) -> Result<Option<String>> {
    if argument != Some("-") {
        let given = argument.map(str::to_owned);
        return Ok(given.or_else(|| env::var(VARIABLE).ok()));
    }
    let mut line = String::new();
    let read = std::io::stdin().take(MAX_LINE_BYTES).read_to_string(&mut line);
    read.context("reading the invitation from standard input")?;
    Ok(Some(line))
}
