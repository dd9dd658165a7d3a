//! Tests of the documents: tables agree with the code, tours run as they stand, links lead to files, and texts use the
//! terms of the glossary.

use crate::support::start_standalone;
use contacts::config::Settings;
use contacts::domain::Reason;
use contacts::telemetry::metrics::{CATALOGUE, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table in `docs/reference/FILE` whose first column has this name.
fn reference_table(file: &str, first_column: &str) -> Vec<Vec<String>> {
    let text = read(Path::new("docs/reference").join(file));
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("| {first_column} |")));
    assert!(lines.next().is_some(), "{file} has no table {first_column}");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn plain(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, into);
            }
        }
        toml::Value::String(text) => drop(into.insert(prefix.to_owned(), text.clone())),
        other => drop(into.insert(prefix.to_owned(), other.to_string())),
    }
}

#[test]
fn the_reference_has_every_setting_with_its_default() {
    let mut actual = BTreeMap::new();
    flatten("", &Settings::default().to_toml().parse::<toml::Table>().unwrap().into(), &mut actual);
    // The program hides this value, and leaves out settings that are not set.
    actual.insert("broker.url".into(), "amqp://guest:guest@127.0.0.1:5672/%2f".into());
    actual.insert("database.read_url".into(), "the same as `database.url`".into());
    actual.insert("log.dir".into(), "none".into());
    for name in ["jwks_file", "issuer", "audience"] {
        actual.insert(format!("http.jwt.{name}"), "none".into());
    }
    actual.insert("trace.otlp_url".into(), "none".into());
    let documented: BTreeMap<String, String> = reference_table("settings.md", "setting")
        .iter()
        .map(|row| {
            let default = if row[1].starts_with('`') { plain(&row[1]) } else { row[1].clone() };
            (plain(&row[0]), default)
        })
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_reference_has_every_metric() {
    let documented: Vec<Vec<String>> = reference_table("metrics.md", "metric");
    let actual: Vec<Vec<String>> = CATALOGUE
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            vec![format!("`{}`", metric.name), kind.into(), labels.join(", "), metric.help.into()]
        })
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_reference_has_every_reason() {
    let documented: Vec<(String, String)> =
        reference_table("reasons.md", "reason").iter().map(|row| (plain(&row[0]), row[1].clone())).collect();
    let actual: Vec<(String, String)> =
        Reason::ALL.iter().map(|reason| (reason.as_str().into(), reason.sentence().into())).collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_reference_has_every_problem_type() {
    let source = read("src/producer/problems/kind.rs");
    let slugs = source.split("fn slug").nth(1).unwrap().split("fn title").next().unwrap();
    let actual: Vec<String> = slugs.split('"').skip(1).step_by(2).map(|slug| format!("`/problems/{slug}`")).collect();
    assert!(actual.len() > 10);
    let documented: Vec<String> =
        reference_table("problems.md", "problem type").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, actual);
}

