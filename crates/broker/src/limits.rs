//! How much of everything a broker holds. What is beyond is refused, and counted by its word.

use core::time::Duration;

/// The limits of a broker. [`Limits::default`] suits a few thousand users on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Devices of one user that are logged in at a time.
    pub peers_per_user: usize,
    /// Devices of one user that have joined and were not revoked.
    pub devices_per_user: usize,
    /// Sessions that one peer has asked for and that are open.
    pub sessions_per_peer: usize,
    /// Sessions that are open in all.
    pub sessions: usize,
    /// Pairs at the relay that are remembered for the sake of a revocation.
    pub pairings: usize,
    /// Shares that one peer announces.
    pub shares_per_peer: usize,
    /// Teams that one user owns.
    pub teams_per_user: usize,
    /// Members of one team.
    pub members_per_team: usize,
    /// Notes that are kept for one recipient.
    pub notes_per_user: usize,
    /// Bytes of subjects and texts that are kept for one recipient.
    pub note_bytes_per_user: usize,
    /// Bytes of one page of a list.
    pub page_bytes: usize,
    /// Changes that wait for the store, in all and of one link.
    pub waiting: [usize; 2],
    /// Source addresses whose failed logins are remembered.
    pub guessers: usize,
    /// Logins from one such address that are held back at a time.
    pub held_per_guesser: usize,
    /// By how much the answer to a first failed login is held back; each further one doubles it.
    pub guess_delay: Duration,
    /// The most by which an answer is held back after the one before.
    pub longest_guess_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers_per_user: 64,
            devices_per_user: 64,
            sessions_per_peer: 64,
            sessions: 200_000,
            pairings: 200_000,
            shares_per_peer: 64,
            teams_per_user: 64,
            members_per_team: 256,
            notes_per_user: 1_000,
            note_bytes_per_user: 4 << 20,
            page_bytes: 256 << 10,
            waiting: [1_024, 16],
            guessers: 4_096,
            held_per_guesser: 16,
            guess_delay: Duration::from_millis(100),
            longest_guess_delay: Duration::from_secs(10),
        }
    }
}
