//! The messages that a request selects, with the options of the command line.

use crate::console::problem::Problem;
use crate::dlq::Selection;
use serde_json::{Map, Value};
use std::path::Path;

/// The options that may occur several times.
const LISTS: [&str; 4] = ["reason", "operation", "contact", "id"];
/// The options with one value.
const SINGLE: [&str; 3] = ["since", "until", "limit"];
/// The option without a value.
const ALL: &str = "all";

/// A selection as it was requested, and its meaning.
#[derive(Clone, Debug)]
pub(super) struct SelectionRequest {
    /// The options with their values, in the order of the request.
    options: Vec<(&'static str, String)>,
    pub(super) selection: Selection,
}

impl SelectionRequest {
    /// Parses parameters of a query.
    pub(super) fn from_parameters(parameters: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problem> {
        let mut options = Vec::new();
        for (name, value) in parameters {
            let known = LISTS.iter().chain(&SINGLE).chain(&[ALL]).find(|known| **known == name);
            let Some(known) = known else {
                return Err(Problem::invalid(format!(
                    "{name} is not a parameter: reason, operation, contact, id, since, until, limit, all"
                )));
            };
            match (*known, value.as_str()) {
                (ALL, "false") => {}
                (ALL, "true" | "") => options.push((ALL, String::new())),
                (ALL, _) => return Err(Problem::invalid("all is true or false")),
                _ => options.push((known, value)),
            }
        }
        let selection = Selection::from_options(options.iter().map(|(name, value)| as_option(name, value)));
        Ok(Self { selection: selection.map_err(Problem::invalid)?, options })
    }

    /// Parses the member `selection` of a body.
    pub(super) fn from_json(members: Map<String, Value>) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for (name, value) in members {
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                let text = match value {
                    Value::Null => continue,
                    Value::String(text) => text,
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    Value::Array(_) | Value::Object(_) => {
                        return Err(Problem::invalid(format!("selection.{name} is a text, or a list of texts")));
                    }
                };
                parameters.push((name.clone(), text));
            }
        }
        Self::from_parameters(parameters)
    }

    /// The selection as the member of a body.
    pub(super) fn to_json(&self) -> Value {
        let mut members = Map::new();
        for name in LISTS {
            let values: Vec<&str> =
                self.options.iter().filter(|(option, _)| *option == name).map(|(_, value)| value.as_str()).collect();
            if !values.is_empty() {
                members.insert(name.to_owned(), values.into());
            }
        }
        for (name, value) in &self.options {
            match *name {
                ALL => drop(members.insert(ALL.to_owned(), true.into())),
                name if SINGLE.contains(&name) => drop(members.insert(name.to_owned(), value.as_str().into())),
                _ => {}
            }
        }
        members.into()
    }

    /// The selection in one line, for the log and as a key.
    pub(super) fn text(&self) -> String {
        let option = |(name, value): &(&str, String)| if *name == ALL { ALL.into() } else { format!("{name}={value}") };
        self.options.iter().map(option).collect::<Vec<_>>().join(" ")
    }

    /// The command line that does the same. `verb` is the operation, with its own arguments.
    pub(super) fn command(&self, data_folder: Option<&Path>, verb: &str, arguments: &str) -> String {
        let mut command = command(data_folder, verb);
        for (name, value) in &self.options {
            command.push_str(&match (*name, value.starts_with('-')) {
                (ALL, _) => " --all".to_owned(),
                (name, true) => format!(" --{name}={}", quoted(value)),
                (name, false) => format!(" --{name} {}", quoted(value)),
            });
        }
        if !arguments.is_empty() {
            command.push(' ');
            command.push_str(arguments);
        }
        command
    }
}

fn as_option(name: &str, value: &str) -> String {
    if name == ALL { "--all".to_owned() } else { format!("--{name}={value}") }
}

/// The command line of an operation, with its own arguments.
pub(super) fn command(data_folder: Option<&Path>, verb: &str) -> String {
    match data_folder {
        Some(folder) => format!("contacts dlq-drain --data-dir {} {verb}", quoted(&folder.display().to_string())),
        None => format!("contacts dlq-drain {verb}"),
    }
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ',' | ':' | '/' | '+' | '=' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(parameters: &[(&str, &str)]) -> Result<SelectionRequest, String> {
        let owned = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SelectionRequest::from_parameters(owned).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_selection_is_the_same_in_a_query_and_in_a_body_and_on_the_command_line() {
        let of_query = request(&[("reason", "invalid,poison"), ("reason", "it's"), ("since", "2h"), ("limit", "5")]);
        let of_query = of_query.unwrap();
        let json = json!({ "reason": ["invalid,poison", "it's"], "since": "2h", "limit": "5" });
        assert_eq!(of_query.to_json(), json);
        let mut members = json.as_object().unwrap().clone();
        members.insert("limit".into(), 5.into());
        members.insert("all".into(), false.into());
        let of_body = SelectionRequest::from_json(members).unwrap();
        assert_eq!(of_body.selection.reason, ["invalid", "poison", "it's"]);
        assert_eq!((of_body.selection.limit, of_body.to_json()), (Some(5), json));
        assert_eq!(
            of_query.command(Some(Path::new("/var/lib/my data")), "replay", "--rate 100 --yes"),
            r"contacts dlq-drain --data-dir '/var/lib/my data' replay --reason invalid,poison --reason 'it'\''s' --since 2h --limit 5 --rate 100 --yes"
        );
        let all = request(&[("all", "true")]).unwrap();
        assert_eq!((all.command(None, "list", ""), all.text()), ("contacts dlq-drain list --all".into(), "all".into()));
        let strange = request(&[("reason", "--yes")]).unwrap();
        assert_eq!(strange.command(None, "list", ""), "contacts dlq-drain list --reason=--yes");
    }

    #[test]
    fn a_wrong_selection_is_explained() {
        for (name, value, part) in [
            ("colour", "red", "colour is not a parameter"),
            ("since", "yesterday", "write it as 2h"),
            ("limit", "0", "limit"),
            ("operation", "drop", "insert"),
            ("all", "maybe", "all is true or false"),
            ("id", "", "it is empty"),
        ] {
            let error = request(&[(name, value)]).unwrap_err();
            assert!(error.contains(part), "{name}={value}: {error}");
        }
        assert!(request(&[("all", "true"), ("reason", "x")]).unwrap_err().contains("cannot be used with"));
        let nested = json!({ "reason": [["x"]] });
        assert!(SelectionRequest::from_json(nested.as_object().unwrap().clone()).is_err());
    }
}
