//! The way to a relay, and the value that is presented there.

use std::io;
use std::net::SocketAddr;

use simopen_protocol::address::HostPort;
use simopen_protocol::control::Meeting;
use simopen_protocol::technique::Carriage;
use simopen_traversal::DialOutcome;
use simopen_traversal::consent::TargetConsent;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tracing::{debug, warn};

/// Dials the relay and presents the value there. Its addresses are tried in their order.
///
/// # Errors
///
/// How the last of them ended.
pub(crate) async fn meet(
    meeting: Meeting,
    carriage: Carriage,
    consent: TargetConsent,
) -> Result<TcpStream, DialOutcome> {
    for relay in &meeting.relay {
        match arrive(relay, carriage, &consent).await {
            Ok(mut stream) => match stream.write_all(meeting.value.as_bytes()).await {
                Ok(()) => return Ok(stream),
                Err(error) => debug!(%relay, %error, "the relay did not take the value"),
            },
            Err(error) => warn!(%relay, %error, "the relay could not be reached"),
        }
    }
    Err(DialOutcome::RelayUnreachable)
}

async fn arrive(
    relay: &HostPort,
    carriage: Carriage,
    consent: &TargetConsent,
) -> io::Result<TcpStream> {
    match carriage {
        Carriage::Any => straight(relay, consent).await,
        Carriage::Connect | Carriage::Http => Err(io::Error::other("no HTTP proxy is set up")),
    }
}

/// Dials the first address that this peer may dial and that answers.
async fn straight(relay: &HostPort, consent: &TargetConsent) -> io::Result<TcpStream> {
    let mut last = io::Error::other("it has no address that a peer dials");
    let found: Vec<SocketAddr> = match relay.endpoint() {
        Some(endpoint) => vec![endpoint],
        None => lookup_host((relay.host(), relay.port())).await?.collect(),
    };
    for endpoint in found {
        if let Err(violation) = consent.allow_relay(endpoint) {
            warn!(%endpoint, ?violation, "an address of the relay is not dialled");
            continue;
        }
        match TcpStream::connect(endpoint).await {
            Ok(stream) => {
                // The value and the greeting are small and waited for; an error only costs latency.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
