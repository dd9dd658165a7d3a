//! The page. The browser gets its files as they are: there is no build step. They contain no data, so they need no key.

use super::problem::{self, Problem};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

/// A file of the page.
struct PageFile {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! script {
    ($name:literal) => {
        PageFile {
            name: $name,
            media_type: "text/javascript; charset=utf-8",
            text: include_str!(concat!("page/scripts/", $name)),
        }
    };
}

const PAGE: PageFile =
    PageFile { name: "", media_type: "text/html; charset=utf-8", text: include_str!("page/index.html") };

const FILES: [PageFile; 13] = [
    PageFile { name: "console.css", media_type: "text/css; charset=utf-8", text: include_str!("page/console.css") },
    script!("api.js"),
    script!("app.js"),
    script!("dead-letters.js"),
    script!("dom.js"),
    script!("find.js"),
    script!("jobs.js"),
    script!("language.js"),
    script!("message.js"),
    script!("now.js"),
    script!("plot.js"),
    script!("runbook.js"),
    script!("texts.js"),
];

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("", web::get().to(to_page))
        .route("/", web::get().to(|| async { answer(&PAGE) }))
        .route("/assets/{file}", web::get().to(file));
}

/// The links of the page are relative, because the console may be behind a path prefix. They need the slash.
async fn to_page(_: HttpRequest) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "console/")).finish()
}

async fn file(name: Path<String>) -> Result<HttpResponse, Problem> {
    match FILES.iter().find(|file| file.name == *name) {
        Some(file) => Ok(answer(file)),
        None => problem::not_found().await,
    }
}

/// A new version of the program must show its new page, so browsers do not keep it.
fn answer(file: &PageFile) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, file.media_type))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(file.text)
}
