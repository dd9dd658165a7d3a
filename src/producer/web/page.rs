//! The web page at `/`: people manage contacts with it. It is a client of the API, like any program.
//!
//! The rules: the page can do only what the API lets its caller do, and it loads nothing from other origins.

use crate::producer::http::static_file::Asset;
use crate::producer::problems::Problem;
use crate::producer::problems::{self, Kind};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

static PAGE: Asset = Asset::new("", "text/html; charset=utf-8", include_bytes!("page/index.html"));

/// A JavaScript module of the page. The browser gets it as it is: there is no build step.
macro_rules! script {
    ($name:literal) => {
        Asset::new($name, "text/javascript; charset=utf-8", include_bytes!(concat!("page/scripts/", $name)))
    };
}

static FILES: [Asset; 13] = [
    Asset::new("app.css", "text/css; charset=utf-8", include_bytes!("page/app.css")),
    script!("api.js"),
    script!("app.js"),
    script!("changes.js"),
    script!("dom.js"),
    script!("editor.js"),
    script!("files.js"),
    script!("history.js"),
    script!("key.js"),
    script!("language.js"),
    script!("list.js"),
    script!("recent-changes.js"),
    script!("texts.js"),
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
        None => Err(Problem::new(Kind::NotFound, "This file does not exist. The API reference is at /docs.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::auth::is_public_path;
    use actix_web::App;
    use actix_web::body::MessageBody;
    use actix_web::http::StatusCode;
    use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};
    use actix_web::rt::System;
    use actix_web::test::{TestRequest, call_service, init_service};
    use std::collections::BTreeSet;

    fn send(request: TestRequest) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = System::new().block_on(async {
            let app = init_service(App::new().configure(routes)).await;
            call_service(&app, request.to_request()).await
        });
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, response.into_body().try_into_bytes().unwrap().to_vec())
    }

    fn path(file: &Asset) -> String {
        format!("/assets/{}", file.name)
    }

    #[test]
    fn every_file_is_public_and_has_its_headers() {
        for (path, file) in FILES.iter().map(|file| (path(file), file)).chain([("/".to_owned(), &PAGE)]) {
            assert!(is_public_path(&path), "{path}");
            let (status, headers, body) = send(TestRequest::get().uri(&path));
            assert_eq!((status, body.as_slice()), (StatusCode::OK, &*file.bytes), "{path}");
            let header = |name: &str| headers.get(name).unwrap_or_else(|| panic!("{path}: {name}")).to_str().unwrap();
            let media_type = match path.rsplit('.').next().unwrap() {
                "js" => "text/javascript",
                "css" => "text/css",
                _ => "text/html",
            };
            assert_eq!(header("content-type"), format!("{media_type}; charset=utf-8"), "{path}");
            assert_eq!(header("cache-control"), "no-cache", "{path}");
            assert!(header("content-security-policy").starts_with("default-src 'none'; "), "{path}");
            let etag = header("etag");
            let (status, _, body) = send(TestRequest::get().uri(&path).insert_header((IF_NONE_MATCH, etag)));
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        }
    }

    #[test]
    fn an_unknown_file_and_another_method_are_problems() {
        assert_eq!(send(TestRequest::get().uri("/assets/x.js")).0, StatusCode::NOT_FOUND);
        for file in &FILES {
            assert_eq!(send(TestRequest::post().uri(&path(file))).0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    /// A module without `modulepreload` would cost another round trip. Links are relative, because the service may run
    /// behind a path prefix.
    #[test]
    fn the_page_links_every_file_by_a_relative_url() {
        let page = std::str::from_utf8(&PAGE.bytes).unwrap();
        let head = page.split("</head>").next().unwrap();
        let links = [" href=\"", " src=\""].into_iter().flat_map(|attribute| head.split(attribute).skip(1));
        let links: BTreeSet<&str> = links.map(|rest| rest.split('"').next().unwrap()).collect();
        let links: BTreeSet<&str> = links.into_iter().filter(|link| !link.starts_with("data:")).collect();
        let files: Vec<String> = FILES.iter().map(|file| format!("assets/{}", file.name)).collect();
        assert_eq!(links, files.iter().map(String::as_str).collect());
    }
}
