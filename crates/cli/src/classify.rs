//! `simopen lab classify`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use simopen_lab::LabError;
use simopen_lab::classify_kernel::KernelBench;
use simopen_lab::nft::Approximation;
use simopen_nat::PRESETS;
use simopen_packet::{Entropy, Timestamp};
use simopen_scenario::boxes::NamedBox;
use simopen_scenario::classify::axis::Axis;
use simopen_scenario::classify::middlebox_bench::MiddleboxBench;
use simopen_scenario::classify::network_bench::NetworkBench;
use simopen_scenario::classify::reading::Reading;
use simopen_scenario::classify::unseen::UNSEEN;
use simopen_scenario::classify::{self, Classification};
use simopen_scenario::file::box_from_toml;
use simopen_scenario::result::Difference;
use simopen_scenario::star::{IpVersion, Star};

use crate::matrix::ExecutorName;
use crate::{COULD_NOT_TRY, FAILED, output, privilege};

#[derive(Debug, Args)]
pub(crate) struct ClassifyArguments {
    /// A preset, or a TOML file that describes a box.
    #[arg(value_name = "PRESET|FILE", required_unless_present = "all")]
    name: Option<String>,

    /// Classify all presets.
    #[arg(long, conflicts_with = "name")]
    all: bool,

    /// Who turns the box.
    #[arg(long, value_enum, default_value_t = ExecutorName::Model)]
    executor: ExecutorName,

    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

/// A box, what was found, and where that is not what was specified.
struct Checked {
    named: NamedBox,
    classification: Classification,
    differences: Vec<Difference>,
}

pub(crate) fn run(arguments: &ClassifyArguments) -> Result<ExitCode> {
    let boxes = match &arguments.name {
        Some(name) => vec![find(name)?],
        None => PRESETS.iter().filter_map(|preset| NamedBox::preset(preset.name)).collect(),
    };
    let checked = match arguments.executor {
        ExecutorName::Model => boxes.into_iter().map(check_model).collect::<Result<Vec<_>>>()?,
        ExecutorName::Nft => {
            if let Err(missing) = privilege::acquire() {
                eprintln!("simopen: {missing}");
                return Ok(ExitCode::from(COULD_NOT_TRY));
            }
            check_kernels(boxes, arguments.all)?
        }
    };
    let text = if arguments.json {
        format!("{}\n", checked.iter().map(in_json).collect::<serde_json::Value>())
    } else {
        in_tables(&checked, arguments.all)
    };
    output::print(&text)?;
    let is_equal = checked.iter().all(|checked| checked.differences.is_empty());
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The preset of that name, or the box that a file describes.
fn find(name: &str) -> Result<NamedBox> {
    if let Some(preset) = NamedBox::preset(name) {
        return Ok(preset);
    }
    if !Path::new(name).exists() {
        let known: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        bail!("'{name}' is neither a file nor one of the presets {}", known.join(", "));
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("reading {name}"))?;
    Ok(box_from_toml(name, &text)?)
}

/// Looks at the box by itself, and then where it stands before a host of the standard star.
fn check_model(named: NamedBox) -> Result<Checked> {
    let ip = ip_for(&named);
    // The same chance each time: what is found does not depend on it.
    let entropy = || Entropy::new([0x5a; 32]);
    let classification = classify::classify(&mut MiddleboxBench::new(named.spec, ip, entropy()));
    let star = Star { boxes: [Some(named.spec), None], ip, ..Star::with_leg(LEG) };
    let network = star.network(&entropy(), Timestamp::ZERO)?;
    let mut differences = classify::compare(&classification, &named.spec);
    let mut bench = NetworkBench::new(&network, "box-a", entropy())?;
    for difference in classify::compare(&classify::classify(&mut bench), &named.spec) {
        if !differences.contains(&difference) {
            differences.push(difference);
        }
    }
    let bypassed = bench.bypassed();
    if bypassed > 0 {
        differences.push(Difference {
            axis: "path".to_owned(),
            specified: "through the box".to_owned(),
            measured: format!("{bypassed} packets came past it"),
        });
    }
    Ok(Checked { named, classification, differences })
}

/// Looks at the boxes one after the other where a kernel turns them. Of all presets, those that
/// nftables cannot express are passed over.
fn check_kernels(boxes: Vec<NamedBox>, passes_over: bool) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for named in boxes {
        let mut bench = KernelBench::build(ip_for(&named))?;
        let ruleset = match bench.load(&named.spec) {
            Err(LabError::NotExpressible(why)) if passes_over => {
                eprintln!("{} is passed over: {why}", named.name);
                continue;
            }
            other => other?,
        };
        for approximation in &ruleset.approximations {
            let Approximation { axis, instead } = approximation;
            eprintln!("{}: {axis} is only come near to: {instead}", named.name);
        }
        let classification = classify::classify(&mut bench);
        if let Some(fault) = bench.fault() {
            return Err(fault.into());
        }
        let named = NamedBox { spec: ruleset.router, ..named };
        let differences = classify::compare(&classification, &named.spec);
        checked.push(Checked { named, classification, differences });
    }
    Ok(checked)
}

/// IPv6 for the preset that is made for it.
fn ip_for(named: &NamedBox) -> IpVersion {
    if named.name.starts_with("ipv6") { IpVersion::V6 } else { IpVersion::V4 }
}

/// The leg of the star in which boxes are looked at.
const LEG: Duration = Duration::from_millis(10);

fn in_json(checked: &Checked) -> serde_json::Value {
    json!({
        "name": checked.named.name,
        "spec": checked.named.spec,
        "classification": checked.classification,
        "differences": checked.differences,
        "unseen": checked.classification.unseen(),
    })
}

fn in_tables(checked: &[Checked], with_unseen: bool) -> String {
    let mut text = String::new();
    for checked_box in checked {
        table(&mut text, checked_box);
    }
    if with_unseen {
        let _ = writeln!(text, "What no probe can see of the presets, if it is turned:\n");
        for turn in UNSEEN {
            let _ = writeln!(text, "  {turn}");
        }
    }
    text
}

fn table(text: &mut String, checked: &Checked) {
    let _ = writeln!(text, "{}\n", checked.named.name);
    let _ = writeln!(text, "  {:<24}{:<30}measured", "axis", "specified");
    for axis in Axis::ALL {
        let reading = checked.classification.reading(*axis);
        let says = axis.says(&checked.named.spec);
        let is_same = checked.differences.iter().all(|difference| difference.axis != axis.path());
        let is_seen = !matches!(reading, Reading::NotSeen(_));
        let mark = match (is_same, is_seen) {
            (false, _) => '≠',
            (true, true) => '=',
            (true, false) => ' ',
        };
        let _ = writeln!(text, "{mark} {axis:<24}{says:<30}{reading}");
    }
    for difference in &checked.differences {
        let Difference { axis, specified, measured } = difference;
        let _ =
            writeln!(text, "\n  differs: {axis} is specified as {specified}, measured {measured}");
    }
    text.push('\n');
}
