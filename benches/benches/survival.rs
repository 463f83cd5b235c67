//! What honest devices notice of attacks, and how much a broker with its relay does on one core.
//!
//! `cargo bench -p simopen-benches --bench survival -- attacks pairings fan-out` runs these parts;
//! all without a name. `-- soak minutes=30` lets devices come and go for that long, and prints how
//! the broker's memory grows. The broker is a process of its own on the first core, attackers are processes
//! of their own, honest devices are this one.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use simopen_benches::apart::{Apart, Newcomers, RESERVED, be_broker};
use simopen_benches::attack::{
    Attack, Attacker, be_attacker, take_all_descriptors, that_can_stand,
};
use simopen_benches::client::{Client, dial};
use simopen_benches::latency::Latencies;
use simopen_benches::stand::{Crowd, secret};
use simopen_protocol::control::{
    self, Accept, Action, Connect, ConnectionRequest, Destination, Login, Message, Notification,
    OutcomeState, Reachable, Reply,
};
use simopen_protocol::identity::UserId;
use simopen_protocol::technique::{Carriage, Technique};
use simopen_protocol::token::Token;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A part and its name.
type Part = (&'static str, fn() -> Outcome<()>);

/// How many slow connections an attack is to hold.
const CONNECTIONS: usize = 20_000;
/// Where honest devices come from, and where guesses.
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const GUESSER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// Logins and requests that are timed under each attack.
const LOGINS: usize = 1000;
const REQUESTS: usize = 10_000;
/// Pairs that meet beside each other, and for how long.
const PAIRS: usize = 16;
const MEASURED: Duration = Duration::from_secs(10);
/// Members of the community, and how often one comes.
const MEMBERS: usize = 1000;
const ROUNDS: usize = 20;

fn main() -> ExitCode {
    let arguments = || std::env::args_os().skip(1);
    if let Some(code) = be_attacker(arguments()).or_else(|| be_broker(arguments())) {
        return code;
    }
    take_all_descriptors();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let parts: [Part; 4] =
        [("attacks", attacks), ("pairings", pairings), ("fan-out", fan_out), ("soak", soak)];
    for (name, part) in parts {
        let is_wanted =
            if wanted.is_empty() { name != "soak" } else { wanted.iter().any(|it| it == name) };
        if !is_wanted {
            continue;
        }
        println!("{name}");
        if let Err(error) = part() {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn attacks() -> Outcome<()> {
    let (connections, standing) =
        (CONNECTIONS, usize::try_from(that_can_stand(CONNECTIONS as u64, RESERVED))?);
    runtime()?.block_on(async {
        let broker = Apart::start("attacks", Crowd::friends(8), Newcomers::All)?;
        measure(&broker, "nothing").await?;
        let attacker = Attacker::start(Attack::SlowBytes, broker.address, connections)?;
        let what =
            format!("{standing} connections that send a byte a second, all of which may stand");
        measure(&broker, &what).await?;
        drop((attacker, broker));

        let broker = Apart::start("attacks", Crowd::friends(8), Newcomers::Usual)?;
        let attacker = Attacker::start(Attack::SlowBytes, broker.address, connections)?;
        measure(&broker, &format!("{connections} such connections, limits by default")).await?;
        drop(attacker);
        let attacker = Attacker::start(Attack::Silent, broker.address, connections)?;
        measure(&broker, &format!("{connections} connections that say nothing")).await?;
        drop(attacker);
        let bombs = many(50, || bombs(broker.address));
        measure(&broker, "50 connections that announce 4 GiB and come again").await?;
        end(bombs);
        let guesses = many(50, || guesses(broker.address, broker.devices[1].clone()));
        measure(&broker, "50 links that guess a secret, from one source").await?;
        end(guesses);
        println!("  broker: {} KiB at the end", broker.resident() >> 10);
        Ok(())
    })
}

/// Times logins and requests, side by side.
async fn measure(broker: &Apart, during: &str) -> Outcome<()> {
    let requests = async {
        let device = &broker.devices[0];
        let (mut link, _) = Client::logged_in(broker.address, device, Some(HONEST)).await?;
        let mut latencies = Latencies::default();
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            link.request(Action::Ping).await?.map_err(|error| format!("{error:?}"))?;
            latencies.add(begun.elapsed());
        }
        Outcome::Ok(latencies)
    };
    let logins = async {
        let mut latencies = Latencies::default();
        for number in 0..LOGINS {
            let device = &broker.devices[1 + number % (broker.devices.len() - 1)];
            let begun = Instant::now();
            drop(Client::logged_in(broker.address, device, Some(HONEST)).await?);
            latencies.add(begun.elapsed());
        }
        Outcome::Ok(latencies)
    };
    let (requests, logins) = tokio::try_join!(requests, logins)?;
    println!("  during {during}:\n    logins with TLS: {logins}\n    requests: {requests}");
    Ok(())
}

fn many<F: Future<Output = ()> + Send + 'static>(
    count: usize,
    attack: impl Fn() -> F,
) -> Vec<JoinHandle<()>> {
    (0..count).map(|_| tokio::spawn(attack())).collect()
}

fn end(attackers: Vec<JoinHandle<()>>) {
    for attacker in attackers {
        attacker.abort();
    }
}

/// In clear text, where the length is the first that is read.
async fn bombs(at: SocketAddr) {
    loop {
        let Ok(mut stream) = dial(at, None).await else { return };
        // The first byte makes it a frame: nearly 16 MiB, the most that one can announce.
        let bomb = [&[0, 0xff, 0xff, 0xff][..], &[b'<'; 4000]].concat();
        if stream.write_all(&bomb).await.is_ok() {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

async fn guesses(at: SocketAddr, device: simopen_peer::Credentials) {
    loop {
        let Ok(stream) = dial(at, Some(GUESSER)).await else { return };
        let secret = Some(Token::from_random([0xee; 32]));
        let login = Login { user: device.user.clone(), secret, reachable: Reachable::Yes };
        // Refused, late, or closed: it comes again.
        drop(Client::over(stream).request(Action::Login(login)).await);
    }
}

fn pairings() -> Outcome<()> {
    runtime()?.block_on(async {
        let broker = Apart::start("pairings", Crowd::couples(PAIRS), Newcomers::Usual)?;
        println!("  {PAIRS} pairs beside each other, {} s each", MEASURED.as_secs());
        let clear = count(&broker, |pair| open_links(broker.address, pair, clear_link)).await?;
        println!("  over open links in clear text: {clear}");
        let tls_link = |at, number: usize| {
            let device = broker.devices[number].clone();
            async move { Ok(Client::logged_in(at, &device, None).await?.0) }
        };
        let tls = count(&broker, |pair| open_links(broker.address, pair, tls_link));
        println!("  over open links with TLS: {}", tls.await?);
        println!("  with two fresh logins with TLS each: {}", fresh(&broker).await?);
        let broker = Apart::start("friends", Crowd::friends(2 * PAIRS), Newcomers::Usual)?;
        println!(
            "  the same, where all {} hear of each login: {}",
            2 * PAIRS,
            fresh(&broker).await?
        );
        Ok(())
    })
}

async fn fresh(broker: &Apart) -> Outcome<Rate> {
    count(broker, |pair| {
        let devices = [2 * pair, 2 * pair + 1].map(|number| broker.devices[number].clone());
        log_in_and_meet(broker.address, devices)
    })
    .await
}

/// What came of one way of pairing.
struct Rate {
    pairings: u64,
    wall: Duration,
    computed: Duration,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = |time: Duration| self.pairings as f64 / time.as_secs_f64();
        write!(
            f,
            "{:.0} pairings a second of the broker's core, {:.0} a second of the clock ({} of them)",
            per(self.computed),
            per(self.wall),
            self.pairings
        )
    }
}

/// Lets pairs meet until the time is over. Each tells by the channel that it has met.
async fn count<F>(broker: &Apart, work: impl Fn(usize) -> F) -> Outcome<Rate>
where
    F: Future<Output = Outcome<mpsc::Receiver<()>>>,
{
    let mut meetings = Vec::new();
    for pair in 0..PAIRS {
        meetings.push(work(pair).await?);
    }
    let (begun, computed) = (Instant::now(), broker.computed());
    let mut counters = Vec::new();
    for mut met in meetings {
        counters.push(tokio::spawn(async move {
            let mut count = 0_u64;
            while begun.elapsed() < MEASURED && met.recv().await.is_some() {
                count += 1;
            }
            count
        }));
    }
    let mut pairings = 0;
    for counter in counters {
        pairings += counter.await?;
    }
    Ok(Rate { pairings, wall: begun.elapsed(), computed: broker.computed() - computed })
}

async fn open_links<F, S>(
    at: SocketAddr,
    pair: usize,
    open: impl Fn(SocketAddr, usize) -> F,
) -> Outcome<mpsc::Receiver<()>>
where
    F: Future<Output = Outcome<Client<S>>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (one, other) = (open(at, 2 * pair).await?, open(at, 2 * pair + 1).await?);
    let whom = UserId::new(&format!("u{}", 2 * pair + 1))?;
    meet_again_and_again(at, one, other, whom).await
}

async fn clear_link(at: SocketAddr, number: usize) -> Outcome<Client<TcpStream>> {
    let mut link = Client::over(dial(at, None).await?);
    let user = UserId::new(&format!("u{number}"))?;
    let login = Login { user, secret: Some(secret(number)), reachable: Reachable::Yes };
    match link.request(Action::Login(login)).await? {
        Ok(Reply::LoggedIn(_)) => Ok(link),
        other => Err(format!("the login: {other:?}").into()),
    }
}

async fn meet_again_and_again<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    at: SocketAddr,
    mut one: Client<S>,
    mut other: Client<S>,
    whom: UserId,
) -> Outcome<mpsc::Receiver<()>> {
    let (met, meetings) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            match meet(at, &mut one, &mut other, whom.clone()).await {
                Ok(()) if met.send(()).await.is_ok() => {}
                Ok(()) => return,
                Err(error) => {
                    eprintln!("  a pairing failed: {error}");
                    return;
                }
            }
        }
    });
    Ok(meetings)
}

