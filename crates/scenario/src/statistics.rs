//! What few runs say about all runs: intervals of a probability, quantiles, and intervals of a
//! mean and a median.

use serde::{Deserialize, Serialize};

/// The standard normal quantile of a two-sided interval at 95 %.
pub const Z_95: f64 = 1.959_963_984_540_054;
/// The same at 99 %.
pub const Z_99: f64 = 2.575_829_303_548_901;

/// Everything between two numbers, both included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the number lies between the ends or is one of them.
    #[must_use]
    pub fn contains(self, number: f64) -> bool {
        self.low <= number && number <= self.high
    }

    /// Half of the distance between the ends.
    #[must_use]
    pub const fn half_width(self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The interval of a probability after so many successes in so many runs: Wilson's score interval
/// (Wilson 1927; Brown, Cai and DasGupta 2001, §3.1.1), for [`Z_95`] or another quantile of the
/// normal distribution. Without runs it is everything from 0 to 1.
#[must_use]
pub fn wilson(successes: u32, runs: u32, z: f64) -> Interval {
    if runs == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = f64::from(runs);
    let rate = f64::from(successes.min(runs)) / n;
    let squared = z * z;
    let centre = (rate + squared / (2.0 * n)) / (1.0 + squared / n);
    let half = z / (1.0 + squared / n) * (rate * (1.0 - rate) / n + squared / (4.0 * n * n)).sqrt();
    // At the rates 0 and 1 the ends are exactly 0 and 1, but for the rounding.
    Interval {
        low: if successes == 0 { 0.0 } else { (centre - half).max(0.0) },
        high: if successes >= runs { 1.0 } else { (centre + half).min(1.0) },
    }
}

/// The exact interval of a probability after so many successes in so many runs (Clopper and Pearson
/// 1934): it misses the true one no more often than `1 - confidence`, at any rate and with any
/// number of runs. Wilson's is shorter, but misses more often near 0 and 1.
#[must_use]
pub fn clopper_pearson(successes: u32, runs: u32, confidence: f64) -> Interval {
    let successes = successes.min(runs);
    let tail = (1.0 - confidence) / 2.0;
    let low = if successes == 0 {
        0.0
    } else {
        // The p at which as many successes or more have exactly the probability of the tail.
        root(|p| 1.0 - at_most(successes - 1, runs, p) >= tail)
    };
    let high = if successes == runs { 1.0 } else { root(|p| at_most(successes, runs, p) <= tail) };
    Interval { low, high }
}

/// Where a condition that holds from some number between 0 and 1 onwards begins to hold.
fn root(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Each step halves the interval; a mantissa has 52 bits.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    f64::midpoint(low, high)
}

/// The probability of at most so many successes in so many runs.
#[must_use]
pub fn at_most(successes: u32, runs: u32, p: f64) -> f64 {
    if successes >= runs || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    // By logarithms, since the powers of a small p underflow.
    let odds = p.ln() - (-p).ln_1p();
    let mut logarithm = f64::from(runs) * (-p).ln_1p();
    let mut sum = logarithm.exp();
    for k in 0..successes {
        logarithm += odds + (f64::from(runs - k) / f64::from(k + 1)).ln();
        sum += logarithm.exp();
    }
    sum.min(1.0)
}

/// What lies where in a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quantiles {
    /// How many values there are.
    pub n: u32,
    /// The least.
    pub min: f64,
    /// A quarter of the values is at most this.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// Three quarters of the values are at most this.
    pub p75: f64,
    /// Nine tenths of the values are at most this.
    pub p90: f64,
    /// 99 % of the values are at most this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// The quantiles of a sample, which is sorted on the way; `None` of an empty one. Between two
/// values they are interpolated linearly (Hyndman and Fan 1996, definition 7).
#[must_use]
pub fn quantiles(samples: &mut [f64]) -> Option<Quantiles> {
    samples.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*samples.first()?, *samples.last()?);
    Some(Quantiles {
        n: count(samples),
        min,
        p25: quantile(samples, 0.25),
        p50: quantile(samples, 0.5),
        p75: quantile(samples, 0.75),
        p90: quantile(samples, 0.9),
        p99: quantile(samples, 0.99),
        max,
    })
}

