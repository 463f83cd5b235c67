//! What a tally says: the content of `population.json`, which `docs/population-files.md` describes
//! field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use simopen_nat::Mapping;
use simopen_protocol::technique::Technique;
use thiserror::Error;

use super::tally::{Joined, Tally};
use super::{Pair, Population, Weighted};
use crate::boxes::NamedBox;
use crate::cell::Way;
use crate::conditions::Conditions;
use crate::oracle;
use crate::prediction::Expect;
use crate::result::Rate;
use crate::result::pretty;
use crate::statistics::{Quantiles, quantiles};

/// What `schema` says in every document of this kind.
pub const SCHEMA: &str = "simopen-population";

/// The version that is written. It rises when a field goes or changes its meaning, and stays when
/// one is added.
pub const VERSION: u32 = 1;

/// The cause of what no box and no network forbids.
const BY_CHANCE: &str = "by chance: lost packets, ports that were drawn, or a close race";
/// The cause of what fails for the broker's network alone.
const BROKER: &str = "the broker's network lets no foreign source address out";

/// How pairs of a population come together. All rates have Wilson intervals at 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Survey {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u32,
    /// The name of the population.
    pub name: String,
    /// What it is, for a person.
    pub description: Option<String>,
    /// Where its numbers come from.
    pub source: String,
    /// What all chance followed from.
    pub seed: u64,
    /// Whose TCP the hosts had: `linux` or `smoltcp`.
    pub stack: String,
    /// The command line that repeats it.
    pub command: String,
    /// Whether as many pairs were drawn as were asked for; `false` after an interruption.
    pub complete: bool,
    /// How many pairs were drawn.
    pub pairs: u32,
    /// The boxes, and how often each is met.
    pub boxes: Vec<Weighted<NamedBox>>,
    /// The share of brokers whose network lets foreign source addresses out.
    pub lets_foreign_sources_out: f64,
    /// The paths, and how often each is met.
    pub paths: Vec<Weighted<Conditions>>,
    /// Each technique by itself.
    pub alone: Vec<Alone>,
    /// The techniques one after the other, until one joins the pair.
    pub order: Vec<InOrder>,
    /// The pairs that none of the techniques joined directly: only a relay could.
    pub relay: Rate,
    /// Why they were not joined, the most frequent cause first.
    pub left: Vec<Left>,
    /// How many pairs with these boxes were joined by any technique.
    pub between: Vec<BetweenBoxes>,
    /// What must never happen and did, and how often.
    pub violations: BTreeMap<String, u32>,
}

/// A technique by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alone {
    /// Its name.
    pub technique: Way,
    /// Pairs that it joined, of all.
    pub joined: Rate,
    /// The same of the pairs whose broker's network lets foreign source addresses out.
    pub where_sources_pass: Rate,
    /// From the request to *established* in milliseconds, over the pairs that it joined.
    pub established_ms: Option<Quantiles>,
}

/// A technique in its place in an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InOrder {
    /// Its name.
    pub technique: Way,
    /// Pairs that it or one before it joined.
    pub joined: Rate,
    /// Pairs that it joined and none before it: what it adds.
    pub adds: Rate,
}

/// A cause for which pairs were left over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Left {
    /// The cause.
    pub cause: String,
    /// How many pairs, of all.
    pub pairs: Rate,
}

/// The pairs with one box before the originator and one before the responder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BetweenBoxes {
    /// Their places in the list of boxes.
    pub boxes: [usize; 2],
    /// How many were drawn, and how many of them any technique joined.
    pub joined: Rate,
}

/// What a survey says beside what was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'f> {
    /// The techniques in the order in which a pair tries them.
    pub order: &'f [Technique],
    /// What all chance followed from.
    pub seed: u64,
    /// Whose TCP the hosts had.
    pub stack: &'f str,
    /// The command line that repeats it.
    pub command: &'f str,
    /// Whether all was done that was asked for.
    pub complete: bool,
}

/// The order names a technique that was not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the order names {technique}, which is not among the techniques that are tried")]
pub struct UnknownInOrder {
    /// Which.
    pub technique: Technique,
}

impl Survey {
    /// Says what was counted.
    ///
    /// # Errors
    ///
    /// [`UnknownInOrder`] where the order names a technique that was not tried.
    pub fn of(
        population: &Population,
        tally: Tally,
        frame: &Frame<'_>,
    ) -> Result<Self, UnknownInOrder> {
        let pairs = tally.count(|_, _| true);
        let direct = tally.direct();
        let relay = tally.count(|_, joined| !joined.meets(direct));
        Ok(Self {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            name: population.name.clone(),
            description: population.description.clone(),
            source: population.source.clone(),
            seed: frame.seed,
            stack: frame.stack.to_owned(),
            command: frame.command.to_owned(),
            complete: frame.complete,
            pairs,
            boxes: population.boxes.clone(),
            lets_foreign_sources_out: population.lets_foreign_sources_out,
            paths: population.paths.clone(),
            order: in_order(&tally, frame.order, pairs)?,
            relay: Rate::of(relay, pairs),
            left: left(population, &tally, pairs),
            between: between(&tally),
            violations: tally.violations.clone(),
            alone: alone(tally, pairs),
        })
    }

