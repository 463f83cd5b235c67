//! A connection that was opened outside, put into the host.

use simopen_packet::{MAX_SYN_LEN, Syn, SynAck};
use simopen_traversal::DialOutcome;

use super::connection::{Connection, Turn};
use super::dialect::{Clock, Dialect};

impl Connection {
    /// Opens the socket of smoltcp without a word on the wire: its SYN is kept, a SYN-ACK is made
    /// up for it, and its acknowledgment is kept too.
    pub(super) fn install(&mut self, own: &Syn, answer: &SynAck, turn: &mut Turn<'_>) {
        let drawn = self.draw(turn.engine, turn.now).and_then(|packet| Syn::parse(packet).ok());
        let Some(inner) = drawn.map(|syn| syn.sequence) else {
            return self.fail(DialOutcome::LocalError, turn);
        };
        let made_up = SynAck {
            source: self.remote,
            destination: self.local,
            acknowledgment: inner + 1,
            ..*answer
        };
        let mut packet = [0; MAX_SYN_LEN];
        let Ok(length) = made_up.emit(&mut packet) else {
            return self.fail(DialOutcome::LocalError, turn);
        };
        self.feed(turn.engine, &packet[..length], turn.now);
        self.draw(turn.engine, turn.now);

        // The clock goes on from what the SYN said. What the answer said is not echoed, as a
        // repaired socket of Linux knows no timestamp before it hears one.
        let agreed = own.options.timestamps.filter(|_| answer.options.timestamps.is_some());
        let clock = agreed.map(|own| Clock::showing(own.value, turn.now));
        self.dialect = Dialect::linux(own.sequence, inner, clock);
        self.dialect.unacknowledged = own.sequence + 1;
        self.dialect.sack = own.options.sack_permitted && answer.options.sack_permitted;
        let scales = own.options.window_scale.zip(answer.options.window_scale);
        self.dialect.window_scale = scales.map_or(0, |(own, _)| own.min(14));
        self.dialect.taken = answer.sequence + 1;
        self.peer_window = answer.window;
        self.dialect.window = own.window >> self.dialect.window_scale;
        self.said = [Some((own.sequence, own.options)), Some((answer.sequence, answer.options))];
        self.open(turn);
        self.advance(turn);
    }
}
