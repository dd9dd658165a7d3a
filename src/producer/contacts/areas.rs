//! `GET /areas`: all area codes with their states and regions.

use crate::domain::{AreaCode, Invalid};
use crate::producer::http::parameters::parse_query;
use crate::producer::http::static_file::Asset;
use crate::producer::problems::Problem;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::sync::LazyLock;

const NO_PARAMETERS: Invalid = Invalid::new("unknown_parameter", "is not a parameter: this path has no parameters");

/// An area code with its state and region.
#[derive(Serialize)]
pub(crate) struct AreaView {
    ddd: u8,
    state: &'static str,
    region: &'static str,
}

impl AreaView {
    pub(crate) fn new(area: AreaCode) -> Self {
        Self { ddd: area.number(), state: area.state().as_str(), region: area.state().region().as_str() }
    }
}

static AREAS: LazyLock<Asset> = LazyLock::new(|| {
    let areas: Vec<AreaView> = AreaCode::all().map(AreaView::new).collect();
    Asset::json(serde_json::json!({ "items": areas }).to_string()).with_cache_control("public, max-age=86400")
});

pub(crate) async fn areas(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let errors = parse_query(request.query_string(), NO_PARAMETERS, |_, _| None);
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    AREAS.answer(&request)
}
