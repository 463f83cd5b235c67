//! What the relay survives, with legitimate pairs going on beside it.

use std::io;
use std::time::{Duration, Instant};

use simopen_peer::carriage::{Carriage, Way};
use simopen_server::front;
use simopen_server::relay::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, converse};

/// Ten times what a legitimate pair may take beside an attack (the issue: 100 ms at the 99th of
/// 100).
const BOUND: Duration = Duration::from_secs(1);

/// Two meet and exchange a byte each way; how long that took.
async fn pair(place: &Place, session: u64) -> Duration {
    let began = Instant::now();
    let values = place.open(session);
    let straight = Carriage::default();
    let (a, b) = tokio::join!(
        place.meet(&straight, values[0], Way::Straight),
        place.meet(&straight, values[1], Way::Straight)
    );
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    let both = async {
        a.write_all(b"?").await.unwrap();
        assert_eq!(b.read_u8().await.unwrap(), b'?');
        b.write_all(b"!").await.unwrap();
        assert_eq!(a.read_u8().await.unwrap(), b'!');
    };
    timeout(PATIENCE, both).await.expect("bytes go both ways");
    began.elapsed()
}

/// The longest but one in a hundred.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}

#[tokio::test]
async fn pairs_meet_while_many_connections_say_one_byte_at_a_time() {
    // Fewer seats than attackers, so that the oldest go.
    let place = Place::with(front::Limits { newcomers: 1000, ..front::Limits::default() });
    let mut slow = Vec::new();
    let mut times = Vec::new();
    for session in 0..100 {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(place.endpoint()).await.unwrap();
            // The first byte of a value; the rest never comes. It may have been dismissed already.
            let _ = stream.write_all(&[0x80]).await;
            slow.push(stream);
        }
        if session % 10 == 0 {
            for stream in &mut slow {
                // One more byte, as a second would bring; never all of a value.
                let _ = stream.try_write(&[0x5a]);
            }
        }
        times.push(pair(&place, session).await);
    }
    let slowest = p99(times);
    assert!(slowest < BOUND, "{slowest:?}");
    let stats = place.front.stats();
    assert!(stats.newcomers <= 1000 && stats.crowded >= 900, "{stats:?}");
}

#[tokio::test]
async fn random_values_join_nobody_and_use_no_memory() {
    /// The rest of the million is the machine's: a connection each would take minutes.
    const CONNECTIONS: u64 = 2_000;
    const GUESSES: u64 = 1_000_000;
    let place = Place::start();
    let pending: Vec<_> = (0..10_000).map(|session| place.open(session)).collect();
    let before = resident();
    let mut guess = [0xa5; 32];
    for number in 0..GUESSES {
        guess[8..16].copy_from_slice(&number.to_be_bytes());
        let presented = simopen_server::relay::Presented::Value(guess);
        assert!(place.relay.claim(&presented, tokio::time::Instant::now()).is_none());
    }
    for number in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(place.endpoint()).await.unwrap();
        guess[8..16].copy_from_slice(&(GUESSES + number).to_be_bytes());
        stream.write_all(&guess).await.unwrap();
        crate::support::ends_without_a_byte(stream).await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 10 * 1024 * 1024, "{grown} bytes more");
    let stats = place.relay.stats();
    assert_eq!((stats.joined, stats.refused(Refusal::Unknown)), (0, GUESSES + CONNECTIONS));
    let straight = Carriage::default();
    let a = place.meet(&straight, pending[77][0], Way::Straight).await.unwrap();
    let b = place.meet(&straight, pending[77][1], Way::Straight).await.unwrap();
    converse(a, b).await;
}

/// Bytes of this process that are in memory (proc(5)).
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn of_many_pairs_each_of_whose_values_comes_three_times_every_one_is_joined_once() {
    let place = Place::start();
    let mut clients = JoinSet::new();
    for session in 0..100 {
        let values = place.open(session);
        for value in [values[0], values[0], values[0], values[1], values[1], values[1]] {
            let at = place.endpoint();
            clients.spawn(async move {
                let mut stream = TcpStream::connect(at).await?;
                stream.write_all(value.as_bytes()).await?;
                stream.write_all(b"!").await?;
                let mut byte = [0];
                Ok::<_, io::Error>(stream.read(&mut byte).await? == 1)
            });
        }
    }
    let mut heard = 0;
    let all = async {
        while let Some(done) = clients.join_next().await {
            heard += usize::from(matches!(done.unwrap(), Ok(true)));
        }
    };
    timeout(PATIENCE, all).await.expect("each is joined or closed");
    let stats = place.relay.stats();
    assert_eq!((heard, stats.joined), (200, 100), "{stats:?}");
    assert_eq!(place.relay.stats().refused(Refusal::Used), 400);
}
