//! The page and the API's reference as a person uses them, in a real browser.

use crate::support::{Answer, Browser, Client, ENTER, ESCAPE, Process, TAB, eventually, json, person, standalone};
use std::fs::read_to_string;
use tempfile::TempDir;

const ROWS: &str = "#rows tr";
const FIRST_ROW: &str = "#rows tr:first-child";
const NEWEST: &str = "#changes-list li:first-child";

struct Served {
    browser: Browser,
    client: Client,
    _process: Process,
    folder: TempDir,
}

/// Opens a page of a service, in which these contacts are.
fn serve(path: &str, settings: &[(&str, &str)], names: &[&str]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), settings);
    let client = process.client();
    for name in names {
        done(&client, &client.create(name));
    }
    let browser = Browser::open(&format!("http://{}{path}", client.address()));
    Served { browser, client, _process: process, folder }
}

fn done(client: &Client, accepted: &Answer) {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(client.ended(&accepted.text("operation_id"))["status"], "applied");
}

fn delete_elsewhere(client: &Client, name: &str) {
    let found = client.get(&format!("/contacts?q={name}")).json();
    let path = format!("/contacts/{}", found["items"][0]["id"].as_str().unwrap());
    done(client, &client.send("DELETE", &path, &[], None).unwrap());
}

impl Browser {
    /// Notes each state that a change is shown in, however short.
    fn note_states(&self) {
        let script = "window.states = []; \
            const note = () => states.push(document.querySelector('#changes-list .badge')?.innerText); \
            new MutationObserver(note)\
                .observe(document.querySelector('#changes-list'), { childList: true, subtree: true })";
        self.script(script, json!([]));
    }

    #[track_caller]
    fn noted(&self, states: &[&str]) {
        let script = "return window.states.splice(0).filter((state, at, all) => state && state !== all[at - 1])";
        assert_eq!(self.script(script, json!([])), json!(states));
    }

    fn closed(&self, dialog: &str) {
        self.until(&format!("{dialog} is closed"), &format!("return !document.querySelector('{dialog}').open"));
    }

    fn opened(&self, dialog: &str) {
        self.until(&format!("{dialog} is open"), &format!("return document.querySelector('{dialog}').open"));
    }
}

#[test]
fn a_contact_is_made_with_the_keyboard_then_found_changed_and_deleted() {
    let served = serve("/", &[], &["Bruno Lima", "Carla Dias"]);
    let (browser, client) = (&served.browser, &served.client);
    browser.counts(ROWS, 2);
    browser.note_states();

    browser.press("/");
    browser.until("/ leads to the search", "return document.activeElement.id === 'q'");
    browser.tab_to("#create");
    browser.press(&ENTER.to_string());
    browser.opened("#edit");
    browser.press(&format!("Ana Souza{TAB}(11) 98765-4321{TAB}ana@example.com{ENTER}"));
    browser.closed("#edit");
    browser.reads(NEWEST, "Applied");
    browser.noted(&["Accepted", "Applied"]);
    browser.reads(FIRST_ROW, "Ana Souza");
    browser.reads(FIRST_ROW, "Sudeste");
    browser.until("the focus is back", "return document.activeElement.id === 'create'");

    browser.fill("#q", "ana");
    browser.counts(ROWS, 1);
    browser.click(&format!("{FIRST_ROW} [data-act=edit]"));
    browser.fill("#edit-name", "Ana Lima");
    browser.click("#edit-send");
    browser.closed("#edit");
    browser.reads(FIRST_ROW, "Ana Lima");
    browser.reads(NEWEST, "Applied");
    browser.noted(&["Accepted", "Applied"]);
    assert_eq!(client.get("/contacts?q=ana").json()["items"][0]["name"], "Ana Lima");

    browser.click(&format!("{FIRST_ROW} [data-act=remove]"));
    browser.click("#remove-send");
    browser.counts(ROWS, 0);
    browser.noted(&["Accepted", "Applied"]);
    assert_eq!(client.get("/contacts?q=ana").json()["items"], json!([]));
    browser.click("#clear");
    browser.counts(ROWS, 2);
    browser.behaved(&[]);
}

