//! Which columns of a CSV hold a contact, by the header line that some other program wrote.
//!
//! Headers are compared without case, accents and the kind of blank. A column that is named explicitly is taken, or
//! missed, never guessed. It must not know how CSV is quoted.

use crate::domain::{Name, NameKey};

/// The headers of the columns to read, where they shall not be guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The header of the column with the whole name.
    pub name: Option<String>,
    /// The header of the column with the phone number.
    pub phone: Option<String>,
    /// The header of the column with the e-mail address.
    pub email: Option<String>,
}

/// Where a contact's fields are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// One column, or the parts of a name in their order.
    pub(super) name: Vec<usize>,
    pub(super) phone: usize,
    pub(super) email: usize,
}

const FULL: &[&str] =
    &["full name", "fullname", "display name", "contact name", "nome completo", "nome e sobrenome", "nome do contato"];
/// The whole name, unless there is a family name and no given name beside it.
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

/// How many headers a refusal shows, and how much of each.
const SHOWN: usize = 30;
const SHOWN_CHARS: usize = 40;

impl Mapping {
    /// Finds the columns, or says what is missing and what there is.
    pub(super) fn find(headers: &[String], wanted: &Columns) -> Result<Self, String> {
        let keys: Vec<Option<String>> = headers.iter().map(|header| key(header)).collect();
        let known = |names: &[&str]| keys.iter().position(|key| key.as_deref().is_some_and(|key| names.contains(&key)));
        let named = |header: &String| {
            let wanted = key(header)?;
            keys.iter().position(|key| key.as_ref() == Some(&wanted))
        };
        let column = |explicit: &Option<String>, names| explicit.as_ref().map_or_else(|| known(names), named);
        let name = match &wanted.name {
            Some(header) => named(header).map(|column| vec![column]),
            None => name(known),
        };
        match (name, column(&wanted.phone, PHONE), column(&wanted.email, EMAIL)) {
            (Some(name), Some(phone), Some(email)) => Ok(Self { name, phone, email }),
            (name, phone, email) => {
                let missing = [
                    ("name", name.is_none(), &wanted.name),
                    ("phone", phone.is_none(), &wanted.phone),
                    ("email", email.is_none(), &wanted.email),
                ];
                let missing = missing.into_iter().filter(|(_, is_missing, _)| *is_missing);
                Err(explain(missing.map(|(field, _, header)| (field, header.as_deref())), headers))
            }
        }
    }
}

fn name(known: impl Fn(&[&str]) -> Option<usize>) -> Option<Vec<usize>> {
    let (given, family, plain) = (known(GIVEN), known(FAMILY), known(NAME));
    if let Some(full) = known(FULL) {
        return Some(vec![full]);
    }
    // "Nome" and "Sobrenome": the first is only a part.
    let (full, given) = if given.is_none() && family.is_some() { (None, plain) } else { (plain, given) };
    if let Some(full) = full {
        return Some(vec![full]);
    }
    let parts: Vec<usize> = [given, known(MIDDLE), family].into_iter().flatten().collect();
    (given.is_some() || family.is_some()).then_some(parts)
}

/// A header as it is compared; nothing of what can be no header.
fn key(header: &str) -> Option<String> {
    let spaced = header.replace(['_', '-'], " ");
    Name::parse(&spaced).ok().map(|name| NameKey::of(&name).into())
}

fn explain<'a>(missing: impl Iterator<Item = (&'a str, Option<&'a str>)>, headers: &[String]) -> String {
    let missing: Vec<String> = missing
        .map(|(field, header)| match header {
            Some(header) => format!("{field} ({})", quoted(header)),
            None => field.to_owned(),
        })
        .collect();
    let more = if headers.len() > SHOWN { ", and others" } else { "" };
    let headers: Vec<String> = headers.iter().take(SHOWN).map(|header| quoted(header)).collect();
    format!(
        "The header line has no column for: {}. Name the column to use; there are: {}{more}.",
        missing.join(", "),
        headers.join(", ")
    )
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    format!("\"{}\"", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &str, wanted: &Columns) -> Result<(Vec<usize>, usize, usize), String> {
        let headers: Vec<String> = headers.split('|').map(str::to_owned).collect();
        Mapping::find(&headers, wanted).map(|mapping| (mapping.name, mapping.phone, mapping.email))
    }

    #[test]
    fn headers_of_many_programs_are_known() {
        for (headers, expected) in [
            ("id|name|phone|ddd|state|region|email|version|created_at|updated_at", (vec![1], 2, 6)),
            ("E-MAIL| Telefone |NOME", (vec![2], 1, 0)),
            ("Correio Eletrônico|Celular|Nome_Completo", (vec![2], 1, 0)),
            ("Telefone|Celular|email|E-mail|nome", (vec![4], 0, 2)),
            // Google, today and before; Outlook.
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
    fn a_column_named_explicitly_wins() {
        let wanted = Columns { name: Some("apelido".into()), phone: Some("home phone".into()), email: None };
        assert_eq!(find("Nome|Phone|Email|Apelido|Home-Phone", &wanted), Ok((vec![3], 4, 2)));
        let refused = find("Nome|Phone|Email", &wanted).unwrap_err();
        assert!(refused.contains("for: name (\"apelido\"), phone (\"home phone\")."), "{refused}");
    }

    #[test]
    fn what_is_missing_is_said_and_what_there_is() {
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
