//! The configuration file of `simopen broker`, option by option (docs/operating.md has the table).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use simopen_broker::consent::ConsentPolicy;
use simopen_broker::directory::RELAY;
use simopen_broker::{Forging, Limits, Rendezvous};
use simopen_protocol::address::HostPort;
use simopen_protocol::identity::{BrokerName, CommunityName, UserId};
use simopen_scenario::file::FileError;
use simopen_server::admin::LONGEST_INVITATION;
use simopen_server::broker::ServiceLimits;
use simopen_server::{forger, relay};
use toml::Spanned;

use crate::settings::{MetricsSection, Network, Period, Source, Written, number, period};

/// The whole file. What is left out is as without a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct BrokerFile {
    /// What the broker calls itself.
    pub(crate) name: Option<Written<BrokerName>>,
    /// The data directory.
    pub(crate) data: Option<PathBuf>,
    /// Where it listens.
    pub(crate) listen: Vec<Spanned<Written<SocketAddr>>>,
    /// Where devices reach it, best first.
    pub(crate) addresses: Vec<Written<HostPort>>,
    /// How long a peer may be silent before it is asked whether it is still there.
    pub(crate) alive: Alive,
    /// How long connections may go on when the broker is told to end.
    pub(crate) drain: Option<Spanned<Written<Period>>>,
    /// Whether `simopen admin rendezvous` is allowed.
    pub(crate) rendezvous: Option<Spanned<bool>>,
    /// The first user.
    pub(crate) first_user: FirstUser,
    /// The relay inside.
    pub(crate) relay: RelaySection,
    /// Packets in other names.
    pub(crate) forging: ForgingSection,
    /// Figures and probes.
    pub(crate) metrics: MetricsSection,
    /// How much is held.
    pub(crate) limits: LimitsSection,
}

/// Seed 004 has these three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Alive {
    #[serde(rename = "10s")]
    Often,
    #[default]
    #[serde(rename = "20s")]
    Usually,
    #[serde(rename = "30s")]
    Seldom,
}

impl Alive {
    pub(crate) const fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Often => 10,
            Self::Usually => 20,
            Self::Seldom => 30,
        })
    }
}

/// Whom the invitation is for that is printed while nobody has joined.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct FirstUser {
    /// Whether it is printed.
    pub(crate) invite: Option<bool>,
    /// The user's name.
    pub(crate) name: Option<Spanned<Written<UserId>>>,
    /// The user's first community.
    pub(crate) community: Option<Spanned<Written<CommunityName>>>,
    /// How long the invitation is good.
    #[serde(rename = "for")]
    pub(crate) lifetime: Option<Spanned<Written<Period>>>,
}

/// The relay that runs inside the broker's process, or none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct RelaySection {
    /// Where it runs.
    pub(crate) run: Option<Spanned<RelayPlace>>,
    /// Where peers reach it, if not where they reach the broker.
    pub(crate) addresses: Option<Spanned<Vec<Written<HostPort>>>>,
    /// Where the control listener of one is that runs apart.
    pub(crate) control: Option<Spanned<Written<HostPort>>>,
    /// Pairs at a time.
    pub(crate) pairs: Option<Spanned<usize>>,
}

impl RelaySection {
    pub(crate) fn place(&self) -> RelayPlace {
        self.run.as_ref().map_or(RelayPlace::Inside, |place| *place.as_ref())
    }

