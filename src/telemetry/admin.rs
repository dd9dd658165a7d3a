//! The admin port: `/livez`, `/readyz` and `/metrics`, never on the public one.

use super::Health;
use super::metrics::Exposition;
use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::{SocketAddr, TcpListener};

/// Binds the admin port and makes its server; the caller runs it.
pub fn server(listen: SocketAddr, health: Health, metrics: Exposition) -> std::io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(health.clone()))
            .app_data(web::Data::new(metrics.clone()))
            .route("/livez", web::get().to(live))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(render))
    })
    .workers(1)
    .max_connections(64)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    Ok((server, address))
}

/// The process answers: nothing outside it is asked, so that a broken dependency never gets it killed.
async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("live\n")
}

/// 200 when every part can work, else 503; the parts either way.
async fn ready(health: web::Data<Health>) -> HttpResponse {
    let parts = health.report();
    let ready = parts.iter().all(|part| part.ready);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(serde_json::json!({ "ready": ready, "parts": parts }))
}

async fn render(metrics: web::Data<Exposition>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics.render())
}