/// The first block of shell commands after this heading of a document.
fn commands_below(document: &str, heading: &str) -> String {
    let text = read(document);
    let block = text.split(heading).nth(1).and_then(|rest| rest.split("```sh\n").nth(1));
    block.and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

/// Runs the commands of a tour against a fresh service.
#[track_caller]
fn run_tour(tour: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(&folder.path().join("data"), &[]);
    process.wait_until_ready();
    let address = process.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    let script = tour.replace("127.0.0.1:8080", &address);
    let output = Command::new("timeout")
        .args(["60", "bash", "-eu", "-o", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{answers}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(
        answers.contains("\"status\":\"accepted\"") && answers.contains("José Prado") && answers.contains("Ana Lima"),
        "{answers}"
    );
}

#[test]
fn the_tour_of_the_readme_works_as_it_stands() {
    run_tour(&commands_below("README.md", "## Try it"));
}

#[test]
fn the_long_tour_works_as_it_stands() {
    run_tour(&commands_below("docs/TOUR.md", "# A tour of the API"));
}

#[test]
fn the_readme_has_at_most_200_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 200, "README.md has {lines} lines");
}

/// All Markdown files in a folder and its subfolders, as paths from the root.
fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            found.extend(markdown_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The targets of all links in a document.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn links_between_documents_lead_to_existing_files() {
    let mut documents = ["README.md", "README.pt-BR.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(PathBuf::from).to_vec();
    documents.extend(markdown_files(Path::new("docs")));
    documents.retain(|document| root().join(document).exists());
    assert!(documents.len() > 20);
    let mut broken = Vec::new();
    for document in documents {
        for link in link_targets(&read(&document)) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let path = root().join(document.parent().unwrap()).join(target);
                if !path.exists() {
                    broken.push(format!("{}: {link}", document.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_reference_is_linked_from_the_readme_or_the_index() {
    let indexes = ["README.md", "docs/README.md"].map(Path::new);
    let mut linked = BTreeSet::new();
    for index in indexes.into_iter().filter(|index| root().join(index).exists()) {
        let folder = index.parent().unwrap();
        linked.extend(link_targets(&read(index)).map(|link| folder.join(link.split('#').next().unwrap())));
    }
    let references = markdown_files(Path::new("docs/reference"));
    assert!(references.len() >= 6);
    let missing: Vec<&PathBuf> = references.iter().filter(|reference| !linked.contains(*reference)).collect();
    assert!(missing.is_empty(), "no link to {missing:?} in {indexes:?}");
}

/// The parts of a document that do not depend on its language: for each kind the items in order, each with its line.
fn skeleton(path: &str) -> [(&'static str, Vec<(String, String)>); 4] {
    let text = read(path);
    let (mut headings, mut code, mut cells, mut links) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        let item = |key: &str| (key.to_owned(), format!("{path}:{number}: {line}"));
        if line.starts_with("```") {
            fenced = !fenced;
            code.push(item(line));
        } else if fenced {
            if !line.trim().starts_with('#') {
                code.push(item(line.split_once(" # ").map_or(line, |(command, _)| command).trim_end()));
            }
        } else {
            if line.starts_with('#') {
                headings.push(item(line.split(' ').next().unwrap_or_default()));
            }
            // The line below the column names marks the start of a table.
            let cell = line.trim_matches('|').split(" | ").next().unwrap_or_default().trim();
            if line.starts_with('|') && cell.starts_with(['`', '-']) {
                cells.push(item(cell));
            }
            links.extend(
                link_targets(line).filter(|target| !["README.md", "README.pt-BR.md"].contains(target)).map(item),
            );
        }
    }
    [("heading", headings), ("line of code", code), ("first cell", cells), ("link", links)]
}

#[test]
fn the_portuguese_readme_has_the_same_structure() {
    let (english, portuguese) = ("README.md", "README.pt-BR.md");
    for (document, other) in [(english, portuguese), (portuguese, english)] {
        let line = read(document).lines().nth(2).map(str::to_owned).unwrap_or_default();
        assert!(line.contains(&format!("]({other})")), "{document}:3 does not link to {other}: {line}");
    }
    for ((kind, expected), (_, actual)) in skeleton(english).into_iter().zip(skeleton(portuguese)) {
        assert!(!expected.is_empty(), "{english} has no {kind}");
        for place in 0..expected.len().max(actual.len()) {
            let (expected, actual) = (expected.get(place), actual.get(place));
            let shown = |item: Option<&(String, String)>| {
                item.map_or("nothing more".to_owned(), |(key, line)| format!("{key:?} at {line}"))
            };
            assert!(
                expected.map(|(key, _)| key) == actual.map(|(key, _)| key),
                "the READMEs differ, first in {kind} {}:\n  {english} has {}\n  {portuguese} has {}",
                place + 1,
                shown(expected),
                shown(actual)
            );
        }
    }
}

/// A word or phrase that the glossary replaces by a term.
struct Replaced {
    words: Vec<String>,
    term: String,
}

/// A text and where it comes from, without what the glossary does not cover.
struct Prose {
    file: String,
    text: String,
}

/// Stands for a character of code. It is neither part of a word nor a space between two words.
const CODE: char = '\u{b7}';

/// Terms of the field that contain a word of the column `not`: "letter" alone is wrong, "dead letter" is not.
const STANDARD_TERMS: [&str; 2] = ["dead letter", "dead letters"];

/// A word in lower case and its byte range in the text.
type Word = (String, Range<usize>);

/// The words of a text.
fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, character.is_alphanumeric()) {
            (None, true) => start = Some(at),
            (Some(begin), false) => {
                found.push((text[begin..at].to_lowercase(), begin..at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The words of a text, without their places.
fn phrase(text: &str) -> Vec<String> {
    words(text).into_iter().map(|(word, _)| word).collect()
}

/// Where this phrase stands in a text, as ranges of its words. Only spaces or hyphens may stand between two words.
fn occurrences(phrase: &[String], words: &[Word], text: &str) -> Vec<Range<usize>> {
    let joined = |pair: &[Word]| {
        text[pair[0].1.end..pair[1].1.start].chars().all(|between| between.is_whitespace() || between == '-')
    };
    (0..words.len().saturating_sub(phrase.len() - 1))
        .map(|start| start..start + phrase.len())
        .filter(|range| words[range.clone()].iter().map(|(word, _)| word).eq(phrase))
        .filter(|range| words[range.clone()].windows(2).all(joined))
        .collect()
}

/// The terms of the glossary, and the words that they replace.
fn glossary() -> (Vec<String>, Vec<Replaced>) {
    let (mut terms, mut replaced) = (Vec::new(), Vec::new());
    for line in read("docs/GLOSSARY.md").lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "a row of the glossary has four cells: {line}");
        let (term, not) = (cells[1].split(" (").next().unwrap(), cells[4]);
        if term == "term" || term.starts_with("---") {
            continue;
        }
        terms.push(term.to_owned());
        for entry in not.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            replaced.push(Replaced { words: phrase(entry), term: term.to_owned() });
        }
    }
    assert!(terms.len() > 40 && replaced.len() > 30, "{} terms, {} words", terms.len(), replaced.len());
    (terms, replaced)
}

/// Each word in these texts that the glossary replaces, as `file:line: word (use `term` instead)`.
fn replaced_words(texts: &[Prose]) -> Vec<String> {
    let (terms, replaced) = glossary();
    let terms: Vec<Vec<String>> = terms.iter().map(String::as_str).chain(STANDARD_TERMS).map(phrase).collect();
    let mut hits = Vec::new();
    for Prose { file, text } in texts {
        let words = words(text);
        let allowed: Vec<_> = terms.iter().flat_map(|term| occurrences(term, &words, text)).collect();
        for Replaced { words: wrong, term } in &replaced {
            for range in occurrences(wrong, &words, text) {
                if !allowed.iter().any(|allowed| allowed.start <= range.start && range.end <= allowed.end) {
                    let start = words[range.start].1.start;
                    let line = 1 + text[..start].matches('\n').count();
                    hits.push((file, line, format!("{file}:{line}: {} (use `{term}` instead)", wrong.join(" "))));
                }
            }
        }
    }
    hits.sort();
    hits.into_iter().map(|(_, _, hit)| hit).collect()
}

/// Replaces these characters by [`CODE`], but keeps the lines.
fn hide(text: &str) -> String {
    text.chars().map(|character| if character == '\n' { '\n' } else { CODE }).collect()
}

/// Hides inline code: what stands between two equal runs of backticks in one paragraph.
fn without_inline_code(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let (before, code) = rest.split_at(start + ticks);
        kept.push_str(before);
        let paragraph = code.split("\n\n").next().unwrap();
        let mut end = None;
        let mut from = 0;
        while let Some(at) = paragraph[from..].find('`').map(|at| from + at) {
            let closing = paragraph[at..].len() - paragraph[at..].trim_start_matches('`').len();
            if closing == ticks {
                end = Some(at);
                break;
            }
            from = at + closing;
        }
        let end = end.unwrap_or(0);
        kept.push_str(&hide(&code[..end]));
        rest = &code[end..];
        if end > 0 {
            kept.push_str(&rest[..ticks]);
            rest = &rest[ticks..];
        }
    }
    kept + rest
}

/// The prose of a Markdown document: no fenced code, no inline code, no targets of links.
fn without_code(markdown: &str) -> String {
    let mut fenced = false;
    let lines: Vec<String> = markdown
        .lines()
        .map(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            if fence || fenced { hide(line) } else { line.to_owned() }
        })
        .collect();
    let text = without_inline_code(&lines.join("\n"));
    let mut parts = text.split("](");
    let mut kept = parts.next().unwrap().to_owned();
    for part in parts {
        let (target, rest) = part.split_at(part.find(')').unwrap_or(0));
        kept.extend(["](", &hide(target), rest]);
    }
    kept
}

/// The help texts of a command and of all commands below it.
fn help_texts(command: &[&str], found: &mut Vec<Prose>) {
    let output = Command::new(env!("CARGO_BIN_EXE_contacts")).args(command).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    for name in names {
        help_texts(&[command, &[name]].concat(), found);
    }
    let file = ["contacts"].iter().chain(command).chain(&["--help"]).copied().collect::<Vec<_>>().join(" ");
    found.push(Prose { file, text: without_inline_code(&text) });
}

/// Hides everything in a Rust source except the string literals in calls of the `tracing` macros that log.
fn only_log_messages(source: &str) -> String {
    let mut kept = String::new();
    let mut rest = source;
    // How many parentheses of the macro call are open; 0 outside of a call.
    let mut open = 0;
    let literal_end = |text: &str| {
        let mut escaped = false;
        let end = text.char_indices().skip(1).find(|(_, character)| {
            let closes = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            closes
        });
        end.map_or(text.len(), |(at, _)| at + 1)
    };
    while let Some(character) = rest.chars().next() {
        let (length, shown) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("r#\"") {
            (rest.find("\"#").map_or(rest.len(), |at| at + 2), open > 0)
        } else if character == '"' {
            (literal_end(rest), open > 0)
        } else if let Some(literal) =
            ["'\"'", "'\\\"'", "'('", "')'"].iter().find(|literal| rest.starts_with(**literal))
        {
            (literal.len(), false)
        } else if let Some(call) = ["error", "warn", "info", "debug"]
            .iter()
            .map(|level| format!("tracing::{level}!("))
            .find(|call| open == 0 && rest.starts_with(call.as_str()))
        {
            open = 1;
            (call.len(), false)
        } else {
            if open > 0 {
                open += i32::from(character == '(') - i32::from(character == ')');
            }
            (character.len_utf8(), false)
        };
        let (part, after) = rest.split_at(length);
        // A line of a literal may go on in the next line.
        kept.push_str(&if shown { part.replace('\\', " ") } else { hide(part) });
        rest = after;
    }
    kept
}

/// All Rust files in a folder and its subfolders, as paths from the root.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| folder.join(entry.unwrap().file_name()));
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| root().join(path).is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

#[test]
fn texts_use_the_terms_of_the_glossary() {
    let mut texts = Vec::new();
    let mut documents = ["README.md", "CONTRIBUTING.md"].map(PathBuf::from).to_vec();
    documents.extend(markdown_files(Path::new("docs")));
    documents.retain(|document| document != Path::new("docs/GLOSSARY.md") && root().join(document).exists());
    for document in documents {
        texts.push(Prose { file: document.display().to_string(), text: without_code(&read(&document)) });
    }
    let documents = texts.len();
    help_texts(&[], &mut texts);
    let helps = texts.len() - documents;
    assert!(helps >= 19, "only {helps} help texts were found");
    let mut messages = 0;
    for file in rust_files(Path::new("src")) {
        let text = only_log_messages(&read(&file));
        messages += text.matches('"').count() / 2;
        texts.push(Prose { file: file.display().to_string(), text });
    }
    assert!(messages >= 30, "only {messages} log messages were found");
    let catalogue = "src/telemetry/metrics.rs";
    let source = read(catalogue);
    for metric in CATALOGUE {
        let name = format!("\"{}\"", metric.name);
        let above = source.lines().take_while(|line| !line.contains(&name)).count();
        texts.push(Prose { file: catalogue.to_owned(), text: "\n".repeat(above) + &without_inline_code(metric.help) });
    }
    let hits = replaced_words(&texts);
    assert!(hits.is_empty(), "{} words that the glossary replaces:\n{}", hits.len(), hits.join("\n"));
}

#[test]
fn the_check_of_the_glossary_finds_replaced_words_only_in_prose() {
    let markdown = "Letters wait.\nA dead letter is no\nletter. The dead letter queue. `letter` ``a ` letter``\n\
        [a](letter.md), outverdict verdict\n```sh\nletter\n```\n`x` it comes\nback";
    let texts = [Prose { file: "a.md".to_owned(), text: without_code(markdown) }];
    let expected = [
        "a.md:1: letters (use `dead-lettered message` instead)",
        "a.md:3: letter (use `dead-lettered message` instead)",
        "a.md:4: verdict (use `disposition` instead)",
        "a.md:8: comes back (use `redelivered` instead)",
    ];
    assert_eq!(replaced_words(&texts), expected);
    let source = "// letter\nfn f() {\n    g(\"letter\");\n    tracing::warn!(letter = %letter('(', \")\"), \"it is \\\n        away\");\n    \
        h(\"moment\");\n}";
    let texts = [Prose { file: "a.rs".to_owned(), text: only_log_messages(source) }];
    assert_eq!(replaced_words(&texts), ["a.rs:5: away (use `unavailable` instead)"]);
}
