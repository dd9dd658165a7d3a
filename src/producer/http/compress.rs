//! Compresses answers to GET requests, for clients that ask for it.

use actix_http::encoding::Encoder;
use actix_web::Error;
use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, ETAG, Encoding, Header, VARY,
};
use actix_web::http::header::{ContentEncoding, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;

/// Shorter answers are not compressed: it would save less than a packet.
const MIN_BYTES: u64 = 1024;

/// Compresses with zstd or gzip, as `Accept-Encoding` asks (RFC 9110 section 12.5.3).
///
/// An answer with an `ETag` is not compressed: a strong ETag names exactly these bytes, and clients send it in `If-Match`.
/// The answer to an import is not compressed: it must arrive while the client still sends the body. Nor are events: an
/// encoder would keep them back until it has more.
pub(crate) async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<Encoder<impl MessageBody>, impl MessageBody>>, Error> {
    let (reads, encoding) = (request.method() == Method::GET, encoding(&request));
    let response = next.call(request).await?;
    let (status, headers) = (response.status(), response.headers());
    let long = match response.response().body().size() {
        BodySize::Sized(bytes) => bytes > MIN_BYTES,
        BodySize::Stream => true,
        BodySize::None => false,
    };
    let plain = !headers.contains_key(ETAG) && !headers.contains_key(CONTENT_ENCODING);
    let plain = plain && headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "text/event-stream");
    if !reads || !long || !plain || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        return Ok(response.map_into_right_body());
    }
    // A cache must not give this answer to a client that asks for another encoding.
    let Some(encoding) = encoding else {
        let mut response = response;
        response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        return Ok(response.map_into_right_body());
    };
    // The encoder adds this header itself.
    Ok(response.map_body(|head, body| EitherBody::left(Encoder::response(encoding, head, body))))
}

/// The encoding that the client prefers. `None`: the body as it is.
fn encoding(request: &ServiceRequest) -> Option<ContentEncoding> {
    let supported = [Encoding::zstd(), Encoding::gzip(), Encoding::identity()];
    match AcceptEncoding::parse(request).ok()?.negotiate(supported.iter())? {
        Encoding::Known(encoding @ (ContentEncoding::Zstd | ContentEncoding::Gzip)) => Some(encoding),
        Encoding::Known(_) | Encoding::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, HttpResponse, web};
    use std::io::Read;

    #[test]
    fn long_answers_are_compressed_for_clients_that_ask() {
        actix_web::rt::System::new().block_on(check_answers());
    }

    async fn check_answers() {
        let long = "contact ".repeat(500);
        let text = |text: String| web::get().to(move || std::future::ready(HttpResponse::Ok().body(text.clone())));
        let app = App::new()
            .wrap(from_fn(compress))
            .route("/long", text(long.clone()))
            .route(
                "/long",
                web::post().to({
                    let long = long.clone();
                    move || std::future::ready(long.clone())
                }),
            )
            .route("/short", text("x".repeat(1024)))
            .route(
                "/tagged",
                web::get().to({
                    let long = long.clone();
                    move || std::future::ready(HttpResponse::Ok().insert_header((ETAG, "\"1\"")).body(long.clone()))
                }),
            );
        let service = init_service(app).await;
        for (method, path, accepted, expected) in [
            (Method::GET, "/long", "gzip", "gzip"),
            (Method::GET, "/long", "br, gzip;q=0.5, zstd", "zstd"),
            (Method::GET, "/long", "*;q=0", ""),
            (Method::GET, "/long", "br", ""),
            (Method::GET, "/long", "zstd;q=0, identity", ""),
            (Method::GET, "/short", "gzip", ""),
            (Method::GET, "/tagged", "gzip", ""),
            (Method::POST, "/long", "gzip", ""),
        ] {
            let request = TestRequest::with_uri(path).method(method.clone()).insert_header((ACCEPT_ENCODING, accepted));
            let response = call_service(&service, request.to_request()).await;
            let header = |name| response.headers().get(&name).map_or("", |value| value.to_str().unwrap()).to_owned();
            assert_eq!(header(CONTENT_ENCODING), expected, "{method} {path} {accepted}");
            let varies = path == "/long" && method == Method::GET;
            assert_eq!(header(VARY), if varies { "accept-encoding" } else { "" }, "{method} {path}");
            let body = read_body(response).await;
            let plain = match expected {
                "gzip" => {
                    let mut plain = String::new();
                    flate2::read::GzDecoder::new(&*body).read_to_string(&mut plain).unwrap();
                    plain
                }
                "zstd" => String::from_utf8(zstd::decode_all(&*body).unwrap()).unwrap(),
                _ => String::from_utf8(body.to_vec()).unwrap(),
            };
            assert!(plain == long || path == "/short", "{path} {accepted}");
        }
    }
}
