//! Secrets that are guessed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use simopen_benches::client::Client;
use simopen_benches::stand::Stand;
use simopen_protocol::control::{Action, Join, Login, Reachable};
use simopen_protocol::identity::DeviceName;
use simopen_protocol::token::Token;

use crate::honest::{assert_within_bound, block_on, in_time, logins};

/// Guesses that are waited for.
const GUESSES: usize = 4;

/// The delays double from 100 ms: after the first, 200, 400 and so on.
const LEAST: Duration = Duration::from_millis(100 + 200 + 400);

pub(crate) fn from_one_source() {
    let stand = Stand::start(4, |builder| builder).unwrap();
    block_on(async {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
        let begun = Instant::now();
        let guesser = async {
            for guess in 0..GUESSES {
                // Each on a connection of its own: the delay is the source's.
                let connect = Client::connect(stand.address, &stand.devices[1], Some(source));
                let mut link = in_time("a connection", connect).await.unwrap();
                let secret = Token::from_random([guess as u8; 32]);
                let action =
                    if guess % 2 == 0 { a_login(&stand, secret) } else { a_join(&stand, secret) };
                let answer = in_time("an answer", link.request(action)).await;
                assert!(answer.is_err() || answer.unwrap().is_err(), "no guess gets in");
            }
            begun.elapsed()
        };
        let (took, honest) = tokio::join!(guesser, logins(&stand, 50));
        assert_within_bound("logins beside them", &honest);
        println!("  {GUESSES} guesses took {took:?}");
        assert!(took >= LEAST, "{GUESSES} guesses took {took:?}");
    });
}

/// As somebody else than the device's user.
fn a_login(stand: &Stand, secret: Token) -> Action {
    let user = stand.devices[2].user.clone();
    Action::Login(Login { user, secret: Some(secret), reachable: Reachable::Yes })
}

fn a_join(stand: &Stand, secret: Token) -> Action {
    let key = stand.devices[1].key.public().unwrap();
    Action::Join(Join { device: DeviceName::new("guessed").unwrap(), secret, key })
}
