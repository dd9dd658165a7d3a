//! The bare handler: measures the limit of the HTTP library. It parses the same JSON and does nothing else.

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Deserialize)]
struct Contact {
    name: String,
    phone: String,
    email: String,
}

#[derive(Serialize)]
struct Accepted {
    operation_id: Uuid,
    status: &'static str,
}

async fn create(contact: web::Json<Contact>) -> HttpResponse {
    // Use every field, so that the compiler cannot remove the parsing.
    if contact.name.is_empty() || contact.phone.is_empty() || contact.email.is_empty() {
        return HttpResponse::UnprocessableEntity().finish();
    }
    HttpResponse::Accepted().json(Accepted { operation_id: Uuid::now_v7(), status: "accepted" })
}

/// Serves the handler until the process is stopped.
pub fn serve(port: u16) {
    let server = HttpServer::new(|| {
        App::new().route("/contacts", web::post().to(create)).route("/livez", web::get().to(HttpResponse::Ok))
    });
    actix_web::rt::System::new().block_on(server.bind(("127.0.0.1", port)).unwrap().run()).unwrap();
}
