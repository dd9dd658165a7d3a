//! A headless Chromium, driven by WebDriver (W3C) over plain HTTP.
//!
//! Each browser has a chromedriver, a profile and a folder for downloads of its own, and takes all of them with it.

use super::eventually;
use serde_json::{Value, json};
use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use ureq::Agent;

/// Keys as WebDriver names them.
pub const ENTER: char = '\u{E007}';
pub const ESCAPE: char = '\u{E00C}';
pub const TAB: char = '\u{E004}';
/// Selects all of a field, so that the next key replaces it.
const ALL: &str = "\u{E009}a\u{E000}";
const BACKSPACE: char = '\u{E003}';

/// The name of an element's id in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PACKAGES: &str = "the browser tests need Debian's packages chromium and chromium-driver: \
    apt-get install --no-install-recommends chromium chromium-driver \
    (or CONTACTS_TEST_CHROMEDRIVER with the path of another chromedriver)";
/// Keeps what the policy of each page refuses, from before its own scripts begin.
const WATCH: &str = "window.refused = []; addEventListener('securitypolicyviolation', \
    (event) => refused.push(`${event.violatedDirective}: ${event.blockedURI}`));";

pub struct Browser {
    driver: Child,
    // Read no further, but it must stay open for what chromedriver may still say.
    _said: BufReader<ChildStdout>,
    agent: Agent,
    base: String,
    session: String,
    folder: TempDir,
}

impl Browser {
    /// A browser of somebody who reads English, with a page open.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let path = std::env::var("CONTACTS_TEST_CHROMEDRIVER").unwrap_or_else(|_| "/usr/bin/chromedriver".to_owned());
        let mut command = Command::new(&path);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("cannot start {path}: {error}; {PACKAGES}"));
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let base = format!("http://127.0.0.1:{}", port(&mut said));
        let mut browser =
            Self { driver, _said: said, agent, base, session: String::new(), folder: tempfile::tempdir().unwrap() };
        browser.begin();
        browser.command(
            "/goog/cdp/execute",
            &json!({
                "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": WATCH },
            }),
        );
        browser.go(url);
        browser
    }

    fn begin(&mut self) {
        let profile = format!("--user-data-dir={}", self.folder.path().join("profile").display());
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                    "--disable-extensions", "--window-size=1280,900", "--lang=en", profile,
                ],
                "prefs": { "intl.accept_languages": "en", "download.default_directory": self.downloads() },
            },
        });
        let answer = self.call("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let answer =
            answer.unwrap_or_else(|error| panic!("chromedriver could not start Chromium: {error}; {PACKAGES}"));
        self.session = answer["sessionId"].as_str().unwrap().to_owned();
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.base);
        let answer = match method {
            "POST" => self.agent.post(url).header("content-type", "application/json").send(body.to_string()),
            "DELETE" => self.agent.delete(url).call(),
            other => panic!("not used: {other}"),
        };
        let mut answer: Value = {
            let text = answer.and_then(|mut answer| answer.body_mut().with_config().limit(1 << 30).read_to_string());
            let text = text.map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map_err(|error| error.to_string())?
        };
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }

    fn attempt(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call("POST", &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.attempt(path, body).unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    #[track_caller]
    pub fn go(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// Where files go that a page lets a person save.
    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// Runs a function's body in the page.
    #[track_caller]
    pub fn script(&self, script: &str, arguments: Value) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// The text a person sees in all elements of a selector.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText).join('\\n')";
        self.script(script, json!([css])).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of a selector's elements has these words.
    #[track_caller]
    pub fn reads(&self, css: &str, words: &str) {
        eventually(&format!("{css} reads {words:?}"), || self.text(css).contains(words).then_some(()));
    }

    /// Waits until there are so many elements of a selector.
    #[track_caller]
    pub fn counts(&self, css: &str, count: usize) {
        let script = "return document.querySelectorAll(arguments[0]).length";
        eventually(&format!("{count} of {css}"), || (self.script(script, json!([css])) == json!(count)).then_some(()));
    }

    /// Waits until a function's body answers true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) {
        eventually(what, || (self.script(script, json!([])) == json!(true)).then_some(()));
    }

    /// Does something with the first element of a selector, once it is there and takes it.
    #[track_caller]
    fn with(&self, css: &str, what: &str, body: &Value) {
        eventually(&format!("{what} {css}"), || {
            let found = self.attempt("/element", &json!({ "using": "css selector", "value": css })).ok()?;
            self.attempt(&format!("/element/{}/{what}", found[ELEMENT].as_str()?), body).ok()
        });
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.with(css, "click", &json!({}));
    }

    /// Types into a field, in place of what it has.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.with(css, "value", &json!({ "text": format!("{ALL}{BACKSPACE}{text}") }));
    }

    /// Chooses a file in its field.
    #[track_caller]
    pub fn choose(&self, css: &str, file: &Path) {
        self.with(css, "value", &json!({ "text": file }));
    }

    /// Presses keys, one after the other, wherever the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let key = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = keys.chars().flat_map(key).collect();
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Goes on with Tab until an element has the focus.
    #[track_caller]
    pub fn tab_to(&self, css: &str) {
        let there = || self.script("return document.activeElement.matches(arguments[0])", json!([css])) == json!(true);
        for _ in 0..50 {
            if there() {
                return;
            }
            self.press(&TAB.to_string());
        }
        panic!("Tab does not lead to {css}");
    }

    /// The page kept its policy, asked nobody else, and logged nothing but requests answered with these statuses.
    #[track_caller]
    pub fn behaved(&self, statuses: &[u16]) {
        assert_eq!(self.script("return window.refused", json!([])), json!([]));
        let elsewhere = "return performance.getEntriesByType('resource').map((entry) => entry.name) \
            .filter((name) => !name.startsWith('data:') && new URL(name).origin !== location.origin)";
        assert_eq!(self.script(elsewhere, json!([])), json!([]));
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        let expected = |entry: &Value| {
            let message = entry["message"].as_str().unwrap();
            let answered = |status: &u16| message.contains(&format!("responded with a status of {status} "));
            entry["source"] == "network" && statuses.iter().any(answered)
        };
        let unexpected: Vec<&Value> = log.as_array().unwrap().iter().filter(|entry| !expected(entry)).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            if std::thread::panicking() {
                let page = "return location.href + '\\n' + document.body.innerText";
                let seen = self.attempt("/execute/sync", &json!({ "script": page, "args": [] }));
                eprintln!("--- the page: {}", seen.as_ref().ok().and_then(Value::as_str).unwrap_or_default());
                eprintln!(
                    "--- its log: {:#}",
                    self.attempt("/se/log", &json!({ "type": "browser" })).unwrap_or_default()
                );
            }
            let _ = self.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        // What still runs did not listen.
        for child in children(self.driver.id()) {
            let _ = Command::new("kill").args(["-s", "KILL", &child]).stderr(Stdio::null()).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that chromedriver took.
#[track_caller]
fn port(said: &mut impl BufRead) -> String {
    let mut all = String::new();
    while said.read_line(&mut all).unwrap() > 0 {
        let port = all.lines().last().and_then(|line| line.split_once(" on port ")).map(|(_, rest)| rest);
        if let Some(port) = port.map(|rest| rest.trim_end_matches('.')).filter(|port| *port != "0") {
            return port.to_owned();
        }
    }
    panic!("chromedriver ended:\n{all}");
}

/// The ids of a process's children, each started by one of its threads.
fn children(id: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
