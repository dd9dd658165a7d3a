//! `GET /changes`: the feed of the applied changes, in pages or as Server-Sent Events.
//!
//! Rule of this module: a client that goes on from a cursor gets each later change, or the answer that the cursor has expired.

pub(crate) mod cursor;
mod feed;
mod page;
mod query;
mod read;
mod stream;
pub(crate) mod views;

use crate::producer::problems;
use actix_web::web::{self, ServiceConfig};
pub(crate) use feed::ChangeFeed;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/changes")
            .route(web::get().to(read::changes))
            .route(web::head().to(read::changes))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
}
