//! Tests that need the crate's inside, and floating point to compare with.

mod accuracy;
mod batches;
mod blocks;
mod bounds;
mod families;
mod float_model;
mod gguf_file;
mod hostile;
mod steps;
mod tokenizers;
mod vectors;

use std::path::PathBuf;

use crate::{
    Model,
    cache::{Cache, Layout},
    runner::{Outputs, Runner, Work},
};

/// A file of the repository.
fn path(relative: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../..", relative].iter().collect()
}

fn model(name: &str) -> Model {
    Model::open(path(&format!("models/{name}.gguf"))).unwrap()
}

/// Logits `[token][id]` of every position of a sequence.
fn all_logits(model: &Model, runner: &mut Runner, tokens: &[u32]) -> Vec<i32> {
    let mut cache = Cache::new(Layout::of(model.shape()), Vec::new());
    let mut outputs = Outputs::default();
    let mut logits = Vec::new();
    for tokens in tokens.chunks(64) {
        let mut work = [Work { cache: &mut cache, tokens, wanted: tokens.len() }];
        runner.step(model, &mut work, &mut outputs);
        logits.extend_from_slice(&outputs.logits);
    }
    logits
}
