//! Uses the page of the operator's console like a person, in a real browser.

use crate::support::{
    Browser, ENTER, ESCAPE, Process, Proxy, Stack, create, eventually, json, new_contact, person, start_standalone,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contacts::config::{ApiKey, Scopes};
use contacts::domain::Reason;
use contacts::message::{Header, Message};
use contacts::queue::QueueKind;
use contacts::queue::embedded::EmbeddedDeadLetters;
use contacts::stop::Stop;
use contacts::telemetry::Health;
use std::fs::read_to_string;
use std::path::Path;
use std::time::{Duration, Instant};

const CONSOLE: (&str, &str) = ("CONTACTS__ADMIN__CONSOLE", "true");
/// A telephone and a desk.
const WIDTHS: [u32; 2] = [360, 1280];
const THEMES: [&str; 2] = ["light", "dark"];

/// Opens a section of a process's console.
fn open_console(process: &mut Process, section: &str) -> Browser {
    Browser::open(&format!("http://{}/console/{section}", process.admin().address()))
}

/// A message that failed for this reason.
fn failed(mut message: Message, reason: Reason) -> Message {
    message.headers.record_failure(reason, reason.sentence(), chrono::Utc::now());
    message
}

/// A dead-lettered message that can be applied now.
fn applicable(name: &str) -> Message {
    failed(Message::new(&create(new_contact(), name)), Reason::RejectedByDatabase)
}

/// A dead-lettered message with an area code that does not exist.
fn invalid(name: &str) -> Message {
    let mut message = Message::new(&create(new_contact(), "NAME"));
    let body = String::from_utf8(message.body).unwrap();
    message.body = body.replace("+5511987654321", "+5520987654321").replace("NAME", name).into_bytes();
    failed(message, Reason::Invalid)
}

fn undecodable(number: usize) -> Message {
    failed(Message { body: format!("<b>foreign {number}</b>").into_bytes(), ..Message::default() }, Reason::Undecodable)
}

/// Puts messages into the dead letter queue of a standalone.
fn fill(folder: &Path, messages: impl IntoIterator<Item = Message>) {
    let component = Health::default().component("queue");
    let (_queue, publisher, _thread) = EmbeddedDeadLetters::open(folder, 10_000, component, &Stop::default()).unwrap();
    let batch = messages.into_iter().map(|message| (QueueKind::DeadLetter, message, Duration::ZERO));
    let results = publisher.publish_all(batch, Duration::from_secs(60));
    assert!(results.iter().all(Result::is_ok));
}

impl Browser {
    #[track_caller]
    fn go(&self, section: &str) {
        self.script("location.hash = arguments[0]", json!([section]));
    }

    /// Nothing is wider than the page.
    #[track_caller]
    fn assert_fits(&self, what: &str) {
        let wider = "return [...document.querySelectorAll('body *')].filter((element) => \
            element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('.visually-hidden, .scroll, pre, .sprite')) \
            .map((element) => element.outerHTML.slice(0, 200))";
        assert_eq!(self.script(wider, json!([])), json!([]), "{what}");
    }

    /// Follows the rules of axe-core and fits into the page, at each width and in each theme.
    #[track_caller]
    fn assert_accessible(&self, what: &str) {
        for (width, theme) in WIDTHS.into_iter().flat_map(|width| THEMES.map(|theme| (width, theme))) {
            self.show_as(width, 800, theme);
            assert_eq!(self.serious_findings(), Vec::<String>::new(), "{what}, {width} px, {theme}");
            self.assert_fits(&format!("{what}, {width} px"));
        }
        self.show_as(1280, 900, "light");
    }
}

#[test]
fn now_says_what_is_wrong_since_when_and_what_to_do_first() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.database.address());
    let url = proxy.rewrite_url(&stack.database.url);
    let mut consumer = stack.start_with("consumer", &[CONSOLE, ("CONTACTS__DATABASE__URL", &url)]);
    consumer.wait_until_ready();
    let browser = open_console(&mut consumer, "");
    browser.wait_for_text("#sentence", "Everything works.");
    browser.wait_for_text(".parts", "Database");
    browser.wait_until("the title has the state", "return document.title.startsWith('Working')");

    // The database does not answer.
    proxy.refuse_connections(true);
    proxy.close_connections();
    browser.wait_for_text("#sentence", "The database does not answer.");
    let headline = browser.text(".headline");
    for words in ["since ", "Nothing that was accepted is lost.", "Do first: bring PostgreSQL back."] {
        assert!(headline.contains(words), "{words}: {headline}");
    }
    browser.wait_for_text(".parts .stopped", "Not ready");
    browser.wait_for_text("#live", "The database does not answer.");
    browser.assert_accessible("the database is down");
    browser.click(".headline a[href^='#runbook/']");
    browser.wait_for_text(".target", "ContactsDatabaseDown");
    browser.wait_for_text("#ribbon", "The database does not answer.");
    browser.click("#ribbon");
    proxy.clear_faults();
    browser.wait_for_text("#sentence", "Everything works.");

    // Another program publishes to the work queue.
    let foreign: Vec<String> = (0..30).map(|number| format!("<b>foreign</b> {number}")).collect();
    stack.broker.publish_raw(&foreign.iter().map(String::as_bytes).collect::<Vec<_>>());
    browser.wait_for_text("#sentence", "most with the reason undecodable");
    browser.wait_for_text(".headline", "Do first: stop the source");
    browser.wait_for_text(".tile.bad", "30");
    browser.wait_for_text("#nav-count", "30");

    // The process behind the page is gone: what is shown is old.
    consumer.kill();
    browser.wait_for_text("#lost", "This console does not answer.");
    browser.wait_until("the title has the state", "return document.title.startsWith('Not known')");
}

