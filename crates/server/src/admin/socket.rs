//! The operator's socket: a file that its owner alone can open.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::attendant::{Administered, Attendant};
use super::words::{Answer, Word};

/// Operators at a time; further ones wait.
const OPERATORS: usize = 16;
/// The longest line of an operator, in bytes.
const LONGEST: u64 = 64 * 1024;
/// How long a broker may take to answer; a disk that is slow is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket on which an operator is listened to. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    listener: StdListener,
}

impl AdminSocket {
    /// Makes the socket (mode 0600), in the place of one that nobody listens on any more.
    ///
    /// # Errors
    ///
    /// [`SocketError`], where somebody listens on it, or it cannot be made.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |error| SocketError::Unusable { path: path.to_owned(), error };
        match StdStream::connect(path) {
            Ok(_) => return Err(SocketError::Taken(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                debug!(path = %path.display(), "nobody listens on this socket any more");
            }
            Err(error) => return Err(failed(error)),
        }
        let listener = bind_unseen(path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers operators until it is dropped, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Where the socket cannot be handed to the runtime.
    pub async fn serve<B: Administered>(&self, attendant: Attendant<B>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let seats = Arc::new(Semaphore::new(OPERATORS));
        loop {
            // It is never closed.
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let attendant = attendant.clone();
                    tokio::spawn(async move {
                        if let Err(error) = attend(stream, &attendant).await {
                            debug!(%error, "an operator's connection ended");
                        }
                        drop(seat);
                    });
                }
                Err(error) => {
                    warn!(%error, "accepting an operator failed, trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

/// Nobody can connect before the mode is right: the socket is made in a directory that its owner
/// alone can enter, and moved to its place then.
fn bind_unseen(path: &Path) -> io::Result<StdListener> {
    let mut unseen = path.as_os_str().to_owned();
    unseen.push(".new");
    let unseen = PathBuf::from(unseen);
    match fs::remove_dir_all(&unseen) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().mode(0o700).create(&unseen)?;
    let made = unseen.join("socket");
    let bound = StdListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    });
    let removed = fs::remove_dir_all(&unseen);
    let listener = bound?;
    removed?;
    Ok(listener)
}

async fn attend<B: Administered>(stream: UnixStream, attendant: &Attendant<B>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = AsyncBufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut answer = attendant.answer_line(line.trim_end()).await;
        answer.push('\n');
        write.write_all(answer.as_bytes()).await?;
        if !line.ends_with('\n') {
            // It was cut off, or too long; what follows would be taken for another.
            return Ok(());
        }
    }
}

/// Says one word to the broker behind a socket, and waits for its answer.
///
/// # Errors
///
/// [`SocketError`], where nobody listens there, or what comes back is no answer.
pub fn ask(path: &Path, word: &Word) -> Result<Answer, SocketError> {
    let failed = |error: io::Error| {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if absent.contains(&error.kind()) {
            return SocketError::Nobody(path.to_owned());
        }
        SocketError::Unusable { path: path.to_owned(), error }
    };
    let ended =
        [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof];
    let broken = |error: io::Error| {
        if ended.contains(&error.kind()) {
            return SocketError::Ended(path.to_owned());
        }
        failed(error)
    };
    let mut stream = StdStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut line = serde_json::to_string(word).map_err(SocketError::NoAnswer)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(broken)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer).map_err(broken)? == 0 {
        return Err(SocketError::Ended(path.to_owned()));
    }
    serde_json::from_str(&answer).map_err(SocketError::NoAnswer)
}

/// Why an operator cannot be listened to, or the broker not be spoken to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Somebody listens there already.
    #[error("{}: another broker listens on this socket", .0.display())]
    Taken(PathBuf),
    /// Nobody listens there.
    #[error("{}: no broker listens there; is it running, and is this its data directory?", .0.display())]
    Nobody(PathBuf),
    /// It went away before it answered.
    #[error(
        "{}: the broker ended before it answered; look whether it is done when it runs again",
        .0.display()
    )]
    Ended(PathBuf),
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The answer cannot be read: the two are of different versions.
    #[error("the broker's answer cannot be read ({0}); is it of another version?")]
    NoAnswer(#[source] serde_json::Error),
}
