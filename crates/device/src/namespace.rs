//! Network namespaces, each made by one thread of its own.
//!
//! A network namespace belongs to a thread, so nothing here ever moves a thread of somebody else
//! into one. Nothing is named in the file system: a namespace goes when its last thread and its
//! last descriptor (a socket or TUN device opened in it, a [`Namespace`]) have gone.

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Context, DeviceError};
use crate::interface::{admit_any_source_on, bring_loopback_up};

/// Where a thread finds its own network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// A handle on a network namespace; it keeps the namespace in being.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
    id: u64,
}

impl Namespace {
    /// Runs `f` on a new thread of that name in a new namespace whose loopback interface
    /// is up and whose interfaces admit packets with any source (`rp_filter` 0).
    ///
    /// Returns when the namespace stands; threads that `f` spawns live in it too.
    ///
    /// # Errors
    ///
    /// Fails without CAP_SYS_ADMIN in the user namespace.
    pub fn spawn<T, F>(name: &str, f: F) -> Result<NamespaceThread<T>, DeviceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        start(name, f, || {
            unshare(CloneFlags::CLONE_NEWNET).on("unshare CLONE_NEWNET", "thread")?;
            bring_loopback_up()?;
            admit_any_source_on(&["all", "default"])
        })
    }

    /// Runs `f` on a new thread of that name in this namespace.
    ///
    /// # Errors
    ///
    /// Fails without CAP_SYS_ADMIN in the user namespace that owns this one.
    pub fn spawn_inside<T, F>(&self, name: &str, f: F) -> Result<NamespaceThread<T>, DeviceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        start(name, f, move || setns(&*file, CloneFlags::CLONE_NEWNET).on("setns", "thread"))
    }

    /// Returns the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// Fails where /proc is not mounted.
    pub fn current() -> Result<Self, DeviceError> {
        let file = File::open(OWN).on("open", OWN)?;
        let id = file.metadata().on("fstat", OWN)?.ino();
        Ok(Self { file: Arc::new(file), id })
    }

    /// Returns the namespace's number (its inode): equal for equal namespaces, as long as they
    /// live.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }
}

/// Returns the number of the calling thread's namespace without keeping it in being.
///
/// # Errors
///
/// Fails where /proc is not mounted.
pub fn current_id() -> Result<u64, DeviceError> {
    Ok(std::fs::metadata(OWN).on("stat", OWN)?.ino())
}

/// A thread that lives in a namespace of its own.
#[derive(Debug)]
pub struct NamespaceThread<T> {
    thread: JoinHandle<Option<T>>,
    name: String,
    namespace_id: u64,
}

impl<T> NamespaceThread<T> {
    /// Waits for the thread and returns what it made.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Panicked`] where it panicked.
    pub fn join(self) -> Result<T, DeviceError> {
        let message = match self.thread.join() {
            Ok(Some(made)) => return Ok(made),
            Ok(None) => "it never entered its namespace".to_owned(),
            Err(payload) => panic_message(payload.as_ref()).to_owned(),
        };
        Err(DeviceError::Panicked { thread: self.name, message })
    }

    /// Says whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Returns the number of the thread's namespace, as [`Namespace::id`].
    #[must_use]
    pub const fn namespace_id(&self) -> u64 {
        self.namespace_id
    }
}

fn start<T, F, E>(name: &str, f: F, enter: E) -> Result<NamespaceThread<T>, DeviceError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    E: FnOnce() -> Result<(), DeviceError> + Send + 'static,
{
    let (ready, entered) = mpsc::sync_channel(1);
    let body = move || {
        // A receiver that is gone means that the spawner panicked; nobody waits for us then.
        let outcome = enter().and_then(|()| current_id());
        let failed = outcome.is_err();
        let _ = ready.send(outcome);
        if failed { None } else { Some(f()) }
    };
    let builder = thread::Builder::new().name(name.to_owned());
    let thread = builder.spawn(body).on("clone", name)?;
    let never = DeviceError::Panicked {
        thread: name.to_owned(),
        message: "it never entered its namespace".to_owned(),
    };
    let namespace_id = entered.recv().unwrap_or(Err(never))?;
    Ok(NamespaceThread { thread, name: name.to_owned(), namespace_id })
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
