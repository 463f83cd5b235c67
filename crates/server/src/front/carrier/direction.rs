//! The two directions of a carrier, each served by one request at a time.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming as RequestBody};
use hyper::{Response, StatusCode};
use simopen_protocol::carrier::{Extent, HEAD_DOWN, HEAD_UP, SEEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};
use tokio::time::timeout;

use super::{BUFFER, Carrier, Served};
use crate::front::http::{Answer, answer};

/// How long a bounded request waits for something to go down; then it is answered with nothing, and
/// the client asks again. Below what proxies wait for.
const WAIT_DOWN: Duration = Duration::from_secs(20);

/// Lets the newest request of a direction take the place of older ones.
#[derive(Debug)]
struct Turns(watch::Sender<u64>);

/// One request's turn.
struct Turn {
    own: u64,
    newest: watch::Receiver<u64>,
}

impl Turns {
    fn next(&self) -> Turn {
        let mut own = 0;
        self.0.send_modify(|newest| {
            *newest += 1;
            own = *newest;
        });
        Turn { own, newest: self.0.subscribe() }
    }
}

impl Turn {
    /// Returns when a newer request has come, or the carrier goes.
    async fn is_over(&mut self) {
        let own = self.own;
        // Where the sender has gone, so has the carrier.
        let _ = self.newest.wait_for(|newest| *newest != own).await;
    }
}

/// The stream up.
#[derive(Debug)]
pub(super) struct Up {
    turns: Turns,
    state: Mutex<UpState>,
}

#[derive(Debug)]
struct UpState {
    /// Absent once the stream has ended.
    writer: Option<WriteHalf<DuplexStream>>,
    received: u64,
}

/// The stream down.
#[derive(Debug)]
pub(super) struct Down {
    turns: Turns,
    state: Arc<Mutex<DownState>>,
}

#[derive(Debug)]
struct DownState {
    reader: ReadHalf<DuplexStream>,
    /// The offset of the first byte that is kept.
    base: u64,
    /// What went down last and may not have arrived.
    kept: Bytes,
    has_ended: bool,
}

impl Up {
    pub(super) fn new(writer: WriteHalf<DuplexStream>) -> Self {
        let state = UpState { writer: Some(writer), received: 0 };
        Self { turns: Turns(watch::Sender::new(0)), state: Mutex::new(state) }
    }
}

impl Down {
    pub(super) fn new(reader: ReadHalf<DuplexStream>) -> Self {
        let kept = Bytes::from_static(&[SEEN]);
        let state = DownState { reader, base: 0, kept, has_ended: false };
        Self { turns: Turns(watch::Sender::new(0)), state: Arc::new(Mutex::new(state)) }
    }
}

impl Carrier {
    /// Serves a request whose body goes up.
    pub(in crate::front) async fn up(
        self: &Arc<Self>,
        extent: Extent,
        offset: u64,
        body: RequestBody,
    ) -> Response<Answer> {
        let mut served = Served::new(self, extent);
        let mut turn = self.up.turns.next();
        let status = tokio::select! {
            status = self.receive(extent, offset, body) => status,
            () = turn.is_over() => StatusCode::CONFLICT,
            () = self.ended() => StatusCode::GONE,
        };
        if status != StatusCode::BAD_REQUEST {
            served.complete();
        }
        answer(status, Answer::empty())
    }

