//! Tests that need the crate's inside, and floating point to compare with.

mod accuracy;
mod blocks;
mod float_model;
mod gguf_file;
mod hostile;
mod steps;
mod tokenizers;

use std::path::PathBuf;

use crate::Model;

/// A file of the repository.
fn path(relative: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../..", relative].iter().collect()
}

fn model(name: &str) -> Model {
    Model::open(path(&format!("models/{name}.gguf"))).unwrap()
}
