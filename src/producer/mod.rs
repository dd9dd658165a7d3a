//! The HTTP API. It publishes changes to the queue, answers 202 after the publisher confirm, and reads from SQL.
//!
//! Rule of this module: a 202 is sent only after the confirm. Every request ends by its deadline. Every error is a
//! problem document (RFC 9457). The module does not depend on the broker or on the database schema.

mod auth;
mod bulk;
mod changes;
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
pub use contacts::query_parameters::Listing;
pub use contacts::subjects::OpenSources;
pub use http::connections::Farewell;
pub use problems::Problem;
pub(crate) use state::{IdKey, Unknown};

use crate::config::HttpSettings;
use crate::queue::Publisher;
use crate::stop::Stop;
use crate::store::Store;
use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::{Data, ServiceConfig, to};
use actix_web::{App, HttpServer};
use auth::Auth;
use changes::ChangeFeed;
use contacts::subjects::Subjects;
use http::connections::Connections;
use http::request_metrics::RequestMetrics;
use http::{compress, cors, observe};
use socket2::SockRef;
use state::{AppState, OperationWaiters, Reader};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings would let anyone call the API.
    #[error("{0}")]
    Unsafe(String),
    /// The API keys, or the token keys of the identity provider, cannot be used.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The port cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Connections of one HTTP thread. Further connections wait to be accepted. Each one needs about 20 KiB.
const MAX_CONNECTIONS: usize = 4_096;

/// What the API needs from the rest of the process.
pub struct Parts {
    /// The API keys and token keys in effect.
    pub credentials: Credentials,
    /// Publishes changes to the queue.
    pub publisher: Publisher,
    /// Serves reads.
    pub store: Arc<dyn Store>,
    /// How many reads may run at the same time.
    pub readers: usize,
    /// Signs the cursors. All replicas have the same key.
    pub cursors: CursorKey,
    /// Makes the checks in operation ids. All replicas have the same key.
    pub(crate) ids: IdKey,
    /// Opens what is searched for a person.
    pub subjects: OpenSources,
    /// How long a graceful shutdown may take.
    pub grace: Duration,
    /// Signals the graceful shutdown.
    pub stop: Stop,
}

/// Binds the public port and creates the server. The caller runs the server in the same actix system. Before it stops
/// the server, it waits for the farewell.
pub fn server(settings: &HttpSettings, parts: Parts) -> Result<(Server, SocketAddr, Farewell), ServeError> {
    let Parts { credentials, publisher, store, readers, cursors, ids, subjects, grace, stop } = parts;
    require_authentication(settings)?;
    let listener = TcpListener::bind(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    // The HTTP library waits forever for a client that does not read. With this option the kernel closes the
    // connection. Accepted connections inherit the option from the listener.
    let set = SockRef::from(&listener).set_tcp_user_timeout(Some(settings.write_timeout));
    set.map_err(|error| ServeError::Listen(settings.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(settings.listen, error))?;
    let (reader, waiters) =
        (Arc::new(Reader::new(store, readers, settings.accept_timeout)), OperationWaiters::default());
    actix_web::rt::spawn(waiters.clone().run(reader.clone(), stop.clone()));
    let feed = Arc::new(ChangeFeed::new(settings.change_streams));
    actix_web::rt::spawn(feed.clone().run(reader.clone(), stop.clone()));
    let feed = Data::from(feed);
    let stopping = Data::new(stop.clone());
    let state = Data::new(AppState::new(settings.clone(), publisher, reader, waiters, ids, stop));
    let (auth, metrics) = (Data::new(Auth::new(settings, credentials)), Data::new(RequestMetrics::new()));
    let cursors = Data::new(cursors);
    let subjects = Data::new(Subjects::new(subjects));
    let (workers, read_timeout) = (settings.workers, settings.read_timeout);
    let origins = settings.cors_origins.clone();
    let connections = Connections::watch(settings.keep_alive + read_timeout);
    let farewell = Farewell { connections: connections.clone(), limit: grace / 10 };
    let mut http = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(auth.clone())
            .app_data(metrics.clone())
            .app_data(stopping.clone())
            .app_data(cursors.clone())
            .app_data(feed.clone())
            .app_data(subjects.clone())
            .wrap(from_fn(auth::admit))
            .wrap(from_fn(problems::localize::localize))
            .wrap(from_fn(compress::compress))
            .wrap(from_fn(observe::observe))
            // The last middleware is the outermost: a browser sends its preflight request without a key.
            .wrap(Condition::new(!origins.is_empty(), cors::policy(&origins)))
            .configure(routes)
            .default_service(to(problems::not_found))
    })
    .disable_signals()
    .client_request_timeout(read_timeout)
    .keep_alive(settings.keep_alive)
    .on_connect(move |accepted, data| connections.track(accepted, data))
    .max_connections(MAX_CONNECTIONS)
    // After this time the server closes connections, so that the rest of the shutdown still has time.
    .shutdown_timeout((grace * 4 / 5).as_secs().max(1));
    if workers > 0 {
        http = http.workers(workers);
    }
    let server = http.listen(listener).map_err(|error| ServeError::Listen(address, error))?.run();
    Ok((server, address, farewell))
}

/// Returns an error if the settings would let anyone call the API by mistake.
pub fn require_authentication(settings: &HttpSettings) -> Result<(), ServeError> {
    if settings.listen.ip().is_loopback() || settings.requires_authentication() || settings.allow_anonymous {
        return Ok(());
    }
    Err(ServeError::Unsafe(format!(
        "http.listen ({}) can be reached from other machines, but http.api_keys is empty and http.jwt is not set: set \
         keys, or set http.allow_anonymous = true if a gateway authenticates the callers",
        settings.listen
    )))
}

/// Registers the paths of every folder. The router tries them in this order, so the most frequent ones come first. The
/// fixed paths below `/contacts` must come before `/contacts/{id}`.
fn routes(config: &mut ServiceConfig) {
    config
        .configure(bulk::routes)
        .configure(contacts::routes)
        .configure(operations::routes)
        .configure(changes::routes)
        .configure(openapi::routes)
        .configure(web::routes);
}
