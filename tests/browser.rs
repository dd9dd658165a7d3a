//! Uses the web page and the API reference like a person, in a real browser.

use crate::support::{
    Answer, Browser, Client, ENTER, ESCAPE, Process, TAB, eventually, json, person, start_standalone,
};
use std::fs::read_to_string;
use tempfile::TempDir;

const ROWS: &str = "#rows tr";
const FIRST_ROW: &str = "#rows tr:first-child";
const NEWEST: &str = "#changes-list li:first-child";

/// A running service, and a browser that shows one of its pages.
struct OpenPage {
    browser: Browser,
    client: Client,
    _process: Process,
    folder: TempDir,
}

/// Starts a service with these contacts, and opens one of its pages.
fn open_page(path: &str, settings: &[(&str, &str)], names: &[&str]) -> OpenPage {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), settings);
    let client = process.client();
    for name in names {
        wait_until_applied(&client, &client.create(name));
    }
    let browser = Browser::open(&format!("http://{}{path}", client.address()));
    OpenPage { browser, client, _process: process, folder }
}

fn wait_until_applied(client: &Client, accepted: &Answer) {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(client.finished_operation(&accepted.text("operation_id"))["status"], "applied");
}

fn delete_elsewhere(client: &Client, name: &str) {
    let found = client.get(&format!("/contacts?q={name}")).json();
    let path = format!("/contacts/{}", found["items"][0]["id"].as_str().unwrap());
    wait_until_applied(client, &client.send("DELETE", &path, &[], None).unwrap());
}

impl Browser {
    /// Records each state that the page shows for the newest change, also a short one.
    fn record_states(&self) {
        let script = "window.states = []; \
            const record = () => states.push(document.querySelector('#changes-list .badge')?.innerText); \
            new MutationObserver(record)\
                .observe(document.querySelector('#changes-list'), { childList: true, subtree: true })";
        self.script(script, json!([]));
    }

    /// Checks the recorded states, and starts again with none.
    #[track_caller]
    fn assert_states(&self, states: &[&str]) {
        let script = "return window.states.splice(0).filter((state, at, all) => state && state !== all[at - 1])";
        assert_eq!(self.script(script, json!([])), json!(states));
    }

    #[track_caller]
    fn wait_until_closed(&self, dialog: &str) {
        self.wait_until(&format!("{dialog} is closed"), &format!("return !document.querySelector('{dialog}').open"));
    }

    #[track_caller]
    fn wait_until_open(&self, dialog: &str) {
        self.wait_until(&format!("{dialog} is open"), &format!("return document.querySelector('{dialog}').open"));
    }
}

