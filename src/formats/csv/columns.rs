//! Finds the columns of a contact in the header line that another program wrote.
//!
//! Headers are compared without case, accents and punctuation. If the request names a column, only that column is used.
//! This file does not know the quoting rules of CSV.

use crate::domain::{Name, NameKey};

/// The headers of the columns to read. Columns without a name here are found by their usual headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The header of the column with the whole name.
    pub name: Option<String>,
    /// The header of the column with the phone number.
    pub phone: Option<String>,
    /// The header of the column with the e-mail address.
    pub email: Option<String>,
}

/// A column with phone numbers or addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueColumn {
    /// The column.
    pub(super) index: usize,
    /// The column that says what kind of value it is, such as `Phone 1 - Label`.
    pub(super) label: Option<usize>,
    /// Whether the header says that this is the main value.
    pub(super) primary: bool,
}

/// Where a contact's fields are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// One column, or the parts of a name in their order.
    pub(super) name: Vec<usize>,
    /// The name of a company: a contact without a name has this one.
    pub(super) organization: Option<usize>,
    pub(super) phones: Vec<ValueColumn>,
    pub(super) emails: Vec<ValueColumn>,
    /// The columns that no contact has, with their headers.
    pub(super) others: Vec<(usize, String)>,
}

const FULL: &[&str] = &[
    "full name",
    "fullname",
    "display name",
    "contact name",
    "person name",
    "nome completo",
    "nome e sobrenome",
    "nome do contato",
    "nome de exibicao",
    "nombre completo",
];
/// The whole name, unless there is a family name and no given name beside it.
const NAME: &[&str] = &["name", "nome", "contact", "contato", "cliente", "nome razao social", "pessoa"];
const GIVEN: &[&str] = &["given name", "first name", "firstname", "first", "primeiro nome"];
const MIDDLE: &[&str] = &["additional name", "middle name", "middle", "nome do meio", "segundo nome"];
const FAMILY: &[&str] = &["family name", "last name", "lastname", "last", "surname", "sobrenome", "ultimo nome"];
const ORGANIZATION: &[&str] = &[
    "organization name",
    "organization 1 name",
    "organization",
    "company",
    "company name",
    "empresa",
    "nome da empresa",
    "razao social",
    "nome fantasia",
    "fantasia",
    "organizacao",
    "account name",
    "companies",
];

/// A header with one of these words is a column of phone numbers.
const PHONE_WORDS: &[&str] = &[
    "phone",
    "phones",
    "telephone",
    "mobile",
    "cell",
    "cellphone",
    "tel",
    "whatsapp",
    "telefone",
    "telefones",
    "celular",
    "cel",
    "fone",
    "telemovel",
    "telefono",
    "movil",
];
/// So is a header that is only this: an older export has `Home` and `Work`.
const PHONE_HEADERS: &[&str] = &["home", "work"];
/// The main number of Outlook.
const PRIMARY: &[&str] = &["primary phone", "telefone principal"];
/// A header with one of these words is not: the number is another person's or a machine's, or the cell is no number.
/// A header with one of these words is about another person or place.
const OTHER_PEOPLE: &[&str] = &[
    "mae",
    "pai",
    "conjuge",
    "esposa",
    "esposo",
    "marido",
    "spouse",
    "partner",
    "parceiro",
    "parceira",
    "emergencia",
    "emergency",
    "manager",
    "gerente",
    "secretaria",
    "secretario",
    "secretary",
    "mother",
    "father",
    "parent",
    "filho",
    "filha",
    "referencia",
    "reference",
    "loja",
    "store",
    "chefe",
    "supervisor",
];
/// A header with one of these words is no column of phone numbers either.
const NOT_PHONE: &[&str] = &[
    "fax",
    "pager",
    "bip",
    "telex",
    "tty",
    "tdd",
    "callback",
    "retorno",
    "assistant",
    "assistente",
    "assistants",
    "radio",
    "isdn",
    "label",
    "type",
    "tipo",
    "country",
    "code",
    "codigo",
    "ext",
    "extension",
    "ramal",
    "phonetic",
    "yomi",
    "verified",
    "opt",
    "status",
    "operadora",
    "carrier",
    "model",
    "modelo",
    "id",
    "count",
];
/// A header with one of these words is a column of e-mail addresses.
const EMAIL_WORDS: &[&str] = &["email", "emails", "mail"];
/// A header with one of these words is not.
const NOT_EMAIL: &[&str] = &[
    "label",
    "type",
    "tipo",
    "display",
    "exibicao",
    "opt",
    "status",
    "verified",
    "domain",
    "dominio",
    "mailing",
    "correspondencia",
    "id",
    "count",
    "bounced",
    "marketing",
    "list",
    "lista",
    "hash",
    "permission",
    "sent",
    "opened",
    "clicked",
    "replied",
    "delivered",
];

/// A header with one of these words beside a word for a phone or an address only describes a value.
const DESCRIBES_VALUE: &[&str] = &["label", "type", "tipo", "display", "exibicao"];
/// A file with all these headers is an export of this program. A contact has them, but an import does not take them.
const EXPORTED: &[&str] = &["ddd", "version", "created at", "updated at"];

