//! A listener on a proven port, among whose callers one is expected.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use simopen_device::DeviceError;
use simopen_device::clock::Clock;
use simopen_device::socket::listener_saving_syn;
use simopen_packet::Timestamp;
use simopen_protocol::greeting::Greetings;
use simopen_traversal::Role;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use crate::carriage::Carried;
use crate::greet::greet;

/// Callers that are heard out at a time. The oldest goes when one more comes: the expected one
/// speaks as soon as its connection stands.
const CALLERS: usize = 8;

/// How long nobody is taken after a caller could not be taken: descriptors come back by themselves.
const PAUSE: Duration = Duration::from_millis(20);

/// A port on which anybody may call.
pub(crate) struct Listening {
    listener: TcpListener,
    greetings: Greetings,
    clock: Clock,
    callers: JoinSet<(Timestamp, io::Result<Option<Carried>>)>,
    order: VecDeque<AbortHandle>,
}

impl Listening {
    /// Listens on `local`, where other sockets of this peer are bound too.
    pub(crate) fn bind(
        local: SocketAddr,
        greetings: Greetings,
        clock: Clock,
    ) -> Result<Self, DeviceError> {
        let listener = TcpListener::from_std(listener_saving_syn(local)?)
            .map_err(|error| DeviceError::system("register", local, error))?;
        Ok(Self { listener, greetings, clock, callers: JoinSet::new(), order: VecDeque::new() })
    }

    /// Waits for the caller that greets as expected, and gives the moment since which its
    /// connection stands. Strangers are closed. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> (Timestamp, Carried) {
        loop {
            tokio::select! {
                Some(done) = self.callers.join_next() => match done {
                    Ok((since, Ok(Some(stream)))) => return (since, stream),
                    Ok((_, Ok(None))) => debug!("closed a caller with another greeting"),
                    Ok((_, Err(error))) => debug!(%error, "a caller went away"),
                    Err(_) => debug!("closed a silent caller for a newer one"),
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, remote)) => self.hear(stream, remote),
                    // The caller was gone before it was taken, or descriptors are short.
                    Err(error) => {
                        debug!(%error, "a caller was not taken");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn hear(&mut self, stream: TcpStream, remote: SocketAddr) {
        debug!(%remote, "a caller");
        self.order.retain(|caller| !caller.is_finished());
        if self.order.len() == CALLERS
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let (since, greetings) = (self.clock.now(), self.greetings);
        self.order.push_back(
            self.callers.spawn(async move {
                (since, greet(stream.into(), greetings, Role::Responder).await)
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use simopen_device::socket::{DialOptions, Dialer, bind_dialer};
    use simopen_protocol::greeting;
    use simopen_protocol::token::Token;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn greetings() -> Greetings {
        Greetings { own: Token::from_random([1; 32]), peer: Token::from_random([2; 32]) }
    }

    /// A listener on a port that another socket holds too, as that of the probe does.
    fn listening() -> (Listening, SocketAddr, Dialer) {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let probe = bind_dialer(local, &DialOptions::default()).unwrap();
        let local = probe.local_addr();
        (Listening::bind(local, greetings(), Clock::start()).unwrap(), local, probe)
    }

    /// Calls and says this first.
    async fn call(local: SocketAddr, words: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(local).await.unwrap();
        stream.write_all(words).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn the_expected_caller_is_found_among_strangers_who_are_closed() {
        let (mut listening, local, _probe) = listening();
        let mut wrong = call(local, &greeting::encode(&greetings().own)).await;
        let gone = call(local, b"").await;
        drop(gone);
        let mut loud = call(local, &[b'x'; 4096]).await;
        let mut right = call(local, &greeting::encode(&greetings().peer)).await;
        let (_, found) = listening.next().await;
        assert_eq!(found.tcp().unwrap().peer_addr().unwrap(), right.local_addr().unwrap());
        let mut answer = [0; greeting::GREETING_LEN];
        right.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, greeting::encode(&greetings().own));
        drop(listening);
        for stranger in [&mut wrong, &mut loud] {
            assert_eq!(stranger.read(&mut answer).await.unwrap_or(0), 0, "nothing was said to it");
        }
    }

    #[tokio::test]
    async fn silent_callers_hold_no_place_against_a_new_one() {
        let (mut listening, local, _probe) = listening();
        let mut silent = Vec::new();
        for _ in 0..3 * CALLERS {
            silent.push(call(local, b"").await);
        }
        let right = call(local, &greeting::encode(&greetings().peer)).await;
        let (_, found) = listening.next().await;
        assert_eq!(found.tcp().unwrap().peer_addr().unwrap(), right.local_addr().unwrap());
        assert!(listening.callers.len() <= CALLERS, "{}", listening.callers.len());
        assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0, "the oldest was closed");
    }
}
