//! Middleware that answers every problem in the language of the caller.

use super::{localize_error, localize_response};
use crate::producer::language::negotiate;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

/// Answers every problem in the caller's language. It must be outside of middleware that rejects requests, and inside
/// of middleware that compresses answers.
pub(crate) async fn localize(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let language = negotiate(&request);
    match next.call(request).await {
        Ok(response) => Ok(localize_response(response, language)),
        Err(error) => Err(localize_error(error, language)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::problems::Problem;
    use actix_web::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, RETRY_AFTER, VARY};
    use actix_web::middleware::{DefaultHeaders, from_fn};
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, HttpResponse, web};

    #[test]
    fn problems_of_handlers_and_middleware_are_localized() {
        async fn broken() -> Result<HttpResponse, Problem> {
            Err(Problem::reads_unavailable())
        }
        async fn refuse(
            request: ServiceRequest,
            next: Next<impl MessageBody>,
        ) -> Result<ServiceResponse<impl MessageBody>, Error> {
            if request.path() == "/refused" {
                Err(Problem::unauthorized(false).into())
            } else {
                next.call(request).await
            }
        }
        actix_web::rt::System::new().block_on(async {
            let routes = App::new()
                .wrap(from_fn(refuse))
                .wrap(DefaultHeaders::new().add(("x-added", "1")).add((VARY, "Origin")))
                .wrap(from_fn(localize))
                .route("/broken", web::get().to(broken))
                .route("/fine", web::get().to(|| async { "fine" }));
            let service = init_service(routes).await;
            let get = |path: &str| TestRequest::get().uri(path).insert_header((ACCEPT_LANGUAGE, "pt")).to_request();

            let answer = call_service(&service, get("/broken")).await;
            assert_eq!(answer.status().as_u16(), 503);
            let headers = answer.headers();
            let (language, retry, added) =
                (headers.get(CONTENT_LANGUAGE), headers.get(RETRY_AFTER), headers.get("x-added"));
            assert_eq!([language, retry, added].map(|value| value.unwrap().to_str().unwrap()), ["pt-BR", "2", "1"]);
            assert!(headers.get_all(VARY).any(|value| value == "Accept-Language"));
            let shown: serde_json::Value = read_body_json(answer).await;
            assert_eq!(shown["title"], "Os dados não podem ser lidos agora");

            let answer = call_service(&service, get("/fine")).await;
            assert!(!answer.headers().contains_key(CONTENT_LANGUAGE));

            let error = actix_web::test::try_call_service(&service, get("/refused")).await.err().unwrap();
            let answer = error.error_response();
            assert_eq!(answer.status().as_u16(), 401);
            assert_eq!(answer.headers().get(CONTENT_LANGUAGE).unwrap(), "pt-BR");
        });
    }
}
