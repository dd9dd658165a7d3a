//! Tests that compare the OpenAPI document with the API: operations, methods, answers, and the committed file.

use crate::support::{Client, json, person, start_standalone};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
/// The id of a contact that does not exist.
const UNKNOWN_ID: &str = "0199f0a4-7d1c-7a60-8f6e-3b0c5e1d2f4a";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Starts a service and runs a test with its client and its OpenAPI document.
fn with_service(test: impl FnOnce(&Client, &Value)) {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    let client = process.client();
    let served = client.get("/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, "application/json"));
    test(&client, &served.json());
}

/// The operations of each path, by method in upper case.
fn operations(document: &Value) -> BTreeMap<String, BTreeMap<String, Value>> {
    let paths = document["paths"].as_object().unwrap();
    let of = |path: &Value| -> BTreeMap<String, Value> {
        path.as_object().unwrap().iter().map(|(method, op)| (method.to_uppercase(), op.clone())).collect()
    };
    paths.iter().map(|(path, operations)| (path.clone(), of(operations))).collect()
}

/// Resolves a reference. Other values are returned unchanged.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(target) = value["$ref"].as_str() else { return value };
    document.pointer(target.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{target} does not exist"))
}

/// Collects all references.
fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

fn renewed(path: &str) -> bool {
    let renew = std::env::var_os("CONTACTS_RENEW").is_some();
    if renew {
        println!("renewing {path}");
    }
    renew
}

/// `make openapi` renews the file.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    with_service(|client, _| {
        let (path, served) = ("docs/openapi.json", client.get("/openapi.json"));
        if renewed(path) {
            std::fs::write(root().join(path), &served.body).unwrap();
        }
        let committed = std::fs::read_to_string(root().join(path)).unwrap();
        assert!(committed == served.body, "{path} is not the served document: renew it with `make openapi`");
        let again = client.send("GET", "/openapi.json", &[("if-none-match", served.header("etag"))], None).unwrap();
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    });
}