    /// Writes it as one JSON object on several lines.
    ///
    /// # Panics
    ///
    /// Never: all keys are strings.
    #[must_use]
    pub fn to_json(&self) -> String {
        pretty(self)
    }
}

fn alone(tally: Tally, pairs: u32) -> Vec<Alone> {
    let passing = tally.count(|pair, _| pair.foreign_sources);
    let counted: Vec<[u32; 2]> = (0..tally.techniques.len())
        .map(|place| {
            let by = Joined::by([place]);
            [
                tally.count(|_, joined| joined.meets(by)),
                tally.count(|pair, joined| pair.foreign_sources && joined.meets(by)),
            ]
        })
        .collect();
    let named = tally.techniques.into_iter().zip(tally.times).zip(counted);
    named
        .map(|((technique, mut times), [joined, where_sources_pass])| Alone {
            technique: Way::Own(technique),
            joined: Rate::of(joined, pairs),
            where_sources_pass: Rate::of(where_sources_pass, passing),
            established_ms: quantiles(&mut times),
        })
        .collect()
}

fn in_order(
    tally: &Tally,
    order: &[Technique],
    pairs: u32,
) -> Result<Vec<InOrder>, UnknownInOrder> {
    let mut places = Vec::with_capacity(order.len());
    let mut before = 0;
    order
        .iter()
        .map(|technique| {
            let place = tally.techniques.iter().position(|tried| tried == technique);
            places.push(place.ok_or(UnknownInOrder { technique: *technique })?);
            let by = Joined::by(places.iter().copied());
            let joined = tally.count(|_, joined| joined.meets(by));
            let adds = joined - std::mem::replace(&mut before, joined);
            Ok(InOrder {
                technique: Way::Own(*technique),
                joined: Rate::of(joined, pairs),
                adds: Rate::of(adds, pairs),
            })
        })
        .collect()
}

