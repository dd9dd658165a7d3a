//! Runs the checks of the fuzz targets with every input of `fuzz/corpus`. `make fuzz` adds inputs.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn check_corpus(corpus: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "{corpus} has {inputs} inputs");
}

#[test]
fn the_corpus_of_messages_passes() {
    check_corpus("message", checks::message);
}

#[test]
fn the_corpus_of_phone_numbers_passes() {
    check_corpus("phone", checks::phone);
}

#[test]
fn the_corpus_of_queries_passes() {
    check_corpus("query", checks::query);
}
