//! The API reference at `/docs`: Swagger UI, which shows `/openapi.json`.
//!
//! Rule of this file: all files are part of the program. All links are relative, so that the page works behind a
//! gateway with a path prefix.

use crate::producer::http::static_file::Asset;
use crate::producer::problems::Problem;
use crate::producer::problems::{self, Kind};
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

static PAGE: Asset = Asset::new("docs", "text/html; charset=utf-8", include_bytes!("api_docs/index.html"));

/// A file of Swagger UI that `build.rs` has compressed.
macro_rules! swagger_ui {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz"))
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

static FILES: [Asset; 6] = [
    Asset::new("docs.js", SCRIPT, include_bytes!("api_docs/docs.js")),
    Asset::new("docs.css", STYLE, include_bytes!("api_docs/docs.css")),
    Asset::gzipped("swagger-ui-bundle.js", SCRIPT, swagger_ui!("swagger-ui-bundle.js")),
    Asset::gzipped("swagger-ui.css", STYLE, swagger_ui!("swagger-ui.css")),
    // The Apache License requires that both are distributed with it.
    Asset::gzipped("LICENSE", TEXT, swagger_ui!("LICENSE")),
    Asset::gzipped("NOTICE", TEXT, swagger_ui!("NOTICE")),
];

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/docs")
                .route(web::get().to(page))
                .route(web::head().to(page))
                .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/docs/")
                .route(web::get().to(without_slash))
                .route(web::head().to(without_slash))
                .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/docs/{file}")
                .route(web::get().to(file))
                .route(web::head().to(file))
                .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
        );
}

async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    PAGE.answer(&request)
}

/// Redirects `/docs/` to `/docs`, because the links of the page are relative to `/docs`.
async fn without_slash() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "../docs")).finish()
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
    use actix_web::App;
    use actix_web::body::MessageBody;
    use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, IF_NONE_MATCH};
    use actix_web::http::{Method, StatusCode};
    use actix_web::rt::System;
    use actix_web::test::{TestRequest, call_service, init_service};

    fn ask(request: TestRequest) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = System::new().block_on(async {
            let app = init_service(App::new().configure(routes)).await;
            call_service(&app, request.to_request()).await
        });
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, response.into_body().try_into_bytes().unwrap().to_vec())
    }

    fn get(path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        ask(TestRequest::get().uri(path))
    }

    fn paths() -> Vec<String> {
        FILES.iter().map(|file| format!("/docs/{}", file.name)).chain(["/docs".into()]).collect()
    }

    #[test]
    fn every_file_is_served_with_its_headers() {
        for path in paths() {
            let (status, headers, body) = get(&path);
            let header = |name: &str| headers.get(name).unwrap_or_else(|| panic!("{path}: {name}")).to_str().unwrap();
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(!body.is_empty(), "{path}");
            let media_type = match path.rsplit('.').next().unwrap() {
                "js" => "text/javascript",
                "css" => "text/css",
                "/docs" => "text/html",
                _ => "text/plain",
            };
            assert_eq!(header("content-type"), format!("{media_type}; charset=utf-8"));
            assert_eq!(header("cache-control"), "no-cache");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin");
            let policy = header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; ") && policy.ends_with("frame-ancestors 'none'"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe") && !policy.contains(['*', '\n']) && !policy.contains("  "), "{policy}");
            let tag = header("etag");
            assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 45, "{tag}");

            let (status, _, body) = ask(TestRequest::get().uri(&path).insert_header((IF_NONE_MATCH, tag)));
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        }
    }

    #[test]
    fn swagger_ui_is_complete() {
        for (name, at_least) in
            [("swagger-ui-bundle.js", 1_000_000), ("swagger-ui.css", 100_000), ("LICENSE", 10_000), ("NOTICE", 20)]
        {
            let (_, headers, body) = get(&format!("/docs/{name}"));
            assert_eq!(headers.get(CONTENT_ENCODING).unwrap(), "gzip");
            assert!(body.starts_with(b"\x1f\x8b\x08\0"), "{name} is not gzip");
            let size = u32::from_le_bytes(*body.last_chunk().unwrap());
            assert!((at_least..8 * at_least).contains(&size), "{name} has {size} bytes");
        }
        for name in ["docs", "docs/docs.js", "docs/docs.css"] {
            assert!(!get(&format!("/{name}")).1.contains_key(CONTENT_ENCODING), "{name}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_problems() {
        for name in ["x.js", "index.html", "swagger-ui-bundle.js.gz", "..%2fproblem.rs"] {
            let (status, headers, _) = get(&format!("/docs/{name}"));
            assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
            assert_eq!(headers.get(CONTENT_TYPE).unwrap(), "application/problem+json");
        }
        for path in paths() {
            assert_eq!(ask(TestRequest::post().uri(&path)).0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(ask(TestRequest::with_uri(&path).method(Method::HEAD)).0, StatusCode::OK);
        }
    }

    #[test]
    fn a_trailing_slash_redirects_to_the_page() {
        let (status, headers, _) = get("/docs/");
        assert_eq!(
            (status, headers.get(LOCATION).unwrap().as_bytes()),
            (StatusCode::PERMANENT_REDIRECT, &b"../docs"[..])
        );
    }

    /// The page contains nothing that the content policy forbids, and no link to a missing file.
    #[test]
    fn the_page_links_only_to_existing_files() {
        let page = std::str::from_utf8(&PAGE.bytes).unwrap();
        let mut named = Vec::new();
        for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            assert!(!tag.starts_with("style") && !tag.contains(" style="), "<{tag}>");
            assert!(!tag.split_whitespace().skip(1).any(|attribute| attribute.starts_with("on")), "<{tag}>");
            let links = [" src=\"", " href=\""].into_iter().filter_map(|name| tag.split_once(name));
            let links: Vec<&str> = links.map(|(_, rest)| rest.split('"').next().unwrap()).collect();
            assert!(!tag.starts_with("script") || !links.is_empty(), "<{tag}>");
            named.extend(links);
        }
        for script in page.split("<script").skip(1) {
            assert_eq!(script.split_once('>').unwrap().1.split("</script>").next(), Some(""), "inline script");
        }
        assert_eq!(named.len(), 8, "{named:?}");
        for link in named {
            let served = link.strip_prefix("docs/").is_some_and(|name| FILES.iter().any(|file| file.name == name));
            assert!(served || ["openapi.json", "data:,"].contains(&link), "{link}");
        }
    }
}
