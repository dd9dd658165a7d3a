//! Uses the page of the operator's console like a person, in a real browser.

use crate::support::{Browser, ENTER, ESCAPE, Process, Proxy, Stack, json, start_standalone};
use contacts::config::{ApiKey, Scopes};

const CONSOLE: (&str, &str) = ("CONTACTS__ADMIN__CONSOLE", "true");
/// A telephone and a desk.
const WIDTHS: [u32; 2] = [360, 1280];
const THEMES: [&str; 2] = ["light", "dark"];

/// Opens a section of a process's console.
fn open_console(process: &mut Process, section: &str) -> Browser {
    Browser::open(&format!("http://{}/console/{section}", process.admin().address()))
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
