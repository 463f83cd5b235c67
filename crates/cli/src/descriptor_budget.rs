//! How the descriptors that the system allows are shared out.

/// Files, the store, listeners, probes, operators, the pool of pipes, and duplicates that a forger
/// is shown.
const RESERVE: usize = 256;
/// The connections that one carrier over HTTP may have.
const OF_CARRIER: usize = 8;
/// Two sockets, and a pipe each way while there is something in it.
const OF_PAIR: usize = 6;

/// How much of each is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) links: usize,
    /// What a link takes: with a forger, a duplicate too.
    pub(crate) of_link: usize,
    pub(crate) pairs: usize,
    pub(crate) newcomers: usize,
    pub(crate) carriers: usize,
}

/// How much of each there is room for, all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// All descriptors.
    pub(crate) limit: usize,
    pub(crate) links: usize,
    pub(crate) pairs: usize,
    pub(crate) newcomers: usize,
    pub(crate) carriers: usize,
    /// For everything else.
    pub(crate) reserve: usize,
}

impl DescriptorBudget {
    /// Newcomers have at most a quarter of what is no reserve, carriers a quarter of the rest, pairs
    /// a third of what is left then, and all of it where there are no links.
    pub(crate) fn new(limit: u64, wanted: Wanted) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rest = limit.saturating_sub(RESERVE);
        let newcomers = wanted.newcomers.min(rest / 4);
        let rest = rest - newcomers;
        let carriers = wanted.carriers.min(rest / 4 / OF_CARRIER);
        let rest = rest - carriers * OF_CARRIER;
        let of_pairs = if wanted.links == 0 { rest } else { rest / 3 };
        let pairs = wanted.pairs.min(of_pairs / OF_PAIR);
        let links = wanted.links.min((rest - pairs * OF_PAIR) / wanted.of_link.max(1));
        Self { limit, links, pairs, newcomers, carriers, reserve: RESERVE }
    }

    /// A line that says so.
    pub(crate) fn told(&self) -> String {
        let Self { limit, links, pairs, newcomers, carriers, reserve } = self;
        format!(
            "{limit} descriptors: {links} links, {pairs} relayed pairs, {carriers} carriers, \
             {newcomers} unidentified, {reserve} in reserve\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Wanted =
        Wanted { links: 100_000, of_link: 2, pairs: 50_000, newcomers: 4096, carriers: 4096 };

    #[test]
    fn everything_at_once_never_takes_more_than_there_is() {
        for limit in [0, 256, 300, 1024, 4096, 20_000, 524_288, u64::from(u32::MAX)] {
            for wanted in
                [USUAL, Wanted { links: 0, ..USUAL }, Wanted { pairs: 0, of_link: 1, ..USUAL }]
            {
                let of = DescriptorBudget::new(limit, wanted);
                let taken = of.links * wanted.of_link
                    + of.pairs * OF_PAIR
                    + of.carriers * OF_CARRIER
                    + of.newcomers;
                assert!(taken as u64 <= limit.saturating_sub(256), "{limit}: {of:?}");
            }
        }
    }

    #[test]
    fn what_is_wanted_is_given_where_there_is_enough() {
        let of = DescriptorBudget::new(u64::from(u32::MAX), USUAL);
        let given = (of.links, of.pairs, of.newcomers, of.carriers);
        assert_eq!(given, (100_000, 50_000, 4096, 4096));
        let few = Wanted { pairs: 10, carriers: 10, newcomers: 100, ..USUAL };
        assert_eq!(DescriptorBudget::new(20_000, few).links, (19_744 - 100 - 80 - 60) / 2);
    }
}