/// How many headers a refusal shows, and how much of each.
const MAX_SHOWN: usize = 30;
const MAX_SHOWN_CHARS: usize = 40;

impl Mapping {
    /// Finds the columns, or says which are missing and which headers there are.
    pub(super) fn find(headers: &[String], wanted: &Columns) -> Result<Self, String> {
        let keys: Vec<Option<String>> = headers.iter().map(|header| key(header)).collect();
        let known =
            |names: &[&str]| names.iter().find_map(|name| keys.iter().position(|key| key.as_deref() == Some(name)));
        let named = |header: &String| {
            let wanted = key(header)?;
            keys.iter().position(|key| key.as_ref() == Some(&wanted))
        };
        let values = |explicit: &Option<String>, is_one: fn(&str) -> bool| match explicit {
            Some(header) => named(header).map(|index| vec![ValueColumn { index, label: None, primary: false }]),
            None => Some(value_columns(&keys, is_one)),
        };
        let name = match &wanted.name {
            Some(header) => named(header).map(|column| vec![column]),
            None => name(known),
        };
        let organization = if wanted.name.is_some() { None } else { known(ORGANIZATION) };
        let name = name.or_else(|| organization.filter(|_| wanted.name.is_none()).map(|column| vec![column]));
        let phones = values(&wanted.phone, is_phone).filter(|columns| !columns.is_empty());
        // A file without addresses is complete: they are optional.
        let emails = values(&wanted.email, is_email);
        match (name, phones, emails) {
            (Some(name), Some(phones), Some(emails)) => {
                let emails = emails.into_iter().filter(|column| !phones.contains(column)).collect();
                let mut mapping = Self { name, organization, phones, emails, others: Vec::new() };
                mapping.others = mapping.find_others(headers, &keys);
                Ok(mapping)
            }
            (name, phones, emails) => {
                let missing = [
                    ("name", name.is_none(), &wanted.name),
                    ("phone", phones.is_none(), &wanted.phone),
                    ("email", emails.is_none(), &wanted.email),
                ];
                let missing = missing.into_iter().filter(|(_, is_missing, _)| *is_missing);
                Err(missing_columns(missing.map(|(field, _, header)| (field, header.as_deref())), headers))
            }
        }
    }
}