async fn log_in_and_meet(
    at: SocketAddr,
    [one, other]: [simopen_peer::Credentials; 2],
) -> Outcome<mpsc::Receiver<()>> {
    let (met, meetings) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let meeting = async {
                let (mut a, _) = Client::logged_in(at, &one, None).await?;
                let (mut b, _) = Client::logged_in(at, &other, None).await?;
                meet(at, &mut a, &mut b, other.user.clone()).await
            };
            match meeting.await {
                Ok(()) if met.send(()).await.is_ok() => {}
                Ok(()) => return,
                Err(error) => {
                    eprintln!("  a pairing failed: {error}");
                    return;
                }
            }
        }
    });
    Ok(meetings)
}

/// One request for a connection by the relay, and the two values joined: a byte goes through.
async fn meet<S: AsyncRead + AsyncWrite + Unpin>(
    at: SocketAddr,
    one: &mut Client<S>,
    other: &mut Client<S>,
    whom: UserId,
) -> Outcome<()> {
    let technique = Technique::Relay(Carriage::Any);
    let connect = Connect { to: whom, device: None, technique, port: 0, syn: None };
    let asked = one.request(Action::Connect(connect));
    let answered = async {
        let request = asked_for(other).await?;
        let accept = Accept { session: request.session, port: 0, syn: None, private: None };
        other.request(Action::Accept(accept)).await?.map_err(|error| format!("{error:?}"))?;
        let stream = present(at, &request.destination).await?;
        Outcome::Ok((stream, request.session))
    };
    let asking = async {
        match asked.await? {
            Ok(Reply::Accepted(accepted)) => present(at, &accepted.destination).await,
            other => Err(format!("the request: {other:?}").into()),
        }
    };
    let (mut a, (mut b, session)) = tokio::try_join!(asking, answered)?;
    a.write_all(&[1]).await?;
    b.read_exact(&mut [0]).await?;
    // As every peer does: the session is over for both.
    let over = || Action::Outcome(control::Outcome { session, state: OutcomeState::Confirmed });
    let told = tokio::try_join!(one.request(over()), other.request(over()))?;
    told.0.and(told.1).map(drop).map_err(|error| format!("the outcome: {error:?}").into())
}

