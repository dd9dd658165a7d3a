//! The fuzz targets' checks, with every input that was ever of interest (`fuzz/corpus`, see `make fuzz`).

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn each(corpus: &str, check: fn(&[u8])) {
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
fn messages() {
    each("message", checks::message);
}

#[test]
fn phones() {
    each("phone", checks::phone);
}

#[test]
fn queries() {
    each("query", checks::query);
}
