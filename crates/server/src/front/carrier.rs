//! Carriers over HTTP: one stream each, in the bodies of many requests or of two.
//!
//! Offsets make requests repeatable: bytes of the stream up that are there already are passed over,
//! and the last piece of the stream down is kept until the next request says that it has arrived. A
//! newer request in a direction takes the place of an older one.
//!
//! Anybody may begin a carrier for a control link. So the connections that bring its requests keep
//! their seats among newcomers until the stream has shown who it is, and a carrier has few of them.

mod direction;

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use simopen_protocol::carrier::{
    CarrierId, DIGEST_LEN, Direction, Errand, ExchangePath, Extent, SEEN,
};
use simopen_relay::Presented;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use self::direction::{Down, Up};
use super::newcomer::{Dismissal, Seat};
use super::welcome::welcome_carried;
use super::{Carried, Shared};
use crate::relay::Claim;

/// Bytes that wait in a carrier, in each direction.
const BUFFER: usize = 16 * 1024;

/// How long a carrier lives without a request.
const FORSAKEN: Duration = Duration::from_secs(60);

/// Connections that belong to one carrier. One needs two, and a few more where a proxy keeps some
/// open; what comes beyond is served and closed.
const CONNECTIONS: usize = 8;

/// Whether a carrier's stream has shown who it is.
pub(super) type Known = watch::Receiver<bool>;