async fn asked_for<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Outcome<ConnectionRequest> {
    loop {
        if let Notification::ConnectionRequest(request) = client.told().await? {
            return Ok(request);
        }
    }
}

async fn present(at: SocketAddr, destination: &Destination) -> Outcome<TcpStream> {
    let Destination::Meeting(meeting) = destination else {
        return Err("no meeting".into());
    };
    let mut stream = dial(at, None).await?;
    stream.write_all(meeting.value.as_bytes()).await?;
    Ok(stream)
}

fn fan_out() -> Outcome<()> {
    runtime()?.block_on(async {
        let broker = Apart::start("fan-out", Crowd::friends(MEMBERS + 1), Newcomers::Usual)?;
        let coming = broker.devices[MEMBERS].clone();
        let (told, mut all_told) = mpsc::channel(MEMBERS);
        for device in &broker.devices[..MEMBERS] {
            let (mut link, _) = Client::logged_in(broker.address, device, None).await?;
            let (told, whom) = (told.clone(), coming.user.clone());
            tokio::spawn(async move {
                while let Ok(message) = link.read().await {
                    let Message::Notification(notification) = message else { continue };
                    if is_there(&notification, &whom) && told.send(()).await.is_err() {
                        return;
                    }
                }
            });
        }
        let mut latencies = Latencies::default();
        for _ in 0..ROUNDS {
            let mut link = Client::connect(broker.address, &coming, None).await?;
            let user = coming.user.clone();
            let begun = Instant::now();
            link.ask(Action::Login(Login { user, secret: None, reachable: Reachable::Yes }))
                .await?;
            for _ in 0..MEMBERS {
                all_told.recv().await.ok_or("everybody has gone")?;
            }
            latencies.add(begun.elapsed());
            link.request(Action::Logout).await?.map_err(|error| format!("{error:?}"))?;
        }
        println!("  from a login until {MEMBERS} members have heard of it: {latencies}");
        println!("  broker: {} KiB", broker.resident() >> 10);
        Ok(())
    })
}

