//! Checks the dependencies between modules, as `docs/ARCHITECTURE.md` describes them. It reads them from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and the other modules that it may use.
const MODULES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("formats", &["domain"]),
    ("message", &["domain"]),
    ("config", &[]),
    ("stop", &[]),
    ("backoff", &[]),
    ("terminal", &[]),
    ("security_headers", &[]),
    ("telemetry", &["domain", "config"]),
    ("queue", &["domain", "message", "config", "telemetry", "stop", "backoff"]),
    ("store", &["domain", "config", "telemetry"]),
    ("data_folder", &["queue"]),
    ("backup", &["domain", "queue", "store", "data_folder", "stop"]),
    ("dlq", &["domain", "message", "queue", "store", "stop", "terminal"]),
    ("events", &["domain", "formats", "queue", "store", "config", "telemetry", "stop", "backoff"]),
    ("subject", &["domain", "formats", "message", "queue", "store", "dlq", "stop", "terminal"]),
    (
        "producer",
        &[
            "domain",
            "formats",
            "message",
            "queue",
            "store",
            "subject",
            "config",
            "telemetry",
            "stop",
            "security_headers",
        ],
    ),
    ("console", &["domain", "message", "queue", "store", "dlq", "config", "telemetry", "stop", "security_headers"]),
    ("consumer", &["domain", "message", "queue", "store", "config", "telemetry", "stop", "backoff"]),
    ("transfer", &["formats", "stop", "backoff", "terminal"]),
    (
        "runtime",
        &[
            "domain",
            "producer",
            "console",
            "consumer",
            "events",
            "dlq",
            "subject",
            "transfer",
            "backup",
            "data_folder",
            "queue",
            "store",
            "config",
            "telemetry",
            "stop",
        ],
    ),
    ("cli", &["runtime", "dlq", "subject", "transfer", "store", "config"]),
];

/// Each folder of `producer`, and the other folders that it may use. `producer/mod.rs` may use all of them.
const PRODUCER_FOLDERS: &[(&str, &[&str])] = &[
    ("language", &[]),
    ("problems", &["language"]),
    ("http", &["problems"]),
    ("auth", &["problems", "http"]),
    ("state", &["problems"]),
    ("operations", &["language", "problems", "http", "auth", "state"]),
    ("contacts", &["language", "problems", "http", "auth", "state", "operations"]),
    ("bulk", &["language", "problems", "http", "auth", "state", "operations", "contacts"]),
    ("changes", &["language", "problems", "http", "state", "contacts"]),
    ("openapi", &["problems", "http"]),
    ("web", &["language", "problems", "http"]),
];

/// The maximum number of files and folders in one folder of `producer`.
const MAX_ENTRIES: usize = 12;

/// Libraries that only these modules or files may use.
const CONTAINED_LIBRARIES: &[(&str, &[&str])] = &[
    ("amiquip", &["queue/rabbitmq/"]),
    ("csv_core", &["formats/"]),
    ("diesel", &["store/", "queue/embedded/"]),
    ("actix_web", &["producer/", "console/", "telemetry/admin.rs", "runtime/", "security_headers.rs"]),
    ("clap", &["cli.rs", "dlq/arguments.rs", "dlq/selection.rs", "subject/arguments.rs", "transfer/arguments.rs"]),
    ("ureq", &["transfer/client.rs"]),
];

/// All Rust files in a folder and its subfolders.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The path below `src` and the text of every source file, without comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let strip = |text: String| -> String {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    rust_files(&root).iter().map(|path| (name(path), strip(fs::read_to_string(path).unwrap()))).collect()
}

/// Source text without its unit tests. Unit tests may use every module.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// Every path that starts with `crate` or `super`. Groups in braces are expanded to single paths.
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

/// Adds the paths at the start of a text to `found`, and returns the rest of the text.
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

/// The module path of a source file: `["queue", "rabbitmq"]` for `queue/rabbitmq/mod.rs`.
fn module_path(file: &str) -> Vec<String> {
    let path = file.strip_suffix("/mod.rs").or_else(|| file.strip_suffix(".rs")).unwrap();
    path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// A path from the root of the crate, for a path that starts with `crate` or `super`.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        _ => [&module[..module.len() - supers], &path[supers..]].concat(),
    }
}

/// The first two parts of every path that a file uses: a module, and its folder or file.
fn used_modules(file: &str, text: &str) -> Vec<(String, Option<String>)> {
    let module = module_path(file);
    let full = paths(text).into_iter().map(|path| absolute(&module, &path));
    full.filter_map(|path| Some((path.first()?.clone(), path.get(1).cloned()))).collect()
}