/// The quantile of a sample that is sorted and not empty.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * f64::from(count(sorted) - 1);
    let below = place.floor();
    let lower = at(sorted, below);
    lower + (place - below) * (at(sorted, place.ceil()) - lower)
}

fn count(samples: &[f64]) -> u32 {
    u32::try_from(samples.len()).unwrap_or(u32::MAX)
}

/// The value at a place that is not negative; the last one beyond the end.
fn at(sorted: &[f64], place: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a slice, rounded"
    )]
    let place = place as usize;
    sorted[place.min(sorted.len() - 1)]
}

/// A number estimated from a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// How many values it was estimated from.
    pub n: u32,
    /// The estimate.
    pub value: f64,
    /// Where the true number is with a confidence of 95 %; `None` where the sample is too small.
    pub interval: Option<Interval>,
}

/// The mean, with the interval of Student's t distribution from two values on; `None` of an empty
/// sample.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<Estimate> {
    let n = count(samples);
    if n == 0 {
        return None;
    }
    let value = samples.iter().sum::<f64>() / f64::from(n);
    let interval = (n > 1).then(|| {
        let squares: f64 = samples.iter().map(|sample| (sample - value).powi(2)).sum();
        let error = (squares / f64::from(n - 1) / f64::from(n)).sqrt();
        let half = student(n - 1) * error;
        Interval { low: value - half, high: value + half }
    });
    Some(Estimate { n, value, interval })
}

/// The median of a sample, which is sorted on the way, with the interval between two of its values
/// that holds whatever the distribution is (David and Nagaraja 2003, §7.1), from six values on;
/// `None` of an empty sample.
#[must_use]
pub fn median(samples: &mut [f64]) -> Option<Estimate> {
    let value = quantiles(samples)?.p50;
    let n = count(samples);
    // The median lies below the value number k, counted from 0, where at most k of n values fell
    // below it: a fair coin's chance.
    let outside = (0..n / 2).take_while(|k| at_most(*k, n, 0.5) <= 0.025).last();
    let interval = outside.map(|k| Interval {
        low: at(samples, f64::from(k)),
        high: at(samples, f64::from(n - 1 - k)),
    });
    Some(Estimate { n, value, interval })
}