/// Devices log in, ask, meet at the relay and go, for the minutes that the arguments say.
fn soak() -> Outcome<()> {
    let minutes = std::env::args().find_map(|it| it.strip_prefix("minutes=")?.parse().ok());
    let length = Duration::from_secs(60 * minutes.unwrap_or(30_u64));
    runtime()?.block_on(async {
        let broker = Apart::start("soak", Crowd::friends(2 * PAIRS), Newcomers::Usual)?;
        let (done, mut met) = mpsc::channel(1);
        for pair in 0..PAIRS {
            let devices = [2 * pair, 2 * pair + 1].map(|number| broker.devices[number].clone());
            let mut meetings = log_in_and_meet(broker.address, devices).await?;
            let done = done.clone();
            tokio::spawn(async move {
                while meetings.recv().await.is_some() && done.send(()).await.is_ok() {}
            });
        }
        drop(done);
        let (begun, mut count) = (Instant::now(), 0_u64);
        let mut often = tokio::time::interval(length / 120);
        let mut samples = Vec::new();
        while begun.elapsed() < length {
            tokio::select! {
                meeting = met.recv() => {
                    meeting.ok_or("nobody meets any more")?;
                    count += 1;
                }
                _ = often.tick() => {
                    samples.push((begun.elapsed().as_secs_f64() / 60.0, broker.resident() as f64 / 1024.0));
                }
            }
        }
        // Caches fill in the first third.
        let steady = samples.split_off(samples.len() / 3);
        let (first, last) = (steady.first().ok_or("too short")?, steady.last().ok_or("too short")?);
        println!("  {count} times two devices logged in, met and went, in {} s", length.as_secs());
        println!("  memory: {:.0} KiB after a third, {:.0} KiB at the end", first.1, last.1);
        println!("  memory slope: {:.2} KiB a minute", slope(&steady));
        Ok(())
    })
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    covariance / variance
}

fn is_there(notification: &Notification, whom: &UserId) -> bool {
    if let Notification::Several(all) = notification {
        return all.iter().any(|one| is_there(one, whom));
    }
    matches!(notification, Notification::Presence(it) if it.user == *whom && it.online)
}
