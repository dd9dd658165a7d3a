//! A headless Chromium, driven by WebDriver (W3C) over plain HTTP.
//!
//! Each browser has its own chromedriver, profile and download folder. They end with it.

use super::eventually;
use serde_json::{Value, json};
use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;
use ureq::Agent;

/// Keys as WebDriver names them.
pub const ENTER: char = '\u{E007}';
pub const ESCAPE: char = '\u{E00C}';
pub const TAB: char = '\u{E004}';
/// Control and A: selects the text of a field, so that the next key replaces it.
const SELECT_ALL: &str = "\u{E009}a\u{E000}";
const BACKSPACE: char = '\u{E003}';

/// The key of an element's id in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PACKAGES: &str = "the browser tests need Debian's packages chromium and chromium-driver: \
    apt-get install --no-install-recommends chromium chromium-driver \
    (or CONTACTS_TEST_CHROMEDRIVER with the path of another chromedriver)";
/// Records what each page's content security policy refuses. It runs before the scripts of the page.
const RECORD_VIOLATIONS: &str = "window.violations = []; addEventListener('securitypolicyviolation', \
    (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));";

pub struct Browser {
    driver: Child,
    // Not read after the port, but it stays open: chromedriver may still write to it.
    _output: BufReader<ChildStdout>,
    agent: Agent,
    base: String,
    session: String,
    folder: TempDir,
}

