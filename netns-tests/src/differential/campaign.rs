//! Many sequences through both boxes.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use simopen_lab::LabError;
use simopen_nat::{MiddleboxSpec, Role, Side};

use super::boxes::{KernelBox, MachineBox, PacketBox};
use super::draw::Draw;
use super::generate::generate;
use super::known::is_known;
use super::observation::{Observation, Renaming};
use super::place::Place;
use super::sequence::{Sequence, Step};

/// A difference that does not come again this often was the meeting of two random ports.
const CONFIRMATIONS: u32 = 2;

/// One box as a machine and as a kernel.
pub struct Campaign {
    spec: MiddleboxSpec,
    external: IpAddr,
    kernel: KernelBox,
    next_place: u32,
}

/// What a sequence led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both did the same.
    Agreed,
    /// They differed from this step on.
    Differed(Difference),
}

/// Where two boxes differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the step, from 0.
    pub step: usize,
    /// What left the machine.
    pub machine: Vec<Observation>,
    /// What left the kernel.
    pub kernel: Vec<Observation>,
}

/// A difference that nobody knows, and the shortest sequence that shows it.
#[derive(Clone, Debug)]
pub struct Surprise {
    /// Of the sequence as it was drawn.
    pub seed: u64,
    /// The sequence.
    pub sequence: Sequence,
    /// Where it shows.
    pub difference: Difference,
}

/// What a whole campaign led to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Sequences that went through.
    pub sequences: u32,
    /// Packets that went through.
    pub packets: u64,
    /// Packets that let something out of the boxes, alike.
    pub passed: u64,
    /// Differences that did not come again.
    pub chances: u32,
    /// Sequences that ended in a known difference.
    pub known: u32,
    /// What nobody knew.
    pub surprises: Vec<Surprise>,
}

impl Campaign {
    /// Builds both boxes. Where Linux only comes near to the specification, the machine is what the
    /// router is.
    ///
    /// # Errors
    ///
    /// Where the kernel router cannot be made or cannot be that box.
    pub fn new(spec: &MiddleboxSpec, external: IpAddr) -> Result<Self, LabError> {
        let kernel = KernelBox::new(spec, external)?;
        let spec = kernel.ruleset().router;
        Ok(Self { spec, external, kernel, next_place: 0 })
    }

    /// Builds both boxes, the machine as the specification says although Linux only comes near.
    ///
    /// # Errors
    ///
    /// Where the kernel router cannot be made or cannot be that box.
    pub fn as_specified(spec: &MiddleboxSpec, external: IpAddr) -> Result<Self, LabError> {
        Ok(Self { spec: *spec, ..Self::new(spec, external)? })
    }

    /// Sends random sequences through both, until some are surprises.
    ///
    /// # Panics
    ///
    /// Where the kernel does not forget its connections.
    pub fn run(&mut self, count: u32, seed: u64) -> Summary {
        let mut summary = Summary::default();
        for nth in 0..count {
            let mut draw = Draw::new(seed.wrapping_add(u64::from(nth)));
            let sequence = generate(&mut draw);
            summary.sequences += 1;
            summary.packets += sequence.steps.len() as u64;
            let Outcome::Differed(difference) = self.compare(&sequence, &mut summary.passed) else {
                continue;
            };
            if is_known(&self.spec, &sequence, &difference) {
                summary.known += 1;
                continue;
            }
            if self.confirm(&sequence).is_none() {
                summary.chances += 1;
                continue;
            }
            let seed = seed.wrapping_add(u64::from(nth));
            summary.surprises.push(self.shrink(sequence, difference, seed));
            if summary.surprises.len() >= 3 {
                break;
            }
        }
        summary
    }

    /// Sends a sequence through both boxes.
    pub fn try_sequence(&mut self, sequence: &Sequence) -> Outcome {
        self.compare(sequence, &mut 0)
    }