    /// Where peers reach it, where the file says so.
    pub(crate) fn addresses(&self) -> Option<Vec<HostPort>> {
        let addresses = self.addresses.as_ref()?.as_ref();
        Some(addresses.iter().map(|written| written.0.clone()).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RelayPlace {
    /// In the broker's process, by the broker's listeners.
    Inside,
    /// In a process of its own: `simopen relay`.
    Apart,
    /// Nowhere: what cannot be direct is not connected.
    Nowhere,
}

/// Packets in the names of others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct ForgingSection {
    /// Whether there are any. The word is a warning.
    pub(crate) dangerous: bool,
    /// The broker's own addresses, in whose name nothing is sent.
    pub(crate) own: Option<Spanned<Vec<Written<IpAddr>>>>,
    /// Private networks that the broker stands in.
    pub(crate) networks: Option<Spanned<Vec<Written<Network>>>>,
    /// Packets in one second.
    pub(crate) per_second: Option<Spanned<u32>>,
    /// Packets in one second to one address.
    pub(crate) towards: Option<Spanned<u32>>,
}

/// How much is held; what is left out is as [`Limits::default`] and its kin say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct LimitsSection {
    links: Option<Spanned<usize>>,
    newcomers: Option<Spanned<usize>>,
    newcomer_time: Option<Spanned<Written<Period>>>,
    waiting_bytes_per_link: Option<Spanned<usize>>,
    waiting_bytes: Option<Spanned<usize>>,
    devices_per_user: Option<Spanned<usize>>,
    logins_per_user: Option<Spanned<usize>>,
    sessions: Option<Spanned<usize>>,
    sessions_per_peer: Option<Spanned<usize>>,
    shares_per_peer: Option<Spanned<usize>>,
    teams_per_user: Option<Spanned<usize>>,
    members_per_team: Option<Spanned<usize>>,
    notes_per_user: Option<Spanned<usize>>,
    note_bytes_per_user: Option<Spanned<usize>>,
    guess_delay: Option<Spanned<Written<Period>>>,
    longest_guess_delay: Option<Spanned<Written<Period>>>,
}

impl BrokerFile {
    /// Reads a file, and refuses what contradicts itself.
    pub(crate) fn read(source: &Source) -> Result<Self, FileError> {
        let file: Self = source.parse()?;
        if !file.forging.dangerous {
            let (forging, needs) = (&file.forging, "`dangerous = true`");
            source.unused(forging.own.as_ref(), "own", needs)?;
            source.unused(forging.networks.as_ref(), "networks", needs)?;
            source.unused(forging.per_second.as_ref(), "per-second", needs)?;
            source.unused(forging.towards.as_ref(), "towards", needs)?;
        }
        let relay = &file.relay;
        let place = relay.place();
        if place != RelayPlace::Apart {
            source.unused(relay.control.as_ref(), "control", "`run = \"apart\"`")?;
        }
        if place != RelayPlace::Inside {
            source.unused(relay.pairs.as_ref(), "pairs", "`run = \"inside\"`")?;
        }
        if place == RelayPlace::Nowhere {
            source.unused(relay.addresses.as_ref(), "addresses", "a relay")?;
        }
        if place == RelayPlace::Nowhere && file.rendezvous() == Rendezvous::Allowed {
            source.unused(file.rendezvous.as_ref(), "rendezvous", "a relay")?;
        }
        let first = &file.first_user;
        if first.invite == Some(false) {
            let needs = "`invite = true`";
            source.unused(first.name.as_ref(), "name", needs)?;
            source.unused(first.community.as_ref(), "community", needs)?;
            source.unused(first.lifetime.as_ref(), "for", needs)?;
        }
        first.check(source)?;
        source.distinct(&file.listen)?;
        source.positive_period(file.drain.as_ref(), "drain")?;
        file.limits.check(source)?;
        if let Some(addresses) = &relay.addresses
            && addresses.as_ref().is_empty()
        {
            let expected = "an address, or none of this option: then the broker's";
            return Err(source.fault(&addresses.span(), "no address for the relay", expected));
        }
        source.positive(relay.pairs.as_ref(), "pairs")?;
        source.positive(file.forging.per_second.as_ref(), "per-second")?;
        source.positive(file.forging.towards.as_ref(), "towards")?;
        if let Some(run) = &relay.run
            && place == RelayPlace::Apart
            && (relay.control.is_none() || relay.addresses.is_none())
        {
            let found = "a relay that runs apart without `control` and `addresses`";
            let expected = "both: where the broker reaches it, and where peers do";
            return Err(source.fault(&run.span(), found, expected));
        }
        Ok(file)
    }

