//! The admin port: `/livez`, `/readyz` and `/metrics`, and what the caller adds. The public port never serves these
//! paths.

use super::Health;
use super::metrics::MetricsExporter;
use actix_web::dev::Server;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::{SocketAddr, TcpListener};

/// Binds the admin port and creates its server. The caller runs the server. `configure` adds paths.
pub fn server(
    listen: SocketAddr,
    health: Health,
    exporter: MetricsExporter,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(health.clone()))
            .app_data(web::Data::new(exporter.clone()))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
            .configure(&configure)
    })
    .workers(1)
    .max_connections(64)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    Ok((server, address))
}

/// Liveness. The handler checks no dependency, so a broken dependency never causes a restart of the process.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("live\n")
}

/// Readiness: 200 if every component can work, else 503. The body lists the components.
async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let components = health.statuses();
    let ready = components.iter().all(|component| component.ready);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(serde_json::json!({ "ready": ready, "parts": components }))
}

async fn metrics(exporter: web::Data<MetricsExporter>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(exporter.render())
}
