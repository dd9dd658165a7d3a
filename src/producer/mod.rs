//! The HTTP API: checks a change, hands it to the queue, and answers 202 when the queue has it safely; reads from SQL.
//!
//! The rule this room keeps: a 202 is sent only after the confirm, every request ends by its deadline, and every error is
//! a problem document (RFC 9457). It must not know how messages travel or how rows look.

mod access;
mod assets;
mod auth;
mod body;
mod client;
mod conditions;
mod connections;
mod cors;
mod cursor;
mod documents;
mod export;
mod field_error;
mod identity;
mod import;
mod keys;
mod kind;
mod language;
mod limits;
#[path = "http/observe.rs"]
mod observe;
mod openapi;
mod page;
mod paging;
mod prefer;
mod problem;
mod problem_examples;
mod problem_pages;
mod problem_texts;
mod reader;
#[path = "contacts/read.rs"]
mod reads;
mod tokens;
mod translations;
mod views;
mod waiting;
mod writes;

pub use access::Access;

use crate::config::HttpSettings;
use crate::domain::HybridClock;
use crate::queue::Publisher;
use crate::stop::Stop;
use crate::store::Store;
use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, web};
use connections::Connections;
pub use cursor::CursorKey;
use limits::Limits;
use observe::Requests;
pub use paging::Listing;
pub use problem::Problem;
use reader::Reader;
use socket2::SockRef;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use waiting::Waiters;

/// How many exports may run at once: each holds a connection and a snapshot.
const EXPORTS: usize = 2;
/// How many batches of imports may be published at once: the rest of the mailbox is for those who ask for one change.
const IMPORTS: usize = 4;

/// What every handler needs.
struct Api {
    publisher: Publisher,
    reader: Arc<Reader>,
    waiters: Waiters,
    /// Exports that may still begin.
    exports: Arc<Semaphore>,
    /// Batches of imports that may still be published.
    imports: Semaphore,
    stop: Stop,
    cursors: CursorKey,
    clock: HybridClock,
    access: Access,
    limits: Limits,
    requests: Requests,
    settings: HttpSettings,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings would open it to everyone.
    #[error("{0}")]
    Unsafe(String),
    /// The keys of callers, or of an identity provider, cannot be used.
    #[error("{0}")]
    Access(String),
    /// The port cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Connections of one HTTP thread; more wait to be accepted. Each costs some 20 KiB.
const CONNECTIONS: usize = 4_096;

/// What the API stands on.
pub struct Parts {
    /// Who may call.
    pub access: Access,
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
    let Parts { access, publisher, store, readers, cursors, grace, stop } = parts;
    refuse_open_door(settings)?;
    let listener = TcpListener::bind(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    // The kernel cuts a connection whose other end does not read: the HTTP library would wait for ever. Connections have it
    // from their listener.
    let unread = SockRef::from(&listener).set_tcp_user_timeout(Some(settings.write_timeout));
    unread.map_err(|error| ServeError::Listen(settings.listen, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen(settings.listen, error))?;
    let (reader, waiters) = (Arc::new(Reader::new(store, readers, settings.accept_timeout)), Waiters::default());
    actix_web::rt::spawn(waiters.clone().serve(reader.clone(), stop.clone()));
    let api = web::Data::new(Api {
        publisher,
        reader,
        waiters,
        exports: Arc::new(Semaphore::new(EXPORTS)),
        imports: Semaphore::new(IMPORTS),
        stop,
        cursors,
        clock: HybridClock::default(),
        access,
        limits: Limits::new(settings),
        requests: Requests::new(),
        settings: settings.clone(),
    });
    let (workers, read_timeout) = (settings.workers, settings.read_timeout);
    let origins = settings.cors_origins.clone();
    let connections = Connections::watch(settings.keep_alive + read_timeout);
    let mut http = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .wrap(from_fn(auth::admit))
            .wrap(from_fn(language::answer_in_it))
            .wrap(from_fn(observe::observe))
            // The last is the outermost: a browser asks without a key whether it may ask with one.
            .wrap(Condition::new(!origins.is_empty(), cors::policy(&origins)))
            .configure(routes)
            .default_service(web::to(problem::not_found))
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
pub fn refuse_open_door(settings: &HttpSettings) -> Result<(), ServeError> {
    if settings.listen.ip().is_loopback() || settings.asks_callers() || settings.allow_anonymous {
        return Ok(());
    }
    Err(ServeError::Unsafe(format!(
        "http.listen ({}) can be reached from other machines, but http.api_keys is empty and there is no http.jwt: set \
         keys, or http.allow_anonymous = true if something in front checks the callers",
        settings.listen
    )))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .configure(page::routes)
        .configure(documents::routes)
        .configure(problem_pages::routes)
        .service(
            web::resource("/openapi.json")
                .route(web::get().to(openapi::openapi))
                .route(web::head().to(openapi::openapi))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/contacts")
                .route(web::get().to(reads::list))
                .route(web::head().to(reads::list))
                .route(web::post().to(writes::create))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD, POST"))),
        )
        .service(
            web::resource("/contacts/import")
                .route(web::post().to(import::import))
                .default_service(web::to(|| problem::method_not_allowed("POST"))),
        )
        .service(
            web::resource("/contacts/export")
                .route(web::get().to(export::export))
                .default_service(web::to(|| problem::method_not_allowed("GET"))),
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
            web::resource("/areas")
                .route(web::get().to(reads::areas))
                .route(web::head().to(reads::areas))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/operations/{id}")
                .route(web::get().to(reads::operation))
                .route(web::head().to(reads::operation))
                .default_service(web::to(|| problem::method_not_allowed("GET, HEAD"))),
        );
}
