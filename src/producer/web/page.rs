//! The web page at `/`: contacts for people, over the same API as for programs.
//!
//! The rule it keeps: it can do nothing that the API does not let its caller do, and loads nothing from elsewhere.

use crate::producer::http::static_file::Asset;
use crate::producer::problems::Problem;
use crate::producer::problems::{self, Kind};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

static PAGE: Asset = Asset::new("", "text/html; charset=utf-8", include_bytes!("page/index.html"));

static FILES: [Asset; 2] = [
    Asset::new("app.js", "text/javascript; charset=utf-8", include_bytes!("page/app.js")),
    Asset::new("app.css", "text/css; charset=utf-8", include_bytes!("page/app.css")),
];

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/")
                .route(web::get().to(page))
                .route(web::head().to(page))
                .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/assets/{file}")
                .route(web::get().to(file))
                .route(web::head().to(file))
                .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
        );
}

async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    PAGE.answer(&request)
}

async fn file(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, Problem> {
    match FILES.iter().find(|file| file.name == *name) {
        Some(file) => file.answer(&request),
        None => Err(Problem::new(Kind::NotFound, "There is no such file; the description of the API is at /docs.")),
    }
}