#[test]
fn every_operation_is_served_and_no_other_method() {
    with_service(|client, document| {
        let contact = client.create("Ana").text("contact_id");
        let operation = client.write("PUT", &format!("/contacts/{contact}"), &[], &person("Bia")).text("operation_id");
        client.finished_operation(&operation);
        for (template, operations) in operations(document) {
            let id = if template.starts_with("/operations") { &operation } else { &contact };
            let path = template.replace("{id}", id);
            let described: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
            // DELETE is the last method, because the other requests need the contact.
            for method in METHODS.into_iter().filter(|method| *method != "DELETE").chain(["DELETE"]) {
                let answer = if method == "PATCH" {
                    client
                        .send(
                            method,
                            &path,
                            &[("content-type", "application/merge-patch+json")],
                            Some(br#"{"email":null}"#),
                        )
                        .unwrap()
                } else if matches!(method, "POST" | "PUT") {
                    client.write(method, &path, &[], &person("Ana"))
                } else {
                    client.send(method, &path, &[], None).unwrap()
                };
                if described.contains(method) {
                    assert!(!matches!(answer.status, 404 | 405), "{method} {path}: {answer:?}");
                    let known = &operations[method]["responses"][answer.status.to_string()];
                    assert!(known.is_object(), "{method} {template} does not describe {}", answer.status);
                    for (name, header) in resolved(document, known)["headers"].as_object().unwrap() {
                        let header = resolved(document, header);
                        assert!(
                            header["required"] != true || answer.headers.contains_key(name),
                            "{method} {template}: no {name}: {answer:?}"
                        );
                    }
                } else {
                    assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                    let allowed: BTreeSet<&str> = answer.header("allow").split(", ").collect();
                    assert_eq!(allowed, described, "{method} {path}");
                }
            }
        }
    });
}

#[test]
fn problems_are_described_in_the_document() {
    with_service(|client, document| {
        let known = &document["components"]["schemas"]["ProblemType"]["enum"];
        let types: BTreeSet<&str> = known.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
        for (method, path, status) in [
            ("GET", "/contacts?limit=0", 422),
            ("GET", "/contacts/x", 404),
            ("POST", "/contacts", 415),
            ("PATCH", "/contacts", 405),
        ] {
            let answer = client.send(method, path, &[], None).unwrap();
            assert_eq!(answer.status, status, "{method} {path}");
            assert!(types.contains(&*answer.text("type")), "{answer:?}");
            let name = ureq::http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap().replace(' ', "");
            let described = &document["components"]["responses"][&name];
            for (name, header) in described["headers"].as_object().unwrap() {
                let header = resolved(document, header);
                assert!(header["required"] != true || answer.headers.contains_key(name), "no {name}: {answer:?}");
            }
        }
        let unknown = client.get(&format!("/contacts/{UNKNOWN_ID}"));
        assert_eq!((unknown.status, unknown.json()["type"].clone()), (404, json!("/problems/not-found")));
    });
}

#[test]
fn every_operation_is_described_completely() {
    with_service(|_, document| {
        let mut all = Vec::new();
        references(document, &mut all);
        assert!(all.len() > 100);
        for target in all {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} does not exist");
        }
        let (tags, mut ids) = (&document["tags"], BTreeSet::new());
        for (path, operations) in operations(document) {
            for (method, operation) in operations {
                let name = format!("{method} {path}");
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
                let tag = &operation["tags"][0];
                assert!(tags.as_array().unwrap().iter().any(|known| known["name"] == *tag), "{name}: {tag}");
                assert!(operation["summary"].is_string(), "{name}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
                assert!(responses.keys().any(|status| status.starts_with('4')), "{name}");
                let mut examples = 0;
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let parameter = resolved(document, parameter);
                    assert!(parameter["schema"].is_object(), "{name}");
                    // Other parameters have an example in the description. A cursor has none, because only an answer
                    // contains one.
                    examples += usize::from(parameter["example"] != Value::Null);
                    let placed = path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()));
                    assert_eq!(parameter["in"] == "path", placed, "{name}: {parameter}");
                }
                let bodies =
                    responses.values().map(|response| resolved(document, response)).chain([&operation["requestBody"]]);
                for content in
                    bodies.filter_map(|body| body["content"].as_object()).flat_map(|content| content.values())
                {
                    assert!(content["example"] != Value::Null || content["examples"].is_object(), "{name}: {content}");
                    examples += 1;
                }
                // The answer to HEAD has no body.
                assert!(examples > 0 || method.eq_ignore_ascii_case("head"), "{name} has no example");
            }
        }
    });
}

#[test]
fn the_api_reference_names_the_same_operations() {
    let reference = std::fs::read_to_string(root().join("docs/reference/api.md")).unwrap();
    let rows = reference.lines().skip_while(|line| !line.starts_with("| request |")).skip(2);
    let named: BTreeSet<String> = rows
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_matches('|').split(" | ").next()?.split('`').nth(1))
        // The OpenAPI document does not describe pages for people.
        .filter(|request| request.split(' ').nth(1).is_some_and(is_described))
        .map(|request| request.split('?').next().unwrap().to_owned())
        .collect();
    with_service(|_, document| {
        let described: BTreeSet<String> = operations(document)
            .into_iter()
            .flat_map(|(path, operations)| operations.into_keys().map(move |method| format!("{method} {path}")))
            // Every path with GET also has HEAD, so the table does not list HEAD.
            .filter(|operation| !operation.starts_with("HEAD "))
            .collect();
        assert_eq!(named, described);
    });
}

/// Whether a path of the table in `docs/reference/api.md` belongs to the API, not to its pages and documents.
fn is_described(path: &str) -> bool {
    ["/contacts", "/operations", "/changes", "/areas", "/subjects"].iter().any(|begin| path.starts_with(begin))
}
