//! What must come of a cell, by reasoning from the specifications of its boxes.
//!
//! The oracle knows no presets and no results. It imagines the attempt: what leaves each host when
//! by which technique, with which source it leaves the box, in which state it finds the other box,
//! what that one's axes say of it, and what the kernel behind makes of it. Boxes and kernels are
//! imagined as `docs/traversal.md` describes them, packet by packet and without a single byte; the
//! machines of `simopen-nat`, `simopen-traversal` and `simopen-broker` are not asked.
//!
//! A host that is told to do something is imagined to need up to a millisecond. Where that decides,
//! as in a race of two SYNs that is lost by less, nothing is predicted. Where the conditions hold
//! chance, as loss and jitter do, many runs are imagined, with chance that is the same each time.

mod allocation;
mod chance;
mod course;
mod gate;
mod host;
mod obstacle;
mod relay;
mod segment;
mod session;
mod signalling;

use simopen_nat::MiddleboxSpec;
use simopen_protocol::technique::Technique;

use self::allocation::towards_peer;
use self::chance::Chance;
use self::course::{Course, End};
use self::gate::Gate;
use self::obstacle::Stop;
use self::segment::{Endpoint, Kind, Party};
use self::session::Luck;
pub use self::signalling::{BROKER_PORT, RELAY_PORT};
use self::signalling::{Standing, standing};
use crate::cell::Way;
use crate::conditions::Conditions;
use crate::prediction::{Expect, Prediction};
use crate::proxies::Proxies;

/// What is rarer than this does not happen, and what is as frequent as the rest always does: three
/// runs would show neither.
const NEGLIGIBLE: f64 = 0.001;
/// Imagined runs where only the hosts' hesitation differs, and where chance has a part.
const FEW: u64 = 24;
const MANY: u64 = 2000;

/// Says what must come of a cell. `None` for somebody else's program, and where nobody can say: in
/// a race closer than a millisecond, through a box that forgets in seconds, or where a connection
/// stands and a box changes so much of it that numbers decide which nobody knows.
#[must_use]
pub fn predict(
    boxes: [&MiddleboxSpec; 2],
    way: &Way,
    forging: bool,
    conditions: &Conditions,
) -> Option<Prediction> {
    predict_through(boxes, way, forging, conditions, Proxies::for_way(way))
}

/// The same with other HTTP proxies than the way is usually tried with.
#[must_use]
pub fn predict_through(
    boxes: [&MiddleboxSpec; 2],
    way: &Way,
    forging: bool,
    conditions: &Conditions,
    proxies: Proxies,
) -> Option<Prediction> {
    let Way::Own(technique) = way else { return None };
    if technique.meets_at_relay() {
        return relay::predict(boxes, *technique, proxies, conditions);
    }
    let standings = boxes.map(|spec| standing(spec, *technique));
    for (party, standing) in Party::BOTH.into_iter().zip(standings) {
        if let Standing::Hopeless(why) = standing {
            let why = format!("the box of {} {why}", party.name());
            return Some(Prediction { expect: Expect::MustFail, why });
        }
    }
    let [Standing::Proven { room: of_a }, Standing::Proven { room: of_b }] = standings else {
        return None;
    };
    let imagined =
        Imagined { boxes, rooms: [of_a, of_b], technique: *technique, forging, conditions };
    imagined.prediction()
}

/// Whether one of the boxes draws the endpoint for each destination, so that it may draw the one
/// that the broker has seen once more: what must fail connects one time in thousands.
#[must_use]
pub fn draws_endpoints(boxes: [&MiddleboxSpec; 2]) -> bool {
    boxes.into_iter().any(|spec| towards_peer(spec).among.is_some())
}

/// What is imagined again and again.
struct Imagined<'cell> {
    boxes: [&'cell MiddleboxSpec; 2],
    rooms: [usize; 2],
    technique: Technique,
    forging: bool,
    conditions: &'cell Conditions,
}

