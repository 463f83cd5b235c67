//! As many connections as one broker may have descriptors, and more, each sending one byte a second.

use std::time::Instant;

use simopen_benches::apart::RESERVED;
use simopen_benches::attack::{Attack, Attacker, that_can_stand};
use simopen_benches::stand::Stand;
use simopen_server::broker::ServiceLimits;

use crate::honest::{assert_within_bound, block_on, in_time, logged_in, logins, requests};

/// What the issue names. Where the limit of descriptors lets fewer stand at one broker, that is said
/// aloud; so many come all the same where most are closed at once.
const CONNECTIONS: usize = 20_000;

pub(crate) fn by_the_thousands() {
    let standing = that_can_stand(CONNECTIONS as u64, RESERVED);
    // All that can may stand: harder than to close most at once, as a broker does by default.
    let mut limits = ServiceLimits::default();
    limits.front.newcomers = usize::try_from(standing).unwrap();
    let stand = Stand::start(8, move |builder| builder.service_limits(limits)).unwrap();
    block_on(async {
        let mut honest = logged_in(&stand, 0).await;
        let calm = logins(&stand, 50).await;
        println!("  before {standing} connections, logins: {calm}");
        let begun = Instant::now();
        let connections = usize::try_from(standing).unwrap();
        let attacker = Attacker::start(Attack::SlowBytes, stand.address, connections).unwrap();
        let most = in_time("most of them stand", most_stand(&stand, standing)).await;
        println!("  {most} stand after {:?}", begun.elapsed());
        assert_within_bound("logins beside them", &logins(&stand, 100).await);
        assert_within_bound("requests beside them", &requests(&mut honest, 1000).await);
        drop(attacker);
        assert_within_bound("logins afterwards", &logins(&stand, 100).await);
    });
    // By default most are closed at once, the oldest first, and the honest get in all the same.
    let stand = Stand::start(8, |builder| builder).unwrap();
    block_on(async {
        let attacker = Attacker::start(Attack::SlowBytes, stand.address, CONNECTIONS).unwrap();
        assert_within_bound("logins where most are closed", &logins(&stand, 100).await);
        drop(attacker);
    });
}

/// Returns how many stand, once all have come and nine of ten stand: each is closed after 10 s and
/// comes again a second later.
async fn most_stand(stand: &Stand, all: u64) -> u64 {
    loop {
        let front = stand.desk.figures().await.unwrap().front;
        if front.accepted >= all && front.newcomers >= all / 10 * 9 {
            return front.newcomers;
        }
    }
}
