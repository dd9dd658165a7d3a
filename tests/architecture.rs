//! The direction of dependencies, read from the sources: the drawing in `docs/ARCHITECTURE.md` as a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and those it may use, besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("formats", &["domain"]),
    ("message", &["domain"]),
    ("config", &[]),
    ("stop", &[]),
    ("backoff", &[]),
    ("terminal", &[]),
    ("telemetry", &["domain", "config"]),
    ("queue", &["domain", "message", "config", "telemetry", "stop", "backoff"]),
    ("store", &["domain", "config", "telemetry"]),
    ("producer", &["domain", "formats", "message", "queue", "store", "config", "telemetry", "stop"]),
    ("consumer", &["domain", "message", "queue", "store", "config", "telemetry", "stop", "backoff"]),
    ("dlq", &["domain", "message", "queue", "store", "stop", "terminal"]),
    ("transfer", &["formats", "stop", "backoff", "terminal"]),
    (
        "runtime",
        &["domain", "producer", "consumer", "dlq", "transfer", "queue", "store", "config", "telemetry", "stop"],
    ),
    ("cli", &["runtime", "dlq", "transfer", "store", "config"]),
];

/// The folders of `producer` and those that each may use. Its `mod.rs` puts them together.
const PRODUCER: &[(&str, &[&str])] = &[
    ("language", &[]),
    ("problems", &["language"]),
    ("http", &["problems"]),
    ("auth", &["problems", "http"]),
    ("state", &["problems"]),
    ("operations", &["language", "problems", "http", "auth", "state"]),
    ("contacts", &["problems", "http", "auth", "state", "operations"]),
    ("bulk", &["language", "problems", "http", "auth", "state", "operations", "contacts"]),
    ("openapi", &["problems", "http"]),
    ("web", &["language", "problems", "http"]),
];

/// The most files and folders in one folder of `producer`.
const MOST_ENTRIES: usize = 12;

/// Libraries that only some rooms may name.
const CONTAINED: &[(&str, &[&str])] = &[
    ("amiquip", &["queue/rabbitmq/"]),
    ("csv_core", &["formats/"]),
    ("diesel", &["store/", "queue/embedded/"]),
    ("actix_web", &["producer/", "telemetry/admin.rs", "runtime/"]),
    ("clap", &["cli.rs", "dlq/arguments.rs", "dlq/selection.rs", "transfer/arguments.rs"]),
    ("ureq", &["transfer/client.rs"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source file by its path below `src`, without comments.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let strip = |text: String| -> String {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    sources(&root).iter().map(|path| (name(path), strip(fs::read_to_string(path).unwrap()))).collect()
}

/// Code without its unit tests, which may use anything.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// Every path that starts with `crate` or `super`, with groups in braces written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                expand(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Adds the paths that a text starts with, and returns what follows them.
fn expand<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            rest = expand(rest, &mut prefix.clone(), found);
            rest = rest.trim_start_matches(|c: char| !matches!(c, ',' | '}'));
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    prefix.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '{' | '_')) => {
            expand(rest, prefix, found)
        }
        _ => {
            found.push(prefix.clone());
            &text[end..]
        }
    }
}

/// The module of a source file: `queue/rabbitmq/mod.rs` is `["queue", "rabbitmq"]`.
fn module(file: &str) -> Vec<String> {
    let path = file.strip_suffix("/mod.rs").or_else(|| file.strip_suffix(".rs")).unwrap();
    path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// A path as it begins at the root of the crate.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        _ => [&module[..module.len() - supers], &path[supers..]].concat(),
    }
}