impl Browser {
    /// Starts a browser with English as its language, and opens a page.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let path = std::env::var("CONTACTS_TEST_CHROMEDRIVER").unwrap_or_else(|_| "/usr/bin/chromedriver".to_owned());
        let mut command = Command::new(&path);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("cannot start {path}: {error}; {PACKAGES}"));
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let base = format!("http://127.0.0.1:{}", port(&mut output));
        let mut browser =
            Self { driver, _output: output, agent, base, session: String::new(), folder: tempfile::tempdir().unwrap() };
        browser.start_session();
        browser.command(
            "/goog/cdp/execute",
            &json!({
                "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": RECORD_VIOLATIONS },
            }),
        );
        browser.navigate(url);
        browser
    }

    fn start_session(&mut self) {
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
            other => panic!("unsupported method: {other}"),
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

    fn try_command(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call("POST", &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn command(&self, path: &str, body: &Value) -> Value {
        self.try_command(path, body).unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    #[track_caller]
    pub fn navigate(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// The folder for downloads.
    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// Gives the page a size, for example that of a telephone, and the theme that the system has.
    #[track_caller]
    pub fn show_as(&self, width: u32, height: u32, theme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("/goog/cdp/execute", &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size }));
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.command("/goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": features }));
    }

    /// A picture of what is visible, as PNG in base64.
    #[track_caller]
    pub fn picture(&self) -> String {
        let hidden = json!({ "cmd": "Emulation.setScrollbarsHidden", "params": { "hidden": true } });
        self.command("/goog/cdp/execute", &hidden);
        let parameters = json!({ "cmd": "Page.captureScreenshot", "params": { "format": "png" } });
        self.command("/goog/cdp/execute", &parameters)["data"].as_str().unwrap().to_owned()
    }

    /// The rules of axe-core that the page breaks with serious or critical effect, each with its elements.
    #[track_caller]
    pub fn serious_findings(&self) -> Vec<String> {
        static AXE: LazyLock<String> = LazyLock::new(|| {
            let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/axe")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            read_to_string(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
        });
        self.script(&format!("{}; window.axe = axe", *AXE), json!([]));
        let run = "const [done] = arguments; axe.run(document, { resultTypes: ['violations'] }).then((results) => done(\
            results.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))\
            .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`)}`)))";
        let found = self.command("/execute/async", &json!({ "script": run, "args": [] }));
        found.as_array().unwrap().iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
    }

    /// Runs a script in the page, as the body of a function, and returns its result.
    #[track_caller]
    pub fn script(&self, script: &str, arguments: Value) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// The visible text of all elements that match a selector.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText).join('\\n')";
        self.script(script, json!([css])).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the visible text of the matching elements contains `words`.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, words: &str) {
        eventually(&format!("{css} contains {words:?}"), || self.text(css).contains(words).then_some(()));
    }

    /// Waits until exactly `count` elements match a selector.
    #[track_caller]
    pub fn wait_for_count(&self, css: &str, count: usize) {
        let script = "return document.querySelectorAll(arguments[0]).length";
        eventually(&format!("{count} elements match {css}"), || {
            (self.script(script, json!([css])) == json!(count)).then_some(())
        });
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn wait_until(&self, expectation: &str, script: &str) {
        eventually(expectation, || (self.script(script, json!([])) == json!(true)).then_some(()));
    }

    /// Sends a command to the first matching element, as soon as the element exists and accepts it.
    #[track_caller]
    fn element_command(&self, css: &str, command: &str, body: &Value) {
        eventually(&format!("{command} {css}"), || {
            let element = self.try_command("/element", &json!({ "using": "css selector", "value": css })).ok()?;
            self.try_command(&format!("/element/{}/{command}", element[ELEMENT].as_str()?), body).ok()
        });
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.element_command(css, "click", &json!({}));
    }

    /// Replaces the text of a field.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.element_command(css, "value", &json!({ "text": format!("{SELECT_ALL}{BACKSPACE}{text}") }));
    }

    /// Chooses a file in a file field.
    #[track_caller]
    pub fn choose_file(&self, css: &str, file: &Path) {
        self.element_command(css, "value", &json!({ "text": file }));
    }

    /// Presses keys, one after the other. The element with the focus receives them.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let key = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = keys.chars().flat_map(key).collect();
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Presses Tab until the element has the focus.
    #[track_caller]
    pub fn tab_to(&self, css: &str) {
        let focused =
            || self.script("return document.activeElement.matches(arguments[0])", json!([css])) == json!(true);
        for _ in 0..50 {
            if focused() {
                return;
            }
            self.press(&TAB.to_string());
        }
        panic!("Tab does not reach {css}");
    }

    /// The page did not violate its policy, loaded nothing from other origins, and logged only answers with these
    /// statuses.
    #[track_caller]
    pub fn assert_no_violations(&self, statuses: &[u16]) {
        assert_eq!(self.script("return window.violations", json!([])), json!([]));
        let other_origins = "return performance.getEntriesByType('resource').map((entry) => entry.name) \
            .filter((name) => !name.startsWith('data:') && new URL(name).origin !== location.origin)";
        assert_eq!(self.script(other_origins, json!([])), json!([]));
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        let expected = |entry: &Value| {
            let message = entry["message"].as_str().unwrap();
            let has_status = |status: &u16| message.contains(&format!("responded with a status of {status} "));
            entry["source"] == "network" && statuses.iter().any(has_status)
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
                let text = self.try_command("/execute/sync", &json!({ "script": page, "args": [] }));
                eprintln!("--- page: {}", text.as_ref().ok().and_then(Value::as_str).unwrap_or_default());
                eprintln!(
                    "--- browser log: {:#}",
                    self.try_command("/se/log", &json!({ "type": "browser" })).unwrap_or_default()
                );
            }
            let _ = self.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        // Processes of the browser that did not exit.
        for child in children(self.driver.id()) {
            let _ = Command::new("kill").args(["-s", "KILL", &child]).stderr(Stdio::null()).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Reads the port of chromedriver from its output.
#[track_caller]
fn port(output: &mut impl BufRead) -> String {
    let mut all = String::new();
    while output.read_line(&mut all).unwrap() > 0 {
        let port = all.lines().last().and_then(|line| line.split_once(" on port ")).map(|(_, rest)| rest);
        if let Some(port) = port.map(|rest| rest.trim_end_matches('.')).filter(|port| *port != "0") {
            return port.to_owned();
        }
    }
    panic!("chromedriver exited:\n{all}");
}

/// The ids of a process's children. Linux lists them by thread.
fn children(id: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
