//! The description of the API for programs: OpenAPI 3.1, at `/openapi.json`.
//!
//! The rule this room keeps: whatever is a list in the code (states, reasons, kinds of problem) is taken from there,
//! and what is written here by hand is held against the real types by tests. It must not know how a request is handled.

mod bulk_schemas;
#[cfg(test)]
mod checks;
mod examples;
mod headers;
mod json;
mod operations;
mod parameters;
mod paths;
mod responses;
mod schemas;

use crate::producer::http::static_file::Asset;
use crate::producer::problems::{self, Problem};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use std::sync::LazyLock;

const PROMISES: &str = "\
Keeps a company's contacts: name, Brazilian phone number, e-mail address.

- **A 202 is a promise.** The change is stored safely and will be applied exactly once; follow its operation to see \
how it ended. With `Prefer: wait=N` the answer waits for that end.
- **Every write can be repeated** with the same `Idempotency-Key`: it takes effect once. Send one whenever you may \
have to retry, which is after a 503, a 429 or a broken connection.
- **`If-Match`** with a contact's `ETag` makes a change conditional on that version.
- **Reads** may be a moment behind writes that were only answered 202.
- **Every error** is `application/problem+json` (RFC 9457) with a stable `type`; a 422 names every wrong field. Texts \
are English, or Portuguese if `Accept-Language` prefers it. A method that a path does not have is answered 405 with \
`Allow`. Only what is not HTTP at all is answered with a bare 400, 408 or 431.
- **Keys** need the scope `contacts:read` for GET and HEAD and `contacts:write` for the rest. A service that was \
started without keys, on a loopback address, lets everyone in.
- Requests may carry `traceparent` (W3C Trace Context): the trace goes on until the change is applied.";

/// The whole document.
pub(crate) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "contacts",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Contacts behind an API that never loses an accepted change",
            "description": PROMISES,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        // Relative to where this document is (RFC 3986), so that it is also right behind a gateway with a path prefix.
        "servers": [{ "url": ".", "description": "The service that this document comes from" }],
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "tags": [
            { "name": "contacts", "description": "Contacts, one by one and in pages" },
            { "name": "operations", "description": "What became of an accepted change" },
            { "name": "transfer", "description": "Many contacts at once" },
            { "name": "areas", "description": "Brazil's area codes (DDD)" },
        ],
        "paths": paths::all(),
        "components": {
            "schemas": schemas::all(),
            "parameters": parameters::all(),
            "headers": headers::all(),
            "responses": responses::problems(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A key, or a JWT where one is set up." },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key." },
            },
        },
    })
}

/// What is sent.
static SERVED: LazyLock<Asset> = LazyLock::new(|| Asset::json(format!("{:#}\n", document())));

/// `GET /openapi.json`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/openapi.json")
            .route(web::get().to(openapi))
            .route(web::head().to(openapi))
            .default_service(web::to(|| problems::method_not_allowed("GET, HEAD"))),
    );
}

async fn openapi(request: HttpRequest) -> Result<HttpResponse, Problem> {
    SERVED.answer(&request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody;
    use actix_web::http::StatusCode;
    use actix_web::http::header::{ETAG, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    fn ask(request: TestRequest) -> HttpResponse {
        actix_web::rt::System::new().block_on(openapi(request.to_http_request())).unwrap()
    }

    #[test]
    fn it_is_sent_once_to_who_keeps_it() {
        let first = ask(TestRequest::default());
        let etag = first.headers().get(ETAG).unwrap().clone();
        assert_eq!(first.status(), StatusCode::OK);
        let body: Value = serde_json::from_slice(&first.into_body().try_into_bytes().unwrap()).unwrap();
        assert_eq!(body, document());
        let weak = format!("\"x\", W/{}", etag.to_str().unwrap());
        for (known, status) in [(weak.as_str(), 304), ("*", 304), ("\"x\"", 200), ("x", 200)] {
            let again = ask(TestRequest::default().insert_header((IF_NONE_MATCH, known)));
            assert_eq!((again.status().as_u16(), again.headers().get(ETAG)), (status, Some(&etag)), "{known}");
        }
    }

    #[test]
    fn every_part_has_its_place_and_every_component_its_use() {
        let document = document();
        let text = document.to_string();
        for (place, parts) in document["components"].as_object().unwrap() {
            for name in parts.as_object().unwrap().keys().filter(|_| place != "securitySchemes") {
                let reference = format!("\"#/components/{place}/{name}\"");
                // No operation answers 405: it is the answer of a path to a method that has no operation.
                assert!(text.contains(&reference) || name == "MethodNotAllowed", "{reference} is not used");
            }
        }
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }
}
