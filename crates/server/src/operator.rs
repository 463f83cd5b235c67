//! The operator's desk: a Unix socket by which a running broker is asked and changed.
//!
//! One line of JSON is a question, one line the answer; a connection may ask several. Whoever may
//! open the socket may do everything, so its file belongs to the broker's user alone (mode 0600).

mod answer;
mod question;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use simopen_protocol::address::HostPort;
use simopen_protocol::identity::BrokerName;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tracing::warn;

pub use self::answer::{Answer, DeviceLine, PeerLine, SessionLine, StatsLine, TeamLine, UserLine};
pub use self::question::Question;
use crate::broker::Desk;

/// The longest question, in bytes.
const MAX_QUESTION: u64 = 64 * 1024;
/// How long accepting rests when it fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long an answer may take: changes wait for the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// What invitations say beside their secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letterhead {
    /// What the broker calls itself.
    pub broker: BrokerName,
    /// Where it is reached, best first.
    pub addresses: Vec<HostPort>,
    /// The SHA-256 of its authority's certificate.
    pub authority: [u8; 32],
}

/// The socket on which operators ask. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes it; one that a broker left behind gives way.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where another broker answers there, or it cannot be made.
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self, OperatorError> {
        let path = path.into();
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(OperatorError::InUse { path });
        }
        let bound = (|| {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })();
        match bound {
            Ok(listener) => Ok(Self { listener, path }),
            Err(error) => Err(OperatorError::Socket { path, error }),
        }
    }

    /// Answers until the broker has ended.
    pub async fn serve(self, desk: Desk, letterhead: Letterhead) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(attend(stream, desk.clone(), letterhead.clone()));
                }
                Err(error) => {
                    warn!(%error, "accepting an operator failed, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

async fn attend(stream: UnixStream, desk: Desk, letterhead: Letterhead) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        match (&mut read).take(MAX_QUESTION).read_line(&mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let answer = answer_to(&line, &desk, &letterhead).await;
        if write.write_all(answer.to_line().as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer_to(line: &str, desk: &Desk, letterhead: &Letterhead) -> Answer {
    let question: Question = match serde_json::from_str(line) {
        Ok(question) => question,
        Err(error) => return Answer::refused("malformed", &error.to_string()),
    };
    question.ask(desk, letterhead).await
}

/// Asks the broker whose socket this is.
///
/// # Errors
///
/// [`OperatorError`] where nobody answers there.
pub async fn ask(path: &Path, question: &Question) -> Result<Answer, OperatorError> {
    let socket = |error| OperatorError::Unreachable { path: path.to_owned(), error };
    let late = || socket(io::Error::from(io::ErrorKind::TimedOut));
    let asked = async {
        let mut stream = UnixStream::connect(path).await?;
        let mut line = serde_json::to_string(question).map_err(io::Error::other)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    timeout(PATIENCE, asked).await.map_err(|_| late())?.map_err(socket)
}

/// Why an operator cannot ask. May grow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Another broker has the socket.
    #[error("a broker that uses {} is running already", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("the socket {} cannot be made: {error}", path.display())]
    Socket {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Nobody answers.
    #[error("no broker answers at {}: {error}; is it running, and with this data directory?", path.display())]
    Unreachable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}
