//! Reading of TOML with the place of everything, so that each complaint has its line.

use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, shortened};

/// The longest text of a file, in bytes: far more than any network that is bounded as here.
pub(super) const LONGEST_FILE: usize = 256 * 1024;

/// The longest time that may be written, one hour.
const LONGEST_TIME: Duration = Duration::from_secs(3600);

/// A table of which one entry after the other is taken; what is left in the end is unknown.
#[derive(Debug)]
pub(super) struct Table<'t> {
    what: &'static str,
    span: Range<usize>,
    entries: Vec<(Key<'t>, Value<'t>)>,
    known: Vec<&'static str>,
}

/// A name, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key<'t> {
    pub(super) name: &'t str,
    pub(super) span: Range<usize>,
}

/// A value, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'t>(&'t Spanned<DeValue<'t>>);

impl<'t> Table<'t> {
    /// Opens a table; `what` is its name in messages.
    pub(super) fn open(what: &'static str, span: Range<usize>, table: &'t DeTable<'t>) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                (Key { name: key.get_ref().as_ref(), span: key.span() }, Value(value))
            })
            .collect();
        // In the order of the file, not of the names.
        entries.sort_by_key(|(key, _)| key.span.start);
        Self { what, span, entries, known: Vec::new() }
    }

    /// Where it stands.
    pub(super) const fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Takes an entry, if it is there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value<'t>> {
        self.known.push(name);
        let place = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(place).1)
    }

    /// Takes an entry that must be there.
    pub(super) fn need(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Value<'t>, Fault> {
        self.take(name).ok_or_else(|| {
            let found = format!("{} without `{name}`", self.what);
            Fault::at(&self.span, found, format_args!("`{name}`: {expected}"))
        })
    }

    /// The names that were asked for.
    pub(super) fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// Takes whatever is left.
    pub(super) fn take_rest(&mut self) -> Vec<(Key<'t>, Value<'t>)> {
        std::mem::take(&mut self.entries)
    }

    /// Complains of what was not taken.
    pub(super) fn finish(self) -> Result<(), Fault> {
        self.entries.first().map_or(Ok(()), |(key, _)| {
            let what = format!("key of {}", self.what);
            Err(Fault::unknown(&key.span, &what, key.name, self.known.iter().copied()))
        })
    }
}

impl<'t> Value<'t> {
    pub(super) fn span(self) -> Range<usize> {
        self.0.span()
    }