    /// Whether and for whom packets are forged, and how many.
    pub(crate) fn forging(&self) -> forger::Policy {
        let ForgingSection { dangerous, own, networks, per_second, towards } = &self.forging;
        let usual = forger::Limits::default();
        forger::Policy {
            consent: ConsentPolicy {
                forging: if *dangerous { Forging::Dangerous } else { Forging::Off },
                own: values(own.as_ref()).map(|written| written.0).collect(),
                networks: values(networks.as_ref()).map(|Written(of)| (of.0, of.1)).collect(),
            },
            limits: forger::Limits {
                per_second: number(per_second, usual.per_second),
                towards: number(towards, usual.towards),
            },
        }
    }

    /// How much the broker holds.
    pub(crate) fn limits(&self) -> Limits {
        let (set, usual) = (&self.limits, Limits::default());
        Limits {
            peers_per_user: number(&set.logins_per_user, usual.peers_per_user),
            devices_per_user: number(&set.devices_per_user, usual.devices_per_user),
            sessions_per_peer: number(&set.sessions_per_peer, usual.sessions_per_peer),
            sessions: number(&set.sessions, usual.sessions),
            shares_per_peer: number(&set.shares_per_peer, usual.shares_per_peer),
            teams_per_user: number(&set.teams_per_user, usual.teams_per_user),
            members_per_team: number(&set.members_per_team, usual.members_per_team),
            notes_per_user: number(&set.notes_per_user, usual.notes_per_user),
            note_bytes_per_user: number(&set.note_bytes_per_user, usual.note_bytes_per_user),
            guess_delay: period(&set.guess_delay, usual.guess_delay),
            longest_guess_delay: period(&set.longest_guess_delay, usual.longest_guess_delay),
            ..usual
        }
    }

    /// How much its links take.
    pub(crate) fn service_limits(&self) -> ServiceLimits {
        let (set, mut limits) = (&self.limits, ServiceLimits::default());
        limits.links = number(&set.links, limits.links);
        limits.front.newcomers = number(&set.newcomers, limits.front.newcomers);
        limits.front.newcomer_time = period(&set.newcomer_time, limits.front.newcomer_time);
        limits.waiting_of_link = number(&set.waiting_bytes_per_link, limits.waiting_of_link);
        limits.waiting = number(&set.waiting_bytes, limits.waiting);
        limits
    }

    /// How much the relay inside holds.
    pub(crate) fn relay_limits(&self) -> relay::Limits {
        let usual = relay::Limits::default();
        relay::Limits { pairs: number(&self.relay.pairs, usual.pairs), ..usual }
    }

