//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use simopen_lab::cancel::{Cancel, Canceller};

/// As a shell says it of a command that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// The first Ctrl-C lets the attempts take everything down; a second one ends the process, which
/// takes everything down as well.
pub(crate) fn cancel_on_interrupt() -> Result<Cancel> {
    let (canceller, cancel) = Canceller::new();
    on_interrupt(move || canceller.cancel())?;
    Ok(cancel)
}

/// A flag that the first Ctrl-C sets. A second one ends the process.
pub(crate) fn flag_on_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    on_interrupt(move || set.store(true, Ordering::Relaxed))?;
    Ok(flag)
}

fn on_interrupt(first: impl FnOnce() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the signals")?;
    let wait = move || {
        runtime.block_on(async {
            // Without the signal, Ctrl-C ends the process as usual.
            if tokio::signal::ctrl_c().await.is_ok() {
                first();
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
    };
    let thread = thread::Builder::new().name("signals".into()).spawn(wait);
    thread.map(drop).context("no thread for the signals")
}
