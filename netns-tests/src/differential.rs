//! Random sequences of packets through a box as a machine and through the same box as a kernel.
//!
//! A [`Sequence`] names its endpoints by numbers, and packets from outside address whatever mapping
//! the inside endpoint has just then, so that the same sequence means the same to both boxes
//! although their random ports differ. A sequence on which they differ is made as short as it can
//! be by leaving packets out.

mod boxes;
mod campaign;
mod draw;
mod generate;
mod known;
mod observation;
mod place;
mod sequence;

pub use self::boxes::{KernelBox, MachineBox, PacketBox};
pub use self::campaign::{Campaign, Difference, Outcome, Summary, Surprise};
pub use self::draw::Draw;
pub use self::generate::generate;
pub use self::known::{
    HELD_SYN, KnownDifference, OPENED_ENDPOINT, UNANSWERED_RESET, is_known, known_differences,
};
pub use self::observation::{Observation, Renaming};
pub use self::place::{INSIDE_ENDPOINTS, Place, REMOTE_ENDPOINTS};
pub use self::sequence::{Content, Sequence, Step};