#[test]
fn a_wrong_phone_is_shown_at_its_field_in_the_language_chosen() {
    let served = serve("/", &[], &[]);
    let browser = &served.browser;
    browser.reads("#empty", "No contacts yet");
    browser.click("#create");
    browser.fill("#edit-name", "Ana Souza");
    browser.fill("#edit-phone", "98765-4321");
    browser.fill("#edit-email", "ana@example.com");
    browser.click("#edit-send");
    browser.reads("#edit-phone-error", "area code");
    browser.until("the focus is there", "return document.activeElement.id === 'edit-phone'");
    assert_eq!(browser.text("#edit-name-error") + &browser.text("#edit-email-error"), "");
    browser.press(&ESCAPE.to_string());
    browser.closed("#edit");

    browser.click("#language");
    browser.reads("h1", "Contatos");
    browser.until("the language is told", "return document.documentElement.lang === 'pt-BR'");
    browser.click("#create");
    browser.fill("#edit-name", "Ana Souza");
    browser.fill("#edit-phone", "98765-4321");
    browser.fill("#edit-email", "ana@example.com");
    browser.click("#edit-send");
    browser.reads("#edit-problem", "Não aceita");
    browser.reads("#edit-phone-error", "DDD");
    browser.fill("#edit-phone", "11 98765-4321");
    browser.click("#edit-send");
    browser.reads(NEWEST, "Aplicada");

    browser.script("location.reload()", json!([]));
    browser.reads("h1", "Contatos");
    browser.counts(ROWS, 1);
    browser.behaved(&[422]);
}

#[test]
fn a_key_is_asked_for_where_one_is_needed() {
    let served = serve("/", &[("CONTACTS__HTTP__API_KEYS", "first-key,second-key")], &[]);
    let browser = &served.browser;
    browser.opened("#key");
    browser.fill("#key-value", &format!("wrong-key{ENTER}"));
    browser.reads("#key-why", "does not accept");
    browser.fill("#key-value", &format!("second-key{ENTER}"));
    browser.reads("#empty", "No contacts yet");
    browser.until("the filters know the areas", "return document.querySelectorAll('#ddd option').length === 68");
    browser.click("#create");
    browser.press(&format!("Ana Souza{TAB}(11) 98765-4321{TAB}ana@example.com{ENTER}"));
    browser.reads(NEWEST, "Applied");
    browser.reads(FIRST_ROW, "Ana Souza");
    let kept = "return JSON.stringify(localStorage) + document.cookie + location.href";
    assert!(!browser.script(kept, json!([])).to_string().contains("-key"));

    browser.click("#key-change");
    browser.opened("#key");
    browser.counts(ROWS, 0);
    browser.behaved(&[401]);
}

#[test]
fn a_change_that_meets_another_is_not_shown_as_done() {
    let served = serve("/", &[], &["Ana Souza", "Bruno Lima", "Carla Dias"]);
    let (browser, client) = (&served.browser, &served.client);
    browser.counts(ROWS, 3);
    let edit = |name: &str| {
        browser.fill("#q", name);
        browser.reads(FIRST_ROW, name);
        browser.counts(ROWS, 1);
        browser.click("[data-act=edit]");
        browser.opened("#edit");
    };

    // Changed by somebody else meanwhile: what was typed is kept beside what is.
    edit("Ana");
    let found = client.get("/contacts?q=ana").json();
    let path = format!("/contacts/{}", found["items"][0]["id"].as_str().unwrap());
    done(client, &client.write("PUT", &path, &[], &person("Ana Lima")));
    browser.fill("#edit-name", "Ana Prado");
    browser.click("#edit-send");
    browser.click("#edit-problem button");
    browser.reads("#edit-name-now", "Ana Lima");
    browser.until("it is kept", "return document.querySelector('#edit-name').value === 'Ana Prado'");
    browser.click("#edit-send");
    browser.closed("#edit");
    browser.reads(FIRST_ROW, "Ana Prado");

    // Deleted meanwhile, which the service knows at once.
    edit("Bruno");
    delete_elsewhere(client, "bruno");
    browser.fill("#edit-name", "Bruno Prado");
    browser.click("#edit-send");
    browser.click("#edit-problem button");
    browser.reads("#edit-problem", "no longer exists");
    browser.press(&ESCAPE.to_string());
    browser.closed("#edit");
    browser.counts(ROWS, 0);

    // Deleted meanwhile, which only comes out when the change is applied: as with a change that is accepted while the
    // delete is still on its way, here by taking away the condition that would be checked before.
    edit("Carla");
    delete_elsewhere(client, "carla");
    let unconditional = "const send = window.fetch; \
        window.fetch = (path, options) => { options.headers.delete('If-Match'); return send(path, options); }";
    browser.script(unconditional, json!([]));
    browser.note_states();
    browser.fill("#edit-name", "Carla Prado");
    browser.click("#edit-send");
    browser.reads(NEWEST, "contact_deleted");
    browser.noted(&["Accepted", "Failed"]);
    browser.counts(ROWS, 0);
    browser.click(&format!("{NEWEST} .next button"));
    browser.opened("#edit");
    browser.click("#edit-send");
    browser.closed("#edit");
    browser.reads(NEWEST, "Applied");
    assert_eq!(client.get("/contacts?q=carla").json()["items"][0]["name"], "Carla Prado");
    browser.behaved(&[404, 412]);
}

