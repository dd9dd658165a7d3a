//! The formats and their names in parameters, media types and file names.
//!
//! To add a format, start here. The compiler then shows the other places.

/// A format for contacts. The two vCard formats differ only in what is written; the reader accepts both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object per line (<https://github.com/ndjson/ndjson-spec>).
    Ndjson,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// vCard 4.0 (RFC 6350).
    VCard4,
    /// vCard 3.0 (RFC 2426).
    VCard3,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Ndjson, Self::Csv, Self::VCard4, Self::VCard3];

    /// Finds a format by its [`Self::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of a media type: `type/subtype` without parameters, in upper or lower case.
    pub fn of_media_type(type_and_subtype: &str) -> Option<Self> {
        match type_and_subtype.trim().to_ascii_lowercase().as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            "text/vcard" => Some(Self::VCard4),
            // The name before RFC 6350 registered `text/vcard`.
            "text/x-vcard" => Some(Self::VCard3),
            _ => None,
        }
    }

    /// The format that a file name ends with, in upper or lower case.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "vcf" | "vcard" => Some(Self::VCard4),
            _ => None,
        }
    }

    /// The name in parameters and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::VCard4 => "vcard",
            Self::VCard3 => "vcard3",
        }
    }

    /// Whether a text that is not UTF-8 is Windows-1252. JSON must be UTF-8 (RFC 8259); a vCard names the charset of each
    /// value.
    pub const fn can_be_windows_1252(self) -> bool {
        matches!(self, Self::Csv)
    }

    /// The `Content-Type` of written contacts, with parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::VCard4 => "text/vcard; charset=utf-8; version=4.0",
            Self::VCard3 => "text/vcard; charset=utf-8; version=3.0",
        }
    }

    /// The file name extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::VCard4 | Self::VCard3 => "vcf",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_format_finds_the_format() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
            let read = if format == Format::VCard3 { Format::VCard4 } else { format };
            let essence = format.media_type().split(';').next().unwrap();
            assert_eq!(Format::of_media_type(essence), Some(read));
            assert_eq!(Format::of_file_name(&format!("contacts.{}", format.extension())), Some(read));
        }
    }

    #[test]
    fn other_names_are_known_and_unknown_names_are_rejected() {
        assert_eq!(Format::of_media_type("Text/X-vCard"), Some(Format::VCard3));
        assert_eq!(Format::of_media_type("application/jsonl"), Some(Format::Ndjson));
        assert_eq!(Format::of_file_name("/tmp/a.b/Contacts.JSONL"), Some(Format::Ndjson));
        assert_eq!(Format::of_file_name("contacts.vcard"), Some(Format::VCard4));
        for name in ["", "CSV", "json", "vcard4"] {
            assert_eq!(Format::parse(name), None, "{name}");
        }
        assert_eq!(Format::of_media_type("application/json"), None);
        assert_eq!(Format::of_file_name("csv"), None);
        assert_eq!(Format::of_file_name("contacts.xlsx"), None);
    }
}