    /// Complains of the value.
    pub(super) fn fault(self, expected: impl std::fmt::Display) -> Fault {
        let found = match self.0.get_ref() {
            DeValue::String(text) => format!("\"{}\"", shortened(text)),
            DeValue::Integer(number) => shortened(number.as_str()),
            DeValue::Float(number) => shortened(number.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        Fault::at(&self.span(), found, expected)
    }

    pub(super) fn text(self, expected: impl std::fmt::Display) -> Result<&'t str, Fault> {
        self.0.get_ref().as_str().ok_or_else(|| self.fault(expected))
    }

    pub(super) fn flag(self) -> Result<bool, Fault> {
        self.0.get_ref().as_bool().ok_or_else(|| self.fault("true or false"))
    }

    pub(super) fn integer(self, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        let number = self.0.get_ref().as_integer().and_then(|number| {
            u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
        });
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.fault(format_args!("a whole number from {low} to {high}"))
        })
    }

    pub(super) fn probability(self) -> Result<f64, Fault> {
        let proper = self.number().filter(|number| (0.0..=1.0).contains(number));
        proper.ok_or_else(|| self.fault("a probability from 0 to 1"))
    }

    /// How often something is met, in whatever unit those beside it have too.
    pub(super) fn share(self) -> Result<f64, Fault> {
        let proper = self.number().filter(|number| (1e-6..=1e9).contains(number));
        proper.ok_or_else(|| self.fault("a share: a number above 0"))
    }

    fn number(self) -> Option<f64> {
        match self.0.get_ref() {
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        }
    }

    pub(super) fn time(self) -> Result<Duration, Fault> {
        let expected = "a time of at most an hour with its unit: \"1.5s\", \"20ms\", \"500us\"";
        let time = self.0.get_ref().as_str().and_then(time);
        time.filter(|time| *time <= LONGEST_TIME).ok_or_else(|| self.fault(expected))
    }

    /// Bits per second.
    pub(super) fn rate(self) -> Result<u64, Fault> {
        let expected = "a rate with its unit: \"20mbit\", \"1gbit\", \"64kbit\"";
        let text = self.text(expected)?;
        let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = match unit {
            "bit" => 1,
            "kbit" => 1_000,
            "mbit" => 1_000_000,
            "gbit" => 1_000_000_000,
            _ => return Err(self.fault(expected)),
        };
        let number: Option<u64> = number.trim().parse().ok();
        let rate = number.and_then(|number| number.checked_mul(unit));
        rate.filter(|rate| (1_000..=100_000_000_000).contains(rate))
            .ok_or_else(|| self.fault("a rate from 1kbit to 100gbit"))
    }

    pub(super) fn address(self) -> Result<IpAddr, Fault> {
        let expected = "an address of a host: \"192.0.2.1\" or \"2001:db8::1\"";
        let address: IpAddr = self.text(expected)?.parse().map_err(|_| self.fault(expected))?;
        let for_a_host = !address.is_unspecified()
            && !address.is_multicast()
            && !address.is_loopback()
            && match address {
                IpAddr::V4(address) => !address.is_broadcast() && !address.is_link_local(),
                IpAddr::V6(address) => !address.is_unicast_link_local(),
            };
        if for_a_host { Ok(address) } else { Err(self.fault(expected)) }
    }

    /// An address and the length of its prefix.
    pub(super) fn prefix(self) -> Result<(IpAddr, u8), Fault> {
        let expected = "a prefix: \"192.0.2.0/24\" or \"2001:db8::/64\"";
        let text = self.text(expected)?;
        let parts = text.split_once('/').and_then(|(address, length)| {
            Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?))
        });
        let proper = parts.filter(|(address, length)| {
            simopen_fabric::Prefix::new(*address, *length)
                .is_some_and(|prefix| prefix.address() == *address)
        });
        proper.ok_or_else(|| self.fault(expected))
    }

    pub(super) fn table(self, what: &'static str) -> Result<Table<'t>, Fault> {
        let table = self.0.get_ref().as_table();
        table
            .map(|table| Table::open(what, self.span(), table))
            .ok_or_else(|| self.fault(format_args!("a table: {what}")))
    }

    /// The entries of a table of things that have names of the reader's own.
    pub(super) fn named(
        self,
        what: &'static str,
        at_most: usize,
    ) -> Result<Vec<(Key<'t>, Self)>, Fault> {
        let entries = self.table(what)?.take_rest();
        if let Some((key, _)) = entries.get(at_most) {
            let found = format!("number {} of {what}", at_most + 1);
            return Err(Fault::at(&key.span, found, format_args!("at most {at_most}")));
        }
        for (key, _) in &entries {
            check_name(key)?;
        }
        Ok(entries)
    }

    pub(super) fn list(self, what: &'static str, at_most: usize) -> Result<Vec<Self>, Fault> {
        let expected = || self.fault(format_args!("a list of {what}"));
        let array = self.0.get_ref().as_array().ok_or_else(expected)?;
        let items: Vec<Self> = array.iter().map(Value).collect();
        match items.get(at_most) {
            Some(item) => Err(item.fault(format_args!("at most {at_most} {what}"))),
            None => Ok(items),
        }
    }

    /// One of the words that an enum has.
    pub(super) fn word<T: Copy>(self, what: &str, words: &[(&str, T)]) -> Result<T, Fault> {
        let known = || words.iter().map(|(word, _)| *word);
        let expected: Vec<String> = known().map(|word| format!("\"{word}\"")).collect();
        let text = self.text(expected.join(" or "))?;
        let found = words.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| Fault::unknown(&self.span(), what, text, known()))
    }

    /// The same as a value without places, for serde.
    pub(super) fn bare(self) -> Result<toml::Value, Fault> {
        Ok(match self.0.get_ref() {
            DeValue::String(text) => match time(text) {
                // As serde writes a duration.
                Some(time) => toml::Value::Table(
                    [
                        ("secs".to_owned(), integer(time.as_secs())),
                        ("nanos".to_owned(), integer(time.subsec_nanos().into())),
                    ]
                    .into_iter()
                    .collect(),
                ),
                None => toml::Value::String(text.to_string()),
            },
            DeValue::Integer(_) => integer(self.integer(0..=i64::MAX.unsigned_abs())?),
            DeValue::Boolean(value) => toml::Value::Boolean(*value),
            DeValue::Array(items) => {
                let bare = items.iter().map(|item| Value(item).bare());
                toml::Value::Array(bare.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => {
                let entry = |(key, value)| {
                    let key: &Spanned<toml::de::DeString<'_>> = key;
                    Ok((key.get_ref().to_string(), Value(value).bare()?))
                };
                toml::Value::Table(table.iter().map(entry).collect::<Result<_, _>>()?)
            }
            DeValue::Float(_) | DeValue::Datetime(_) => {
                return Err(self.fault("a word, a whole number, a time or a table of them"));
            }
        })
    }
}

fn integer(number: u64) -> toml::Value {
    toml::Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

/// A time with its unit; `None` where it is something else.
fn time(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let digits = |letter: char| letter.is_ascii_digit() || letter == '.';
    let number: f64 = number.trim().chars().all(digits).then(|| number.trim().parse().ok())??;
    Duration::try_from_secs_f64(number * unit).ok()
}

/// Names stand in prompts, file names, timelines and as user names.
fn check_name(key: &Key<'_>) -> Result<(), Fault> {
    let proper =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let fits = (1..=24).contains(&key.name.len())
        && key.name.chars().all(proper)
        && key.name.starts_with(|first: char| first.is_ascii_lowercase());
    if fits {
        return Ok(());
    }
    let expected = "a name: a letter, then letters, digits and -, all lower case, 24 at most";
    Err(Fault::at(&key.span, format_args!("`{}`", shortened(key.name)), expected))
}

/// Reads the text and opens its uppermost table.
pub(super) fn with_document<T>(
    text: &str,
    what: &'static str,
    read: impl FnOnce(Table<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if text.len() > LONGEST_FILE {
        let found = format!("a file of {} bytes", text.len());
        return Err(Fault::at(&(0..0), found, format_args!("at most {LONGEST_FILE}")));
    }
    match DeTable::parse(text) {
        Ok(document) => read(Table::open(what, 0..0, document.get_ref())),
        Err(error) => {
            Err(Fault::told_by_serde(&error.span().unwrap_or(0..0), error.message(), &[]))
        }
    }
}
