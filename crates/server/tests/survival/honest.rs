//! Honest traffic: devices that log in, and devices that have and ask.

use std::future::Future;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use simopen_benches::client::Client;
use simopen_benches::latency::Latencies;
use simopen_benches::stand::Stand;
use simopen_protocol::control::{Action, Notification};
use tokio::time::timeout;

/// Where honest devices come from; attackers come from 127.0.0.1.
pub(crate) const HONEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// Ten times the 100 ms that 99 of 100 honest requests and logins may take.
pub(crate) const BOUND: Duration = Duration::from_secs(1);

/// Longest wait for a fact; only a failing test comes near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a client's side of a test to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Fails where a fact does not come about.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(PATIENCE, future).await else { panic!("it never came: {what}") };
    value
}

/// Logs in the device of that number.
pub(crate) async fn logged_in(stand: &Stand, number: usize) -> Client {
    let login = Client::logged_in(stand.address, &stand.devices[number], Some(HONEST));
    in_time("a login", login).await.unwrap().0
}

/// Waits for a notification.
pub(crate) async fn told(
    client: &mut Client,
    what: &str,
    is_it: impl Fn(&Notification) -> bool,
) -> Notification {
    in_time(what, async {
        loop {
            let told = client.told().await.unwrap();
            if is_it(&told) {
                return told;
            }
        }
    })
    .await
}

/// Fresh logins with TLS, one after the other, and how long each took.
pub(crate) async fn logins(stand: &Stand, count: usize) -> Latencies {
    let mut latencies = Latencies::default();
    for number in 0..count {
        let begun = Instant::now();
        drop(logged_in(stand, number % stand.devices.len()).await);
        latencies.add(begun.elapsed());
    }
    latencies
}

/// Requests on one link, one after the other, and how long each took.
pub(crate) async fn requests(client: &mut Client, count: usize) -> Latencies {
    let mut latencies = Latencies::default();
    for _ in 0..count {
        let begun = Instant::now();
        in_time("an answer", client.request(Action::Ping)).await.unwrap().unwrap();
        latencies.add(begun.elapsed());
    }
    latencies
}

/// Logins of the first device and requests of its link by turns, while that lasts; all of them stay
/// within the bound. Gives what came of it.
pub(crate) async fn beside<T>(stand: &Stand, attack: impl Future<Output = T>) -> T {
    let mut client = logged_in(stand, 0).await;
    let (mut all_logins, mut all_requests) = (Latencies::default(), Latencies::default());
    let honest = async {
        loop {
            all_logins.append(logins(stand, 1).await);
            all_requests.append(requests(&mut client, 10).await);
        }
    };
    let outcome = tokio::select! {
        outcome = attack => outcome,
        () = honest => unreachable!("it goes on for ever"),
    };
    assert!(all_requests.count() > 0, "somebody has to be there");
    assert_within_bound("logins beside it", &all_logins);
    assert_within_bound("requests beside it", &all_requests);
    outcome
}

/// Asserts that 99 of 100 stay within the bound.
pub(crate) fn assert_within_bound(what: &str, latencies: &Latencies) {
    println!("  {what}: {latencies}");
    assert!(latencies.percentile(99) < BOUND, "{what}: {latencies}");
}
