//! A meeting at the relay: each side only has to come out.

use std::time::Duration;

use simopen_nat::{MiddleboxSpec, Role, WhenFull};
use simopen_protocol::technique::Technique;

use super::segment::Party;
use super::signalling::{block, forgets, is_erratic};
use super::{BROKER_PORT, NEGLIGIBLE, RELAY_PORT};
use crate::conditions::Conditions;
use crate::prediction::{Expect, Prediction};
use crate::proxies::{PROXY_PORT, Path, Proxies};

/// How much later than the other a side may be: what it takes to be asked and to dial, with one
/// SYN lost each.
const LATE: Duration = Duration::from_secs(4);
/// The longest leg for which a login through a proxy, which takes two round trips more, is sure to
/// come in time.
const LONGEST_LEG: Duration = Duration::from_millis(500);
/// The SYNs of a dial before it is given up.
const SYNS: i32 = 3;

/// What can be done behind a box.
enum Way {
    Open,
    Closed(&'static str),
    /// The box forgets or moves what the meeting rests on, at a time that cannot be known.
    Unsteady,
}

/// Says what must come of a technique that meets at a relay.
pub(super) fn predict(
    boxes: [&MiddleboxSpec; 2],
    technique: Technique,
    proxies: Proxies,
    conditions: &Conditions,
) -> Option<Prediction> {
    let path = proxies.path(technique);
    if let Some(why) = missing(path, proxies) {
        return Some(Prediction { expect: Expect::MustFail, why: why.to_owned() });
    }
    let ways = boxes.map(|spec| way_out(spec, path));
    for (party, way) in Party::BOTH.into_iter().zip(&ways) {
        if let Way::Closed(why) = way {
            let why = format!("the box of {} {why}", party.name());
            return Some(Prediction { expect: Expect::MustFail, why });
        }
    }
    let is_open = ways.iter().all(|way| matches!(way, Way::Open));
    let is_punctual = conditions.skew_a.max(conditions.skew_b) <= LATE;
    let is_near = path == Path::Straight || conditions.leg <= LONGEST_LEG;
    // A SYN and its answer cross two links each.
    let lost = 1.0 - (1.0 - conditions.loss).powi(4);
    let is_lossless = 2.0 * lost.powi(SYNS) <= NEGLIGIBLE;
    let why = match path {
        Path::Straight => "both reach the relay by TCP from inside",
        Path::Connect => "both reach the relay through their proxies, which open tunnels",
        Path::Http => "both reach the relay through their proxies, by requests",
    };
    (is_open && is_punctual && is_near && is_lossless)
        .then(|| Prediction { expect: Expect::MustSucceed, why: why.to_owned() })
}

/// What the proxies lack.
const fn missing(path: Path, proxies: Proxies) -> Option<&'static str> {
    match (path, proxies) {
        (Path::Straight, _)
        | (Path::Connect, Proxies::WithConnect)
        | (Path::Http, Proxies::WithConnect | Proxies::WithoutConnect) => None,
        (Path::Connect | Path::Http, Proxies::None) => Some("there is no proxy to go through"),
        (Path::Connect, Proxies::WithoutConnect) => Some("the proxies refuse CONNECT"),
    }
}

fn way_out(spec: &MiddleboxSpec, path: Path) -> Way {
    if spec.role == Role::Transparent {
        return Way::Open;
    }
    // To the broker and to the relay; each two exchanges where these are requests.
    let sessions = if path == Path::Http { 4 } else { 2 };
    match path {
        Path::Straight if !spec.egress.permits(BROKER_PORT) => {
            return Way::Closed("opens no session to the broker's port");
        }
        Path::Straight if !spec.egress.permits(RELAY_PORT) => {
            return Way::Closed("opens no session to the relay's port");
        }
        Path::Connect | Path::Http if !spec.egress.permits(PROXY_PORT) => {
            return Way::Closed("opens no session to the proxy's port");
        }
        Path::Straight | Path::Connect | Path::Http => {}
    }
    let most = [spec.limits.per_host, spec.limits.total].into_iter().flatten().min();
    let is_short = most.is_some_and(|most| u64::from(most) < sessions);
    if is_short && spec.limits.when_full == WhenFull::Refused {
        return Way::Closed("opens too few sessions for broker and relay");
    }
    let is_crowded = block(spec).is_some_and(|ports| (ports as u64) < sessions);
    if is_short || is_crowded || is_erratic(spec) || forgets(spec) {
        return Way::Unsteady;
    }
    Way::Open
}