#[test]
fn the_plots_can_be_read_without_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    let client = process.client();
    let browser = open_console(&mut process, "");
    for number in 0..20 {
        assert_eq!(client.create(&format!("Ana {number}")).status, 202);
    }
    let rates = "[aria-labelledby=plot-rates]";
    let spoken = format!("return document.querySelector('{rates}').getAttribute('aria-valuetext')");
    browser.wait_until(
        "a rate is known",
        "return !/not known/.test(document.getElementById('plot-rates-summary').textContent)",
    );
    browser.tab_to(rates);
    let value = |script: &str| browser.script(script, json!([])).as_str().unwrap().to_owned();
    let newest = value(&spoken);
    assert!(newest.contains("accepted") && newest.contains("applied") && newest.contains("failed"), "{newest}");
    // The arrow keys move all plots to another time.
    browser.press("\u{E012}");
    browser.wait_until(
        "the time is another one",
        &format!("return document.querySelector('{rates}').getAttribute('aria-valuetext') !== '{newest}'"),
    );
    browser.wait_until(
        "all plots have it",
        "return new Set([...document.querySelectorAll('.plot-time')].map((time) => time.textContent)).size === 1",
    );
    browser.press(&ESCAPE.to_string());
    browser.wait_for_text(".plot-time", "now");
    browser.click(".plot .values summary");
    browser.wait_for_text(".plot .values table", "accepted");
    browser.assert_accessible("the plots");
    browser.assert_no_violations(&[404]);
}

#[test]
fn the_console_speaks_portuguese_and_is_driven_by_the_keyboard() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    let browser = open_console(&mut process, "");
    browser.wait_for_text("#sentence", "Everything works.");
    browser.click("#language");
    browser.wait_for_text("#sentence", "Tudo funciona.");
    browser.wait_until("the document has the language", "return document.documentElement.lang === 'pt-BR'");
    browser.script("location.reload()", json!([]));
    browser.wait_for_text("#sentence", "Tudo funciona.");
    browser.press("d");
    browser.wait_for_text("#sections [aria-current]", "Mensagens com falha");
    browser.press("r");
    browser.wait_for_text("#runbook h1", "Operating contacts");
    browser.press("/");
    browser.wait_until("the focus is in the box", "return document.activeElement.id === 'q'");
    browser.press(&format!("Ana{ENTER}"));
    browser.wait_for_text("#find .notice", "Isto não é um id");
    browser.tab_to("#sections a");
    browser.press("?");
    browser.wait_for_text("#help-dialog", "Atalhos do teclado");
    browser.click("#help-dialog .check input");
    browser.press(&ESCAPE.to_string());
    browser.press("n");
    browser.wait_until("the shortcuts are off", "return location.hash.startsWith('#find')");

    // The theme of the system, or the chosen one.
    let background = "return getComputedStyle(document.body).backgroundColor";
    browser.show_as(1280, 900, "dark");
    let dark = browser.script(background, json!([]));
    browser.click("#theme");
    browser.wait_until("the theme is light", "return document.documentElement.dataset.theme === 'light'");
    assert_ne!(browser.script(background, json!([])), dark);
    browser.script("location.reload()", json!([]));
    browser.wait_until("it is still light", "return document.documentElement.dataset.theme === 'light'");
    browser.assert_no_violations(&[400, 404]);
}

