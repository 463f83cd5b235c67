//! What a packet must be before anybody asks where it goes.

use simopen_packet::{MAX_SYN_LEN, Packet, SynAck, TcpFlags};

use super::refusal::Refusal;

/// Reads a bare SYN-ACK in which nothing else is.
///
/// # Errors
///
/// What it has that it may not have.
pub(super) fn read(bytes: &[u8]) -> Result<SynAck, Refusal> {
    let packet = Packet::parse(bytes).map_err(|_| Refusal::NotASynAck)?;
    let segment = packet.tcp().ok_or(Refusal::NotASynAck)?;
    let allowed = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0 | TcpFlags::ECE.0);
    if !segment.flags.is_syn_ack() || segment.flags.0 & !allowed.0 != 0 {
        return Err(Refusal::NotASynAck);
    }
    if !segment.payload.is_empty() {
        return Err(Refusal::Payload);
    }
    Packet::verify_checksums(bytes).map_err(|_| Refusal::WrongChecksum)?;
    let answer = SynAck::from_packet(&packet).map_err(|_| Refusal::ForeignOption)?;
    if answer.options.unknown().next().is_some() {
        return Err(Refusal::ForeignOption);
    }
    // What was not looked at above cannot hide anywhere: written again, it is the same.
    let mut again = [0; MAX_SYN_LEN];
    match answer.emit(&mut again) {
        Ok(length) if again.get(..length) == Some(bytes) => Ok(answer),
        Ok(_) | Err(_) => Err(Refusal::NotCanonical),
    }
}
