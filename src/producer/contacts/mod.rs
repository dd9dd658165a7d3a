//! The paths of contacts. Changes are published to the queue; reads come from SQL.

pub(crate) mod areas;
mod body;
pub(crate) mod cursor;
mod duplicates;
pub(crate) mod history;
pub(crate) mod query_parameters;
pub(crate) mod read;
pub(crate) mod subjects;
pub(crate) mod views;
pub(crate) mod write;

use crate::producer::problems;
use actix_web::web::{self, ServiceConfig};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/contacts")
            .route(web::get().to(read::list))
            .route(web::head().to(read::list))
            .route(web::post().to(write::create))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD, POST"))),
    );
    config.service(
        web::resource("/contacts/duplicates")
            .route(web::get().to(duplicates::list))
            .route(web::head().to(duplicates::list))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
    config.service(
        web::resource("/contacts/{id}")
            .route(web::get().to(read::contact))
            .route(web::head().to(read::contact))
            .route(web::put().to(write::update))
            .route(web::patch().to(write::patch))
            .route(web::delete().to(write::delete))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD, PUT, PATCH, DELETE"))),
    );
    config.service(
        web::resource("/contacts/{id}/history")
            .route(web::get().to(history::history))
            .route(web::head().to(history::history))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
    for (path, route) in [
        ("/subjects/find", subjects::find()),
        ("/subjects/export", subjects::export()),
        ("/subjects/erase", subjects::erase()),
    ] {
        config.service(
            web::resource(path).route(route).default_service(web::to(|| problems::method_not_allowed("POST"))),
        );
    }
    config.service(
        web::resource("/areas")
            .route(web::get().to(areas::areas))
            .route(web::head().to(areas::areas))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
}