#[test]
fn the_console_asks_for_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let read = Scopes { read: true, ..Scopes::NONE };
    let keys = ApiKey::entry("day", read, "read-key");
    let mut process = start_standalone(folder.path(), &[CONSOLE, ("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    let browser = open_console(&mut process, "");
    browser.wait_until("it asks for a key", "return document.getElementById('key').open");
    assert_eq!(browser.serious_findings(), Vec::<String>::new());
    browser.fill("#key-value", &format!("wrong{ENTER}"));
    browser.wait_for_text("#key-reason", "does not accept");
    browser.fill("#key-value", &format!("read-key{ENTER}"));
    browser.wait_for_text("#sentence", "Everything works.");
    browser.wait_for_text("#operator", "day · may only read");
    let kept = "return JSON.stringify(localStorage) + document.cookie + location.href";
    assert!(!browser.script(kept, json!([])).to_string().contains("read-key"));
    browser.click("#key-forget");
    browser.wait_until("it asks again", "return document.getElementById('key').open");
    browser.assert_no_violations(&[401, 404]);
}

#[test]
fn a_message_is_shown_on_request_and_fixed_with_the_error_at_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    let client = process.client();
    fill(folder.path(), [invalid("Ana <img src=x onerror=alert(1)>"), undecodable(1)]);
    let browser = open_console(&mut process, "#dead-letters");
    browser.wait_for_text("#dead-letters h1", "2 dead-lettered messages");
    browser.assert_accessible("the groups");
    browser.click(".groups a[href*='reason=invalid']");
    browser.wait_for_text("#dead-letters h1", "1 of 2 dead-lettered messages");
    browser.wait_for_text(".advice", "open a message, fix it and send it");
    browser.wait_for_text(".same-command code", "list --reason invalid --operation insert");
    browser.assert_accessible("the messages");
    browser.click(".messages th a");
    browser.wait_for_text("#message", "contact.name");
    let page = "return document.body.innerText + JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert!(!browser.script(page, json!([])).to_string().contains("Ana"));
    browser.assert_accessible("a message");

    browser.click("#reveal");
    browser.wait_for_text("#message", "Ana <img src=x onerror=alert(1)>");
    assert_eq!(browser.script("return document.querySelectorAll('#message img').length", json!([])), json!(0));
    browser.click("#edit");
    browser
        .wait_until("the name is in its field", "return document.getElementById('fix-name')?.value.startsWith('Ana')");
    browser.assert_accessible("the dialog to fix");
    browser.click("#fix-send");
    browser.wait_for_text("#fix-phone-error", "67 area codes");
    browser.wait_until("the focus is on the phone", "return document.activeElement.id === 'fix-phone'");
    browser.fill("#fix-name", "Ana");
    browser.fill("#fix-phone", &format!("(11) 91234-5678{ENTER}"));
    browser.wait_for_text("#message .notice.good", "The fixed message was sent");
    browser.click("#message .notice.good a");
    browser.wait_for_text("#find .badge", "Applied");
    assert_eq!(client.get("/contacts?q=ana").json()["items"][0]["phone"], "+5511912345678");
    browser.assert_accessible("the life of a change");
    // The values are forgotten when the message is left.
    browser.go("#dead-letters");
    browser.wait_for_text("#dead-letters h1", "1 dead-lettered message");
    assert!(!browser.script("return document.body.innerHTML", json!([])).to_string().contains("91234"));
    let audited = process.log_lines("console audit");
    let acts: Vec<&str> = audited.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["show personal data", "fix", "fix"]);
    assert!(!process.log().contains("onerror"));
    browser.assert_no_violations(&[404, 422]);
}

