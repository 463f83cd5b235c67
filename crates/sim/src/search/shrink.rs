//! From an experiment that surprises to the smallest that surprises alike.

use std::time::Duration;

use simopen_nat::PRESETS;
use simopen_scenario::axes;
use simopen_scenario::file::LinkPlan;
use simopen_scenario::star::IpVersion;

use super::experiment::{Experiment, Fault, Trouble};

/// So many experiments are made for one that is shrunk.
const MOST_TRIED: usize = 3000;

/// The smallest experiment that `surprises`, from one that does: towards presets, round and short
/// times, and no faults. Each step takes the first that is simpler and still surprises.
pub fn shrink(from: Experiment, surprises: &mut dyn FnMut(&Experiment) -> bool) -> Experiment {
    let mut smallest = from;
    let mut left = MOST_TRIED;
    loop {
        let weight = weight(&smallest);
        let simpler = candidates(&smallest).into_iter().filter(|one| self::weight(one) < weight);
        let found = simpler.take(left).find(|candidate| {
            left -= 1;
            surprises(candidate)
        });
        match found {
            Some(found) => smallest = found,
            None => return smallest,
        }
    }
}

/// How much an experiment says that a plain one does not.
fn weight(experiment: &Experiment) -> usize {
    let Experiment { forging, boxes, ip, links, skew, source_validation, faults, seed, .. } =
        experiment;
    let boxes = boxes.iter().map(|spec| {
        let near = axes::nearest(spec);
        let place = PRESETS.iter().position(|preset| preset.name == near.preset.name);
        100 * near.turned + place.unwrap_or(PRESETS.len())
    });
    let links_differ = usize::from(links.iter().any(|link| *link != links[0]));
    let links = links.iter().map(|link| {
        let loss = if link.loss > 0.0 { 40 } else { 0 };
        let rate = if link.rate.is_some() { 40 } else { 0 };
        figures(link.delay) + 20 * figures(link.jitter) + loss + rate
    });
    let faults = faults.iter().map(|fault| {
        let what = match fault.what {
            Trouble::Reboot(_) => 0,
            Trouble::Outage { lasts, .. } => figures(lasts),
        };
        150 + figures(fault.at) + what
    });
    boxes.sum::<usize>()
        + links.sum::<usize>()
        + faults.sum::<usize>()
        + 50 * links_differ
        + skew.iter().map(|skew| 20 * figures(*skew)).sum::<usize>()
        + 30 * usize::from(!forging)
        + 30 * usize::from(*source_validation)
        + 30 * usize::from(*ip == IpVersion::V6)
        + seed.to_string().len()
}

/// The digits that a person reads in a time, without the zeros at its ends.
fn figures(time: Duration) -> usize {
    time.as_nanos().to_string().trim_end_matches('0').len()
}

/// What is simpler in one way, the boldest first.
fn candidates(from: &Experiment) -> Vec<Experiment> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Experiment)| {
        let mut changed = from.clone();
        change(&mut changed);
        all.push(changed);
    };
    add(&|one| one.faults.clear());
    for place in 0..from.faults.len() {
        add(&|one| {
            one.faults.remove(place);
        });
    }
    add(&|one| one.links = [one.links[0]; 3]);
    add(&|one| one.links = one.links.map(without_chance));
    add(&|one| one.links = one.links.map(|link| LinkPlan { jitter: Duration::ZERO, ..link }));
    add(&|one| one.links = one.links.map(|link| LinkPlan { loss: 0.0, ..link }));
    add(&|one| one.skew = [Duration::ZERO; 2]);
    for side in 0..2 {
        add(&|one| one.skew[side] = Duration::ZERO);
    }
    add(&|one| one.source_validation = false);
    add(&|one| one.forging = true);
    add(&|one| one.ip = IpVersion::V4);
    for side in 0..2 {
        for preset in PRESETS {
            add(&|one| one.boxes[side] = preset.spec);
        }
        add(&|one| one.boxes[side] = one.boxes[1 - side]);
        let spec = from.boxes[side];
        let near = axes::nearest(&spec).preset.spec;
        for axis in axes::turned(&spec, &near) {
            let back = axes::with_axis_of(spec, &near, &axis);
            add(&|one| one.boxes[side] = back);
        }
    }
    for (round, time) in rounder(from.links[0].delay) {
        add(&|one| {
            let swap = |delay| if delay == time { round } else { delay };
            one.links = one.links.map(|link| LinkPlan { delay: swap(link.delay), ..link });
        });
    }
    for place in 0..3 {
        for (round, _) in rounder(from.links[place].delay) {
            add(&|one| one.links[place].delay = round);
        }
        for (round, _) in rounder(from.links[place].jitter) {
            add(&|one| one.links[place].jitter = round);
        }
    }
    for side in 0..2 {
        for (round, _) in rounder(from.skew[side]) {
            add(&|one| one.skew[side] = round);
        }
    }
    for (place, fault) in from.faults.iter().enumerate() {
        for (at, _) in rounder(fault.at) {
            add(&|one| one.faults[place] = Fault { at, ..*fault });
        }
        if let Trouble::Outage { of, lasts } = fault.what {
            for (lasts, _) in rounder(lasts) {
                let what = Trouble::Outage { of, lasts };
                add(&|one| one.faults[place].what = what);
            }
        }
    }
    for seed in 1..=4 {
        add(&|one| one.seed = seed);
    }
    // Faults stand in the order of time.
    for one in &mut all {
        one.faults.sort_by_key(|fault| fault.at);
    }
    all
}

