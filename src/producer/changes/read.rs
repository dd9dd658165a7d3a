//! Reads a page of changes, or begins a stream.

use super::feed::ChangeFeed;
use super::page::first_page;
use super::query::{ChangeQuery, Start, last_event};
use super::stream::{self, EVENT_STREAM};
use super::views::ChangePageView;
use crate::producer::problems::Problem;
use crate::producer::state::AppState;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, LINK, VARY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

pub(super) async fn changes(
    api: Data<AppState>,
    feed: Data<ChangeFeed>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut query = ChangeQuery::parse(request.query_string())?;
    // A page does not need it. It is checked, because a client that sends another value has a fault.
    let last_event = last_event(request.headers())?;
    if request.method() == Method::GET && prefers_events(request.headers()) {
        // A browser repeats its URL when it connects again, so the header counts more than `after`.
        query.start = last_event.map_or(query.start, Start::After);
        return stream::begin(&api, &feed, &request, query).await;
    }
    let page = first_page(&api.reader, query).await?;
    feed.sent_in_pages.increment(page.changes.len() as u64);
    let view = ChangePageView::new(&page, query.with_contacts);
    let mut response = HttpResponse::Ok();
    // A cache must not answer a client that asks for what is new.
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((VARY, "Accept"));
    if page.more {
        let include = if query.with_contacts { "&include=contact" } else { "" };
        let path = format!("/changes?after={}&limit={}{include}", view.next(), query.limit);
        response.insert_header((LINK, format!("<{path}>; rel=\"next\"")));
    }
    Ok(response.json(view))
}

/// Whether the client asks for Server-Sent Events: it names them, and does not prefer JSON.
fn prefers_events(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let (mut events, mut json) = (0.0, 0.0);
    for range in ranges {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or_default());
        match name.trim().to_ascii_lowercase().as_str() {
            EVENT_STREAM => events = weight,
            "application/json" => json = weight,
            _ => {}
        }
    }
    events > 0.0 && events >= json
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_client_asks_for_events_by_name() {
        for (accepted, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream, */*", true),
            ("application/json;q=0.9, text/event-stream", true),
            ("application/json, text/event-stream;q=0.5", false),
            ("text/event-stream;q=0", false),
            ("text/*", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accepted));
            assert_eq!(prefers_events(&headers), expected, "{accepted}");
        }
        assert!(!prefers_events(&HeaderMap::new()));
    }
}
