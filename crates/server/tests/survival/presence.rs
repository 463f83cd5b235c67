//! Peers that have gone without a word.

use std::time::{Duration, Instant};

use simopen_benches::stand::Stand;
use simopen_protocol::control::{Action, Notification};
use simopen_protocol::identity::UserId;
use tokio::time::interval;

use crate::honest::{assert_within_bound, block_on, in_time, logged_in, logins, told};

/// How long a peer may be silent here.
const ALIVE: Duration = Duration::from_secs(2);

/// It is silent for so long, is asked, and has half of it to answer; ten times that.
const BOUND: Duration = Duration::from_secs(30);

fn is_gone(told: &Notification, whom: &UserId) -> bool {
    matches!(told, Notification::Presence(it) if it.user == *whom && !it.online)
}

/// Its machine is stopped or cut off: the connection stands, and nothing comes.
pub(crate) fn of_a_silent_peer() {
    let stand = Stand::start(8, |builder| builder.alive(Some(ALIVE))).unwrap();
    block_on(async {
        let mut onlooker = logged_in(&stand, 0).await;
        let mut silent = logged_in(&stand, 1).await;
        let mut quiet = logged_in(&stand, 2).await;
        let begun = Instant::now();
        let (gone, alive) = (stand.devices[1].user.clone(), stand.devices[2].user.clone());

        let is_verify = |it: &Notification| matches!(it, Notification::Verify);
        let asked = async {
            told(&mut silent, "the question whether it is there", is_verify).await;
            begun.elapsed()
        };
        // It says nothing of its own accord, but answers.
        let answering = async {
            loop {
                told(&mut quiet, "the question", is_verify).await;
                in_time("an answer", quiet.request(Action::Ping)).await.unwrap().unwrap();
            }
        };
        let announced = async {
            let mut often = interval(ALIVE / 8);
            loop {
                tokio::select! {
                    told = onlooker.told() => {
                        let told = told.unwrap();
                        assert!(!is_gone(&told, &alive), "it has answered");
                        if is_gone(&told, &gone) {
                            return begun.elapsed();
                        }
                    }
                    _ = often.tick() => onlooker.ask(Action::Ping).await.unwrap(),
                }
            }
        };
        let observed = async { tokio::join!(asked, in_time("that it is gone", announced)) };
        let (asked, announced) = tokio::select! {
            never = answering => never,
            observed = observed => observed,
        };
        println!("  asked after {asked:?}, announced after {announced:?}");
        assert!(
            asked < announced,
            "it was asked after {asked:?} and announced after {announced:?}"
        );
        assert!(announced >= ALIVE && announced < BOUND, "{announced:?}");
        assert_within_bound("logins afterwards", &logins(&stand, 20).await);
    });
}

/// Its process was killed: the kernel closes the connection.
pub(crate) fn of_a_killed_peer() {
    // Nobody would be asked for longer than the test waits.
    let stand = Stand::start(8, |builder| builder.alive(Some(Duration::from_secs(3600)))).unwrap();
    block_on(async {
        let mut onlooker = logged_in(&stand, 0).await;
        let killed = logged_in(&stand, 1).await;
        let gone = stand.devices[1].user.clone();
        let begun = Instant::now();
        drop(killed);
        told(&mut onlooker, "that it is gone", |it| is_gone(it, &gone)).await;
        println!("  announced after {:?}", begun.elapsed());
    });
}
