//! The HTTP API: checks a change, hands it to the queue, and answers 202 when the queue has it safely; reads from SQL.
//!
//! The rule this room keeps: a 202 is sent only after the confirm, every request ends by its deadline, and every error is
//! a problem document (RFC 9457). It must not know how messages travel or how rows look.

mod auth;
mod body;
mod conditions;
mod identity;
mod observe;
mod paging;
mod problem;
mod reader;
mod reads;
mod views;
mod writes;

use crate::config::HttpSettings;
use crate::domain::HybridClock;
use crate::queue::Publisher;
use crate::store::Store;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use auth::Keys;
use observe::Requests;
pub use paging::Listing;
pub use problem::Problem;
use reader::Reader;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// What every handler needs.
struct Api {
    publisher: Publisher,
    reader: Reader,
    clock: HybridClock,
    keys: Keys,
    requests: Requests,
    settings: HttpSettings,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings would open it to everyone.
    #[error("{0}")]
    Unsafe(String),
    /// The port cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Binds the public port and makes its server; the caller runs it. `readers` is the most reads at once.
pub fn server(
    settings: &HttpSettings,
    publisher: Publisher,
    store: Arc<dyn Store>,
    readers: usize,
    grace: Duration,
) -> Result<(Server, SocketAddr), ServeError> {
    refuse_open_door(settings)?;
    let listener = TcpListener::bind(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(settings.listen, error))?;
    let api = web::Data::new(Api {
        publisher,
        reader: Reader::new(store, readers, settings.accept_timeout),
        clock: HybridClock::default(),
        keys: Keys::new(&settings.api_keys),
        requests: Requests::new(),
        settings: settings.clone(),
    });
    let (workers, read_timeout) = (settings.workers, settings.read_timeout);
    let mut http = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .wrap(from_fn(auth::require_key))
            .wrap(from_fn(observe::observe))
            .configure(routes)
            .default_service(web::to(problem::not_found))
    })
    .disable_signals()
    .client_request_timeout(read_timeout)
    .shutdown_timeout(grace.as_secs().max(1));
    if workers > 0 {
        http = http.workers(workers);
    }
    let server = http.listen(listener).map_err(|error| ServeError::Listen(address, error))?.run();
    Ok((server, address))
}

/// Refuses to let everyone in by mistake.
pub fn refuse_open_door(settings: &HttpSettings) -> Result<(), ServeError> {
    if settings.listen.ip().is_loopback() || !settings.api_keys.is_empty() || settings.allow_anonymous {
        return Ok(());
    }
    Err(ServeError::Unsafe(format!(
        "http.listen ({}) can be reached from other machines, but http.api_keys is empty: set keys, or \
         http.allow_anonymous = true if something in front checks the callers",
        settings.listen
    )))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/contacts")
                .route(web::get().to(reads::list))
                .route(web::head().to(reads::list))
                .route(web::post().to(writes::create))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD, POST"))),
        )
        .service(
            web::resource("/contacts/{id}")
                .route(web::get().to(reads::contact))
                .route(web::head().to(reads::contact))
                .route(web::put().to(writes::update))
                .route(web::delete().to(writes::delete))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD, PUT, DELETE"))),
        )
        .service(
            web::resource("/operations/{id}")
                .route(web::get().to(reads::operation))
                .route(web::head().to(reads::operation))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD"))),
        );
}