const fn without_chance(link: LinkPlan) -> LinkPlan {
    LinkPlan { jitter: Duration::ZERO, loss: 0.0, ..link }
}

/// Times with fewer digits that are near a time, beside it; those with fewest first.
fn rounder(time: Duration) -> Vec<(Duration, Duration)> {
    let mut all = Vec::new();
    if time.is_zero() {
        return all;
    }
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let usual = [5, 10, 20, 50].map(Duration::from_millis);
    all.extend(usual.map(|round| (round, time)));
    let mut unit = 10_u64.pow(nanos.ilog10());
    for _ in 0..3 {
        let below = nanos / unit * unit;
        all.push((Duration::from_nanos(below), time));
        all.push((Duration::from_nanos(below + unit), time));
        unit = (unit / 10).max(1);
    }
    all
}

#[cfg(test)]
mod tests {
    use simopen_nat::{MiddleboxSpec, UnsolicitedSyn};
    use simopen_protocol::technique::Technique;

    use super::*;
    use crate::search::SearchSpec;

    /// The first drawn experiment of which something is true.
    fn drawn(wanted: impl Fn(&Experiment) -> bool) -> Experiment {
        let spec = SearchSpec::new(11);
        (0..).map(|nth| spec.draw(nth)).find(|one| wanted(one)).unwrap()
    }

    #[test]
    fn what_does_not_matter_becomes_plain_and_what_matters_stays() {
        let resets = |one: &Experiment| {
            one.boxes[1].unsolicited == UnsolicitedSyn::Reset
                && one.links[0].delay > Duration::from_millis(30)
        };
        let from = drawn(|one| resets(one) && !one.faults.is_empty());

        let smallest = shrink(from, &mut |one| resets(one));

        let answering = axes::nearest(&smallest.boxes[1]);
        assert_eq!((smallest.boxes[0], answering.turned), (MiddleboxSpec::no_box(), 0));
        assert_eq!(smallest.skew, [Duration::ZERO; 2]);
        assert_eq!((smallest.faults, smallest.seed), (Vec::new(), 1));
        assert_eq!(
            smallest.links,
            [LinkPlan { delay: Duration::from_millis(50), ..LinkPlan::default() }; 3]
        );
    }

    #[test]
    fn an_outage_that_matters_is_as_short_and_round_as_it_may_be() {
        let lasts = |one: &Experiment| {
            one.faults.iter().any(|fault| match fault.what {
                Trouble::Outage { of: 2, lasts } => lasts > Duration::from_micros(1234),
                Trouble::Outage { .. } | Trouble::Reboot(_) => false,
            })
        };
        let smallest = shrink(drawn(lasts), &mut |one| lasts(one));
        let [Fault { at, what: Trouble::Outage { lasts, .. } }] = smallest.faults[..] else {
            panic!("{smallest:?}")
        };
        assert_eq!((figures(at) <= 1, figures(lasts)), (true, 1));
    }

    #[test]
    fn an_experiment_that_needs_all_of_itself_stays_as_it_is() {
        let from = drawn(|one| one.technique == Technique::Direct);
        assert_eq!(shrink(from.clone(), &mut |one| *one == from), from);
    }

    #[test]
    fn shrinking_ends_even_where_everything_surprises() {
        let mut tried = 0;
        let smallest = shrink(drawn(|_| true), &mut |_| {
            tried += 1;
            true
        });
        assert_eq!((smallest.boxes, smallest.seed), ([MiddleboxSpec::no_box(); 2], 1));
        assert!(tried <= MOST_TRIED, "{tried}");
    }
}
