//! A box as a file describes it: a preset, and single axes that are turned.

use std::time::Duration;

use simopen_nat::{MiddleboxSpec, PRESETS, Preset};

use super::fault::Fault;
use super::reader::{Table, Value};
use super::write::time;
use crate::axes::{has_parts, table};

/// What turns where a file names no preset.
const UNNAMED: MiddleboxSpec = MiddleboxSpec::ei_mapping_apd_filtering();

/// Takes `preset` and whatever axes are left in the table.
///
/// The axes are not listed here: the specification itself says which there are, and which values.
pub(super) fn read_spec(table: &mut Table<'_>) -> Result<MiddleboxSpec, Fault> {
    let mut spec = table.take("preset").map_or(Ok(UNNAMED), preset)?;
    for (key, value) in table.take_rest() {
        let Ok(toml::Value::Table(mut axes)) = toml::Value::try_from(spec) else {
            return Err(Fault::at(
                &key.span,
                "a preset that cannot be written down",
                "another one",
            ));
        };
        let turned = value.bare()?;
        match axes.get_mut(key.name) {
            Some(known) => merge(known, turned),
            None => {
                axes.insert(key.name.to_owned(), turned);
            }
        }
        spec = axes.try_into().map_err(|error: toml::de::Error| {
            let unknown = error.message().starts_with("unknown field `")
                && error.message().split('`').nth(1) == Some(key.name);
            let (span, besides) =
                if unknown { (key.span.clone(), table.known()) } else { (value.span(), &[][..]) };
            Fault::told_by_serde(&span, error.message(), besides)
        })?;
    }
    Ok(spec)
}

fn preset(value: Value<'_>) -> Result<MiddleboxSpec, Fault> {
    let name = value.text("the name of a preset")?;
    let known = || PRESETS.iter().map(|preset| preset.name);
    Preset::named(name)
        .map(|preset| preset.spec)
        .ok_or_else(|| Fault::unknown(&value.span(), "preset", name, known()))
}

/// Turns what `turned` names and leaves the rest of an axis that has several parts.
fn merge(known: &mut toml::Value, turned: toml::Value) {
    match (known, turned) {
        (toml::Value::Table(known), toml::Value::Table(turned)) if parts(known, &turned) => {
            for (name, value) in turned {
                match known.get_mut(&name) {
                    Some(part) => merge(part, value),
                    None => {
                        known.insert(name, value);
                    }
                }
            }
        }
        (known, turned) => *known = turned,
    }
}

/// `preset` and the axes that are turned, as [`read_spec`] takes them: those that differ from the
/// preset from which fewest have to be turned.
pub(super) fn written(spec: &MiddleboxSpec) -> Vec<(String, toml::Value)> {
    let own = table(spec);
    let from = |preset: &Preset| {
        let name = toml::Value::String(preset.name.to_owned());
        let axes = differing(&own, &table(&preset.spec))?;
        Some([("preset".to_owned(), name)].into_iter().chain(axes).collect::<Vec<_>>())
    };
    PRESETS.iter().filter_map(from).min_by_key(Vec::len).unwrap_or_default()
}

/// The entries that differ, with times as a reader writes them. `None` where one would have to be
/// taken away, which no file can say.
fn differing(own: &toml::Table, known: &toml::Table) -> Option<toml::Table> {
    if known.keys().any(|key| !own.contains_key(key)) {
        return None;
    }
    let mut axes = toml::Table::new();
    for (key, value) in own {
        let value = match (value, known.get(key)) {
            (value, Some(known)) if value == known => continue,
            (toml::Value::Table(own), Some(toml::Value::Table(known))) if has_parts(own, known) => {
                toml::Value::Table(differing(own, known)?)
            }
            (value, _) => readable(value.clone()),
        };
        axes.insert(key.clone(), value);
    }
    Some(axes)
}

/// A value with times as a reader writes them.
fn readable(value: toml::Value) -> toml::Value {
    let toml::Value::Table(table) = value else { return value };
    let number = |key: &str| table.get(key).and_then(toml::Value::as_integer);
    if let (Some(secs), Some(nanos)) = (number("secs"), number("nanos")) {
        let [secs, nanos] = [secs, nanos].map(|part| u64::try_from(part).unwrap_or(0));
        let whole = Duration::from_secs(secs) + Duration::from_nanos(nanos);
        return toml::Value::String(time(whole));
    }
    toml::Value::Table(table.into_iter().map(|(key, value)| (key, readable(value))).collect())
}

/// Whether a table has the parts of an axis. A variant of an enum with fields is a table of one
/// entry, and another variant takes its place.
fn parts(known: &toml::Table, turned: &toml::Table) -> bool {
    known.len() != 1 || turned.keys().eq(known.keys())
}
