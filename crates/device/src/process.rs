//! Foreign programs in a network namespace, none of which outlives whoever started it.
//!
//! The programs of a [`ProgramSpace`] live in a process namespace of their own, whose first process
//! does nothing but wait for the end of a pipe that this process holds. When this process ends, by
//! whatever signal, the pipe ends, the first process ends, and the kernel kills all others of the
//! namespace with it, also those that have left their session or changed their user.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sched::{CloneFlags, unshare};

use crate::error::{Context, DeviceError};
use crate::namespace::{Namespace, NamespaceThread};

/// What the first process is: it reads until the end of its input, and writes nothing.
const FIRST: &str = "cat";

/// Where foreign programs run: a network namespace and a process namespace in it.
#[derive(Debug, Clone)]
pub struct ProgramSpace(Arc<Space>);

#[derive(Debug)]
struct Space {
    orders: Mutex<Option<Sender<Order>>>,
    thread: Mutex<Option<NamespaceThread<()>>>,
}

type Order = (Command, SyncSender<io::Result<Child>>);

impl ProgramSpace {
    /// Makes a process namespace for programs in that network namespace.
    ///
    /// # Errors
    ///
    /// Fails without CAP_SYS_ADMIN in the user namespace that owns the network namespace, and
    /// where the program `cat` is missing.
    pub fn start(network: &Namespace) -> Result<Self, DeviceError> {
        let (orders, queue) = mpsc::channel::<Order>();
        let (ready, started) = mpsc::sync_channel(1);
        // Only children of the thread that unshares are in the new namespace; it makes all of them.
        let thread = network.spawn_inside("programs", move || {
            let first = unshare(CloneFlags::CLONE_NEWPID)
                .on("unshare CLONE_NEWPID", "thread")
                .and_then(|()| quiet(FIRST).spawn().on("start", FIRST));
            let mut first = match first {
                Ok(first) => {
                    // Whoever starts waits below.
                    let _ = ready.send(Ok(()));
                    first
                }
                Err(error) => return drop(ready.send(Err(error))),
            };
            while let Ok((mut command, reply)) = queue.recv() {
                // Whoever asked waits below.
                let _ = reply.send(command.spawn());
            }
            drop(first.stdin.take());
            // It is a child of this thread's process, which nobody else waits for.
            let _ = first.wait();
        })?;
        let space = Space { orders: Mutex::new(Some(orders)), thread: Mutex::new(Some(thread)) };
        let gone = || DeviceError::Panicked {
            thread: "programs".to_owned(),
            message: "it ended before its first process stood".to_owned(),
        };
        started.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self(Arc::new(space)))
    }

    /// Starts a program.
    ///
    /// # Errors
    ///
    /// What the system says, `NotFound` where there is no such program.
    pub fn spawn(&self, command: Command) -> io::Result<Program> {
        let (reply, spawned) = mpsc::sync_channel(1);
        let ended = || io::Error::other("the thread that starts programs has ended");
        self.0
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(|orders| orders.send((command, reply)).ok())
            .ok_or_else(ended)?;
        let child = spawned.recv().map_err(|_| ended())??;
        Ok(Program { child, space: Arc::clone(&self.0) })
    }
}

impl Drop for Space {
    /// Ends the first process, and with it whatever the programs have left.
    fn drop(&mut self) {
        drop(self.orders.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has taken its first process down all the same.
        let _ = thread.map(NamespaceThread::join);
    }
}

/// A program that runs. It is killed when this is dropped.
///
/// It keeps its [`ProgramSpace`]: the namespace cannot end before all children of this process in
/// it have been waited for.
#[derive(Debug)]
pub struct Program {
    child: Child,
    #[expect(dead_code, reason = "it is kept, not used")]
    space: Arc<Space>,
}

impl Program {
    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Kills it, if it still runs, and says how it ended.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        // One that is ending keeps the code that it ends with.
        self.child.kill()?;
        self.child.wait()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Its input, output and errors, as far as the command had them piped. Once.
    pub fn take_pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number by which a program's end is told to a shell: its exit code, or 128 and its signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
