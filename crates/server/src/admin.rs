//! What an operator says to a running broker, and hears of it: a Unix socket in its data directory.
//!
//! One JSON object a line in each direction ([`Word`], [`Answer`]), one answer to each line, in
//! order. Whoever may open the socket (mode 0600) may do everything: there are no other rights.
//!
//! ```text
//! > {"do":"invite","user":"alice","communities":["home"],"seconds":86400}
//! < {"ok":{"invited":{"line":"simopen://…","until":1800000000}}}
//! > {"do":"remove-user","user":"nobody"}
//! < {"error":{"word":"unknown-user","message":"there is no such user, or the user was revoked"}}
//! ```

mod attendant;
mod reading;
mod socket;
mod words;

pub use self::attendant::{Administered, Attendant, Introduction};
pub use self::reading::LONGEST_INVITATION;
pub use self::socket::{AdminSocket, SocketError, ask};
pub use self::words::{
    Answer, Count, DeviceView, Invited, PeerView, Refused, Rendezvous, SessionView, TeamView, Told,
    UserView, Word,
};
