//! Reads pages of the feed for both forms of the answer.

use super::query::{ChangeQuery, Start};
use crate::producer::problems::{Kind, Problem};
use crate::producer::state::Reader;
use crate::store::{ChangePage, ChangePosition};

/// The page at the start of a request.
pub(super) async fn first_page(reader: &Reader, query: ChangeQuery) -> Result<ChangePage, Problem> {
    match query.start {
        Start::Latest => {
            let last = reader.read(|store| store.last_change()).await?;
            Ok(ChangePage { changes: Vec::new(), more: false, last })
        }
        Start::Oldest => page(reader, None, query).await?.ok_or_else(cursor_expired),
        Start::After(after) => page(reader, Some(after), query).await?.ok_or_else(cursor_expired),
    }
}

/// The page after a place, or `None` if the place has expired.
async fn page(
    reader: &Reader,
    after: Option<ChangePosition>,
    query: ChangeQuery,
) -> Result<Option<ChangePage>, Problem> {
    reader.read(move |store| store.changes(after, query.limit, query.with_contacts)).await
}

/// The answer to a cursor after which changes can be missing.
pub(super) fn cursor_expired() -> Problem {
    Problem::new(
        Kind::CursorExpired,
        "Changes after this cursor were removed, or the database was restored. Start again: read /changes?after=latest and \
         keep its cursor, then read /contacts/export, then the changes after the cursor.",
    )
}
