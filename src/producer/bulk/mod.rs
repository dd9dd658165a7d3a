//! Import and export: many contacts in one request, as a stream.

pub(crate) mod export;
pub(crate) mod import;

use crate::producer::problems;
use actix_web::web::{self, ServiceConfig};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/contacts/import")
            .route(web::post().to(import::import))
            .default_service(web::to(|| problems::method_not_allowed("POST"))),
    );
    config.service(
        web::resource("/contacts/export")
            .route(web::get().to(export::export))
            .default_service(web::to(|| problems::method_not_allowed("GET"))),
    );
}