#[test]
fn what_a_message_contains_stays_text_and_breaks_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    process.wait_until_ready();
    let markup = "<img src=x onerror=document.title='pwned'><script>alert(1)</script>";
    let hostile = |reason: &str, detail: &str, body: Vec<u8>| {
        let mut message = failed(Message { body, ..Message::default() }, Reason::Undecodable);
        message.headers.set("x-contacts-reason", Header::Text(reason.into()));
        message.headers.set("x-contacts-detail", Header::Text(detail.into()));
        message.headers.set("x-<b>foreign</b>", Header::Text(markup.into()));
        message
    };
    let turned = invalid(&format!("Ana \\u202egnp.exe\\u0007 {markup}"));
    fill(
        folder.path(),
        [
            turned.clone(),
            hostile("constructor", markup, markup.into()),
            hostile("__proto__", &"x".repeat(100_000), vec![b'<'; 3 << 20]),
            hostile(markup, "a\u{1b}[2Jb\u{202e}c", vec![0; 100]),
            hostile("findings.{reason}[{count}]", "", b"{}".to_vec()),
        ],
    );
    let browser = open_console(&mut process, "#dead-letters");
    browser.wait_for_text(".groups", "constructor");
    browser.wait_for_text(".groups", "findings.{reason}[{count}]");
    browser.assert_accessible("hostile groups");
    browser.go("#dead-letters?operation=unknown");
    browser.wait_for_text(".messages", "a\\u001b[2Jb\\u202ec");
    let long =
        "return Math.max(...[...document.querySelectorAll('.messages small')].map((text) => text.textContent.length))";
    assert_eq!(browser.script(long, json!([])), json!(1_001), "a long detail is cut");
    browser.assert_accessible("hostile messages");
    let links = "return [...document.querySelectorAll('.messages th a')].map((link) => link.hash)";
    let links = browser.script(links, json!([]));
    for link in links.as_array().unwrap() {
        browser.go("#dead-letters");
        browser.go(link.as_str().unwrap());
        browser.click("#reveal");
        browser.wait_until("it is shown", "return document.getElementById('reveal') === null && document.querySelector('#message .pairs, #message pre') !== null");
        browser.assert_fits("a hostile message");
    }
    browser.go(&format!("#message/{}", turned.id));
    browser.click("#reveal");
    browser.wait_for_text("#message .pairs", "Ana \\u202egnp.exe\\u0007 <img src=x");
    browser.script("document.querySelector('#message details').open = true", json!([]));

    // Addresses and stored values that this page did not make.
    for address in ["#message/%", "#runbook/%E0%A4%A", "#find?q=%", "#dead-letters?since=%", "#message/../../x", "#now"]
    {
        browser.go(address);
        browser
            .wait_until("a section is shown", "return document.querySelector('main > section:not([hidden])') !== null");
    }
    for stored in ["{", "7", "{\"kind\":\"replay\"}", "{\"kind\":\"x\",\"selection\":{}}"] {
        browser
            .script("localStorage.setItem('contacts.console.job', arguments[0]); location.reload()", json!([stored]));
        browser.wait_until("the page is new", "return document.getElementById('sentence') !== null");
    }
    let made = "return document.querySelectorAll('main img, main script, main b b').length + (document.title === 'pwned' ? 1 : 0)";
    assert_eq!(browser.script(made, json!([])), json!(0));
    browser.assert_no_violations(&[400, 404]);
}