fn left(population: &Population, tally: &Tally, pairs: u32) -> Vec<Left> {
    let mut causes: BTreeMap<String, u32> = BTreeMap::new();
    let direct = tally.direct();
    let techniques: Vec<Technique> =
        tally.techniques.iter().copied().filter(|tried| !tried.meets_at_relay()).collect();
    for ((pair, joined), count) in &tally.pairs {
        if !joined.meets(direct) {
            *causes.entry(cause(population, *pair, &techniques)).or_default() += count;
        }
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told = |(cause, count)| Left { cause, pairs: Rate::of(count, pairs) };
    causes.into_iter().map(told).collect()
}

/// Why no technique joins a pair, read from its specifications: the first of some single changes
/// that would let the last of the techniques join it, in the order of the documentation, or else
/// what stops that one.
fn cause(population: &Population, pair: Pair, techniques: &[Technique]) -> String {
    if techniques.is_empty() {
        return "nothing else was tried".to_owned();
    }
    let elsewhere = Pair { foreign_sources: true, ..pair };
    let forbidden = |pair: Pair, technique: Technique, mended: [bool; 2]| {
        let cell = population.cell(pair, technique);
        let [a, b] = [0, 1].map(|side| {
            let spec = cell.boxes[side].spec;
            if mended[side] { spec.with_mapping(Mapping::EndpointIndependent) } else { spec }
        });
        let prediction = oracle::predict([&a, &b], &cell.way, cell.forging, &cell.conditions)?;
        (prediction.expect == Expect::MustFail).then_some(prediction.why)
    };
    if techniques.iter().any(|technique| forbidden(pair, *technique, [false; 2]).is_none()) {
        return BY_CHANCE.to_owned();
    }
    let last = techniques.iter().max();
    let stops = |mended| last.and_then(|last| forbidden(elsewhere, *last, mended));
    let changes = [
        ([false, false], BROKER),
        ([true, false], "the box of a has another public endpoint for each destination"),
        ([false, true], "the box of b has another public endpoint for each destination"),
        ([true, true], "both boxes have another public endpoint for each destination"),
    ];
    let change = changes.into_iter().find(|(mended, _)| stops(*mended).is_none());
    change.map_or_else(|| stops([false; 2]).unwrap_or_default(), |(_, cause)| cause.to_owned())
}

fn between(tally: &Tally) -> Vec<BetweenBoxes> {
    let mut met: BTreeMap<[usize; 2], [u32; 2]> = BTreeMap::new();
    for ((pair, joined), count) in &tally.pairs {
        let [successes, pairs] = met.entry(pair.boxes).or_default();
        *pairs += count;
        if *joined != Joined::default() {
            *successes += count;
        }
    }
    met.into_iter()
        .map(|(boxes, [successes, pairs])| {
            let joined = Rate::of(successes, pairs);
            BetweenBoxes { boxes, joined }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use simopen_protocol::technique::SynOwner;

    use super::*;
    use crate::population::{BY_COST, DEFAULT, Tried};

    fn population() -> Population {
        Population::from_toml(DEFAULT.0, DEFAULT.1).unwrap()
    }

    const FRAME: Frame<'_> =
        Frame { order: &BY_COST, seed: 7, stack: "linux", command: "simopen", complete: true };

    /// A survey of pairs with these boxes, joined by the techniques at these places.
    fn survey(pairs: &[([usize; 2], bool, &[usize])]) -> Survey {
        let mut tally = Tally::new(&BY_COST);
        for (boxes, foreign_sources, joined_by) in pairs {
            let pair = Pair { boxes: *boxes, foreign_sources: *foreign_sources, path: 0 };
            let tried = [0, 1, 2, 3, 4, 5].map(|place| Tried {
                joined: joined_by.contains(&place),
                established_ms: Some(150.0),
            });
            tally.add(pair, &tried);
        }
        Survey::of(&population(), tally, &FRAME).unwrap()
    }

    #[test]
    fn a_technique_adds_what_none_before_it_joined() {
        let survey =
            survey(&[([0, 0], true, &[1, 3]), ([0, 0], true, &[3, 5]), ([2, 2], true, &[])]);

        let counts = survey.order.iter().map(|row| (row.joined.successes, row.adds.successes));
        assert_eq!(counts.collect::<Vec<_>>(), [(0, 0), (1, 1), (1, 0), (2, 1), (2, 0), (2, 0)]);
        let alone: Vec<u32> = survey.alone.iter().map(|row| row.joined.successes).collect();
        assert_eq!(alone, [0, 1, 0, 2, 0, 1]);
        assert_eq!((survey.relay.successes, survey.relay.runs), (1, 3));
    }

    #[test]
    fn a_pair_that_a_relay_joined_is_one_that_only_a_relay_could_join() {
        let relay = Technique::Relay(simopen_protocol::technique::Carriage::Any);
        let joined = |joined| Tried { joined, established_ms: None };
        let pair = Pair { boxes: [0, 0], foreign_sources: true, path: 0 };
        let mut tally = Tally::new(&[Technique::Direct, relay]);
        tally.add(pair, &[joined(false), joined(true)]);
        tally.add(pair, &[joined(true), joined(true)]);

        let frame = Frame { order: &[Technique::Direct], ..FRAME };
        let survey = Survey::of(&population(), tally, &frame).unwrap();

        assert_eq!((survey.relay.successes, survey.relay.runs), (1, 2));
        assert_eq!(survey.left.iter().map(|left| left.pairs.successes).sum::<u32>(), 1);
    }

    #[test]
    fn what_is_left_over_has_the_cause_that_another_network_of_the_broker_would_not_mend() {
        let survey = survey(&[([2, 0], true, &[]), ([2, 0], false, &[]), ([0, 0], true, &[])]);

        let [of_box, chance] = &survey.left[..] else { panic!("{:?}", survey.left) };
        assert_eq!((of_box.pairs.successes, chance.pairs.successes), (2, 1));
        let cause = "the box of a has another public endpoint for each destination";
        assert_eq!(of_box.cause, cause);
        assert_eq!(chance.cause, BY_CHANCE);
    }

    #[test]
    fn a_broker_whose_network_filters_is_the_cause_where_forging_alone_would_join() {
        let text = "source = 'none'\n[[boxes]]\nshare = 1\npreset = 'syn-ack-only-firewall'";
        let population = Population::from_toml("f.toml", text).unwrap();
        let pair = Pair { boxes: [0, 0], foreign_sources: false, path: 0 };
        assert_eq!(cause(&population, pair, &Technique::WITHOUT_RELAY), BROKER);
    }

    #[test]
    fn what_no_single_change_would_mend_has_the_cause_that_the_oracle_tells() {
        let text = "source = 'none'\n[[boxes]]\nshare = 1\npreset = 'egress-http-proxy-only'";
        let population = Population::from_toml("f.toml", text).unwrap();
        let pair = Pair { boxes: [0, 0], foreign_sources: true, path: 0 };
        let told = cause(&population, pair, &Technique::WITHOUT_RELAY);
        assert!(told.starts_with("the box of a "), "{told}");
    }

    #[test]
    fn an_order_with_a_technique_that_was_not_tried_is_refused() {
        let technique = Technique::ForgedSynAck(SynOwner::Kernel);
        let tally = Tally::new(&[Technique::Direct]);
        let frame = Frame { order: &[Technique::Direct, technique], ..FRAME };

        let refused = Survey::of(&population(), tally, &frame);

        assert_eq!(refused, Err(UnknownInOrder { technique }));
    }

    #[test]
    fn every_field_of_the_document_is_described_and_reads_as_it_was_written() {
        const PAGE: &str = include_str!("../../../../docs/population-files.md");
        let survey = survey(&[([0, 0], true, &[1]), ([2, 2], true, &[])]);

        let text = survey.to_json();

        assert_eq!(serde_json::from_str::<Survey>(&text).unwrap(), survey);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parts = ["alone", "order", "left", "between"].map(|part| &value[part][0]);
        let objects = parts.into_iter().chain([&value, &value["relay"], &value["boxes"][0]]);
        for key in objects.flat_map(|object| object.as_object().unwrap().keys()) {
            assert!(PAGE.contains(&format!("`{key}`")), "{key}");
        }
    }
}
