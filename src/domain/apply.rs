//! What one command does to one contact: the whole table of the design as a pure function.
//!
//! The rule it keeps: for any order and any repetition of a contact's unconditional commands the end state is the same.

use super::{Action, Command, Contact, ContactState, Lifecycle, Reason, Stamp};

/// What is to be done about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It takes effect: this is the contact's new state.
    Write(Contact),
    /// It was valid, but something newer already decided the contact's state.
    Superseded,
    /// It had taken effect before.
    Duplicate,
    /// It cannot be decided yet: what it builds on has not arrived.
    Wait(Reason),
    /// It cannot take effect.
    Fail(Reason),
}

/// Decides one command against the contact's current state.
///
/// `version_known` says whether the operation named by [`Command::expects`] has ended; only then is a version that is
/// not current a conflict, otherwise it may still come.
pub fn apply(current: Option<&ContactState>, command: &Command, version_known: bool) -> Decision {
    let Some(current) = current else {
        return match &command.action {
            Action::Create(details) => Decision::Write(Contact {
                id: command.contact_id,
                version: command.operation_id,
                stamp: Stamp::ZERO,
                created_by: command.operation_id,
                created_at: command.accepted_at,
                updated_at: command.accepted_at,
                life: Lifecycle::Live(details.clone()),
            }),
            Action::Update(_) | Action::Delete => Decision::Wait(Reason::ContactNotFound),
        };
    };
    if current.version == command.operation_id {
        return Decision::Duplicate;
    }
    match &command.action {
        Action::Create(_) if current.created_by == command.operation_id => Decision::Duplicate,
        Action::Create(_) if current.deleted => Decision::Superseded,
        Action::Create(_) => Decision::Fail(Reason::AlreadyExists),
        Action::Update(_) if current.deleted => Decision::Fail(Reason::ContactDeleted),
        Action::Delete if current.deleted => Decision::Superseded,
        Action::Update(details) => {
            let write = |stamp| Decision::Write(changed(current, command, stamp, Lifecycle::Live(details.clone())));
            match command.expects {
                None if (command.stamp, command.operation_id) > (current.stamp, current.version) => {
                    write(command.stamp)
                }
                None => Decision::Superseded,
                Some(_) => expecting(current, command, version_known, write),
            }
        }
        Action::Delete => {
            let write = |stamp| {
                Decision::Write(changed(current, command, stamp, Lifecycle::Deleted { at: command.accepted_at }))
            };
            match command.expects {
                None => write(command.stamp.max(current.stamp.next())),
                Some(_) => expecting(current, command, version_known, write),
            }
        }
    }
}

/// A conditional command: it takes effect exactly when the version it names is the current one, and what follows from
/// a state is newer than that state, however the clocks differ.
fn expecting(
    current: &ContactState,
    command: &Command,
    version_known: bool,
    write: impl FnOnce(Stamp) -> Decision,
) -> Decision {
    if command.expects == Some(current.version) {
        write(command.stamp.max(current.stamp.next()))
    } else if version_known {
        Decision::Fail(Reason::VersionConflict)
    } else {
        Decision::Wait(Reason::VersionConflict)
    }
}

fn changed(current: &ContactState, command: &Command, stamp: Stamp, life: Lifecycle) -> Contact {
    Contact {
        id: current.id,
        version: command.operation_id,
        stamp,
        created_by: current.created_by,
        created_at: current.created_at,
        updated_at: command.accepted_at,
        life,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact_with, create, delete, details, op, update};
    use super::*;

    fn live() -> ContactState {
        contact_with(1, 0).state()
    }

    fn dead() -> ContactState {
        match apply(Some(&live()), &delete(9, 50), false) {
            Decision::Write(contact) => contact.state(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_of_the_design() {
        use Decision::{Duplicate, Fail, Superseded, Wait};
        // Row missing.
        assert_eq!(apply(None, &update(2, 10), false), Wait(Reason::ContactNotFound));
        assert_eq!(apply(None, &delete(2, 10), false), Wait(Reason::ContactNotFound));
        // Row live.
        assert_eq!(apply(Some(&live()), &create(1, 10), false), Duplicate);
        assert_eq!(apply(Some(&live()), &create(2, 10), false), Fail(Reason::AlreadyExists));
        // Row deleted.
        assert_eq!(apply(Some(&dead()), &create(2, 10), false), Superseded);
        assert_eq!(apply(Some(&dead()), &update(2, 99), false), Fail(Reason::ContactDeleted));
        assert_eq!(apply(Some(&dead()), &delete(2, 99), false), Superseded);
        assert_eq!(apply(Some(&dead()), &delete(9, 50), false), Duplicate);
    }

    #[test]
    fn any_update_wins_over_the_create_and_only_a_newer_one_over_an_update() {
        let Decision::Write(created) = apply(None, &create(1, 1_000), false) else { panic!("not written") };
        let Decision::Write(updated) = apply(Some(&created.state()), &update(2, 10), false) else {
            panic!("not written")
        };
        assert_eq!((updated.version, updated.stamp.raw()), (op(2), 10));
        let updated = updated.state();
        assert_eq!(apply(Some(&updated), &update(3, 9), false), Decision::Superseded);
        // Equal stamps: the operation id breaks the tie.
        assert!(matches!(apply(Some(&updated), &update(3, 10), false), Decision::Write(_)));
        assert_eq!(apply(Some(&updated), &update(1, 10), false), Decision::Superseded);
    }

    #[test]
    fn a_delete_wins_whatever_the_stamps() {
        let Decision::Write(gone) = apply(Some(&contact_with(2, 1_000).state()), &delete(3, 5), false) else {
            panic!("not written")
        };
        assert!(gone.state().deleted && gone.stamp.raw() == 1_001);
    }

    #[test]
    fn a_condition_is_held_against_the_current_version() {
        let current = contact_with(2, 1_000).state();
        let expecting = |version| Command { expects: Some(op(version)), ..update(3, 5) };
        let Decision::Write(updated) = apply(Some(&current), &expecting(2), false) else { panic!("not written") };
        assert_eq!(updated.stamp.raw(), 1_001, "newer than what it follows from, though its own stamp is older");
        assert_eq!(updated.life, Lifecycle::Live(details(3)));
        assert_eq!(apply(Some(&current), &expecting(7), true), Decision::Fail(Reason::VersionConflict));
        assert_eq!(apply(Some(&current), &expecting(7), false), Decision::Wait(Reason::VersionConflict));
        assert_eq!(apply(None, &expecting(7), false), Decision::Wait(Reason::ContactNotFound));
        let removing = Command { expects: Some(op(7)), ..delete(3, 5) };
        assert_eq!(apply(Some(&current), &removing, true), Decision::Fail(Reason::VersionConflict));
    }
}