#[test]
fn a_replay_is_agreed_to_by_its_number_and_can_be_paused_and_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    let client = process.client();
    fill(folder.path(), (0..120).map(|number| applicable(&format!("Ana {number}"))).chain([undecodable(1)]));
    let browser = open_console(&mut process, "#dead-letters?reason=rejected_by_database");
    browser.wait_for_text("#dead-letters h1", "120 of 121");
    let start = |rate: &str| {
        browser.click("#replay");
        browser.fill("#job-rate", rate);
        browser.wait_for_text("#job-dialog .command", &format!("replay --reason rejected_by_database --rate {rate}"));
    };
    start("20");
    browser.assert_accessible("the dialog to replay");
    browser.fill("#job-consent", &format!("12{ENTER}"));
    browser.wait_for_text("#job-consent-error", "Type 120.");
    // The queue grows after the operator has read the number.
    fill(folder.path(), [applicable("Bia")]);
    browser.fill("#job-consent", &format!("120{ENTER}"));
    browser.wait_for_text("#job-dialog .notice", "The selection now has more messages");
    browser.wait_for_text("#job-dialog .big-number", "121");
    browser.fill("#job-rate", "20");
    browser.fill("#job-consent", &format!("121{ENTER}"));

    browser.wait_for_text("#job .job-state", "running");
    browser.click("#job-pause");
    browser.wait_for_text("#job .job-state", "paused");
    browser.assert_accessible("a paused job");
    browser.go("#now");
    browser.wait_for_text("#job .job-state", "paused");
    browser.go("#dead-letters?reason=rejected_by_database");
    browser.click("#job-resume");
    browser.wait_for_text("#job .job-state", "running");
    browser.click("#job-cancel");
    browser.wait_for_text("#job .job-state", "stopped");
    browser.click("#job-dismiss");
    browser.wait_until("the card is closed", "return document.getElementById('job').hidden");

    // The rest, to its end.
    browser.click("#refresh");
    browser.wait_until("fewer are left", "return !/^121 /.test(document.querySelector('#dead-letters h1').innerText)");
    start("1000");
    let left = browser.text("#job-dialog .big-number b");
    browser.fill("#job-consent", &format!("{left}{ENTER}"));
    browser.wait_for_text("#job .job-state", "done");
    browser.wait_for_text("#job .outcomes", &format!("{left} applied"));
    browser.wait_for_text("#dead-letters .empty", "No message meets this filter");
    eventually("all are applied", || {
        (client.get("/contacts?q=ana&limit=200").json()["items"].as_array()?.len() == 120).then_some(())
    });
    browser.assert_no_violations(&[404, 409]);
}

#[test]
fn an_archive_is_saved_before_exactly_its_messages_are_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    process.wait_until_ready();
    fill(folder.path(), (0..5).map(undecodable));
    let browser = open_console(&mut process, "#dead-letters?reason=undecodable");
    browser.click("#archive");
    browser.wait_for_text("#job-dialog .big-number", "5 messages");
    browser.assert_accessible("the dialog to archive");
    browser.click("#job-dialog .primary");
    browser.click("#archive-save");
    browser.wait_for_text("#job .notice.good", "has 5 messages");
    let file = eventually("the file is saved", || {
        let mut files = std::fs::read_dir(browser.downloads()).ok()?.flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "ndjson"))
    });
    let lines = read_to_string(file).unwrap();
    assert_eq!(lines.lines().count(), 5);
    assert!(lines.lines().all(|line| line.contains("body_base64")), "{lines}");
    fill(folder.path(), [undecodable(6)]);
    browser.click("#archive-discard");
    browser.assert_accessible("the dialog to discard");
    browser.fill("#job-consent", &format!("5{ENTER}"));
    browser.wait_for_text("#job .job-state", "done");
    browser.wait_for_text("#dead-letters h1", "1 of 1 dead-lettered message");
    browser.assert_no_violations(&[404]);
}

#[test]
fn after_a_console_was_killed_the_page_says_what_is_left_of_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[CONSOLE]);
    let address = process.admin().address().to_owned();
    process.wait_until_ready();
    fill(folder.path(), (0..200).map(|number| applicable(&format!("Ana {number}"))));
    let browser = open_console(&mut process, "#dead-letters?reason=rejected_by_database");
    browser.click("#replay");
    browser.fill("#job-rate", "20");
    browser.fill("#job-consent", &format!("200{ENTER}"));
    browser.wait_until("some are sent", "return document.querySelector('#job progress')?.value > 20");
    process.kill();
    browser.wait_for_text("#lost", "This console does not answer");
    let mut process = start_standalone(folder.path(), &[CONSOLE, ("CONTACTS__ADMIN__LISTEN", &address)]);
    let client = process.client();
    browser.wait_for_text("#job h2", "The console was restarted in the middle of your job");
    browser.wait_for_text("#job", "messages of its selection are in the queue now");
    browser.assert_accessible("what is left of a job");
    browser.click("#job .primary");
    // The dialog opens when the messages are counted.
    browser.wait_for_count("#job-dialog[open] .big-number b", 1);
    let left = browser.text("#job-dialog .big-number b");
    browser.fill("#job-rate", "1000");
    browser.fill("#job-consent", &format!("{left}{ENTER}"));
    browser.wait_for_text("#job .job-state", "done");
    eventually("all are applied", || {
        (client.get("/contacts?q=ana&limit=200").json()["items"].as_array()?.len() == 200).then_some(())
    });
}

