//! Reading an operation: whether it is pending, and else how it ended.

use super::ids::may_be_pending;
use super::views::OperationView;
use crate::producer::http::parameters::id;
use crate::producer::language;
use crate::producer::problems::{Kind, Problem};
use crate::producer::state::AppState;
use actix_web::http::header::{RETRY_AFTER, VARY};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

pub(crate) async fn operation(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id(&path)?;
    let (operation, horizon) = api
        .reader
        .read(move |store| match store.operation(id)? {
            None => Ok((None, store.pruned_before()?)),
            ended => Ok((ended, None)),
        })
        .await?;
    match operation {
        Some(operation) => {
            let view = OperationView::ended(&operation, language::negotiate(request.headers()));
            Ok(HttpResponse::Ok().insert_header((VARY, "Accept-Language")).json(view))
        }
        None if may_be_pending(id, horizon) => {
            Ok(HttpResponse::Ok().insert_header((RETRY_AFTER, "1")).json(OperationView::pending(id)))
        }
        None => Err(Problem::new(
            Kind::NotFound,
            "There is no operation with this id, or it ended so long ago that it is not remembered.",
        )),
    }
}
