//! Why a command failed. The list is fixed. Operations, dead letters and metrics use it.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $sentence:literal;)*) => {
        /// Why a command failed. The names never change: operators and clients use them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The meaning, as a sentence for the client or the operator.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }

            /// The reason with this name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }
        }
    };
}

reasons! {
    /// Another operation already created this contact.
    AlreadyExists = "already_exists",
        "another operation created a contact with this id";
    /// An update or delete of a contact that was not created.
    ContactNotFound = "contact_not_found",
        "no contact with this id was created";
    /// An update of a contact that was deleted.
    ContactDeleted = "contact_deleted",
        "the contact was deleted";
    /// The version in `If-Match` is not the current version.
    VersionConflict = "version_conflict",
        "the version named by If-Match is not the current one";
    /// A create from before the last `contacts prune` limit. It is unknown whether it took effect before.
    Expired = "expired",
        "it is older than the operations that are still stored, so it may have taken effect before";
    /// A change from before an erasure that names its contact, phone number or e-mail address. Its message is dropped.
    SubjectErased = "subject_erased",
        "the person was erased after the change was accepted";
    /// The body is not a message of this system.
    Undecodable = "undecodable",
        "the body is not a message of this system";
    /// This version does not know the schema number of the message.
    UnknownSchema = "unknown_schema",
        "this version of the program does not know the message's schema number";
    /// This version does not know the operation in the message.
    UnknownOperation = "unknown_operation",
        "this version of the program does not know the operation";
    /// A value in the message is not valid.
    Invalid = "invalid",
        "a value breaks a rule that contacts must keep";
    /// The database refused the data of the command.
    RejectedByDatabase = "rejected_by_database",
        "the database refused the data of this command";
    /// The worker panicked while it decoded the message or applied the command.
    Poison = "poison",
        "applying the command failed inside the program";
    /// The message was delivered too often without an acknowledgement. It probably crashes the process.
    DeliveryLimit = "delivery_limit",
        "the message was delivered too often without an acknowledgement";
}

impl Reason {
    /// Whether the message of an operation that failed for this reason is dead-lettered. The message of an erased person
    /// is not: the dead letter queue would keep what was erased.
    pub const fn is_dead_lettered(self) -> bool {
        !matches!(self, Self::SubjectErased)
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn names_are_unique_and_parse_to_their_reasons() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("other"), None);
    }
}
