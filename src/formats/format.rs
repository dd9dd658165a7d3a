//! The formats and what they are called: in parameters, media types and file names.
//!
//! Whoever adds a format begins here; the compiler then leads through the rest.

/// A format of contacts. Both kinds of vCard are read alike; they differ in what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object a line (<https://github.com/ndjson/ndjson-spec>).
    Ndjson,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// vCard 4.0 (RFC 6350).
    VCard4,
    /// vCard 3.0 (RFC 2426).
    VCard3,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ndjson, Self::Csv, Self::VCard4, Self::VCard3];

    /// Reads what [`Self::name`] gives.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of a media type, given as `type/subtype` without parameters, in upper or lower case.
    pub fn of_media_type(type_and_subtype: &str) -> Option<Self> {
        match type_and_subtype.trim().to_ascii_lowercase().as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            "text/vcard" => Some(Self::VCard4),
            // From before RFC 6350 registered the other.
            "text/x-vcard" => Some(Self::VCard3),
            _ => None,
        }
    }

    /// The format that the ending of a file's name stands for, in upper or lower case.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            "vcf" | "vcard" => Some(Self::VCard4),
            _ => None,
        }
    }

    /// What parameters and options call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::VCard4 => "vcard",
            Self::VCard3 => "vcard3",
        }
    }

    /// The `Content-Type` of what is written, with parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::VCard4 => "text/vcard; charset=utf-8; version=4.0",
            Self::VCard3 => "text/vcard; charset=utf-8; version=3.0",
        }
    }

    /// What the name of a file ends with, without the dot.
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
    fn what_a_format_is_called_leads_back_to_it() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
            let read = if format == Format::VCard3 { Format::VCard4 } else { format };
            let essence = format.media_type().split(';').next().unwrap();
            assert_eq!(Format::of_media_type(essence), Some(read));
            assert_eq!(Format::of_file_name(&format!("contacts.{}", format.extension())), Some(read));
        }
    }

    #[test]
    fn other_names_are_known_and_unknown_ones_refused() {
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
