//! Reads an operation: pending, or finished with its result.

use super::views::OperationView;
use crate::producer::http::parameters::parse_id;
use crate::producer::language;
use crate::producer::problems::{Kind, Problem};
use crate::producer::state::{AppState, Unknown};
use actix_web::http::header::{RETRY_AFTER, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(crate) async fn operation(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = parse_id(&path)?;
    let (operation, pruned_before) = api
        .reader
        .read(move |store| match store.operation(id)? {
            None => Ok((None, store.pruned_before()?)),
            finished => Ok((finished, None)),
        })
        .await?;
    match operation {
        Some(operation) => {
            let view = OperationView::finished(&operation, language::negotiate(&request));
            Ok(HttpResponse::Ok().insert_header((VARY, "Accept-Language")).json(view))
        }
        None => match api.ids.unknown(id, pruned_before) {
            Unknown::Pending => {
                Ok(HttpResponse::Ok().insert_header((RETRY_AFTER, "1")).json(OperationView::pending(id)))
            }
            Unknown::Expired => Ok(HttpResponse::Ok().json(OperationView::expired(id))),
            Unknown::NeverIssued => Err(Problem::new(Kind::NotFound, "This service has never made this operation id.")),
        },
    }
}
