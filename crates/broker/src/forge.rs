//! Writing a forged packet, once consent has been given.

use core::net::SocketAddr;

use simopen_packet::{ForgeError, MAX_SYN_LEN, SeqNumber, Syn, SynAck, Timestamp};
use simopen_protocol::cause::Cause;
use simopen_protocol::identity::SessionId;

use crate::link::LinkId;
use crate::session::Party;

/// One packet in another's name, ready to be sent raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forged {
    bytes: [u8; MAX_SYN_LEN],
    length: usize,
    /// Why it may be sent.
    pub consent: ConsentRecord,
}

impl Forged {
    /// The whole IP packet.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What was judged before a packet was forged. Every one is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConsentRecord {
    /// The session that both sides asked for.
    pub session: SessionId,
    /// Who receives it.
    pub towards: Party,
    /// The connections that proved the receiver's endpoint and the other side's, in this order: the
    /// evidence for a second judge.
    pub proven_by: [LinkId; 2],
    /// The foreign source: the other side's proven endpoint.
    pub source: SocketAddr,
    /// The receiver's proven endpoint.
    pub destination: SocketAddr,
    /// The other side's initial sequence number.
    pub sequence: SeqNumber,
    /// The receiver's initial sequence number plus one.
    pub acknowledgment: SeqNumber,
    /// Which report of the receiver's SYN this answers, from 1.
    pub observation: u8,
    /// When consent was given.
    pub at: Timestamp,
}

/// Writes the SYN-ACK that the sender of `own` would have sent in answer to `answered`.
///
/// # Errors
///
/// The cause, where a SYN carries an authentication that nobody can forge.
pub(crate) fn write(own: &Syn, answered: &Syn, consent: ConsentRecord) -> Result<Forged, Cause> {
    let answer =
        SynAck::forge(own, answered, consent.source, consent.destination).map_err(cause)?;
    let mut bytes = [0; MAX_SYN_LEN];
    let length = answer.emit(&mut bytes).map_err(|_| Cause::ConsentRefused)?;
    Ok(Forged { bytes, length, consent })
}

pub(crate) fn cause(error: ForgeError) -> Cause {
    match error {
        ForgeError::TcpMd5 => Cause::TcpMd5,
        ForgeError::TcpAo => Cause::TcpAo,
        ForgeError::MixedFamilies | _ => Cause::ConsentRefused,
    }
}