    /// Whether the operator may make pairs for unmodified clients.
    pub(crate) fn rendezvous(&self) -> Rendezvous {
        let is_allowed = self.rendezvous.as_ref().is_some_and(|allowed| *allowed.as_ref());
        if is_allowed { Rendezvous::Allowed } else { Rendezvous::Off }
    }
}

impl FirstUser {
    /// What the broker would refuse when it has started.
    fn check(&self, source: &Source) -> Result<(), FileError> {
        source.positive_period(self.lifetime.as_ref(), "for")?;
        if let Some(lifetime) = &self.lifetime
            && !(Duration::from_secs(1)..=LONGEST_INVITATION).contains(&lifetime.as_ref().0.0)
        {
            let found = "a time for which no invitation is made";
            return Err(source.fault(&lifetime.span(), found, "1 second to 90 days"));
        }
        match &self.name {
            Some(name) if name.as_ref().0.as_str() == RELAY => {
                let found = format!("`{RELAY}`, which is kept for relays");
                Err(source.fault(&name.span(), &found, "another name"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl LimitsSection {
    /// Whoever writes 0 means no limit, or nothing at all: a broker can be neither.
    fn check(&self, source: &Source) -> Result<(), FileError> {
        for (limit, name) in [
            (&self.links, "links"),
            (&self.newcomers, "newcomers"),
            (&self.waiting_bytes_per_link, "waiting-bytes-per-link"),
            (&self.waiting_bytes, "waiting-bytes"),
            (&self.devices_per_user, "devices-per-user"),
            (&self.logins_per_user, "logins-per-user"),
            (&self.sessions, "sessions"),
            (&self.sessions_per_peer, "sessions-per-peer"),
            (&self.shares_per_peer, "shares-per-peer"),
            (&self.teams_per_user, "teams-per-user"),
            (&self.members_per_team, "members-per-team"),
            (&self.notes_per_user, "notes-per-user"),
            (&self.note_bytes_per_user, "note-bytes-per-user"),
        ] {
            source.positive(limit.as_ref(), name)?;
        }
        source.positive_period(self.newcomer_time.as_ref(), "newcomer-time")?;
        source.positive_period(self.guess_delay.as_ref(), "guess-delay")?;
        source.positive_period(self.longest_guess_delay.as_ref(), "longest-guess-delay")?;
        let usual = Limits::default();
        let shortest = period(&self.guess_delay, usual.guess_delay);
        let longest = period(&self.longest_guess_delay, usual.longest_guess_delay);
        match self.guess_delay.as_ref().or(self.longest_guess_delay.as_ref()) {
            Some(written) if shortest > longest => Err(source.fault(
                &written.span(),
                "a `guess-delay` above `longest-guess-delay`",
                "one that is not above it",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn values<T>(list: Option<&Spanned<Vec<T>>>) -> impl Iterator<Item = &T> {
    list.into_iter().flat_map(Spanned::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        BrokerFile::read(&Source::of(text)).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let file = BrokerFile::read(&Source::of("")).unwrap();
        assert_eq!(file.limits(), Limits::default());
        assert_eq!(file.forging().consent.forging, Forging::Off);
        assert_eq!(file.alive.interval(), Duration::from_secs(20));
    }

    #[test]
    fn the_example_is_right_and_changes_nothing() {
        let text = include_str!("../../../docs/examples/simopen.toml");
        let of = |text: &str| BrokerFile::read(&Source::of(text)).unwrap();
        assert_eq!(of(text).limits(), Limits::default());
        // Every option of it, switched on, is one that is known.
        let on: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_option(rest)).unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let file = of(&on);
        assert_eq!(file.limits(), Limits::default());
        assert_eq!(file.relay_limits(), relay::Limits::default());
        assert_eq!(file.service_limits(), ServiceLimits::default());
        assert_eq!(file.forging().limits, forger::Limits::default());
        assert!(file.forging.dangerous && file.metrics.listen.is_some());
    }

    /// Whether a line of comment is an option that is switched off.
    fn is_option(line: &str) -> bool {
        line.split_once(" = ").is_some_and(|(name, _)| {
            name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
        })
    }

    #[test]
    fn an_unknown_option_is_told_with_its_place_and_the_nearest_name() {
        assert_eq!(
            complaint("name = \"home\"\n[limits]\nnewcomer = 7\n").split(", expected").next(),
            Some("simopen.toml:3:1: found unknown field `newcomer`")
        );
        assert!(complaint("lisen = []").ends_with("did you mean `listen`?"));
        assert!(complaint("[forgin]\n").contains("did you mean `forging`?"));
    }

    #[test]
    fn a_value_that_is_none_is_told_with_what_is_expected() {
        for (text, place, expected) in [
            ("listen = [\"7443\"]", "simopen.toml:1:10: found \"7443\"", "an address and a port"),
            ("alive = \"5s\"", "simopen.toml:1:9: found unknown variant `5s`", "`10s`, `20s`"),
            ("drain = \"30\"", "simopen.toml:1:9: found \"30\"", "a time with its unit"),
            ("name = \"a b\"", "simopen.toml:1:8: found \"a b\"", "1 to 64 letters"),
            ("[limits]\nlinks = -1", "simopen.toml:2:9: found ", ""),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(place) && complaint.contains(expected), "{complaint}");
        }
    }

    #[test]
    fn a_security_option_that_does_nothing_is_refused() {
        let complaint = complaint("[forging]\nnetworks = [\"10.0.0.0/8\"]\n");
        assert_eq!(
            complaint,
            "simopen.toml:2:12: found `networks`, which does nothing here, \
             expected it with `dangerous = true` only"
        );
        let text = "[forging]\ndangerous = true\nnetworks = [\"10.0.0.0/8\"]\n";
        let file = BrokerFile::read(&Source::of(text)).unwrap();
        assert_eq!(file.forging().consent.networks, [("10.0.0.0".parse().unwrap(), 8)]);
    }

    #[test]
    fn an_option_of_what_is_switched_off_is_refused() {
        for (text, place) in [
            ("rendezvous = true\n[relay]\nrun = \"nowhere\"\n", "1:14: found `rendezvous`"),
            ("[first-user]\ninvite = false\nname = \"a\"\n", "3:8: found `name`"),
            ("[first-user]\ninvite = false\ncommunity = \"a\"\n", "3:13: found `community`"),
            ("[first-user]\ninvite = false\nfor = \"1h\"\n", "3:7: found `for`"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(&format!("simopen.toml:{place}")), "{complaint}");
        }
        for text in [
            "rendezvous = false\n[relay]\nrun = \"nowhere\"\n",
            "rendezvous = true\n",
            "[first-user]\ninvite = false\n",
            "[first-user]\ninvite = true\nname = \"a\"\n",
        ] {
            BrokerFile::read(&Source::of(text)).unwrap();
        }
    }

    #[test]
    fn a_limit_or_a_time_of_nothing_is_refused() {
        for (text, place) in [
            ("[limits]\nlinks = 0\n", "2:9: found 0 for `links`"),
            ("[limits]\nnotes-per-user = 0\n", "2:18: found 0 for `notes-per-user`"),
            ("[limits]\nguess-delay = \"0s\"\n", "2:15: found no time for `guess-delay`"),
            ("[limits]\nnewcomer-time = \"0ms\"\n", "2:17: found no time"),
            ("[relay]\npairs = 0\n", "2:9: found 0 for `pairs`"),
            ("[forging]\ndangerous = true\ntowards = 0\n", "3:11: found 0 for `towards`"),
            ("[first-user]\nfor = \"0s\"\n", "2:7: found no time for `for`"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(&format!("simopen.toml:{place}")), "{complaint}");
        }
        BrokerFile::read(&Source::of("[limits]\nlinks = 1\nguess-delay = \"1ms\"\n")).unwrap();
    }

    #[test]
    fn what_a_start_would_refuse_is_refused_before() {
        for (text, place) in [
            ("[first-user]\nname = \"relay\"\n", "2:8: found `relay`, which is kept"),
            ("[first-user]\nfor = \"91d\"\n", "2:7: found a time for which no invitation"),
            ("[first-user]\nfor = \"500ms\"\n", "2:7: found a time for which no invitation"),
            ("drain = \"0s\"\n", "1:9: found no time for `drain`"),
            ("[relay]\naddresses = []\n", "2:13: found no address for the relay"),
            ("listen = [\"[::1]:9\", \"[::1]:9\"]\n", "1:22: found [::1]:9 again"),
            ("[limits]\nguess-delay = \"24h\"\n", "2:15: found a `guess-delay` above"),
            ("[limits]\nlongest-guess-delay = \"1ms\"\n", "2:23: found a `guess-delay` above"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(&format!("simopen.toml:{place}")), "{complaint}");
        }
        for text in [
            "[first-user]\nname = \"relays\"\nfor = \"90d\"\n",
            "listen = [\"[::1]:9\", \"[::1]:8\", \"[::1]:0\", \"[::1]:0\"]\ndrain = \"1s\"\n",
        ] {
            BrokerFile::read(&Source::of(text)).unwrap();
        }
    }

    #[test]
    fn a_relay_apart_needs_both_its_addresses() {
        assert!(
            complaint("[relay]\nrun = \"apart\"\n").starts_with("simopen.toml:2:7: found a relay")
        );
        let text = "[relay]\ncontrol = \"r.example:7444\"\n";
        assert!(complaint(text).contains("`run = \"apart\"`"));
    }
}