    /// May be dropped at any moment: what was written is counted.
    async fn receive(&self, extent: Extent, offset: u64, mut body: RequestBody) -> StatusCode {
        let mut state = self.up.state.lock().await;
        let Some(mut known) = state.received.checked_sub(offset) else {
            return StatusCode::CONFLICT;
        };
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return StatusCode::BAD_REQUEST;
            };
            let Ok(mut bytes) = frame.into_data() else {
                continue;
            };
            let skipped = bytes.len().min(usize::try_from(known).unwrap_or(usize::MAX));
            drop(bytes.split_to(skipped));
            known -= skipped as u64;
            if let Err(status) = self.write(&mut state, bytes).await {
                return status;
            }
        }
        let is_end = matches!(extent, Extent::Endless | Extent::Last);
        if is_end
            && self.is_open()
            && let Some(mut writer) = state.writer.take()
        {
            // Whoever read may have gone.
            let _ = writer.shutdown().await;
        }
        StatusCode::OK
    }

    async fn write(&self, state: &mut UpState, mut bytes: Bytes) -> Result<(), StatusCode> {
        if state.received < HEAD_UP && !bytes.is_empty() {
            if bytes.split_to(1)[0] != SEEN {
                return Err(StatusCode::BAD_REQUEST);
            }
            state.received = HEAD_UP;
            self.open().await;
        }
        while !bytes.is_empty() {
            let writer = state.writer.as_mut().ok_or(StatusCode::GONE)?;
            let written = writer.write(&bytes).await.map_err(|_| StatusCode::GONE)?;
            drop(bytes.split_to(written));
            state.received += written as u64;
        }
        Ok(())
    }

    /// Serves a request for what goes down.
    pub(in crate::front) async fn down(
        self: &Arc<Self>,
        extent: Extent,
        offset: u64,
    ) -> Response<Answer> {
        let served = Served::new(self, extent);
        let mut turn = self.down.turns.next();
        let state = tokio::select! {
            state = Arc::clone(&self.down.state).lock_owned() => state,
            () = turn.is_over() => return answer(StatusCode::CONFLICT, Answer::empty()),
        };
        match extent {
            Extent::Endless => match state.from(offset) {
                Some(first) => {
                    let (sender, pieces) = mpsc::channel(1);
                    tokio::spawn(pump(served, turn, state, first, sender));
                    answer(StatusCode::OK, Answer::Endless(pieces))
                }
                None => answer(StatusCode::CONFLICT, Answer::empty()),
            },
            Extent::Bounded | Extent::Last => {
                let (status, body) = tokio::select! {
                    piece = next_piece(state, offset) => piece,
                    () = turn.is_over() => (StatusCode::CONFLICT, Bytes::new()),
                    () = self.ended() => (StatusCode::GONE, Bytes::new()),
                };
                answer(status, Answer::whole(body))
            }
        }
    }
}

impl DownState {
    /// What was sent from this offset on and may not have arrived; `None` where that is gone, or was
    /// never there.
    fn from(&self, offset: u64) -> Option<Bytes> {
        let end = self.base + self.kept.len() as u64;
        if offset < self.base && end <= HEAD_DOWN {
            return Some(vec![SEEN; usize::try_from(end - offset).ok()?].into());
        }
        let known = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        (known <= self.kept.len()).then(|| self.kept.slice(known..))
    }

    /// Reads what goes down next, in place of what was kept. Where it is dropped, nothing was read.
    async fn read(&mut self) -> Bytes {
        let mut buffer = vec![0; BUFFER];
        let length = self.reader.read(&mut buffer).await.unwrap_or(0);
        buffer.truncate(length);
        self.base += self.kept.len() as u64;
        self.kept = buffer.into();
        self.has_ended = length == 0;
        self.kept.clone()
    }
}

/// The answer to a bounded request: 200 with bytes, or without where there are none yet; 204 at the
/// end of the stream.
async fn next_piece(mut state: OwnedMutexGuard<DownState>, offset: u64) -> (StatusCode, Bytes) {
    match state.from(offset) {
        None => (StatusCode::CONFLICT, Bytes::new()),
        Some(again) if !again.is_empty() => (StatusCode::OK, again),
        Some(_) if state.has_ended => (StatusCode::NO_CONTENT, Bytes::new()),
        Some(_) => match timeout(WAIT_DOWN, state.read()).await {
            Err(_) => (StatusCode::OK, Bytes::new()),
            Ok(end) if end.is_empty() => (StatusCode::NO_CONTENT, end),
            Ok(piece) => (StatusCode::OK, piece),
        },
    }
}

/// Feeds an endless body until the stream ends, its reader goes, or a newer request comes.
async fn pump(
    mut served: Served,
    mut turn: Turn,
    mut state: OwnedMutexGuard<DownState>,
    first: Bytes,
    sender: mpsc::Sender<Bytes>,
) {
    let carrier = Arc::clone(&served.carrier);
    let feed = async {
        let mut piece = first;
        loop {
            if !piece.is_empty() && sender.send(piece).await.is_err() {
                return false;
            }
            piece = tokio::select! {
                piece = state.read() => piece,
                () = sender.closed() => return false,
            };
            if piece.is_empty() {
                return true;
            }
        }
    };
    let is_over = tokio::select! {
        is_over = feed => is_over,
        () = turn.is_over() => true,
        () = carrier.ended() => true,
    };
    if is_over {
        served.complete();
    }
}
