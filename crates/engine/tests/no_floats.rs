//! The path from input to output must not name a floating-point type.

#![allow(clippy::unwrap_used)]

use std::path::Path;

fn scan(folder: &Path, seen: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                scan(&path, seen);
            }
            continue;
        }
        if name == "tests.rs" {
            continue;
        }
        *seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words {
            // A literal's suffix counts too: `1f64`.
            let word = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
            assert!(!matches!(word, "f16" | "f32" | "f64" | "f128"), "{} names {word}", path.display());
        }
    }
}

#[test]
fn sources_name_no_float_type() {
    let (mut seen, here) = (0, Path::new(env!("CARGO_MANIFEST_DIR")));
    scan(&here.join("src"), &mut seen);
    assert!(seen > 20, "only {seen} files found");
    // Canonical inputs and digests.
    scan(&here.join("../protocol/src"), &mut seen);
}
