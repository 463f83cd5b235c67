//! `/metrics`, `/healthz` and `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Exposition;
use crate::admin::Administered;

/// The text format of Prometheus.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a service may take to say what it counts before it is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a service takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is about to end, and tells its peers to come back later.
    Draining,
}

/// Tells the probes whether a service takes new work.
#[derive(Debug)]
pub struct ReadinessWatch(watch::Sender<Readiness>);

impl ReadinessWatch {
    /// A service that does.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Readiness::Ready))
    }

    /// From now on it is so.
    pub fn set(&self, readiness: Readiness) {
        self.0.send_replace(readiness);
    }
}

impl Default for ReadinessWatch {
    fn default() -> Self {
        Self::new()
    }
}

struct Probed<B> {
    broker: B,
    exposition: Arc<Exposition>,
    readiness: watch::Receiver<Readiness>,
}

impl<B: Clone> Clone for Probed<B> {
    fn clone(&self) -> Self {
        Self {
            broker: self.broker.clone(),
            exposition: Arc::clone(&self.exposition),
            readiness: self.readiness.clone(),
        }
    }
}

/// Answers `/metrics`, `/healthz` (whether the service answers at all) and `/readyz` (whether it
/// takes new work too) for a service.
///
/// There is no authentication: what asks here should be allowed to see how many of everything
/// there are.
pub fn router<B: Administered>(
    broker: B,
    exposition: Arc<Exposition>,
    readiness: &ReadinessWatch,
) -> Router {
    let probed = Probed { broker, exposition, readiness: readiness.0.subscribe() };
    Router::new()
        .route("/metrics", get(metrics::<B>))
        .route("/healthz", get(healthz::<B>))
        .route("/readyz", get(readyz::<B>))
        .with_state(probed)
}

async fn metrics<B: Administered>(State(probed): State<Probed<B>>) -> Response {
    match timeout(PATIENCE, probed.broker.figures()).await {
        Ok(figures) => {
            ([(CONTENT_TYPE, EXPOSITION)], probed.exposition.render(&figures)).into_response()
        }
        Err(_) => unwell(),
    }
}

async fn healthz<B: Administered>(State(probed): State<Probed<B>>) -> Response {
    match timeout(PATIENCE, probed.broker.figures()).await {
        Ok(figures) if !figures.is_empty() => "ok\n".into_response(),
        Ok(_) | Err(_) => unwell(),
    }
}

async fn readyz<B: Administered>(State(probed): State<Probed<B>>) -> Response {
    let readiness = *probed.readiness.borrow();
    match readiness {
        Readiness::Ready => healthz(State(probed)).await,
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

fn unwell() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the service does not answer\n").into_response()
}