#[test]
fn a_contact_is_created_by_keyboard_then_found_edited_and_deleted() {
    let page = open_page("/", &[], &["Bruno Lima", "Carla Dias"]);
    let (browser, client) = (&page.browser, &page.client);
    browser.wait_for_count(ROWS, 2);
    browser.record_states();

    browser.press("/");
    browser.wait_until("/ moves the focus to the search", "return document.activeElement.id === 'q'");
    browser.tab_to("#create");
    browser.press(&ENTER.to_string());
    browser.wait_until_open("#edit");
    browser.press(&format!("Ana Souza{TAB}(11) 98765-4321{TAB}ana@example.com{ENTER}"));
    browser.wait_until_closed("#edit");
    browser.wait_for_text(NEWEST, "Applied");
    browser.assert_states(&["Accepted", "Applied"]);
    browser.wait_for_text(FIRST_ROW, "Ana Souza");
    browser.wait_for_text(FIRST_ROW, "Sudeste");
    browser.wait_until("the focus is on the button again", "return document.activeElement.id === 'create'");

    // All have the same phone number. Each search finds another number of contacts than the one before, so the list of the
    // one before does not pass for its result.
    for (part, count) in [("souza a", 1), ("8765-4321", 3), ("na@exam", 1), ("98765-4321", 3), ("ana", 1)] {
        browser.fill("#q", part);
        browser.wait_for_count(ROWS, count);
        browser.wait_for_text("#rows", "Ana Souza");
    }
    browser.click(&format!("{FIRST_ROW} [data-action=edit]"));
    browser.fill("#edit-name", "Ana Lima");
    browser.click("#edit-send");
    browser.wait_until_closed("#edit");
    browser.wait_for_text(FIRST_ROW, "Ana Lima");
    browser.wait_for_text(NEWEST, "Applied");
    browser.assert_states(&["Accepted", "Applied"]);
    assert_eq!(client.get("/contacts?q=ana").json()["items"][0]["name"], "Ana Lima");

    browser.click(&format!("{FIRST_ROW} [data-action=remove]"));
    browser.click("#remove-send");
    browser.wait_for_count(ROWS, 0);
    browser.assert_states(&["Accepted", "Applied"]);
    assert_eq!(client.get("/contacts?q=ana").json()["items"], json!([]));
    browser.click("#clear");
    browser.wait_for_count(ROWS, 2);
    browser.script(
        "const order = document.getElementById('sort'); order.value = 'name'; order.dispatchEvent(new Event('change'))",
        json!([]),
    );
    browser.wait_until("the list is in the order of the names", "const names = [...document.querySelectorAll('.contact-name')].map((name) => name.textContent); return names.length === 2 && names[0] < names[1]");
    browser.script("const order = document.getElementById('sort'); order.value = '-updated_at'; order.dispatchEvent(new Event('change'))", json!([]));
    browser.wait_until("the last change is first", "const times = [...document.querySelectorAll('.updated time')].map((time) => time.dateTime); return times.length === 2 && times[0] > times[1]");
    // Both contacts have the same number. One of them has no address.
    let id = client.get("/contacts").json()["items"][0]["id"].as_str().unwrap().to_owned();
    let headers = [("content-type", "application/merge-patch+json")];
    let patched = client.send("PATCH", &format!("/contacts/{id}"), &headers, Some(br#"{"email":null}"#)).unwrap();
    wait_until_applied(client, &patched);
    for (by, count) in [("phone", 2), ("email", 0)] {
        browser.script(
            &format!("const order = document.getElementById('sort'); order.value = 'duplicates:{by}'; order.dispatchEvent(new Event('change'))"),
            json!([]),
        );
        browser.wait_for_count(ROWS, count);
    }
    browser.fill("#q", "bruno");
    browser.wait_for_count(ROWS, 1);
    browser.assert_no_violations(&[]);
}

#[test]
fn a_field_error_is_shown_at_its_field_in_the_chosen_language() {
    let page = open_page("/", &[], &[]);
    let browser = &page.browser;
    browser.wait_for_text("#empty", "No contacts yet");
    browser.click("#create");
    browser.fill("#edit-name", "Ana Souza");
    browser.fill("#edit-phone", "98765-4321");
    browser.fill("#edit-email", "ana@example.com");
    browser.click("#edit-send");
    browser.wait_for_text("#edit-phone-error", "area code");
    browser.wait_until("the focus is on the phone", "return document.activeElement.id === 'edit-phone'");
    assert_eq!(browser.text("#edit-name-error") + &browser.text("#edit-email-error"), "");
    browser.press(&ESCAPE.to_string());
    browser.wait_until_closed("#edit");

    browser.click("#language");
    browser.wait_for_text("h1", "Contatos");
    browser.wait_until("the document has the language", "return document.documentElement.lang === 'pt-BR'");
    browser.click("#create");
    browser.fill("#edit-name", "Ana Souza");
    browser.fill("#edit-phone", "98765-4321");
    browser.fill("#edit-email", "ana@example.com");
    browser.click("#edit-send");
    browser.wait_for_text("#edit-problem", "Não aceita");
    browser.wait_for_text("#edit-phone-error", "DDD");
    browser.fill("#edit-phone", "11 98765-4321");
    browser.click("#edit-send");
    browser.wait_for_text(NEWEST, "Aplicada");

    browser.script("location.reload()", json!([]));
    browser.wait_for_text("h1", "Contatos");
    browser.wait_for_count(ROWS, 1);
    browser.assert_no_violations(&[422]);
}

#[test]
fn the_page_asks_for_a_key_and_forgets_it_on_request() {
    let page = open_page("/", &[("CONTACTS__HTTP__API_KEYS", "first-key,second-key")], &[]);
    let browser = &page.browser;
    browser.wait_until_open("#key");
    browser.fill("#key-value", &format!("wrong-key{ENTER}"));
    browser.wait_for_text("#key-reason", "does not accept");
    browser.fill("#key-value", &format!("second-key{ENTER}"));
    browser.wait_for_text("#empty", "No contacts yet");
    browser
        .wait_until("the filters have the area codes", "return document.querySelectorAll('#ddd option').length === 68");
    browser.click("#create");
    browser.press(&format!("Ana Souza{TAB}(11) 98765-4321{TAB}ana@example.com{ENTER}"));
    browser.wait_for_text(NEWEST, "Applied");
    browser.wait_for_text(FIRST_ROW, "Ana Souza");
    let kept = "return JSON.stringify(localStorage) + document.cookie + location.href";
    assert!(!browser.script(kept, json!([])).to_string().contains("-key"));

    browser.click("#key-change");
    browser.wait_until_open("#key");
    browser.wait_for_count(ROWS, 0);
    browser.assert_no_violations(&[401]);
}

#[test]
fn a_change_that_conflicts_with_another_is_not_shown_as_applied() {
    let page = open_page("/", &[], &["Ana Souza", "Bruno Lima", "Carla Dias"]);
    let (browser, client) = (&page.browser, &page.client);
    browser.wait_for_count(ROWS, 3);
    let edit = |name: &str| {
        browser.fill("#q", name);
        browser.wait_for_text(FIRST_ROW, name);
        browser.wait_for_count(ROWS, 1);
        browser.click("[data-action=edit]");
        browser.wait_until_open("#edit");
    };

    // Another client changes the contact: the page keeps the typed name and shows the current one below it.
    edit("Ana");
    let found = client.get("/contacts?q=ana").json();
    let path = format!("/contacts/{}", found["items"][0]["id"].as_str().unwrap());
    wait_until_applied(client, &client.write("PUT", &path, &[], &person("Ana Lima")));
    browser.fill("#edit-name", "Ana Prado");
    browser.click("#edit-send");
    browser.click("#edit-problem button");
    browser.wait_for_text("#edit-name-current", "Ana Lima");
    browser.wait_until("the typed name is kept", "return document.querySelector('#edit-name').value === 'Ana Prado'");
    browser.click("#edit-send");
    browser.wait_until_closed("#edit");
    browser.wait_for_text(FIRST_ROW, "Ana Prado");

    // Another client deletes the contact: the service refuses the change at once.
    edit("Bruno");
    delete_elsewhere(client, "bruno");
    browser.fill("#edit-name", "Bruno Prado");
    browser.click("#edit-send");
    browser.click("#edit-problem button");
    browser.wait_for_text("#edit-problem", "no longer exists");
    browser.press(&ESCAPE.to_string());
    browser.wait_until_closed("#edit");
    browser.wait_for_count(ROWS, 0);

    // Another client deletes the contact, and the consumer notices it when it applies the change. In production the
    // delete is then still in the queue; here the request has no condition that the producer could check.
    edit("Carla");
    delete_elsewhere(client, "carla");
    let unconditional = "const send = window.fetch; \
        window.fetch = (path, options) => { options.headers.delete('If-Match'); return send(path, options); }";
    browser.script(unconditional, json!([]));
    browser.record_states();
    browser.fill("#edit-name", "Carla Prado");
    browser.click("#edit-send");
    browser.wait_for_text(NEWEST, "contact_deleted");
    browser.assert_states(&["Accepted", "Failed"]);
    browser.wait_for_count(ROWS, 0);
    browser.click(&format!("{NEWEST} .remedies button"));
    browser.wait_until_open("#edit");
    browser.click("#edit-send");
    browser.wait_until_closed("#edit");
    browser.wait_for_text(NEWEST, "Applied");
    assert_eq!(client.get("/contacts?q=carla").json()["items"][0]["name"], "Carla Prado");
    browser.assert_no_violations(&[404, 412]);
}

#[test]
fn the_history_shows_what_changed_and_survives_the_contact() {
    const ITEMS: &str = "#history-list li";
    let page = open_page("/", &[("CONTACTS__HISTORY__VALUES", "true")], &["Ana Souza"]);
    let (browser, client) = (&page.browser, &page.client);
    let id = client.get("/contacts").json()["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/contacts/{id}");
    // A page of the history has 20 changes.
    for number in 1..=20 {
        let name = format!(r#"{{"name":"Ana {}"}}"#, if number == 20 { "<b>Lima</b>" } else { "Reis" });
        let headers = [("content-type", "application/merge-patch+json")];
        wait_until_applied(client, &client.send("PATCH", &path, &headers, Some(name.as_bytes())).unwrap());
    }
    browser.script("location.reload()", json!([]));
    browser.wait_for_text(FIRST_ROW, "<b>Lima</b>");
    browser.tab_to(&format!("{FIRST_ROW} [data-action=history]"));
    browser.press(&ENTER.to_string());
    browser.wait_until_open("#history");
    browser.wait_for_count(ITEMS, 20);
    browser.wait_for_text("#history-contact", "Ana <b>Lima</b>");
    browser.wait_for_text("#history-list li:nth-child(1)", "Name – before: Ana Reis");
    browser.wait_for_text("#history-list li:nth-child(2)", "It changed no field.");
    browser.click("#history-more");
    browser.wait_for_count(ITEMS, 21);
    let on_the_next = "return document.activeElement === document.querySelector('#history-list li:nth-child(21)')";
    browser.wait_until("the focus is on the first change of the next page", on_the_next);
    browser.wait_for_text("#history-list li:nth-child(21)", "New contact");
    browser.wait_until("there are no more", "return document.querySelector('#history-more').hidden");
    assert_eq!(browser.serious_findings(), [""; 0]);
    browser.show_as(390, 844, "dark");
    let too_wide =
        "return document.querySelector('#history').scrollWidth > document.querySelector('#history').clientWidth";
    assert_eq!(browser.script(too_wide, json!([])), json!(false));
    assert_eq!(browser.serious_findings(), [""; 0]);
    browser.press(&ESCAPE.to_string());
    browser.wait_until_closed("#history");
    let on_the_button = "return document.activeElement.dataset.action === 'history'";
    browser.wait_until("the focus is on the button again", on_the_button);

    // The list has no row of a deleted contact, but the change has a button.
    browser.click(&format!("{FIRST_ROW} [data-action=remove]"));
    browser.click("#remove-send");
    browser.wait_for_text(NEWEST, "Applied");
    browser.click("#language");
    browser.click(&format!("{NEWEST} .remedies button:not(.icon)"));
    browser.wait_for_text("#history-list li:nth-child(1)", "Exclusão");
    browser.wait_for_text("#history-list li:nth-child(1)", "Telefone – antes: (11) 98765-4321");
    browser.assert_no_violations(&[]);
}

#[test]
fn a_file_is_checked_imported_and_exported() {
    let page = open_page("/", &[], &[]);
    let (browser, client) = (&page.browser, &page.client);
    let file = page.folder.path().join("people.csv");
    let lines = "name,phone,email\nAna Souza,(11) 98765-4321,ana@example.com\nBruno Lima,12,bruno@example.com\n";
    std::fs::write(&file, lines).unwrap();
    browser.click("#import-open");
    browser.choose_file("#import-file", &file);
    browser.wait_for_text("#import-state", "1 of 2 records");
    browser.wait_for_text("#import-lines", "Ana Souza (11) 98765-4321 · ana@example.com");
    browser.wait_for_text("#import-lines", "Line 3");
    assert_eq!(client.get("/contacts").json()["items"], json!([]));
    browser.click("#import-send");
    browser.wait_for_text("#import-state", "1 accepted");
    browser.press(&ESCAPE.to_string());
    browser.wait_until_closed("#import");
    browser.wait_for_text(FIRST_ROW, "Ana Souza");

    browser.click("#export summary");
    browser.click("#export [data-format=csv]");
    let saved = browser.downloads().join("contacts.csv");
    let saved = eventually("the file is saved", || read_to_string(&saved).ok().filter(|text| !text.is_empty()));
    assert!(saved.contains("Ana Souza") && saved.lines().count() == 2, "{saved}");
    browser.assert_no_violations(&[]);
}

#[test]
fn the_page_reads_every_file_of_the_corpus() {
    let page = open_page("/", &[], &[]);
    let (browser, client) = (&page.browser, &page.client);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files: serde_json::Value =
        serde_json::from_str(&read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    browser.click("#import-open");
    for (name, file) in files.as_object().unwrap() {
        let records = file["records"].as_array().unwrap();
        let valid = records.iter().filter(|record| record.get("errors").is_none()).count();
        // Otherwise the result of the file before could be taken for the result of this one.
        browser.script("document.querySelector('#import-state').textContent = ''", json!([]));
        browser.choose_file("#import-file", &folder.join(name));
        browser.wait_for_text("#import-state", &format!("{valid} of {} records", records.len()));
        assert_eq!(browser.text("#import-problem"), "", "{name}");
    }
    // One of them is sent: UTF-16 with tabs.
    browser.choose_file("#import-file", &folder.join("excel-unicode-text.txt"));
    browser.wait_for_text("#import-state", "2 of 3 records");
    browser.click("#import-send");
    browser.wait_for_text("#import-state", "2 accepted");
    browser.press(&ESCAPE.to_string());
    browser.wait_for_text("body", "Lívia Antônia");
    assert_eq!(client.get("/contacts?q=marcio").json()["items"][0]["phone"], "+5511987654322");
    browser.assert_no_violations(&[]);
}

#[test]
fn the_reference_sends_requests_to_the_api() {
    let page = open_page("/docs", &[], &[]);
    let (browser, client) = (&page.browser, &page.client);
    let operation = |method: &str, path: &str| {
        let block = format!(".opblock-{method}:has([data-path='{path}'])");
        browser.click(&format!("{block} .opblock-summary-control"));
        browser.wait_for_count(&format!("{block} .try-out__btn"), 1);
        if browser.text(&format!("{block} .try-out__btn")) == "Try it out" {
            browser.click(&format!("{block} .try-out__btn"));
        }
        browser.wait_for_count(&format!("{block} .execute"), 1);
        block
    };
    let answer = |block: &str| browser.text(&format!("{block} .live-responses-table .highlight-code code"));

    let create = operation("post", "/contacts");
    // Swagger UI fills the parameters with examples. This request has no parameters.
    let filled = format!("{create} .parameters input[type=text]:not([value=''])");
    while browser.script("return document.querySelector(arguments[0]) !== null", json!([filled])) == json!(true) {
        browser.fill(&filled, "");
    }
    browser.click(&format!("{create} .execute"));
    browser.wait_for_text(&format!("{create} .live-responses-table .response-col_status"), "202");
    let accepted: serde_json::Value = serde_json::from_str(&answer(&create)).unwrap();
    let id = accepted["operation_id"].as_str().unwrap();

    let follow = operation("get", "/operations/{id}");
    browser.fill(&format!("{follow} [data-param-name=id] input"), id);
    eventually("the reference shows the applied operation", || {
        browser.click(&format!("{follow} .execute"));
        answer(&follow).contains("\"status\": \"applied\"").then_some(())
    });
    assert_eq!(client.finished_operation(id)["contact_id"], accepted["contact_id"]);
    browser.assert_no_violations(&[]);
}
