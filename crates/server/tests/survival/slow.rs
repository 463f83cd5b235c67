//! As many connections as descriptors permit, each sending one byte a second.

use std::time::Instant;

use simopen_benches::attack::{Attack, Attacker, take_all_descriptors};
use simopen_benches::stand::Stand;
use simopen_server::broker::ServiceLimits;

use crate::honest::{assert_within_bound, block_on, logged_in, logins, requests};

/// What the issue names.
const CONNECTIONS: u64 = 20_000;

/// Descriptors for everything that is no attack.
const RESERVED: u64 = 500;

pub(crate) fn by_the_thousands() {
    let connections = CONNECTIONS.min(take_all_descriptors().saturating_sub(RESERVED)) as usize;
    // All of them may stand: harder than to close most at once, as a broker does by default.
    let mut limits = ServiceLimits::default();
    limits.front.newcomers = connections;
    let stand = Stand::start(8, move |builder| builder.service_limits(limits)).unwrap();
    block_on(async {
        let mut standing = logged_in(&stand, 0).await;
        let calm = logins(&stand, 50).await;
        println!("  {connections} connections; before them, logins: {calm}");
        let begun = Instant::now();
        let attacker = Attacker::start(Attack::SlowBytes, stand.address, connections).unwrap();
        println!("  they stand after {:?}", begun.elapsed());
        assert_within_bound("logins beside them", &logins(&stand, 100).await);
        assert_within_bound("requests beside them", &requests(&mut standing, 1000).await);
        drop(attacker);
        assert_within_bound("logins afterwards", &logins(&stand, 100).await);
    });
    // By default most are closed at once, the oldest first, and the honest get in all the same.
    let stand = Stand::start(8, |builder| builder).unwrap();
    block_on(async {
        let attacker = Attacker::start(Attack::SlowBytes, stand.address, connections).unwrap();
        assert_within_bound("logins where most are closed", &logins(&stand, 100).await);
        drop(attacker);
    });
}