/// What came of the imagined runs.
#[derive(Default)]
struct Tally {
    p: f64,
    /// The most probable end of either kind, and its probability.
    success: Option<(End, f64)>,
    failure: Option<(End, f64)>,
}

impl Imagined<'_> {
    fn prediction(&self) -> Option<Prediction> {
        let draws = self.boxes.map(towards_peer);
        let is_chancy = self.conditions.loss > 0.0 || !self.conditions.jitter.is_zero();
        let mut tally = Tally::default();
        for (of_a, weight_a) in draws[0].chances {
            for (of_b, weight_b) in draws[1].chances {
                let weight = weight_a * weight_b;
                if weight > 0.0 && !self.add([of_a, of_b], weight, is_chancy, &mut tally) {
                    return None;
                }
            }
        }
        let expect = if tally.p >= 1.0 - NEGLIGIBLE {
            Expect::MustSucceed
        } else if tally.p <= NEGLIGIBLE {
            Expect::MustFail
        } else {
            let drawn = draws.map(|draw| draw.among);
            Expect::Probability { p: tally.p, formula: self.formula(drawn, is_chancy) }
        };
        let why = match expect {
            Expect::MustFail => tally.failure.map(|(end, _)| why_not(&end)),
            Expect::MustSucceed | Expect::Probability { .. } => {
                tally.success.map(|(end, _)| why(&end))
            }
        };
        Some(Prediction { expect, why: why.unwrap_or_default() })
    }

    /// Imagines the runs with these endpoints. False where nobody can say.
    fn add(&self, ends: [Endpoint; 2], weight: f64, is_chancy: bool, tally: &mut Tally) -> bool {
        let runs = if is_chancy { MANY } else { FEW };
        let mut successes = 0_u32;
        for nth in 0..runs {
            let chance = Chance::new(nth);
            let mut luck = Chance::new(!nth);
            let gates = [0, 1].map(|place: usize| {
                let luck = Luck::drawn(&mut luck);
                Gate::new(self.boxes[place], ends[place], self.rooms[place], luck)
            });
            let course = Course::new(self.technique, gates, self.forging, self.conditions, chance);
            let end = course.run();
            if end.doubtful && weight >= NEGLIGIBLE {
                return false;
            }
            let kept = if end.connected { &mut tally.success } else { &mut tally.failure };
            if kept.is_none_or(|(_, known)| known < weight) {
                *kept = Some((end, weight));
            }
            successes += u32::from(end.connected);
        }
        let is_certain = successes == 0 || u64::from(successes) == runs;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let share = f64::from(successes) / runs as f64;
        tally.p += weight * share;
        is_certain || is_chancy || weight < NEGLIGIBLE
    }

    fn formula(&self, drawn: [Option<u32>; 2], is_chancy: bool) -> String {
        let mut parts = Vec::new();
        for (party, among) in Party::BOTH.into_iter().zip(drawn) {
            if let Some(among) = among {
                let party = party.name();
                parts.push(format!("1/{among}: the box of {party} draws the endpoint again"));
            }
        }
        if is_chancy {
            let Conditions { loss, jitter, .. } = self.conditions;
            parts.push(format!(
                "the share of {MANY} imagined runs in which each link to the core loses a packet \
                 with p = {loss} and delays it by up to {jitter:?} more"
            ));
        }
        parts.join("; ")
    }
}

fn why_not(end: &End) -> String {
    end.stop.as_ref().map_or_else(|| "nothing answers".to_owned(), Stop::words)
}

fn why(end: &End) -> String {
    let came_in = |party: Party| match end.by[party.index()] {
        Some((Kind::SynAck, true)) => "the SYN-ACK forged in the other side's name",
        Some((Kind::SynAck, false)) => "the other side's SYN-ACK",
        Some(_) => "the other side's SYN and what follows it",
        None => "nothing",
    };
    format!("the box of a lets in {}, the box of b {}", came_in(Party::A), came_in(Party::B))
}
