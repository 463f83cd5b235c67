//! One pairing.

use simopen_packet::Timestamp;
use simopen_protocol::carrier::Direction;

use crate::key::{How, Key};
use crate::relay::ConnectionId;

/// Keys of a pairing: three for each of two sides.
pub(crate) type Keys = [Key; 6];

pub(crate) struct Pair {
    pub(crate) opened: Timestamp,
    /// Absent once the values are over, and nothing is found by them any more.
    pub(crate) keys: Option<Keys>,
    pub(crate) sides: [Side; 2],
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not both sides are there.
    Pending,
    /// Bytes flow.
    Active {
        /// Since when one side is closed.
        half_closed: Option<Timestamp>,
    },
    /// Nothing flows any more; kept until its values are over, so that they count as used.
    Over,
}

/// Who has come on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Absent,
    Half(ConnectionId, Direction),
    Present(ConnectionId),
}

/// What became of something that was presented to a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The side is there as a whole.
    Present,
    /// The other direction is awaited.
    Half,
    /// It was presented before.
    Used,
    /// It does not fit what this side has shown before.
    Mixed,
}

impl Side {
    pub(crate) fn take(&mut self, connection: ConnectionId, how: How) -> Taken {
        let (next, taken) = match (*self, how) {
            (Self::Absent, How::Whole) => (Self::Present(connection), Taken::Present),
            (Self::Absent, How::Half(direction)) => {
                (Self::Half(connection, direction), Taken::Half)
            }
            (Self::Half(first, had), How::Half(direction)) if had != direction => {
                if first != connection {
                    return Taken::Mixed;
                }
                (Self::Present(connection), Taken::Present)
            }
            (Self::Half(..), How::Whole) => return Taken::Mixed,
            (Self::Half(..) | Self::Present(_), _) => return Taken::Used,
        };
        *self = next;
        taken
    }

    pub(crate) const fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::Absent => None,
            Self::Half(connection, _) | Self::Present(connection) => Some(connection),
        }
    }
}

impl Pair {
    /// Both sides, once both are there.
    pub(crate) const fn both(&self) -> Option<[ConnectionId; 2]> {
        if let [Side::Present(originator), Side::Present(responder)] = self.sides {
            Some([originator, responder])
        } else {
            None
        }
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> + use<> {
        self.sides.into_iter().filter_map(Side::connection)
    }
}