impl Mapping {
    /// The columns that are not used and that a reader of the result would miss.
    fn find_others(&self, headers: &[String], keys: &[Option<String>]) -> Vec<(usize, String)> {
        let is_export = EXPORTED.iter().all(|name| keys.iter().any(|key| key.as_deref() == Some(name)));
        if is_export {
            return Vec::new();
        }
        let values = self.phones.iter().chain(&self.emails);
        let used: Vec<usize> = values.flat_map(|column| [Some(column.index), column.label]).flatten().collect();
        let is_other = |index: usize, key: &str| {
            let is_value = is_phone_word(key) || is_email_word(key);
            let describes_value = is_value && has_word(key, DESCRIBES_VALUE);
            let is_name = [FULL, NAME, GIVEN, MIDDLE, FAMILY].iter().any(|names| names.contains(&key));
            !(used.contains(&index) || self.name.contains(&index) || describes_value || is_name)
        };
        let others = keys.iter().enumerate().filter_map(|(index, key)| Some((index, key.as_deref()?)));
        others
            .filter(|(index, key)| is_other(*index, key))
            .filter_map(|(index, _)| Some((index, headers.get(index)?.trim().chars().take(MAX_SHOWN_CHARS).collect())))
            .collect()
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

/// The columns of this kind, in the order of the file, each with its column of labels.
fn value_columns(keys: &[Option<String>], is_one: fn(&str) -> bool) -> Vec<ValueColumn> {
    let of_kind = |(index, key): (usize, &Option<String>)| {
        let key = key.as_deref().filter(|key| is_one(key))?;
        let stem = key.strip_suffix(" value").unwrap_or(key);
        let labels = [format!("{stem} label"), format!("{stem} type")];
        let label = keys.iter().position(|other| other.as_ref().is_some_and(|other| labels.contains(other)));
        Some(ValueColumn { index, label, primary: PRIMARY.contains(&key) })
    };
    keys.iter().enumerate().filter_map(of_kind).collect()
}

fn has_word(key: &str, words: &[&str]) -> bool {
    key.split(' ').any(|word| words.contains(&word))
}

fn is_phone_word(key: &str) -> bool {
    has_word(key, PHONE_WORDS)
}

fn is_email_word(key: &str) -> bool {
    has_word(&key.replace("e mail", "email").replace("correio eletronico", "email"), EMAIL_WORDS)
}

fn is_phone(key: &str) -> bool {
    PHONE_HEADERS.contains(&key)
        || (is_phone_word(key) && !has_word(key, NOT_PHONE) && !has_word(key, OTHER_PEOPLE) && !is_email_word(key))
}

fn is_email(key: &str) -> bool {
    is_email_word(key) && !has_word(key, NOT_EMAIL) && !has_word(key, OTHER_PEOPLE)
}

/// A header as it is compared; `None` if it is empty. `mobilePhone` has two words.
fn key(header: &str) -> Option<String> {
    let mut spaced = String::with_capacity(header.len() + 4);
    let (mut after_lower, mut after_letter) = (false, false);
    for c in header.chars() {
        // `mobilePhone`, `telefone1`
        if (after_lower && c.is_uppercase()) || (after_letter && c.is_ascii_digit()) {
            spaced.push(' ');
        }
        (after_lower, after_letter) = (c.is_lowercase(), c.is_alphabetic());
        spaced.push(if c.is_alphanumeric() { c } else { ' ' });
    }
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

    type Found = (Vec<usize>, Vec<usize>, Vec<usize>);

    fn find(headers: &str, columns: &Columns) -> Result<Found, String> {
        let headers: Vec<String> = headers.split('|').map(str::to_owned).collect();
        let indexes = |columns: Vec<ValueColumn>| columns.iter().map(|column| column.index).collect();
        Mapping::find(&headers, columns).map(|mapping| (mapping.name, indexes(mapping.phones), indexes(mapping.emails)))
    }

    #[test]
    fn the_headers_of_common_programs_are_found() {
        for (headers, expected) in [
            ("id|name|phone|ddd|state|region|email|version|created_at|updated_at", (vec![1], vec![2], vec![6])),
            ("E-MAIL| Telefone |NOME", (vec![2], vec![1], vec![0])),
            ("Correio Eletrônico|Celular|Nome_Completo", (vec![2], vec![1], vec![0])),
            ("Telefone|Celular|email|E-mail|nome", (vec![4], vec![0, 1], vec![2, 3])),
            // Google Contacts (new and old) and Outlook.
            (
                "First Name|Middle Name|Last Name|Notes|E-mail 1 - Label|E-mail 1 - Value|Phone 1 - Value",
                (vec![0, 1, 2], vec![6], vec![5]),
            ),
            ("Name|Given Name|Family Name|E-mail 1 - Value|Phone 1 - Value", (vec![0], vec![4], vec![3])),
            ("First Name|Last Name|Mobile Phone|E-mail Address", (vec![0, 1], vec![2], vec![3])),
            ("Nome|Sobrenome|Telefone|Email", (vec![0, 1], vec![2], vec![3])),
            ("Sobrenome|Primeiro nome|tel.|mail", (vec![1, 0], vec![2], vec![3])),
            ("Empresa|Telefone comercial|Fax comercial|Celular|Tipo de email|E-mail", (vec![0], vec![1, 3], vec![5])),
            ("fullName|mobilePhone|email", (vec![0], vec![1], vec![2])),
            (
                "Nome|Telefone (com DDD)|Celular da mãe|Manager Phone|E-mail do gerente|email1",
                (vec![0], vec![1], vec![5]),
            ),
            ("First|Last|Home|Work|Mobile|Email", (vec![0, 1], vec![2, 3, 4], vec![5])),
            ("Person - Name|Person - Phone - Work|Person - Email - Work", (vec![0], vec![1], vec![2])),
            ("Surname|fone|mail", (vec![0], vec![1], vec![2])),
        ] {
            assert_eq!(find(headers, &Columns::default()), Ok(expected), "{headers}");
        }
    }

    #[test]
    fn columns_that_no_contact_has_are_known() {
        let others = |headers: &str| {
            let headers: Vec<String> = headers.split('|').map(str::to_owned).collect();
            let mapping = Mapping::find(&headers, &Columns::default()).unwrap();
            mapping.others.into_iter().map(|(_, header)| header).collect::<Vec<_>>()
        };
        assert_eq!(others("Nome|Fax|Telefone|Tipo de telefone|E-mail|CPF||Notes"), ["Fax", "CPF", "Notes"]);
        assert_eq!(others("Name|Given Name|Phone 1 - Type|Phone 1 - Value|E-mail 1 - Value"), [""; 0]);
        assert_eq!(others("id|name|phone|ddd|state|region|email|version|created_at|updated_at"), [""; 0]);
    }

    #[test]
    fn a_column_that_the_caller_names_is_used() {
        let columns = Columns { name: Some("apelido".into()), phone: Some("home phone".into()), email: None };
        assert_eq!(find("Nome|Phone|Email|Apelido|Home-Phone", &columns), Ok((vec![3], vec![4], vec![2])));
        let error = find("Nome|Phone|Email", &columns).unwrap_err();
        assert!(error.contains("for: name (\"apelido\"), phone (\"home phone\")."), "{error}");
    }

    #[test]
    fn an_error_names_the_missing_columns_and_the_headers() {
        assert_eq!(
            find("Nome|Fax\u{7}|", &Columns::default()),
            Err("The header line has no column for: phone. Name the column to use; there are: \
                 \"Nome\", \"Fax\", \"\"."
                .into())
        );
        let many = vec!["x".repeat(1000); 1000].join("|");
        assert!(find(&many, &Columns::default()).unwrap_err().len() < 2000);
    }
}
