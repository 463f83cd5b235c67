//! A population as a file describes it.

use std::time::Duration;

use simopen_nat::PRESETS;

use super::boxes::read_spec;
use super::fault::{Fault, FileError, shortened};
use super::plan::LONGEST_DELAY;
use super::reader::{Table, Value, with_document};
use super::{MOST_EXPERIMENTS, tables};
use crate::boxes::NamedBox;
use crate::conditions::Conditions;
use crate::population::{LEG, Population, Weighted};

impl Population {
    /// Reads a population; `name` is the file's, for messages.
    ///
    /// # Errors
    ///
    /// [`FileError`] for the first thing that is wrong.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, FileError> {
        let read = with_document(text, "a population", |file| Self::read(name, file));
        read.map_err(|fault| fault.located(name, text))
    }

    fn read(name: &str, mut file: Table<'_>) -> Result<Self, Fault> {
        let title = file.take("name").map(|value| value.text("a name")).transpose()?;
        let description = file.take("description");
        let description = description.map(|value| value.text("what it is")).transpose()?;
        let source = file.need("source", "where the shares come from")?;
        let population = Self {
            name: title.unwrap_or(name).to_owned(),
            description: description.map(str::to_owned),
            source: source.text("where the shares come from")?.to_owned(),
            boxes: boxes(&mut file)?,
            lets_foreign_sources_out: file.take("broker").map_or(Ok(1.0), broker)?,
            paths: paths(&mut file)?,
        };
        file.finish()?;
        Ok(population)
    }
}

fn boxes(file: &mut Table<'_>) -> Result<Vec<Weighted<NamedBox>>, Fault> {
    let expected = "at least one box: [[boxes]]";
    let list = file.need("boxes", expected)?;
    let mut boxes: Vec<Weighted<NamedBox>> = Vec::new();
    for item in list.list("boxes", MOST_EXPERIMENTS)? {
        let mut table = item.table("a box")?;
        let span = table.span().clone();
        let share = table.need("share", "how often it is met")?.share()?;
        let name = table.take("name").map(|value| value.text("a name")).transpose()?;
        let spec = read_spec(&mut table)?;
        let preset = || PRESETS.iter().find(|preset| preset.spec == spec).map(|preset| preset.name);
        let Some(name) = name.or_else(preset) else {
            let expected = "`name`: what to call a box that is none of the presets";
            return Err(Fault::at(&span, "a box without `name`", expected));
        };
        if boxes.iter().any(|known| known.of.name == name) {
            let found = format!("a second box `{}`", shortened(name));
            return Err(Fault::at(&span, found, "a name of its own"));
        }
        boxes.push(Weighted { share, of: NamedBox { name: name.to_owned(), spec } });
    }
    if boxes.is_empty() {
        return Err(list.fault(expected));
    }
    Ok(made_one(boxes))
}

fn broker(value: Value<'_>) -> Result<f64, Fault> {
    let mut table = value.table("the broker")?;
    let share = table.take("lets-foreign-sources-out").map_or(Ok(1.0), Value::probability)?;
    table.finish()?;
    Ok(share)
}

fn paths(file: &mut Table<'_>) -> Result<Vec<Weighted<Conditions>>, Fault> {
    let mut paths = Vec::new();
    for table in tables(file, "paths")? {
        paths.push(path(table)?);
    }
    if paths.is_empty() {
        paths.push(Weighted { share: 1.0, of: Conditions::with_leg(LEG) });
    }
    Ok(made_one(paths))
}

fn path(mut table: Table<'_>) -> Result<Weighted<Conditions>, Fault> {
    let share = table.take("share").map_or(Ok(1.0), Value::share)?;
    let delay = table.need("delay", "one way between any two of a, b and c: \"25ms\"")?;
    let conditions = Conditions {
        jitter: table.take("jitter").map_or(Ok(Duration::ZERO), bounded)?,
        loss: table.take("loss").map_or(Ok(0.0), Value::probability)?,
        rate: table.take("rate").map(Value::rate).transpose()?,
        skew_a: table.take("skew-from").map_or(Ok(Duration::ZERO), bounded)?,
        skew_b: table.take("skew-to").map_or(Ok(Duration::ZERO), bounded)?,
        ..Conditions::with_leg(bounded(delay)?)
    };
    if conditions.leg.is_zero() {
        return Err(delay.fault("a delay above zero"));
    }
    table.finish()?;
    Ok(Weighted { share, of: conditions })
}

fn bounded(value: Value<'_>) -> Result<Duration, Fault> {
    let time = value.time()?;
    if time > LONGEST_DELAY { Err(value.fault("a time of at most 2s")) } else { Ok(time) }
}

/// Makes shares of one out of whatever a source counts in: percent, devices, networks.
fn made_one<T>(mut all: Vec<Weighted<T>>) -> Vec<Weighted<T>> {
    let sum: f64 = all.iter().map(|one| one.share).sum();
    for one in &mut all {
        one.share /= sum;
    }
    all
}
