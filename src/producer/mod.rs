//! The HTTP API: checks a change, hands it to the queue, and answers 202 when the queue has it safely; reads from SQL.
//!
//! The rule this room keeps: a 202 is sent only after the confirm, every request ends by its deadline, and every error is
//! a problem document (RFC 9457). It must not know how messages travel or how rows look.

mod auth;
mod bulk;
mod contacts;
mod http;
mod language;
mod openapi;
mod operations;
mod problems;
mod state;
mod web;

pub use auth::{Credentials, CredentialsError};
pub use contacts::cursor::CursorKey;
pub use contacts::paging::Listing;
pub use problems::Problem;

use crate::config::HttpSettings;
use crate::queue::Publisher;
use crate::stop::Stop;
use crate::store::Store;
use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::{Data, ServiceConfig, to};
use actix_web::{App, HttpServer};
use auth::Auth;
use http::connections::Connections;
use http::request_metrics::RequestMetrics;
use http::{cors, observe};
use socket2::SockRef;
use state::{AppState, Reader, Waiters};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings would open it to everyone.
    #[error("{0}")]
    Unsafe(String),
    /// The keys of callers, or of an identity provider, cannot be used.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The port cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Connections of one HTTP thread; more wait to be accepted. Each costs some 20 KiB.
const CONNECTIONS: usize = 4_096;

/// What the API stands on.
pub struct Parts {
    /// Who may call.
    pub credentials: Credentials,
    /// Where changes go.
    pub publisher: Publisher,
    /// Where reads come from.
    pub store: Arc<dyn Store>,
    /// The most reads at once.
    pub readers: usize,
    /// What seals the cursors of all replicas.
    pub cursors: CursorKey,
    /// How long requests may take to end.
    pub grace: Duration,
    /// Ends those that wait.
    pub stop: Stop,
}

/// Binds the public port and makes its server; the caller runs it, in the system it is made in.
pub fn server(settings: &HttpSettings, parts: Parts) -> Result<(Server, SocketAddr), ServeError> {
    let Parts { credentials, publisher, store, readers, cursors, grace, stop } = parts;
    require_authentication(settings)?;
    let listener = TcpListener::bind(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    // The kernel cuts a connection whose other end does not read: the HTTP library would wait for ever. Connections have it
    // from their listener.
    let unread = SockRef::from(&listener).set_tcp_user_timeout(Some(settings.write_timeout));
    unread.map_err(|error| ServeError::Listen(settings.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(settings.listen, error))?;
    let (reader, waiters) = (Arc::new(Reader::new(store, readers, settings.accept_timeout)), Waiters::default());
    actix_web::rt::spawn(waiters.clone().serve(reader.clone(), stop.clone()));
    let state = Data::new(AppState::new(settings.clone(), publisher, reader, waiters, stop));
    let (auth, metrics) = (Data::new(Auth::new(settings, credentials)), Data::new(RequestMetrics::new()));
    let cursors = Data::new(cursors);
    let (workers, read_timeout) = (settings.workers, settings.read_timeout);
    let origins = settings.cors_origins.clone();
    let connections = Connections::watch(settings.keep_alive + read_timeout);
    let mut http = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(auth.clone())
            .app_data(metrics.clone())
            .app_data(cursors.clone())
            .wrap(from_fn(auth::admit))
            .wrap(from_fn(problems::localize::localize))
            .wrap(from_fn(observe::observe))
            // The last is the outermost: a browser asks without a key whether it may ask with one.
            .wrap(Condition::new(!origins.is_empty(), cors::policy(&origins)))
            .configure(routes)
            .default_service(to(problems::not_found))
    })
    .disable_signals()
    .client_request_timeout(read_timeout)
    .keep_alive(settings.keep_alive)
    .on_connect(move |accepted, data| connections.opened(accepted, data))
    .max_connections(CONNECTIONS)
    // What callers do not read until then is cut off, so that the rest of the end has its time.
    .shutdown_timeout((grace * 4 / 5).as_secs().max(1));
    if workers > 0 {
        http = http.workers(workers);
    }
    let server = http.listen(listener).map_err(|error| ServeError::Listen(address, error))?.run();
    Ok((server, address))
}

/// Refuses to let everyone in by mistake.
pub fn require_authentication(settings: &HttpSettings) -> Result<(), ServeError> {
    if settings.listen.ip().is_loopback() || settings.asks_callers() || settings.allow_anonymous {
        return Ok(());
    }
    Err(ServeError::Unsafe(format!(
        "http.listen ({}) can be reached from other machines, but http.api_keys is empty and there is no http.jwt: set \
         keys, or http.allow_anonymous = true if something in front checks the callers",
        settings.listen
    )))
}

/// Every room adds its own paths. The fixed paths below `/contacts` come before `/contacts/{id}`.
fn routes(config: &mut ServiceConfig) {
    config
        .configure(web::routes)
        .configure(openapi::routes)
        .configure(bulk::routes)
        .configure(contacts::routes)
        .configure(operations::routes);
}
