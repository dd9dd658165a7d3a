//! What can be asked for, as the command line reads it.

use super::TransferError;
use crate::formats;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a file of contacts is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object on each line
    Ndjson,
    /// A table with a line of names first
    Csv,
    /// Cards of version 3.0 or 4.0
    Vcard,
}

/// What an export is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object on each line
    Ndjson,
    /// A table with a line of names first
    Csv,
    /// Cards of version 4.0
    Vcard,
    /// Cards of version 3.0, for older programs
    Vcard3,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON object, for scripts
    Json,
}

/// Where the service is, and how to be let in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The service")]
pub struct Service {
    /// Where its API is; https needs a build with `--features tls`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A file that holds the key to it; without, the key is what CONTACTS_API_KEY holds, if anything
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// A file to the service.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The file; - for standard input, with --format
    pub file: PathBuf,
    /// What it is written in; if not given its name tells: .ndjson or .jsonl, .csv, .vcf
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// Only check every record; nothing is sent on to be kept
    #[arg(long)]
    pub dry_run: bool,
    /// The column of a CSV that holds the name; if not given the service knows the usual names
    #[arg(long, value_name = "NAME")]
    pub name_column: Option<String>,
    /// The column that holds the phone number
    #[arg(long, value_name = "NAME")]
    pub phone_column: Option<String>,
    /// The column that holds the e-mail address
    #[arg(long, value_name = "NAME")]
    pub email_column: Option<String>,
    /// Write why each record that is not valid is not, as {"line", "errors"}, one on a line, to this new file
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Write the records that are not valid, as they are, to this new file: to mend them there and import it
    #[arg(long, value_name = "FILE")]
    pub mend: Option<PathBuf>,
    /// Go on with this line of the file, as an import that ended early says
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,
    /// The most records in one request; what is imported again must be with the same number, or it is created again
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// How long to try again while the service is away or busy, before giving up: 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub retry_for: Duration,
    /// How to write the result: a table for people, or one JSON object for scripts
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Where to.
    #[command(flatten)]
    pub service: Service,
}

/// Contacts to a file.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// The file; - for standard output
    pub file: PathBuf,
    /// What to write; if not given the file's name tells: .ndjson or .jsonl, .csv, .vcf; for - it is ndjson
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<ExportFormat>,
    /// Replace the file if it exists, once the export is complete
    #[arg(long)]
    pub force: bool,
    /// Which contacts.
    #[command(flatten)]
    pub filters: Filters,
    /// Where from.
    #[command(flatten)]
    pub service: Service,
}

/// Contacts that meet all of these; without any, all contacts.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which contacts")]
pub struct Filters {
    /// Those of this area code, as 11
    #[arg(long, value_name = "CODE")]
    pub ddd: Option<String>,
    /// Those of this state, as SP
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Those of this region, as Sudeste
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Those whose name begins with this, whatever its case and accents
    #[arg(long, value_name = "TEXT")]
    pub q: Option<String>,
    /// Those with this e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Those with this phone number
    #[arg(long, value_name = "NUMBER")]
    pub phone: Option<String>,
}

impl Filters {
    /// As the API names them.
    pub(super) fn query(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("ddd", &self.ddd),
            ("state", &self.state),
            ("region", &self.region),
            ("q", &self.q),
            ("email", &self.email),
            ("phone", &self.phone),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl Format {
    /// As a file's name tells.
    fn of(path: &Path) -> Option<Self> {
        Some(match formats::Format::of_file_name(path.file_name()?.to_str()?)? {
            formats::Format::Ndjson => Self::Ndjson,
            formats::Format::Csv => Self::Csv,
            formats::Format::VCard4 | formats::Format::VCard3 => Self::Vcard,
        })
    }

    /// Its media type, without parameters.
    pub(super) fn media_type(self) -> &'static str {
        let format = match self {
            Self::Ndjson => formats::Format::Ndjson,
            Self::Csv => formats::Format::Csv,
            Self::Vcard => formats::Format::VCard4,
        };
        let full = format.media_type();
        full.split_once(';').map_or(full, |(essence, _)| essence)
    }
}

impl ExportFormat {
    /// As the API names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => formats::Format::Ndjson,
            Self::Csv => formats::Format::Csv,
            Self::Vcard => formats::Format::VCard4,
            Self::Vcard3 => formats::Format::VCard3,
        }
        .name()
    }

    pub(super) const fn kind(self) -> Format {
        match self {
            Self::Ndjson => Format::Ndjson,
            Self::Csv => Format::Csv,
            Self::Vcard | Self::Vcard3 => Format::Vcard,
        }
    }
}

/// Whether a path stands for standard input or output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

impl Import {
    pub(super) fn chosen_format(&self) -> Result<Format, TransferError> {
        self.format.or_else(|| Format::of(&self.file)).ok_or_else(|| unknown_format(&self.file, "ndjson, csv or vcard"))
    }
}

impl Export {
    pub(super) fn chosen_format(&self) -> Result<ExportFormat, TransferError> {
        let by_name = || match Format::of(&self.file) {
            Some(Format::Ndjson) => Some(ExportFormat::Ndjson),
            Some(Format::Csv) => Some(ExportFormat::Csv),
            Some(Format::Vcard) => Some(ExportFormat::Vcard),
            None => is_standard(&self.file).then_some(ExportFormat::Ndjson),
        };
        self.format.or_else(by_name).ok_or_else(|| unknown_format(&self.file, "ndjson, csv, vcard or vcard3"))
    }
}

fn unknown_format(path: &Path, choice: &str) -> TransferError {
    let why = if is_standard(path) {
        "standard input has no name that would tell its format".to_owned()
    } else {
        format!("the name {} does not tell the format", path.display())
    };
    TransferError::Usage(format!("{why}: add --format with {choice}"))
}
