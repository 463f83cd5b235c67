//! What was chosen at each step of a schedule, as text that can be followed again.

use std::fmt;
use std::str::FromStr;

/// One step of a schedule. Items in flight go by their places, counted from 0 in the order in
/// which they were sent, documents behind packets. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// This item arrives.
    Deliver(usize),
    /// Fault: time goes on to the next deadline before this item may arrive.
    Delay(usize),
    /// Fault: this packet is lost.
    Drop(usize),
    /// Fault: this packet arrives, and a copy of it stays in flight.
    Copy(usize),
}

impl Choice {
    /// Whether it is a fault of the network, and not only an order.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Deliver(_))
    }

    /// Whether something arrives by it.
    #[must_use]
    pub const fn delivers(self) -> bool {
        matches!(self, Self::Deliver(_) | Self::Copy(_))
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(place) => write!(formatter, "{place}"),
            Self::Delay(place) => write!(formatter, "delay-{place}"),
            Self::Drop(place) => write!(formatter, "drop-{place}"),
            Self::Copy(place) => write!(formatter, "copy-{place}"),
        }
    }
}

impl FromStr for Choice {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (make, place): (fn(usize) -> Self, _) = match text.split_once('-') {
            None => (Self::Deliver, text),
            Some(("delay", place)) => (Self::Delay, place),
            Some(("drop", place)) => (Self::Drop, place),
            Some(("copy", place)) => (Self::Copy, place),
            Some(_) => return Err(BadChoice(text.to_owned())),
        };
        place.parse().map(make).map_err(|_| BadChoice(text.to_owned()))
    }
}

/// The steps of a schedule, in text parted by commas: `0,0,drop-1,0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Script(pub Vec<Choice>);

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, choice) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{choice}")?;
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let steps = text.split(',').filter(|step| !step.is_empty());
        steps.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A word that is no step of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadChoice(pub String);

impl fmt::Display for BadChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} is no step of a schedule; there are 0, delay-0, drop-0 and copy-0, with any number",
            self.0
        )
    }
}

impl std::error::Error for BadChoice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_as_it_is_written() {
        let script =
            Script(vec![Choice::Deliver(0), Choice::Drop(2), Choice::Copy(1), Choice::Delay(0)]);
        assert_eq!(script.to_string(), "0,drop-2,copy-1,delay-0");
        assert_eq!(script.to_string().parse(), Ok(script));
        assert_eq!("".parse(), Ok(Script::default()));
        assert_eq!("0,lose-1".parse::<Script>(), Err(BadChoice("lose-1".to_owned())));
    }
}
