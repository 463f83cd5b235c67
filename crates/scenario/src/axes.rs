//! A box as a preset of which some axes are turned.
//!
//! The axes are not listed here: the specification itself says which there are. An axis that has
//! several parts, as the timers, counts as so many axes: `timers.established`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use simopen_nat::{MiddleboxSpec, PRESETS, Preset};
use toml::{Table, Value};

/// A box told by the preset that it comes nearest to.
#[derive(Debug, Clone, Copy)]
pub struct Nearest {
    /// The preset; among those that are equally near, the first.
    pub preset: &'static Preset,
    /// How many axes are turned.
    pub turned: usize,
}

/// The axes of all presets.
static KNOWN: LazyLock<Vec<Table>> =
    LazyLock::new(|| PRESETS.iter().map(|preset| table(&preset.spec)).collect());

/// The preset from which fewest axes have to be turned.
#[must_use]
pub fn nearest(spec: &MiddleboxSpec) -> Nearest {
    let own = table(spec);
    let near = |(preset, known): (&'static Preset, &Table)| {
        let turned = differing(&own, known).len();
        Nearest { preset, turned }
    };
    let all = PRESETS.iter().zip(KNOWN.iter()).map(near);
    // There are presets.
    all.min_by_key(|near| near.turned)
        .unwrap_or(Nearest { preset: &PRESETS[0], turned: usize::MAX })
}

/// The axes in which a box differs from another.
#[must_use]
pub fn turned(spec: &MiddleboxSpec, from: &MiddleboxSpec) -> Vec<String> {
    differing(&table(spec), &table(from))
}

fn differing(own: &Table, other: &Table) -> Vec<String> {
    let mut axes = Vec::new();
    for key in keys(own, other) {
        match (own.get(key), other.get(key)) {
            (own, other) if own == other => {}
            (Some(Value::Table(own)), Some(Value::Table(other))) if has_parts(own, other) => {
                let parts = keys(own, other).into_iter();
                let differ = parts.filter(|part| own.get(*part) != other.get(*part));
                axes.extend(differ.map(|part| format!("{key}.{part}")));
            }
            _ => axes.push(key.to_owned()),
        }
    }
    axes
}

/// The box with one axis as another has it; unchanged where there is no such axis.
#[must_use]
pub fn with_axis_of(spec: MiddleboxSpec, other: &MiddleboxSpec, axis: &str) -> MiddleboxSpec {
    let (mut own, mut theirs) = (table(&spec), table(other));
    match axis.split_once('.') {
        None => put(&mut own, axis, theirs.remove(axis)),
        Some((key, part)) => {
            let (Some(Value::Table(own)), Some(Value::Table(theirs))) =
                (own.get_mut(key), theirs.get_mut(key))
            else {
                return spec;
            };
            put(own, part, theirs.remove(part));
        }
    }
    Value::Table(own).try_into().unwrap_or(spec)
}

fn put(table: &mut Table, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            table.insert(key.to_owned(), value);
        }
        None => {
            table.remove(key);
        }
    }
}

/// All axes of a box, as serde writes them; what is absent is `None`.
pub(crate) fn table(spec: &MiddleboxSpec) -> Table {
    match Value::try_from(spec) {
        Ok(Value::Table(table)) => table,
        // A specification is a table.
        Ok(_) | Err(_) => Table::new(),
    }
}

/// Whether two tables are the parts of an axis: neither durations, nor variants of an enum.
pub(crate) fn has_parts(own: &Table, other: &Table) -> bool {
    let is_time = |table: &Table| table.len() == 2 && table.contains_key("secs");
    let is_variant = |table: &Table| table.len() == 1 && !table.contains_key("when-full");
    ![own, other].into_iter().any(|table| is_time(table) || is_variant(table))
}

fn keys<'t>(own: &'t Table, other: &'t Table) -> BTreeSet<&'t str> {
    own.keys().chain(other.keys()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use simopen_nat::{IsnRewriting, Limits, Rewriting};

    use super::*;

    #[test]
    fn every_preset_is_nearest_to_itself() {
        for preset in PRESETS {
            let near = nearest(&preset.spec);
            assert_eq!((near.turned, near.preset.spec), (0, preset.spec), "{}", preset.name);
        }
    }

    #[test]
    fn each_axis_that_differs_can_be_turned_back_alone_until_none_is_left() {
        for own in PRESETS {
            for other in PRESETS {
                let axes = turned(&own.spec, &other.spec);
                let back = axes.iter().fold(own.spec, |spec, axis| {
                    let turned = with_axis_of(spec, &other.spec, axis);
                    assert_ne!(turned, spec, "{axis} of {} to {}", own.name, other.name);
                    turned
                });
                assert_eq!(back, other.spec, "{} to {}", own.name, other.name);
            }
        }
    }

    #[test]
    fn the_parts_of_an_axis_are_told_apart_even_where_one_is_absent() {
        let known = MiddleboxSpec::ei_mapping_apd_filtering();
        let limits = Limits { per_host: Some(9), ..Limits::NONE };
        let isn = IsnRewriting::ModulatedSackBroken;
        let spec = known.with_limits(limits).with_rewriting(Rewriting { isn, ..known.rewriting });
        assert_eq!(turned(&spec, &known), ["limits.per-host", "rewriting.isn"]);
        assert_eq!(with_axis_of(spec, &known, "limits.per-host").limits, Limits::NONE);
    }
}
