//! Operations: their ids, and `GET /operations/{id}`.

pub(crate) mod ids;
pub(crate) mod read;
pub(crate) mod views;

use crate::producer::problems;
use actix_web::web::{self, ServiceConfig};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/operations/{id}")
            .route(web::get().to(read::operation))
            .route(web::head().to(read::operation))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
}