/// The first two parts of every path that a file uses: a room, and a folder or file of it.
fn uses(file: &str, text: &str) -> Vec<(String, Option<String>)> {
    let module = module(file);
    let full = paths(text).into_iter().map(|path| absolute(&module, &path));
    full.filter_map(|path| Some((path.first()?.clone(), path.get(1).cloned()))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        let room = file.split(['/', '.']).next().unwrap();
        if matches!(room, "main" | "lib") {
            continue;
        }
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("no rule for {file}"));
        // `super` leads out of no room, and in unit tests it means their own file.
        for used in paths(&text).into_iter().filter(|path| path[0] == "crate").filter_map(|path| path.get(1).cloned()) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn dependencies_inside_the_producer_point_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        let Some(folder) = file.strip_prefix("producer/").filter(|path| *path != "mod.rs") else { continue };
        let folder = folder.split('/').next().unwrap();
        let (_, allowed) =
            PRODUCER.iter().find(|(name, _)| *name == folder).unwrap_or_else(|| panic!("no rule for {file}"));
        for (room, used) in uses(&file, without_tests(&text)) {
            let used = used.unwrap_or_default();
            // `openapi/checks.rs` is a test.
            if room == "producer" && used != folder && !allowed.contains(&used.as_str()) && !file.ends_with("checks.rs")
            {
                wrong.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_folder_of_the_producer_has_few_entries() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/producer");
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let entries: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(entries.len() <= MOST_ENTRIES, "{} has {} entries", folder.display(), entries.len());
        folders.extend(entries.into_iter().filter(|path| path.is_dir()));
    }
}

/// A folder's `mod.rs` may use the folder's files; any other import that leads back to its own file is a cycle.
#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let files: BTreeMap<Vec<String>, (String, String)> = code()
        .into_iter()
        .filter(|(file, _)| !matches!(file.as_str(), "main.rs" | "lib.rs"))
        .map(|(file, text)| (module(&file), (file, without_tests(&text).to_owned())))
        .collect();
    // What a `mod.rs` hands on (`pub use name::Name`) is used from the file that has it.
    let mut reexports: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (module, (_, text)) in &files {
        for (at, _) in text.match_indices("use ") {
            let line = text[..at].rsplit('\n').next().unwrap();
            if line.starts_with("pub") {
                let mut found = Vec::new();
                expand(&text[at + "use ".len()..], &mut Vec::new(), &mut found);
                for path in found {
                    let target = [module.as_slice(), &path].concat();
                    reexports.insert([module.as_slice(), &path[path.len() - 1..]].concat(), target);
                }
            }
        }
    }
    let owner = |path: &[String]| {
        let path = reexports.get(path).map_or(path, |target| target.as_slice());
        (1..=path.len()).rev().map(|end| path[..end].to_vec()).find(|module| files.contains_key(module))
    };
    let mut edges: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, (_, text)) in &files {
        for path in paths(text) {
            let used = owner(&absolute(module, &path));
            if let Some(used) = used.filter(|used| used != module && !used.starts_with(module)) {
                edges.entry(module).or_default().insert(used);
            }
        }
    }
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 300, "the sources were read wrongly");
    let name = |module: &Vec<String>| files[module].0.clone();
    let mut circles = Vec::new();
    for start in files.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for used in edges.get(module).into_iter().flatten() {
                if used == start {
                    circles.push(format!("{} is used by {}, which it uses", name(start), name(module)));
                }
                if seen.insert(used) {
                    next.push(used);
                }
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        for (library, rooms) in CONTAINED {
            let named = text.contains(&format!("{library}::")) || text.contains(&format!("use {library}"));
            if named && !rooms.iter().any(|room| file.starts_with(room)) {
                wrong.push(format!("{file} names {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rules_are_not_circular() {
    for rules in [ROOMS, PRODUCER] {
        for (index, (room, uses)) in rules.iter().enumerate() {
            for used in *uses {
                let at = rules.iter().position(|(name, _)| name == used).unwrap();
                assert!(at < index, "{room} may use only rooms above it in the list, not {used}");
            }
        }
    }
}

/// Mutations are run by hand and seldom; that they can be is checked here.
#[test]
fn every_mutation_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hunks = 0;
    for entry in fs::read_dir(root.join("tests/mutations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let patch = format!("\n{}", fs::read_to_string(&path).unwrap());
        for file in patch.split("\n--- a/").skip(1) {
            let source = fs::read_to_string(root.join(file.lines().next().unwrap())).unwrap();
            for hunk in file.split("\n@@ ").skip(1) {
                let before = |line: &&str| line.starts_with([' ', '-']);
                let old: Vec<&str> = hunk.lines().skip(1).filter(before).map(|line| &line[1..]).collect();
                assert!(source.contains(&old.join("\n")), "{} does not apply:\n{}", path.display(), old.join("\n"));
                hunks += 1;
            }
        }
    }
    assert!(hunks >= 8, "{hunks}");
}
