//! Finds the columns of a contact in the header line of a CSV from another program.
//!
//! The comparison ignores case, accents and the kind of space. If the caller names a column, only that column is used.
//! This file does not know how CSV is quoted.

use crate::domain::{Name, NameKey};

/// The headers of the columns to read. A column without a name here is found by its usual names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The header of the column with the whole name.
    pub name: Option<String>,
    /// The header of the column with the phone number.
    pub phone: Option<String>,
    /// The header of the column with the e-mail address.
    pub email: Option<String>,
}

/// The columns of the fields of a contact.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// One column, or the columns of the parts of the name in order.
    pub(super) name: Vec<usize>,
    pub(super) phone: usize,
    pub(super) email: usize,
}

const FULL: &[&str] =
    &["full name", "fullname", "display name", "contact name", "nome completo", "nome e sobrenome", "nome do contato"];
/// The whole name. With a family name column and no given name column it is the given name.
const NAME: &[&str] = &["name", "nome", "contact", "contato"];
const GIVEN: &[&str] = &["given name", "first name", "firstname", "primeiro nome"];
const MIDDLE: &[&str] = &["additional name", "middle name", "nome do meio", "segundo nome"];
const FAMILY: &[&str] = &["family name", "last name", "lastname", "surname", "sobrenome", "ultimo nome"];
#[rustfmt::skip]
const PHONE: &[&str] = &[
    "phone", "phone number", "phone 1 value", "primary phone", "mobile", "mobile phone", "mobile number", "cell",
    "cell phone", "cellphone", "tel", "telephone", "telephone number", "whatsapp",
    "telefone", "telefone 1", "numero de telefone", "telefone celular", "telefone principal", "celular", "tel.", "fone",
];
#[rustfmt::skip]
const EMAIL: &[&str] = &[
    "email", "email address", "email 1 value", "e mail", "e mail address", "e mail 1 value", "mail", "primary email",
    "correio eletronico", "endereco de email", "endereco de e mail", "email principal", "e mail principal",
];

/// How many headers an error shows, and how many characters of each.
const MAX_SHOWN: usize = 30;
const MAX_SHOWN_CHARS: usize = 40;

impl Mapping {
    /// Finds the columns. The error names the missing columns and the headers of the file.
    pub(super) fn find(headers: &[String], columns: &Columns) -> Result<Self, String> {
        let keys: Vec<Option<String>> = headers.iter().map(|header| key(header)).collect();
        let find_any =
            |names: &[&str]| keys.iter().position(|key| key.as_deref().is_some_and(|key| names.contains(&key)));
        let find = |header: &String| {
            let wanted = key(header)?;
            keys.iter().position(|key| key.as_ref() == Some(&wanted))
        };
        let column = |header: &Option<String>, names| header.as_ref().map_or_else(|| find_any(names), find);
        let name = match &columns.name {
            Some(header) => find(header).map(|column| vec![column]),
            None => name_columns(find_any),
        };
        match (name, column(&columns.phone, PHONE), column(&columns.email, EMAIL)) {
            (Some(name), Some(phone), Some(email)) => Ok(Self { name, phone, email }),
            (name, phone, email) => {
                let missing = [
                    ("name", name.is_none(), &columns.name),
                    ("phone", phone.is_none(), &columns.phone),
                    ("email", email.is_none(), &columns.email),
                ];
                let missing = missing.into_iter().filter(|(_, is_missing, _)| *is_missing);
                Err(missing_columns(missing.map(|(field, _, header)| (field, header.as_deref())), headers))
            }
        }
    }
}

fn name_columns(find_any: impl Fn(&[&str]) -> Option<usize>) -> Option<Vec<usize>> {
    let (given, family, plain) = (find_any(GIVEN), find_any(FAMILY), find_any(NAME));
    if let Some(full) = find_any(FULL) {
        return Some(vec![full]);
    }
    // "Nome" beside "Sobrenome" is only the given name.
    let (full, given) = if given.is_none() && family.is_some() { (None, plain) } else { (plain, given) };
    if let Some(full) = full {
        return Some(vec![full]);
    }
    let parts: Vec<usize> = [given, find_any(MIDDLE), family].into_iter().flatten().collect();
    (given.is_some() || family.is_some()).then_some(parts)
}

