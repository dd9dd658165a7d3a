//! What one command does to one contact, as a pure function.
//!
//! The rule of this function: the unconditional commands on a contact lead to the same final state in any order, also
//! if some of them are repeated. A member of a contact has the value of the newest write of this member.

use super::contact::NewValues;
use super::{Action, Command, Contact, Lifecycle, MemberWrites, Reason, Stamp};

/// The effect of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a decision lives on the stack for a moment, and most of them write")]
pub enum Decision {
    /// The command takes effect. This is the new contact.
    Write(Contact),
    /// The command has no effect, because a newer change was already applied.
    Superseded,
    /// The command took effect before.
    Duplicate,
    /// The command waits for another command.
    Wait(Reason),
    /// The command cannot take effect.
    Fail(Reason),
}

/// Decides the effect of one command on a contact. `None` means that the contact does not exist.
///
/// `version_known` says whether the operation in [`Command::expects`] is finished. If it is, and its version is not
/// current, the command fails. If it is not, the command waits for it.
pub fn apply(current: Option<&Contact>, command: &Command, version_known: bool) -> Decision {
    let Some(current) = current else {
        return match &command.action {
            Action::Create(details) => Decision::Write(Contact {
                id: command.contact_id,
                version: command.operation_id,
                stamp: Stamp::ZERO,
                writes: None,
                created_by: command.operation_id,
                created_at: command.accepted_at,
                updated_at: command.accepted_at,
                life: Lifecycle::Live(details.clone()),
            }),
            Action::Update(_) | Action::Patch(_) | Action::Delete => Decision::Wait(Reason::ContactNotFound),
        };
    };
    if current.version == command.operation_id {
        return Decision::Duplicate;
    }
    match &command.action {
        Action::Create(_) if current.created_by == command.operation_id => Decision::Duplicate,
        Action::Create(_) if current.is_deleted() => Decision::Superseded,
        Action::Create(_) => Decision::Fail(Reason::AlreadyExists),
        Action::Update(values) => change(current, values.into(), command, version_known),
        Action::Patch(patch) => change(current, patch.into(), command, version_known),
        Action::Delete if current.is_deleted() => Decision::Superseded,
        Action::Delete => {
            let write = |stamp| {
                Decision::Write(changed(current, command, stamp, None, Lifecycle::Deleted { at: command.accepted_at }))
            };
            match command.expects {
                None => write(command.stamp.max(current.stamp.next())),
                Some(_) => apply_conditional(current, command, version_known, write),
            }
        }
    }
}

/// Decides the effect of an update or a patch. Without a condition, each new value takes effect if the last write of its
/// member is older.
fn change(current: &Contact, values: NewValues<'_>, command: &Command, version_known: bool) -> Decision {
    let Some(details) = current.details() else { return Decision::Fail(Reason::ContactDeleted) };
    let writes = current.member_writes();
    let write = |stamp: Stamp| {
        let write = (stamp, command.operation_id);
        let newer = values.newer_than(&writes, write);
        if newer.is_empty() {
            return Decision::Superseded;
        }
        let (details, writes) = match newer.whole() {
            Some(details) => (details, MemberWrites::all(write)),
            None => newer.merged_into(details, writes, write),
        };
        let writes = Some(writes).filter(|writes| !writes.is_one_write());
        Decision::Write(changed(current, command, stamp.max(current.stamp), writes, Lifecycle::Live(details)))
    };
    match command.expects {
        None => write(command.stamp),
        Some(_) => apply_conditional(current, command, version_known, write),
    }
}

/// Decides the effect of a conditional command. It takes effect if its version is the current one. The new stamp is
/// always greater than the current one, even if the clocks of the producers differ.
fn apply_conditional(
    current: &Contact,
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

fn changed(
    current: &Contact,
    command: &Command,
    stamp: Stamp,
    writes: Option<MemberWrites>,
    life: Lifecycle,
) -> Contact {
    Contact {
        id: current.id,
        version: command.operation_id,
        stamp,
        writes,
        created_by: current.created_by,
        created_at: current.created_at,
        // A change that takes effect late, in part, does not set the time back.
        updated_at: command.accepted_at.max(current.updated_at),
        life,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact_with, create, delete, details, op, update};
    use super::*;

    fn live() -> Contact {
        contact_with(1, 0)
    }

    fn deleted() -> Contact {
        match apply(Some(&live()), &delete(9, 50), false) {
            Decision::Write(contact) => contact,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_on_missing_live_and_deleted_contacts() {
        use Decision::{Duplicate, Fail, Superseded, Wait};
        // No contact.
        assert_eq!(apply(None, &update(2, 10), false), Wait(Reason::ContactNotFound));
        assert_eq!(apply(None, &delete(2, 10), false), Wait(Reason::ContactNotFound));
        // A live contact.
        assert_eq!(apply(Some(&live()), &create(1, 10), false), Duplicate);
        assert_eq!(apply(Some(&live()), &create(2, 10), false), Fail(Reason::AlreadyExists));
        // A deleted contact.
        assert_eq!(apply(Some(&deleted()), &create(2, 10), false), Superseded);
        assert_eq!(apply(Some(&deleted()), &update(2, 99), false), Fail(Reason::ContactDeleted));
        assert_eq!(apply(Some(&deleted()), &delete(2, 99), false), Superseded);
        assert_eq!(apply(Some(&deleted()), &delete(9, 50), false), Duplicate);
    }

    #[test]
    fn any_update_is_newer_than_the_create_and_only_a_newer_update_replaces_an_update() {
        let Decision::Write(created) = apply(None, &create(1, 1_000), false) else { panic!("not written") };
        let Decision::Write(updated) = apply(Some(&created), &update(2, 10), false) else { panic!("not written") };
        assert_eq!((updated.version, updated.stamp.raw()), (op(2), 10));
        assert_eq!(apply(Some(&updated), &update(3, 9), false), Decision::Superseded);
        // The stamps are equal: the operation ids decide.
        assert!(matches!(apply(Some(&updated), &update(3, 10), false), Decision::Write(_)));
        assert_eq!(apply(Some(&updated), &update(1, 10), false), Decision::Superseded);
    }

    #[test]
    fn a_delete_takes_effect_with_any_stamp() {
        let Decision::Write(deleted) = apply(Some(&contact_with(2, 1_000)), &delete(3, 5), false) else {
            panic!("not written")
        };
        assert!(deleted.is_deleted() && deleted.stamp.raw() == 1_001);
    }

    #[test]
    fn a_conditional_command_takes_effect_only_on_its_version() {
        let current = contact_with(2, 1_000);
        let conditional_update = |version| Command { expects: Some(op(version)), ..update(3, 5) };
        let Decision::Write(updated) = apply(Some(&current), &conditional_update(2), false) else {
            panic!("not written")
        };
        assert_eq!(updated.stamp.raw(), 1_001, "greater than the current stamp");
        assert_eq!(updated.life, Lifecycle::Live(details(3)));
        assert_eq!(apply(Some(&current), &conditional_update(7), true), Decision::Fail(Reason::VersionConflict));
        assert_eq!(apply(Some(&current), &conditional_update(7), false), Decision::Wait(Reason::VersionConflict));
        assert_eq!(apply(None, &conditional_update(7), false), Decision::Wait(Reason::ContactNotFound));
        let conditional_delete = Command { expects: Some(op(7)), ..delete(3, 5) };
        assert_eq!(apply(Some(&current), &conditional_delete, true), Decision::Fail(Reason::VersionConflict));
    }
}