#[test]
fn a_module_uses_only_the_modules_it_may_use() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = file.split(['/', '.']).next().unwrap();
        if matches!(module, "main" | "lib") {
            continue;
        }
        let (_, allowed) =
            MODULES.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("no rule for {file}"));
        // `super` never leaves a module. In unit tests it means the same file.
        for used in paths(&text).into_iter().filter(|path| path[0] == "crate").filter_map(|path| path.get(1).cloned()) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_folder_of_the_producer_uses_only_the_folders_it_may_use() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(folder) = file.strip_prefix("producer/").filter(|path| *path != "mod.rs") else { continue };
        let folder = folder.split('/').next().unwrap();
        let (_, allowed) =
            PRODUCER_FOLDERS.iter().find(|(name, _)| *name == folder).unwrap_or_else(|| panic!("no rule for {file}"));
        for (module, used) in used_modules(&file, without_tests(&text)) {
            let used = used.unwrap_or_default();
            // `openapi/checks.rs` is a test.
            if module == "producer"
                && used != folder
                && !allowed.contains(&used.as_str())
                && !file.ends_with("checks.rs")
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
        assert!(entries.len() <= MAX_ENTRIES, "{} has {} entries", folder.display(), entries.len());
        folders.extend(entries.into_iter().filter(|path| path.is_dir()));
    }
}

/// `mod.rs` may use the files of its folder. Every other import that leads back to its own file is a cycle.
#[test]
fn files_do_not_import_each_other_in_a_cycle() {
    let files: BTreeMap<Vec<String>, (String, String)> = sources()
        .into_iter()
        .filter(|(file, _)| !matches!(file.as_str(), "main.rs" | "lib.rs"))
        .map(|(file, text)| (module_path(&file), (file, without_tests(&text).to_owned())))
        .collect();
    // A re-export (`pub use name::Name`) counts as a use of the file that defines the item.
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
    let defining_module = |path: &[String]| {
        let path = reexports.get(path).map_or(path, |target| target.as_slice());
        (1..=path.len()).rev().map(|end| path[..end].to_vec()).find(|module| files.contains_key(module))
    };
    let mut edges: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, (_, text)) in &files {
        for path in paths(text) {
            let used = defining_module(&absolute(module, &path));
            if let Some(used) = used.filter(|used| used != module && !used.starts_with(module)) {
                edges.entry(module).or_default().insert(used);
            }
        }
    }
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 300, "the sources were not read correctly");
    let name = |module: &Vec<String>| files[module].0.clone();
    let mut cycles = Vec::new();
    for start in files.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for used in edges.get(module).into_iter().flatten() {
                if used == start {
                    cycles.push(format!("{} uses {}, which also uses it", name(start), name(module)));
                }
                if seen.insert(used) {
                    next.push(used);
                }
            }
        }
    }
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn a_library_is_used_only_in_its_modules() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (library, users) in CONTAINED_LIBRARIES {
            let used = text.contains(&format!("{library}::")) || text.contains(&format!("use {library}"));
            if used && !users.iter().any(|user| file.starts_with(user)) {
                wrong.push(format!("{file} uses {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rules_have_no_cycle() {
    for rules in [MODULES, PRODUCER_FOLDERS] {
        for (index, (module, uses)) in rules.iter().enumerate() {
            for used in *uses {
                let position = rules.iter().position(|(name, _)| name == used).unwrap();
                assert!(position < index, "{module} may use only modules above it in the list, not {used}");
            }
        }
    }
}

/// `producer/web/page.rs` must register each module, or a browser cannot load it. Adding a module in the order of its
/// imports finds cycles: the modules of a cycle wait for each other.
#[test]
fn the_modules_of_the_web_page_are_registered_and_have_no_cycle() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/producer/web/page/scripts");
    let registered = fs::read_to_string(folder.join("../../page.rs")).unwrap();
    let mut waiting: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(registered.contains(&format!("script!(\"{name}\")")), "page.rs does not register {name}");
        let statements = text.lines().filter(|line| line.starts_with("import ") || line.contains(" from '"));
        let imports = statements.map(|line| line.split('\'').nth(1).unwrap().strip_prefix("./").unwrap().to_owned());
        waiting.insert(name, imports.collect());
    }
    for (name, imports) in &waiting {
        for import in imports {
            assert!(waiting.contains_key(import), "{name} imports {import}, which does not exist");
        }
    }
    assert!(waiting.values().map(BTreeSet::len).sum::<usize>() > 30, "the modules were not read correctly");
    while !waiting.is_empty() {
        let remaining = waiting.len();
        let names: BTreeSet<String> = waiting.keys().cloned().collect();
        waiting.retain(|_, imports| !imports.is_disjoint(&names));
        assert!(waiting.len() < remaining, "these modules import each other in a cycle: {waiting:#?}");
    }
}

/// `tests/mutations/run` is run by hand. This test checks that its patches still apply.
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
                let is_old_line = |line: &&str| line.starts_with([' ', '-']);
                let old: Vec<&str> = hunk.lines().skip(1).filter(is_old_line).map(|line| &line[1..]).collect();
                assert!(source.contains(&old.join("\n")), "{} does not apply:\n{}", path.display(), old.join("\n"));
                hunks += 1;
            }
        }
    }
    assert!(hunks >= 8, "{hunks}");
}
