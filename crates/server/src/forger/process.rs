//! The forger's side: what runs in the process of its own.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use simopen_broker::consent::ConsentPolicy;
use simopen_device::capability::{Privilege, keep_only};
use simopen_device::clock::Clock;
use simopen_device::confinement::{close_inherited, seal};
use simopen_device::raw::RawSender;
use simopen_device::rights::{MessageSocket, Received};
use simopen_device::socket::namespace_cookie;
use simopen_packet::{Packet, SeqNumber};
use simopen_protocol::identity::SessionId;

use super::confinement::confine;
use super::evidence::{Evidence, examine, prove};
use super::message::{Answer, Counts, MAX_MESSAGE, Request};
use super::refusal::Refusal;
use super::totals::Totals;
use super::{ForgerError, Policy, packet};

/// It served until its broker ended.
const SERVED: u8 = 0;
/// It could not start.
const COULD_NOT_START: u8 = 2;

/// Serves the broker that started this process, by its standard input, until the broker ends.
///
/// A program that calls this does nothing else, neither before nor after: it has one thread, and
/// its descriptors from 3 on are closed. `arguments` are those that [`super::Spawn`] gave it.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let channel = match open_channel() {
        Ok(channel) => channel,
        Err(error) => return could_not_start(&error),
    };
    let started = arguments_to_policy(arguments).and_then(|policy| Forger::start(policy, &channel));
    let ready = match &started {
        Ok(_) => Answer::Done(Vec::new()).to_bytes(),
        Err(error) => [&[u8::MAX][..], error.to_string().as_bytes()].concat(),
    };
    if channel.send(&ready, &[]).is_err() {
        return ExitCode::from(COULD_NOT_START);
    }
    match started {
        Ok(mut forger) => {
            forger.serve(&channel);
            ExitCode::from(SERVED)
        }
        Err(error) => could_not_start(&error),
    }
}

fn open_channel() -> Result<MessageSocket, ForgerError> {
    close_inherited(3)?;
    let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(ForgerError::Channel)?;
    Ok(MessageSocket::from(channel))
}

fn could_not_start(error: &ForgerError) -> ExitCode {
    eprintln!("the forger cannot start: {error}");
    ExitCode::from(COULD_NOT_START)
}

fn arguments_to_policy(arguments: impl Iterator<Item = OsString>) -> Result<Policy, ForgerError> {
    let mut policy = Policy::default();
    for argument in arguments {
        let text = argument.to_string_lossy().into_owned();
        policy.read(&text).ok_or(ForgerError::Argument(text))?;
    }
    Ok(policy)
}

struct Forger {
    policy: ConsentPolicy,
    totals: Totals,
    counts: Counts,
    clock: Clock,
    v4: RawSender,
    v6: Option<RawSender>,
    namespace: u64,
}

impl Forger {
    /// Opens the raw sockets and gives up everything else.
    fn start(policy: Policy, channel: &MessageSocket) -> Result<Self, ForgerError> {
        keep_only(&[Privilege::NetRaw])?;
        seal()?;
        let v4 = RawSender::new_v4()?;
        // A kernel may be without IPv6.
        let v6 = RawSender::new_v6().ok();
        let namespace = namespace_cookie(&v4).map_err(ForgerError::Channel)?;
        let senders: Vec<&RawSender> = [Some(&v4), v6.as_ref()].into_iter().flatten().collect();
        confine(channel, &senders)?;
        Ok(Self {
            totals: Totals::new(policy.limits),
            policy: policy.consent,
            counts: Counts::default(),
            clock: Clock::start(),
            v4,
            v6,
            namespace,
        })
    }

    fn serve(&mut self, channel: &MessageSocket) {
        let mut buffer = [0; MAX_MESSAGE];
        loop {
            // An error, as no message, says that the broker is gone.
            let Ok(Some(received)) = channel.receive(&mut buffer) else {
                return;
            };
            let answer = match self.answer(&buffer, &received) {
                Ok(with) => Answer::Done(with),
                Err(refusal) => {
                    *self.counts.refused.entry(refusal).or_default() += 1;
                    Answer::Refused(refusal)
                }
            };
            drop(received);
            if channel.send(&answer.to_bytes(), &[]).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, buffer: &[u8], received: &Received) -> Result<Vec<u8>, Refusal> {
        let message = buffer.get(..received.length).ok_or(Refusal::Malformed)?;
        let request = Request::parse(message).ok_or(Refusal::Malformed)?;
        match (request, received.descriptors.as_slice()) {
            (Request::Prove { claimed }, [socket]) => self.prove(socket, claimed),
            (Request::Forge { session, packet }, [receiver, sender]) => {
                self.forge(session, packet, receiver, sender).map(|()| Vec::new())
            }
            (Request::Counts, []) => Ok(self.counts.to_bytes()),
            _ => Err(Refusal::WrongDescriptors),
        }
    }

    fn prove(&mut self, socket: &OwnedFd, claimed: SeqNumber) -> Result<Vec<u8>, Refusal> {
        let evidence = examine(socket, self.namespace)?;
        let syn = prove(socket, &evidence, claimed)?;
        self.totals.prove(evidence.cookie, self.clock.now());
        self.counts.proven += 1;
        Ok(syn)
    }

    fn forge(
        &mut self,
        session: SessionId,
        bytes: &[u8],
        receiver: &OwnedFd,
        sender: &OwnedFd,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let packet = packet::read(bytes)?;
        let [receiver, sender] = [receiver, sender].map(|socket| self.examined(socket, now));
        let (receiver, sender) = (receiver?, sender?);
        if packet.destination != receiver.peer {
            return Err(Refusal::DestinationDiffers);
        }
        if packet.source != sender.peer {
            return Err(Refusal::SourceDiffers);
        }
        self.policy.judge_endpoints(packet.source, packet.destination)?;
        let own: [IpAddr; 2] = [receiver.own.ip(), sender.own.ip()];
        if own.contains(&packet.source.ip()) || own.contains(&packet.destination.ip()) {
            return Err(Refusal::OwnAddress);
        }
        self.totals.take(session, [receiver.cookie, sender.cookie], &packet, now)?;
        self.send(bytes)?;
        self.counts.sent += 1;
        Ok(())
    }

    fn examined(
        &self,
        socket: &OwnedFd,
        now: simopen_packet::Timestamp,
    ) -> Result<Evidence, Refusal> {
        let evidence = examine(socket, self.namespace)?;
        self.totals.is_proven(evidence.cookie, now)?;
        Ok(evidence)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let is_v4 = Packet::parse(bytes).is_ok_and(|packet| packet.ip.destination.is_ipv4());
        let sender = if is_v4 { Some(&self.v4) } else { self.v6.as_ref() };
        sender.ok_or(Refusal::NotSent)?.send(bytes).map_err(|_| Refusal::NotSent)
    }
}
