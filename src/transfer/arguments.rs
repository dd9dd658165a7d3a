//! The options of `contacts import` and `contacts export`.

use super::TransferError;
use crate::formats;
use clap::{Args, ValueEnum};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format of a file to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object per line
    Ndjson,
    /// A table with a header line
    Csv,
    /// vCards of version 2.1, 3.0 or 4.0
    Vcard,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object per line
    Ndjson,
    /// A table with a header line
    Csv,
    /// vCards of version 4.0
    Vcard,
    /// vCards of version 3.0, for older programs
    Vcard3,
}

/// The format of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people
    #[default]
    Table,
    /// One JSON object, for scripts
    Json,
}

/// The address of the service and the API key.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Service")]
pub struct Service {
    /// The address of the API. https needs a build with `--features tls`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A file with the API key. Default: the environment variable CONTACTS_API_KEY, if it is set
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// The options of an import.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The file to import, or - for standard input
    pub file: PathBuf,
    /// The format of the file. Default: by the file name (.ndjson, .jsonl, .csv, .vcf), otherwise by the content
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// Check every record, create nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Skip a record if a contact with the same name and phone number exists
    #[arg(long)]
    pub skip_existing: bool,
    /// The idempotency key. With one key, a record with the same values is created once, also from another file
    #[arg(long, value_name = "TEXT", default_value = "contacts import", value_parser = parse_key)]
    pub key: String,
    /// The CSV column with the name. Default: the service finds the usual column names
    #[arg(long, value_name = "NAME")]
    pub name_column: Option<String>,
    /// The CSV column with the phone number
    #[arg(long, value_name = "NAME")]
    pub phone_column: Option<String>,
    /// The CSV column with the e-mail address
    #[arg(long, value_name = "NAME")]
    pub email_column: Option<String>,
    /// Write the errors of the invalid records to this new file, one {"line", "errors"} per line
    #[arg(long, alias = "rejects", value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Write the invalid records unchanged to this new file. Fix them there and import the file
    #[arg(long, alias = "mend", value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// Continue at this line of the file. An import that stops early prints the line
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,
    /// The maximum number of records in one request
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,
    /// How long to retry a request while the service is unavailable or busy, for example 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub retry_for: Duration,
    /// The format of the result: a table for people, or JSON for scripts
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// The service.
    #[command(flatten)]
    pub service: Service,
}

fn parse_key(text: &str) -> Result<String, String> {
    let valid = (1..=255).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if valid { Ok(text.to_owned()) } else { Err("must have 1 to 255 plain ASCII characters".to_owned()) }
}

/// The options of an export.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// The file to write. Use - for standard output
    pub file: PathBuf,
    /// The format to write. Default: by the file name (.ndjson, .jsonl, .csv, .vcf), ndjson for -
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<ExportFormat>,
    /// Replace the file if it exists, after the export is complete
    #[arg(long)]
    pub force: bool,
    /// The filters.
    #[command(flatten)]
    pub filters: Filters,
    /// The service.
    #[command(flatten)]
    pub service: Service,
}

/// Exports only contacts that match all filters. Without a filter, all contacts are exported.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only contacts with this area code, for example 11
    #[arg(long, value_name = "CODE")]
    pub ddd: Option<String>,
    /// Only contacts in this state, for example SP
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Only contacts in this region, for example Sudeste
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Only contacts that this text finds by name, e-mail address or phone number. Case and accents do not matter
    #[arg(long, value_name = "TEXT")]
    pub q: Option<String>,
    /// Only contacts with this e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Only contacts with this phone number
    #[arg(long, value_name = "NUMBER")]
    pub phone: Option<String>,
}

impl Filters {
    /// The query parameters of the API.
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
    /// The format that a file name ends with.
    fn of_file_name(path: &Path) -> Option<Self> {
        Some(match formats::Format::of_file_name(path.file_name()?.to_str()?)? {
            formats::Format::Ndjson => Self::Ndjson,
            formats::Format::Csv => Self::Csv,
            formats::Format::VCard4 | formats::Format::VCard3 => Self::Vcard,
        })
    }

    /// The format that the first bytes of a file show. A CSV has a delimiter in its first line.
    fn of_content(start: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        // A slice can always be read.
        let _ = formats::DecodingReader::new(start, true).read_to_end(&mut text);
        let text = text.trim_ascii_start();
        let first_line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let is_delimiter = |byte: &u8| matches!(byte, b',' | b';' | b'\t' | b'|');
        match first_line {
            line if line.trim_ascii_end().eq_ignore_ascii_case(b"BEGIN:VCARD") => Some(Self::Vcard),
            line if line.starts_with(b"{") => Some(Self::Ndjson),
            line if line.iter().any(is_delimiter) && !line.contains(&0) => Some(Self::Csv),
            _ => None,
        }
    }

    /// The media type, without parameters.
    pub(super) fn media_type(self) -> &'static str {
        let format = match self {
            Self::Ndjson => formats::Format::Ndjson,
            Self::Csv => formats::Format::Csv,
            Self::Vcard => formats::Format::VCard4,
        };
        let media_type = format.media_type();
        media_type.split_once(';').map_or(media_type, |(essence, _)| essence)
    }
}

impl ExportFormat {
    /// The name in the API.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => formats::Format::Ndjson,
            Self::Csv => formats::Format::Csv,
            Self::Vcard => formats::Format::VCard4,
            Self::Vcard3 => formats::Format::VCard3,
        }
        .name()
    }

    /// The format without the version of a vCard.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Ndjson => Format::Ndjson,
            Self::Csv => Format::Csv,
            Self::Vcard | Self::Vcard3 => Format::Vcard,
        }
    }
}

/// Whether a path means standard input or standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

impl Import {
    /// The format that the options or the file name show.
    pub(super) fn named_format(&self) -> Option<Format> {
        self.format.or_else(|| Format::of_file_name(&self.file))
    }

    /// The format that the first bytes of the file show.
    pub(super) fn format_of_content(&self, start: &[u8]) -> Result<Format, TransferError> {
        Format::of_content(start).ok_or_else(|| unknown_format(&self.file, "ndjson, csv or vcard"))
    }
}

impl Export {
    pub(super) fn chosen_format(&self) -> Result<ExportFormat, TransferError> {
        let by_name = || match Format::of_file_name(&self.file) {
            Some(Format::Ndjson) => Some(ExportFormat::Ndjson),
            Some(Format::Csv) => Some(ExportFormat::Csv),
            Some(Format::Vcard) => Some(ExportFormat::Vcard),
            None => is_standard(&self.file).then_some(ExportFormat::Ndjson),
        };
        self.format.or_else(by_name).ok_or_else(|| unknown_format(&self.file, "ndjson, csv, vcard or vcard3"))
    }
}

fn unknown_format(path: &Path, choices: &str) -> TransferError {
    let reason = if is_standard(path) {
        "standard input has no file name".to_owned()
    } else {
        format!("the file name {} does not show the format", path.display())
    };
    TransferError::Usage(format!("{reason}: add --format with {choices}"))
}