#[test]
fn a_file_is_checked_imported_and_exported() {
    let served = serve("/", &[], &[]);
    let (browser, client) = (&served.browser, &served.client);
    let file = served.folder.path().join("people.csv");
    let lines = "name,phone,email\nAna Souza,(11) 98765-4321,ana@example.com\nBruno Lima,12,bruno@example.com\n";
    std::fs::write(&file, lines).unwrap();
    browser.click("#import-open");
    browser.choose("#import-file", &file);
    browser.reads("#import-state", "1 of 2 records");
    browser.reads("#import-lines", "Line 3");
    assert_eq!(client.get("/contacts").json()["items"], json!([]));
    browser.click("#import-send");
    browser.reads("#import-state", "1 accepted");
    browser.press(&ESCAPE.to_string());
    browser.closed("#import");
    browser.reads(FIRST_ROW, "Ana Souza");

    browser.click("#export summary");
    browser.click("#export [data-format=csv]");
    let saved = browser.downloads().join("contacts.csv");
    let saved = eventually("the file is saved", || read_to_string(&saved).ok().filter(|text| !text.is_empty()));
    assert!(saved.contains("Ana Souza") && saved.lines().count() == 2, "{saved}");
    browser.behaved(&[]);
}

#[test]
fn the_reference_tries_the_api_out() {
    let served = serve("/docs", &[], &[]);
    let (browser, client) = (&served.browser, &served.client);
    let operation = |method: &str, path: &str| {
        let block = format!(".opblock-{method}:has([data-path='{path}'])");
        browser.click(&format!("{block} .opblock-summary-control"));
        browser.counts(&format!("{block} .try-out__btn"), 1);
        if browser.text(&format!("{block} .try-out__btn")) == "Try it out" {
            browser.click(&format!("{block} .try-out__btn"));
        }
        browser.counts(&format!("{block} .execute"), 1);
        block
    };
    let answer = |block: &str| browser.text(&format!("{block} .live-responses-table .highlight-code code"));

    let create = operation("post", "/contacts");
    // Examples stand in the fields of the parameters; this request has none.
    let filled = format!("{create} .parameters input[type=text]:not([value=''])");
    while browser.script("return document.querySelector(arguments[0]) !== null", json!([filled])) == json!(true) {
        browser.fill(&filled, "");
    }
    browser.click(&format!("{create} .execute"));
    browser.reads(&format!("{create} .live-responses-table .response-col_status"), "202");
    let accepted: serde_json::Value = serde_json::from_str(&answer(&create)).unwrap();
    let id = accepted["operation_id"].as_str().unwrap();

    let follow = operation("get", "/operations/{id}");
    browser.fill(&format!("{follow} [data-param-name=id] input"), id);
    eventually("the reference shows it applied", || {
        browser.click(&format!("{follow} .execute"));
        answer(&follow).contains("\"status\": \"applied\"").then_some(())
    });
    assert_eq!(client.ended(id)["contact_id"], accepted["contact_id"]);
    browser.behaved(&[]);
}