/// The form of a header for comparison. `None` if the text cannot be a header.
fn key(header: &str) -> Option<String> {
    let spaced = header.replace(['_', '-'], " ");
    Name::parse(&spaced).ok().map(|name| NameKey::of(&name).into())
}

fn missing_columns<'a>(missing: impl Iterator<Item = (&'a str, Option<&'a str>)>, headers: &[String]) -> String {
    let missing: Vec<String> = missing
        .map(|(field, header)| match header {
            Some(header) => format!("{field} ({})", quoted(header)),
            None => field.to_owned(),
        })
        .collect();
    let more = if headers.len() > MAX_SHOWN { ", and others" } else { "" };
    let headers: Vec<String> = headers.iter().take(MAX_SHOWN).map(|header| quoted(header)).collect();
    format!(
        "The header line has no column for: {}. Name the column to use; there are: {}{more}.",
        missing.join(", "),
        headers.join(", ")
    )
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect();
    format!("\"{}\"", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &str, columns: &Columns) -> Result<(Vec<usize>, usize, usize), String> {
        let headers: Vec<String> = headers.split('|').map(str::to_owned).collect();
        Mapping::find(&headers, columns).map(|mapping| (mapping.name, mapping.phone, mapping.email))
    }

    #[test]
    fn the_headers_of_common_programs_are_found() {
        for (headers, expected) in [
            ("id|name|phone|ddd|state|region|email|version|created_at|updated_at", (vec![1], 2, 6)),
            ("E-MAIL| Telefone |NOME", (vec![2], 1, 0)),
            ("Correio Eletrônico|Celular|Nome_Completo", (vec![2], 1, 0)),
            ("Telefone|Celular|email|E-mail|nome", (vec![4], 0, 2)),
            // Google Contacts (new and old) and Outlook.
            (
                "First Name|Middle Name|Last Name|Notes|E-mail 1 - Label|E-mail 1 - Value|Phone 1 - Value",
                (vec![0, 1, 2], 6, 5),
            ),
            ("Name|Given Name|Family Name|E-mail 1 - Value|Phone 1 - Value", (vec![0], 4, 3)),
            ("First Name|Last Name|Mobile Phone|E-mail Address", (vec![0, 1], 2, 3)),
            ("Nome|Sobrenome|Telefone|Email", (vec![0, 1], 2, 3)),
            ("Sobrenome|Primeiro nome|tel.|mail", (vec![1, 0], 2, 3)),
            ("Surname|fone|mail", (vec![0], 1, 2)),
        ] {
            assert_eq!(find(headers, &Columns::default()), Ok(expected), "{headers}");
        }
    }

    #[test]
    fn a_column_that_the_caller_names_is_used() {
        let columns = Columns { name: Some("apelido".into()), phone: Some("home phone".into()), email: None };
        assert_eq!(find("Nome|Phone|Email|Apelido|Home-Phone", &columns), Ok((vec![3], 4, 2)));
        let error = find("Nome|Phone|Email", &columns).unwrap_err();
        assert!(error.contains("for: name (\"apelido\"), phone (\"home phone\")."), "{error}");
    }

    #[test]
    fn an_error_names_the_missing_columns_and_the_headers() {
        assert_eq!(
            find("Nome|Fax\u{7}|", &Columns::default()),
            Err("The header line has no column for: phone, email. Name the column to use; there are: \
                 \"Nome\", \"Fax\", \"\"."
                .into())
        );
        let many = vec!["x".repeat(1000); 1000].join("|");
        assert!(find(&many, &Columns::default()).unwrap_err().len() < 2000);
    }
}