#[test]
fn a_key_that_only_reads_is_offered_nothing_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let read = Scopes { read: true, ..Scopes::NONE };
    let keys = ApiKey::entry("day", read, "read-key");
    let mut process = start_standalone(folder.path(), &[CONSOLE, ("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    process.wait_until_ready();
    fill(folder.path(), [invalid("Ana")]);
    let browser = open_console(&mut process, "#dead-letters?reason=invalid");
    browser.fill("#key-value", &format!("read-key{ENTER}"));
    browser.wait_for_text("#selection-actions", "Your key may only read.");
    browser.click(".messages th a");
    browser.wait_for_text("#message", "To show them a key needs the scope operate:write.");
    let buttons = "return document.querySelectorAll('#replay, #archive, #discard, #reveal, #edit, .mark').length";
    assert_eq!(browser.script(buttons, json!([])), json!(0));
    browser.assert_no_violations(&[401, 404]);
}

/// A fault at the end of five minutes of light load, with made-up data. `make screenshots` runs it.
#[test]
#[ignore = "makes the pictures of the documents"]
fn pictures_for_the_documents() {
    // The pictures show its path.
    let folder = tempfile::Builder::new().prefix("contacts").rand_bytes(0).tempdir_in("/var/tmp").unwrap();
    let keys = ApiKey::entry("night", Scopes::CONTACTS, "made-up-key");
    let settings = [
        CONSOLE,
        ("CONTACTS__ADMIN__CONSOLE_KEYS", keys.as_str()),
        ("CONTACTS__RETRY__DELAY", "1s"),
        ("CONTACTS__RETRY__MAX_ATTEMPTS", "3"),
    ];
    let mut process = start_standalone(folder.path(), &settings);
    let client = process.client();
    let hours_ago = |hours| chrono::Utc::now() - chrono::TimeDelta::hours(hours);
    let old = [(Reason::Invalid, 14, 9), (Reason::VersionConflict, 6, 20), (Reason::ContactDeleted, 3, 31)];
    let old = old.into_iter().flat_map(|(reason, count, hours)| (0..count).map(move |number| (reason, hours, number)));
    fill(
        folder.path(),
        old.map(|(reason, hours, number)| {
            let mut message = invalid(&format!("Made Up {number}"));
            message.headers.record_failure(
                reason,
                reason.sentence(),
                hours_ago(hours) + chrono::TimeDelta::minutes(number),
            );
            message
        }),
    );
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(290) {
        let second = started.elapsed().as_secs_f64();
        assert_eq!(client.create("Made Up").status, 202);
        if second > 240.0 {
            // A client that changes contacts which it never created.
            let path = format!("/contacts/{}", new_contact());
            assert_eq!(client.write("PUT", &path, &[], &person("Made Up")).status, 202);
        }
        std::thread::sleep(Duration::from_millis(90 + (60.0 * (second / 35.0).sin()) as u64));
    }
    let browser = open_console(&mut process, "");
    browser.show_as(1280, 900, "light");
    browser.fill("#key-value", &format!("made-up-key{ENTER}"));
    browser.wait_for_text("#sentence", "Many messages fail");
    // A picture has no scroll bar, and so no space for it.
    browser.script("document.documentElement.style.scrollbarGutter = 'auto'", json!([]));
    let picture = |name: &str| {
        // The page is drawn in the new size and theme.
        std::thread::sleep(Duration::from_secs(1));
        let picture = STANDARD.decode(browser.picture()).unwrap();
        assert!(picture.len() < 200_000, "{name}: {} bytes", picture.len());
        std::fs::write(format!("docs/images/console-{name}.png"), picture).unwrap();
    };
    let sections = [("#now", ".parts", "now", "dark"), ("#dead-letters", ".groups", "dead-letters", "light")];
    for (section, ready, name, telephone_theme) in sections {
        browser.go(section);
        browser.wait_until("it is shown", &format!("return document.querySelector('{ready}') !== null"));
        let height = "return document.querySelector('.page-footer').getBoundingClientRect().bottom + scrollY";
        let height = browser.script(height, json!([])).as_f64().unwrap() as u32;
        for theme in THEMES {
            browser.show_as(1280, height + 20, theme);
            picture(&format!("{name}-{theme}"));
        }
        browser.show_as(390, 844, telephone_theme);
        picture(&format!("{name}-telephone"));
        browser.show_as(1280, 900, "light");
    }
}
