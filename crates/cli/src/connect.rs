//! `simopen connect`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::dup2_stdout;
use simopen_peer::manager::words::{ConnectOrder, Refusal, Route};
use simopen_peer::manager::{Desk, Device, DeviceConfig, Stream};
use tokio::io::{AsyncRead, AsyncWrite, Stdout};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::device_session::{joined, refuse, run_until_interrupted};
use crate::exchange::exchange;
use crate::peer_arguments::ConnectArguments;
use crate::{FAILED, surroundings};

/// How long nobody is taken after a caller could not be taken: descriptors come back by themselves.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(arguments: &ConnectArguments) -> Result<ExitCode> {
    let home = surroundings::home(&arguments.surroundings.home)?;
    let joined = joined(&home, arguments.name.broker.as_ref())?;
    let order = ConnectOrder { to: arguments.name.to_string(), service: arguments.service.clone() };
    run_until_interrupted(async {
        let config = DeviceConfig {
            techniques: arguments.techniques.as_ref().map(|techniques| techniques.0.clone()),
            ..surroundings::device(&arguments.surroundings.network, &home)?
        };
        // The manager has an order of its own.
        let desk = if config.techniques.is_some() {
            Desk::Own(Device::start(&home, joined, &config))
        } else {
            Desk::open(&home, joined, &config).await?
        };
        let telling = Telling { is_quiet: arguments.quiet, is_json: arguments.json };
        let code = match arguments.listen {
            Some(local) => listen(&desk, &order, telling, local).await,
            None => connect(&desk, &order, telling).await,
        };
        desk.close().await;
        code
    })
}

/// How long the rest of a stream that broke may take on its way through this process.
const REST: Duration = Duration::from_secs(1);

/// How it is told which way a connection goes.
#[derive(Debug, Clone, Copy)]
struct Telling {
    is_quiet: bool,
    is_json: bool,
}

impl Telling {
    fn route(self, route: &Route) -> Result<()> {
        if self.is_quiet {
            return Ok(());
        }
        if self.is_json {
            eprintln!("{}", serde_json::to_string(route)?);
        } else {
            eprintln!("simopen: {}", in_words(route));
        }
        Ok(())
    }
}

impl Telling {
    fn broken(self, article: &str, peer: &str, why: &Refusal) {
        if self.is_json {
            eprintln!("{}", serde_json::json!({ "peer": peer, "broke": why.why }));
        } else {
            eprintln!("simopen: {article} connection to {peer} broke: {why}");
        }
    }
}

fn in_words(route: &Route) -> String {
    let Route { peer, technique, milliseconds, .. } = route;
    let way = if technique == "relay" {
        "by relay".to_owned()
    } else if route.relayed {
        format!("by relay ({technique})")
    } else {
        format!("directly by {technique}")
    };
    let standing = if route.reused { ", on the link that stood" } else { "" };
    let named = |was_tried: bool, says: &str| {
        let meant = route.tried.iter().filter(|tried| tried.was_tried() == was_tried);
        let names: Vec<&str> = meant.map(|tried| tried.technique.as_str()).collect();
        if names.is_empty() { String::new() } else { format!("; {} {says}", names.join(", ")) }
    };
    let tried = named(true, "did not lead there") + &named(false, "passed over");
    format!("connected to {peer} {way} after {milliseconds} ms{standing}{tried}")
}

/// One connection, with standard input and output at this end.
async fn connect(desk: &Desk, order: &ConnectOrder, telling: Telling) -> Result<ExitCode> {
    let (route, stream) = match desk.connect(order).await {
        Ok(connected) => connected,
        Err(refusal) => return refuse(telling.is_json, &refusal),
    };
    telling.route(&route)?;
    match carry_standard(stream).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(why) => {
            telling.broken("the", &route.peer, &why);
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// Carries bytes between standard input and output and a stream.
pub(crate) async fn carry_standard(stream: Stream) -> Result<(), Refusal> {
    carry(tokio::io::stdin(), StandardOutput(tokio::io::stdout()), stream).await
}

/// Carries bytes both ways. A stream that breaks is not waited for, whatever the input does; one
/// that broke at this end is broken off, so that the other end sees it.
pub(crate) async fn carry(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    mut stream: Stream,
) -> Result<(), Refusal> {
    let mut ended = pin!(stream.take_ending().wait());
    let mut is_told = false;
    let is_broken = AtomicBool::new(false);
    let carried = {
        let is_whole = || !is_broken.load(Ordering::Relaxed);
        let mut carried = pin!(exchange(input, output, &mut stream, is_whole));
        loop {
            tokio::select! {
                // A break is told before the end that it brings.
                biased;
                told = &mut ended, if !is_told => match told {
                    // It has ended well, or nobody but the stream itself can tell.
                    Ok(()) => is_told = true,
                    Err(broken) => {
                        is_broken.store(true, Ordering::Relaxed);
                        // What came before is still handed on.
                        let _ = tokio::time::timeout(REST, carried).await;
                        break Err(broken);
                    }
                },
                done = &mut carried => break done.map_err(Refusal::failed),
            }
        }
    };
    if let Err(broken) = carried {
        stream.break_off();
        return Err(broken);
    }
    if is_told { Ok(()) } else { ended.await }
}

/// Carries bytes between a local connection and a stream. Where it breaks, the local connection is
/// reset, so that whoever is there sees it too.
pub(crate) async fn carry_local(mut local: TcpStream, stream: Stream) -> Result<(), Refusal> {
    let (input, output) = local.split();
    let carried = carry(input, output, stream).await;
    if carried.is_err() {
        // Where that is refused it just closes.
        let _ = local.set_zero_linger();
    }
    carried
}

/// Standard output, whose end others see as soon as it is shut down, although the program runs on.
struct StandardOutput(Stdout);

impl AsyncWrite for StandardOutput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(context))?;
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        Poll::Ready(dup2_stdout(nowhere).map_err(io::Error::from))
    }
}

/// A connection for each caller of a local port.
async fn listen(
    desk: &Desk,
    order: &ConnectOrder,
    telling: Telling,
    local: SocketAddr,
) -> Result<ExitCode> {
    let listener = TcpListener::bind(local)
        .await
        .with_context(|| format!("the local port {local} cannot be listened at"))?;
    let local = listener.local_addr()?;
    if !telling.is_quiet {
        if telling.is_json {
            eprintln!("{}", serde_json::json!({ "listening": local.to_string() }));
        } else {
            eprintln!("simopen: whoever connects to {local} gets to {}", order.to);
        }
        io::stderr().flush()?;
    }
    let (desk, order) = (Rc::new(desk.clone()), Rc::new(order.clone()));
    let callers = async move {
        loop {
            match listener.accept().await {
                Ok((caller, _)) => {
                    let (desk, order) = (Rc::clone(&desk), Rc::clone(&order));
                    tokio::task::spawn_local(async move {
                        pass_on(&desk, &order, telling, caller).await;
                    });
                }
                // The caller was gone before it was taken, or descriptors are short.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    LocalSet::new().run_until(callers).await
}

async fn pass_on(desk: &Desk, order: &ConnectOrder, telling: Telling, caller: TcpStream) {
    let (route, stream) = match desk.connect(order).await {
        Ok(connected) => connected,
        Err(refusal) => {
            // It has been told; the caller sees its connection close.
            let _ = refuse(telling.is_json, &refusal);
            return;
        }
    };
    let _ = telling.route(&route);
    let _ = caller.set_nodelay(true);
    if let Err(error) = carry_local(caller, stream).await
        && !telling.is_quiet
    {
        telling.broken("a", &route.peer, &error);
    }
}
