//! `list`: how many, by reason and operation.

use super::choosing::look_through;
use super::screen::Groups;
use super::{Desk, DlqError, Left, Selection, choosing};

pub(super) fn run(desk: &Desk, selection: &Selection) -> Result<Left, DlqError> {
    let groups = if selection.limit.is_some() {
        choosing::choose(desk, selection)?.1
    } else {
        let mut groups = Groups::default();
        look_through(desk, "looking through", |facts, _| {
            if selection.matches(facts) {
                groups.add(facts);
            }
            true
        })?;
        groups
    };
    desk.screen.put_groups(&groups)?;
    Ok(Left::Nothing)
}
