//! The OpenAPI 3.1 document of the API, at `/openapi.json`.
//!
//! Rule of this module: lists that the code has (states, reasons, problem types) come from the code. Tests compare the
//! handwritten schemas with the real types.

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

const DESCRIPTION: &str = "\
Stores the contacts of a company: name, Brazilian phone number, e-mail address.

- **202 Accepted.** The service has stored the change safely and will apply it exactly once. Read the operation to see \
its result. With `Prefer: wait=N` the answer waits until the operation has finished.
- **Retries.** You can repeat every write with the same `Idempotency-Key`: it takes effect once. Send a key if you may \
have to retry: after a 503, a 429 or a broken connection.
- **Conditional changes.** With `If-Match` and the `ETag` of a contact, a change is applied only to that version.
- **Reads.** A read may not show a change yet that was answered with 202.
- **Changes.** To follow all contacts: read `GET /changes?after=latest` and keep its `next`. Then read \
`GET /contacts/export`. Then read the changes after the cursor, again and again or as a stream. A 410 means: start again.
- **Errors.** Every error is `application/problem+json` (RFC 9457) with a stable `type`. A 422 lists all field errors. \
Texts are in English, or in Portuguese if `Accept-Language` prefers it. If a path does not support a method, the \
answer is 405 with `Allow`. Requests that are not valid HTTP are answered with 400, 408 or 431 without a body.
- **Authentication.** A key or token needs the scope `contacts:read` for GET and HEAD, and `contacts:write` for other \
methods. A service without keys on a loopback address accepts all callers. The paths below `/subjects` need the scope \
`contacts:subjects`, which only a key or token can have.
- **Traces.** A request can have a `traceparent` (W3C Trace Context). The trace continues until the change is applied.";

/// The complete document.
pub(crate) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "contacts",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An API for contacts that never loses an accepted change",
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        // Relative to this document (RFC 3986), so that it is also correct behind a gateway with a path prefix.
        "servers": [{ "url": ".", "description": "The service that serves this document" }],
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "tags": [
            { "name": "contacts", "description": "Single contacts, and lists in pages" },
            { "name": "operations", "description": "The results of accepted changes" },
            { "name": "transfer", "description": "Import and export of many contacts" },
            { "name": "changes", "description": "What was applied, in its order" },
            { "name": "subjects", "description": "The rights of a person: what is stored is found, exported, erased" },
            { "name": "areas", "description": "Brazil's area codes (DDD)" },
        ],
        "paths": paths::all(),
        "components": {
            "schemas": schemas::all(),
            "parameters": parameters::all(),
            "headers": headers::all(),
            "responses": responses::problems(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key, or a JWT if the service accepts JWTs.",
                },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key." },
            },
        },
    })
}

/// The document as it is served.
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
    fn a_client_that_has_the_document_gets_304() {
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
    fn every_component_is_used_and_every_reference_resolves() {
        let document = document();
        let text = document.to_string();
        for (place, parts) in document["components"].as_object().unwrap() {
            for name in parts.as_object().unwrap().keys().filter(|_| place != "securitySchemes") {
                let reference = format!("\"#/components/{place}/{name}\"");
                // No operation answers 405. It is the answer to a method that has no operation.
                assert!(text.contains(&reference) || name == "MethodNotAllowed", "{reference} is not used");
            }
        }
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} does not exist");
        }
    }
}
