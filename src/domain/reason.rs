//! Why a command failed: one closed list, used in operations, dead letters and metrics.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $sentence:literal;)*) => {
        /// Why a command failed. The text of each is stable: operators filter by it, clients branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it means, as a sentence for the client or the operator.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }

            /// The reason of a stable text.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }
        }
    };
}

reasons! {
    /// A create names a contact that another operation created.
    AlreadyExists = "already_exists",
        "another operation created a contact with this id";
    /// An update or delete names a contact that never came to be.
    ContactNotFound = "contact_not_found",
        "no contact with this id was created";
    /// An update names a contact that was deleted.
    ContactDeleted = "contact_deleted",
        "the contact was deleted";
    /// The version named by `If-Match` is not the current one.
    VersionConflict = "version_conflict",
        "the version named by If-Match is not the current one";
    /// A create from before the retention time: whether it took effect once is not known any more.
    Expired = "expired",
        "it is older than what is remembered of ended operations, so it may have taken effect before";
    /// The body is not a message of ours.
    Undecodable = "undecodable",
        "the body is not a message of this system";
    /// The message has a schema number this version does not know.
    UnknownSchema = "unknown_schema",
        "this version of the program does not know the message's schema number";
    /// The message asks for an operation this version does not know.
    UnknownOperation = "unknown_operation",
        "this version of the program does not know the operation";
    /// The message breaks a rule of the domain.
    Invalid = "invalid",
        "a value breaks a rule that contacts must keep";
    /// SQL refuses this command's data.
    RejectedByDatabase = "rejected_by_database",
        "the database refused the data of this command";
    /// Applying it made the worker panic.
    Poison = "poison",
        "applying the command failed inside the program";
    /// It was handed out too often without an answer: it probably kills the process.
    DeliveryLimit = "delivery_limit",
        "the message was handed out too often without an answer";
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn texts_are_unique_and_parse_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("other"), None);
    }
}
