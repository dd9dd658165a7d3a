//! The operations of `contacts subject` and their options, as the command line parses them.

use super::{Subject, SubjectError};
use crate::dlq::Confirmation;
use crate::domain::{ContactId, Email, Name, Phone};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with what is stored about a person.
#[derive(Clone, Debug, Subcommand)]
pub enum Operation {
    /// Show contacts and dead-lettered messages of a person, with personal data
    Find {
        /// Write one JSON object instead of tables
        #[arg(long)]
        json: bool,
        /// The person.
        #[command(flatten)]
        selector: Selector,
    },
    /// Write everything that is found about a person to a new JSON file
    ///
    /// The file contains personal data; only its owner may read it. An existing file is not changed.
    Export {
        /// The new file
        file: PathBuf,
        /// The person.
        #[command(flatten)]
        selector: Selector,
    },
    /// Erase a person: delete the contacts, discard the dead-lettered messages, and reject messages that arrive late
    ///
    /// The command records keyed digests of the ids, phone numbers and e-mail addresses. A change that was accepted before
    /// and names one of them fails with the reason `subject_erased`. A later request of the same person is a new one and is
    /// applied. If the command was interrupted, run it again.
    Erase {
        /// Write the report as one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// The person.
        #[command(flatten)]
        selector: Selector,
        /// How to confirm.
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// The values that select a person.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Person")]
#[group(required = true, multiple = true)]
pub struct Selector {
    /// A phone number, in any notation. May be repeated; a contact is found by each of its values alone
    #[arg(long, value_name = "NUMBER")]
    phone: Vec<String>,
    /// An e-mail address, in upper or lower case. May be repeated
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// A whole name, without regard to case and accents. Other people may have the same name. May be repeated
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// The id of a contact. May be repeated
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
}

impl Selector {
    /// Parses the values. The command line would repeat a value in its error, and an error must have no personal data.
    pub(super) fn subject(&self) -> Result<Subject, SubjectError> {
        let id = |text: &str| text.parse::<ContactId>().map_err(|_malformed| "must be a UUID".to_owned());
        Ok(Subject {
            phones: parse("--phone", &self.phone, |text| Phone::parse(text).map_err(|invalid| invalid.to_string()))?,
            emails: parse("--email", &self.email, |text| {
                Email::from_accepted(text).map_err(|invalid| invalid.to_string())
            })?,
            names: parse("--name", &self.name, |text| {
                Name::from_accepted(text).map_err(|invalid| invalid.to_string())
            })?,
            contacts: parse("--id", &self.id, id)?,
        })
    }
}

fn parse<T>(
    option: &str,
    values: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, SubjectError> {
    let parsed = values.iter().map(|value| parse(value));
    parsed.collect::<Result<_, _>>().map_err(|error| SubjectError::Usage(format!("{option} {error}")))
}