    fn compare(&mut self, sequence: &Sequence, passed: &mut u64) -> Outcome {
        if self.next_place.is_multiple_of(Place::COUNT) {
            self.kernel.forget_connections().expect("the kernel forgets");
        }
        let place = Place::new(self.next_place, self.external);
        self.next_place += 1;
        let mut entropy = [0; 32];
        entropy[..4].copy_from_slice(&self.next_place.to_be_bytes());
        let mut machine = MachineBox::new(self.spec, &place, entropy);
        let mut books =
            [Addressbook::new(place, self.spec.role), Addressbook::new(place, self.spec.role)];
        let mut renaming = Renaming::new(place, sequence.inside_port);
        for (nth, step) in sequence.steps.iter().enumerate() {
            let inside = place.inside(step.inside, sequence.inside_port);
            let [first, second] = &mut books;
            let by_machine = first.pass(&mut machine, step, inside);
            let by_kernel = second.pass(&mut self.kernel, step, inside);
            if !renaming.agrees(inside, &by_machine, &by_kernel) {
                return Outcome::Differed(Difference {
                    step: nth,
                    machine: by_machine,
                    kernel: by_kernel,
                });
            }
            *passed += u64::from(!by_kernel.is_empty());
        }
        Outcome::Agreed
    }

    /// Whether a sequence differs each time.
    fn confirm(&mut self, sequence: &Sequence) -> Option<Difference> {
        let mut last = None;
        for _ in 0..CONFIRMATIONS {
            match self.try_sequence(sequence) {
                Outcome::Agreed => return None,
                Outcome::Differed(difference) => last = Some(difference),
            }
        }
        last
    }

    /// Leaves out every packet that is not needed for an unknown difference.
    fn shrink(
        &mut self,
        mut sequence: Sequence,
        mut difference: Difference,
        seed: u64,
    ) -> Surprise {
        sequence.steps.truncate(difference.step + 1);
        let mut nth = sequence.steps.len();
        while nth > 0 {
            nth -= 1;
            let mut shorter = sequence.clone();
            shorter.steps.remove(nth);
            if let Some(found) = self.confirm(&shorter)
                && !is_known(&self.spec, &shorter, &found)
            {
                shorter.steps.truncate(found.step + 1);
                nth = shorter.steps.len();
                (sequence, difference) = (shorter, found);
            }
        }
        Surprise { seed, sequence, difference }
    }
}

impl fmt::Display for Surprise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        write!(f, "{}", self.sequence)?;
        for (name, left) in
            [("machine", &self.difference.machine), ("kernel", &self.difference.kernel)]
        {
            writeln!(f, "  {name} lets out {}", if left.is_empty() { "nothing" } else { "" })?;
            left.iter().try_for_each(|packet| writeln!(f, "     {packet}"))?;
        }
        Ok(())
    }
}

/// By which endpoint outside each inside endpoint was last seen, as an observer outside knows it.
struct Addressbook {
    place: Place,
    role: Role,
    towards: HashMap<(u8, u8), SocketAddr>,
    last: HashMap<u8, SocketAddr>,
}

impl Addressbook {
    fn new(place: Place, role: Role) -> Self {
        Self { place, role, towards: HashMap::new(), last: HashMap::new() }
    }

    fn pass(
        &mut self,
        middlebox: &mut impl PacketBox,
        step: &Step,
        inside: SocketAddr,
    ) -> Vec<Observation> {
        let external = self.external(step, inside);
        let left = middlebox.pass(step.side, step.bytes(&self.place, inside, external));
        if step.side == Side::Inside {
            let translated = left.iter().find(|packet| {
                packet.side == Side::Outside
                    && packet.source.ip() == external.ip()
                    && packet.source.port() != 0
            });
            if let Some(translated) = translated {
                self.towards.insert((step.inside, step.remote), translated.source);
                self.last.insert(step.inside, translated.source);
            }
        }
        left
    }

    fn external(&self, step: &Step, inside: SocketAddr) -> SocketAddr {
        if self.role != Role::Nat {
            return inside;
        }
        let known = self.towards.get(&(step.inside, step.remote));
        let known = known.or_else(|| self.last.get(&step.inside));
        known.copied().unwrap_or(SocketAddr::new(self.place.external(), inside.port()))
    }
}