/// All carriers of a front.
#[derive(Debug)]
pub(super) struct Carriers {
    limit: usize,
    all: Mutex<HashMap<CarrierId, Arc<Carrier>>>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Carrier {
    errand: Mutex<Purpose>,
    /// The far end, until the first byte has come up.
    far: Mutex<Option<Far>>,
    up: Up,
    down: Down,
    /// Requests that are being served; closed when the carrier ends.
    served: watch::Sender<usize>,
    ended: watch::Sender<bool>,
    known: Known,
    connections: Arc<Semaphore>,
}

/// What a carrier is for, as far as it was told.
#[derive(Debug)]
enum Purpose {
    Link,
    Meet { digests: [Option<[u8; DIGEST_LEN]>; 2] },
}

/// The end of the stream that the front hands on.
#[derive(Debug)]
struct Far {
    stream: DuplexStream,
    remote: SocketAddr,
    claim: Option<Claim>,
    shared: Weak<Shared>,
    known: watch::Sender<bool>,
    /// Among those who have not shown who they are, until the stream is handed on.
    _seat: Seat,
}

impl Carriers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, all: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// The carrier of a request, made where it is the first one. `None` where the request leads
    /// nowhere: its digest is not taken, or there are too many carriers.
    pub(super) fn find(
        &self,
        path: &ExchangePath,
        direction: Direction,
        remote: SocketAddr,
        accepted: Instant,
        shared: &Arc<Shared>,
    ) -> Option<Arc<Carrier>> {
        let mut all = self.all();
        if let Some(carrier) = all.get(&path.carrier) {
            return carrier.admits(&path.errand, direction, shared).then(|| Arc::clone(carrier));
        }
        if all.len() >= self.limit {
            return None;
        }
        let claim = match path.errand {
            Errand::Link => None,
            Errand::Meet(digest) => {
                let presented = Presented::Digest(direction, digest);
                Some(shared.relay.as_ref()?.claim(&presented, accepted)?)
            }
        };
        let carrier = Carrier::spawn(path, direction, remote, claim, shared);
        all.insert(path.carrier, Arc::clone(&carrier));
        Some(carrier)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<CarrierId, Arc<Carrier>>> {
        // No holder of the lock can leave the table half changed.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    fn spawn(
        path: &ExchangePath,
        direction: Direction,
        remote: SocketAddr,
        claim: Option<Claim>,
        shared: &Arc<Shared>,
    ) -> Arc<Self> {
        let (near, stream) = duplex(BUFFER);
        let (reader, writer) = tokio::io::split(near);
        let (seat, dismissal) = shared.newcomers.admit().split();
        let purpose = match path.errand {
            Errand::Link => Purpose::Link,
            Errand::Meet(digest) => {
                let mut digests = [None; 2];
                digests[direction as usize] = Some(digest);
                Purpose::Meet { digests }
            }
        };
        let shared = Arc::downgrade(shared);
        // Whoever has a value of the relay has shown who it is.
        let (teller, known) = watch::channel(claim.is_some());
        let far = Far { stream, remote, claim, shared: shared.clone(), known: teller, _seat: seat };
        let carrier = Arc::new(Self {
            errand: Mutex::new(purpose),
            far: Mutex::new(Some(far)),
            up: Up::new(writer),
            down: Down::new(reader),
            served: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            known,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        tokio::spawn(keep(path.carrier, Arc::clone(&carrier), dismissal, shared));
        carrier
    }

    /// Whether a further request belongs here.
    fn admits(&self, errand: &Errand, direction: Direction, shared: &Shared) -> bool {
        let mut purpose = self.errand.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *purpose, errand) {
            (Purpose::Link, Errand::Link) => true,
            (Purpose::Meet { digests }, Errand::Meet(digest)) => {
                match &mut digests[direction as usize] {
                    Some(known) => known == digest,
                    unknown @ None => {
                        let is_taken = self.present(direction, digest, shared);
                        if is_taken {
                            *unknown = Some(*digest);
                        }
                        is_taken
                    }
                }
            }
            (Purpose::Link, Errand::Meet(_)) | (Purpose::Meet { .. }, Errand::Link) => false,
        }
    }

    /// Presents the digest of the other direction.
    fn present(&self, direction: Direction, digest: &[u8; DIGEST_LEN], shared: &Shared) -> bool {
        let far = self.far();
        let claim = far.as_ref().and_then(|far| far.claim.as_ref());
        let (Some(claim), Some(relay)) = (claim, &shared.relay) else {
            return false;
        };
        relay.present(claim, &Presented::Digest(direction, *digest))
    }

    /// The first byte has come up: shows it, and hands the stream on.
    async fn open(&self) {
        let far = self.far().take();
        let Some(mut far) = far else {
            return;
        };
        // The other end is held by this carrier, and there is room for a byte.
        let _ = far.stream.write_all(&[SEEN]).await;
        match far.claim {
            Some(claim) => claim.attach(Carried::from(far.stream)),
            None => {
                tokio::spawn(async move {
                    if let Some(shared) = far.shared.upgrade() {
                        let newcomer = shared.newcomers.admit().watched(far.known);
                        welcome_carried(far.stream, far.remote, newcomer, &shared).await;
                    }
                });
            }
        }
    }

    fn is_open(&self) -> bool {
        self.far().is_none()
    }

    /// Tells when the stream has shown who it is.
    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// A place among this carrier's connections, for one that has `old` so far. `None` where there
    /// is no more.
    pub(super) fn place(&self, old: Option<OwnedSemaphorePermit>) -> Option<OwnedSemaphorePermit> {
        old.filter(|old| Arc::ptr_eq(old.semaphore(), &self.connections))
            .or_else(|| Arc::clone(&self.connections).try_acquire_owned().ok())
    }

    /// Ends both directions.
    fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Returns when the carrier has ended.
    async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn far(&self) -> MutexGuard<'_, Option<Far>> {
        // No holder of the lock can leave it half changed.
        self.far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a carrier out of the table when it has ended, was never opened, or is forsaken.
async fn keep(
    id: CarrierId,
    carrier: Arc<Carrier>,
    mut dismissal: Dismissal,
    shared: Weak<Shared>,
) {
    tokio::select! {
        () = carrier.ended() => {}
        () = dismissal.wait() => {}
        () = forsaken(carrier.served.subscribe()) => {}
        () = unknown(carrier.known(), &shared) => {}
    }
    carrier.end();
    drop(carrier.far().take());
    if let Some(shared) = shared.upgrade() {
        shared.carriers.all().remove(&id);
    }
}

/// Returns when the stream has gone without having shown who it is, and what it was told last has
/// had its time.
async fn unknown(mut known: Known, shared: &Weak<Shared>) {
    if known.wait_for(|known| *known).await.is_ok() {
        pending::<()>().await;
    }
    if let Some(time) = shared.upgrade().map(|shared| shared.newcomers.time()) {
        sleep(time).await;
    }
}

async fn forsaken(mut served: watch::Receiver<usize>) {
    loop {
        if served.wait_for(|count| *count == 0).await.is_err()
            || timeout(FORSAKEN, served.wait_for(|count| *count > 0)).await.is_err()
        {
            return;
        }
    }
}

/// A request that is being served.
struct Served {
    carrier: Arc<Carrier>,
    /// Where the request breaks off, an open carrier ends with it.
    breaks: bool,
}

impl Served {
    fn new(carrier: &Arc<Carrier>, extent: Extent) -> Self {
        carrier.served.send_modify(|count| *count += 1);
        Self { carrier: Arc::clone(carrier), breaks: extent == Extent::Endless }
    }

    /// The request is over as it should be.
    fn complete(&mut self) {
        self.breaks = false;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.carrier.served.send_modify(|count| *count -= 1);
        if self.breaks && self.carrier.is_open() {
            self.carrier.end();
        }
    }
}
