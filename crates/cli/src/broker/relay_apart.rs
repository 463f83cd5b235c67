//! The broker's end of a relay that runs apart, and the figures of one that runs inside.

use std::io;
use std::sync::{Arc, OnceLock};

use simopen_broker::directory::{DeviceKind, Standing};
use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_protocol::control::KeyFingerprint;
use simopen_server::admin::Administered;
use simopen_server::broker::{Builder, Desk};
use simopen_server::figures::{Figure, of_relay};
use simopen_server::relay;
use simopen_server::relay::authentication::Dialler;
use simopen_server::relay::control::Remote;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Where the broker is asked, once it runs, whether a relay is still its own.
pub(super) type Later = Arc<OnceLock<Desk>>;

/// Gives the builder a relay that runs apart.
pub(super) fn relay_apart(
    builder: Builder,
    addresses: Vec<simopen_protocol::address::HostPort>,
    dialler: Dialler,
    desk: Later,
) -> Builder {
    let (remote, answers) = Remote::start(move || dial(dialler.clone(), Arc::clone(&desk)));
    builder.pairings(addresses, Box::new(remote), answers)
}

async fn dial(dialler: Dialler, desk: Later) -> io::Result<(TlsStream<TcpStream>, KeyFingerprint)> {
    let (stream, key) = dialler.dial().await?;
    let desk = desk.get().ok_or(io::ErrorKind::NotConnected)?;
    if is_good(desk, key).await {
        return Ok((stream, key));
    }
    Err(io::Error::other("who answers there is no relay of this broker, or was revoked"))
}

async fn is_good(desk: &Desk, key: KeyFingerprint) -> bool {
    let told = desk.admin(AdminRequest::Devices(None)).await;
    let Some(Ok(AdminReply::Devices(devices))) = told else {
        return false;
    };
    devices.iter().any(|device| {
        device.kind == DeviceKind::Relay
            && device.standing == Standing::Good
            && device.fingerprint() == key
    })
}

/// A broker with what runs inside its process.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) desk: Desk,
    pub(super) relay: Option<relay::Handle>,
}

impl Administered for Whole {
    async fn admin(&self, request: AdminRequest) -> Option<Result<AdminReply, AdminError>> {
        self.desk.admin(request).await
    }

    async fn figures(&self) -> Vec<Figure> {
        let mut figures = Administered::figures(&self.desk).await;
        // Without the broker's nobody is to believe that it is well.
        if !figures.is_empty() {
            figures.extend(self.relay.iter().flat_map(of_relay));
        }
        figures
    }
}
