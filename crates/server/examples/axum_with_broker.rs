//! A web program with a broker inside: devices join and log in on one port, browsers see a page and
//! operators' figures on another.
//!
//! ```text
//! cargo run -p simopen-server --example axum_with_broker -- /tmp/data
//! ```

use std::error::Error;
use std::net::TcpListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use simopen_broker::directory::Directory;
use simopen_device::socket::service_listener;
use simopen_server::admin::{Answer, Attendant, Introduction, Told, Word};
use simopen_server::authority::Authority;
use simopen_server::broker::{Builder, Desk};
use simopen_server::data_directory::DataDirectory;
use simopen_server::figures::{Exposition, Readiness, ReadinessWatch, router};
use simopen_server::relay;
use simopen_server::store::{Sqlite, Timed};
use simopen_server::wall_clock::WallClock;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "simopen-example".to_owned());
    let data = DataDirectory::open(Path::new(&path))?;
    let devices: StdListener = service_listener("127.0.0.1:7443".parse()?)?;
    let exposition = Arc::new(Exposition::new());

    // The broker, with its relay: what is kept, who it is, where it listens.
    let store = Sqlite::open(data.file("broker.sqlite"))?;
    let store = Timed::new(store, exposition.latency("simopen_persist_seconds", "The store's"));
    let authority = Authority::open(data.path(), WallClock::system().seconds())?;
    let introduction = Introduction {
        name: "example".parse()?,
        addresses: vec!["127.0.0.1:7443".parse()?],
        authority: authority.fingerprint(),
    };
    let broker = Builder::new(Directory::default())
        .name(introduction.name.clone())
        .alive(Some(Duration::from_secs(20)))
        .store(store)
        .authority(authority)
        .relay(introduction.addresses.clone(), relay::Builder::new().start()?)
        .listen(devices)
        .start()?;

    // The program's own pages beside the broker's probes.
    let attendant = Attendant::new(broker.desk(), introduction);
    let readiness = ReadinessWatch::new();
    let pages = Router::new()
        .route("/", get(who_is_there))
        .with_state(attendant.clone())
        .merge(router(broker.desk(), exposition, &readiness));
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}/", listener.local_addr()?);

    // Users come from wherever the program has them; here there is one.
    let communities = vec!["friends".to_owned()];
    let invite = Word::Invite { user: "alice".to_owned(), communities, seconds: 3600 };
    if let Answer::Ok(Told::Invited(invited)) = attendant.answer(invite).await {
        println!("simopen join '{}'", invited.line);
    }

    tokio::select! {
        served = axum::serve(listener, pages) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    readiness.set(Readiness::Draining);
    broker.drain(Duration::from_secs(10)).await;
    Ok(())
}

async fn who_is_there(State(attendant): State<Attendant<Desk>>) -> String {
    match attendant.answer(Word::Peers {}).await {
        Answer::Ok(Told::Peers(peers)) => {
            let names: Vec<String> = peers.into_iter().map(|peer| peer.user).collect();
            format!("logged in: {}\n", names.join(", "))
        }
        Answer::Ok(_) => "the broker answered something else\n".to_owned(),
        Answer::Error(refused) => format!("{}\n", refused.message),
    }
}
