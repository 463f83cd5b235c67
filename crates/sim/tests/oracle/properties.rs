//! Boxes that nobody has thought of, against what the oracle says of them.
//!
//! `PROPTEST_CASES` says how many are drawn. What once failed stands in `proptest-regressions` and
//! is tried first.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use simopen_protocol::technique::Technique;

use crate::contradiction;
use crate::drawn::experiments;
use crate::experiment::Experiment;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/proptest-regressions/oracle.txt"
        )))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_box_does_what_the_oracle_says(experiment in experiments()) {
        let contradiction = contradiction(&experiment);
        prop_assert!(contradiction.is_none(), "{}", contradiction.unwrap_or_default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_box_lets_two_meet_where_the_oracle_says_so(
        experiment in experiments(),
        technique in prop::sample::select(Technique::BY_RELAY.to_vec()),
    ) {
        let contradiction = contradiction(&Experiment { technique, ..experiment });
        prop_assert!(contradiction.is_none(), "{}", contradiction.unwrap_or_default());
    }
}