/// The quantile at 97.5 % of Student's distribution with so many degrees of freedom, at least one.
fn student(freedom: u32) -> f64 {
    // Tables give it so; the expansion below is good to four digits from there on.
    const TABLE: [f64; 9] =
        [12.706_2, 4.302_7, 3.182_4, 2.776_4, 2.570_6, 2.446_9, 2.364_6, 2.306_0, 2.262_2];
    if let Some(value) = (freedom as usize).checked_sub(1).and_then(|place| TABLE.get(place)) {
        return *value;
    }
    // Cornish and Fisher's expansion (Abramowitz and Stegun 1964, 26.7.5).
    let (z, f) = (Z_95, f64::from(freedom));
    let [g1, g2, g3] = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    z + g1 / f + g2 / f.powi(2) + g3 / f.powi(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(left: f64, right: f64, by: f64) -> bool {
        (left - right).abs() <= by
    }

    #[test]
    fn wilson_gives_what_newcombe_1998_tabulates() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", table I, method 3.
        for (successes, runs, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let interval = wilson(successes, runs, Z_95);

            assert!(close(interval.low, low, 5e-5), "{interval:?} after {successes}/{runs}");
            assert!(close(interval.high, high, 5e-5), "{interval:?} after {successes}/{runs}");
        }
    }

    #[test]
    fn clopper_pearson_gives_what_newcombe_1998_tabulates() {
        // The same table, method 5.
        for (successes, runs, low, high) in [
            (81, 263, 0.2527, 0.3676),
            (15, 148, 0.0578, 0.1617),
            (0, 20, 0.0, 0.1684),
            (1, 29, 0.0009, 0.1776),
        ] {
            let interval = clopper_pearson(successes, runs, 0.95);

            assert!(close(interval.low, low, 5e-5), "{interval:?} after {successes}/{runs}");
            assert!(close(interval.high, high, 5e-5), "{interval:?} after {successes}/{runs}");
        }
    }

    #[test]
    fn nothing_is_known_without_runs() {
        let everything = Interval { low: 0.0, high: 1.0 };

        assert_eq!(wilson(0, 0, Z_95), everything);
        assert_eq!(clopper_pearson(0, 0, 0.99), everything);
    }

    #[test]
    fn quantiles_are_those_of_definition_7() {
        let mut samples = [4.0, 1.0, 3.0, 2.0];

        let quantiles = quantiles(&mut samples).unwrap();

        // As R's quantile() says by default.
        assert!(close(quantiles.p25, 1.75, 1e-12));
        assert!(close(quantiles.p50, 2.5, 1e-12));
        assert!(close(quantiles.p75, 3.25, 1e-12));
        assert!(close(quantiles.p90, 3.7, 1e-12));
        assert!(close(quantiles.p99, 3.97, 1e-12));
        assert_eq!((quantiles.n, quantiles.min, quantiles.max), (4, 1.0, 4.0));
    }

    #[test]
    fn an_empty_sample_has_neither_quantiles_nor_mean_nor_median() {
        assert_eq!(quantiles(&mut []), None);
        assert_eq!(mean(&[]), None);
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn the_mean_of_students_sleep_data_has_the_interval_that_is_known() {
        // Student 1908, the difference between two drugs: 1.58, from 0.70 to 2.46.
        let differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];

        let estimate = mean(&differences).unwrap();

        let interval = estimate.interval.unwrap();
        assert!(close(estimate.value, 1.58, 1e-9));
        assert!(close(interval.low, 0.7001, 1e-4), "{interval:?}");
        assert!(close(interval.high, 2.4599, 1e-4), "{interval:?}");
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, value) in
            [(1, 12.7062), (9, 2.2622), (10, 2.2281), (30, 2.0423), (120, 1.9799)]
        {
            assert!(close(student(freedom), value, 2e-4), "{} for {freedom}", student(freedom));
        }
    }

    #[test]
    fn the_median_has_no_interval_below_six_values_and_the_extremes_at_six() {
        let mut samples = [3.0, 1.0, 2.0, 6.0, 5.0, 4.0];

        assert_eq!(median(&mut samples[..5]).unwrap().interval, None);
        assert_eq!(median(&mut samples).unwrap().interval, Some(Interval { low: 1.0, high: 6.0 }));
    }

    #[test]
    fn the_median_of_twenty_values_lies_between_the_sixth_and_the_fifteenth() {
        // Conover 1999, table A3: the ranks 6 and 15.
        let mut samples: Vec<f64> = (1..=20).map(f64::from).collect();

        let interval = median(&mut samples).unwrap().interval;

        assert_eq!(interval, Some(Interval { low: 6.0, high: 15.0 }));
    }

    proptest! {
        #[test]
        fn intervals_hold_the_observed_rate_and_are_exact_at_their_ends(
            runs in 1_u32..200,
            part in 0.0..=1.0_f64,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let successes = (part * f64::from(runs)) as u32;
            let rate = f64::from(successes) / f64::from(runs);

            let short = wilson(successes, runs, Z_99);
            let exact = clopper_pearson(successes, runs, 0.99);

            prop_assert!(short.contains(rate) && exact.contains(rate));
            prop_assert!(successes == runs || close(at_most(successes, runs, exact.high), 0.005, 1e-9));
            prop_assert!(successes == 0 || close(at_most(successes - 1, runs, exact.low), 0.995, 1e-9));
        }
    }
}
