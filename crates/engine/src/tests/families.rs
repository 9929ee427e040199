//! Small models of every family and type of weights: back ends agree, and stay close to double precision.

use super::{
    all_logits,
    float_model::{FloatModel, Rounding},
    gguf_file::{Dims, GgufFile},
};
use crate::{Backend, Model, gguf::Source, runner::Runner};

const FAMILIES: [&str; 6] = ["llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"];

/// Seven layers, so that one of `gemma3`'s sees everything; heads no multiple of a block.
fn dims(architecture: &'static str, kind: u32) -> Dims {
    Dims {
        architecture,
        layers: 7,
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_dim: 24,
        hidden: 96,
        vocabulary: 80,
        kind,
        tied: architecture == "gemma",
    }
}

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * 29 % 80).collect()
}

#[test]
fn families_follow_their_definition() {
    for architecture in FAMILIES {
        for (kind, bound) in [(0, 0.045), (2, 0.03), (8, 0.035), (12, 0.03)] {
            let mut dims = dims(architecture, kind);
            // Rows of whole blocks.
            match kind {
                2 | 8 => dims.head_dim = 32,
                12 => (dims.width, dims.hidden, dims.head_dim) = (256, 256, 64),
                _ => {}
            }
            let bytes = GgufFile::model(dims, 0.3, 1.0, 7).bytes();
            let exact = FloatModel::read(&Source::Memory(&bytes)).logits(&tokens(70), Rounding::Exact);
            let model = Model::from_bytes(&bytes).unwrap();
            let got = all_logits(&model, &mut Runner::new(Backend::Reference, 1), &tokens(70));
            let size = (exact.iter().map(|x| x * x).sum::<f64>() / exact.len() as f64).sqrt();
            let error = got.iter().zip(&exact).map(|(g, x)| (f64::from(*g) / 65536.0 - x).powi(2));
            let error = (error.sum::<f64>() / exact.len() as f64).sqrt() / size;
            println!("{architecture}, type {kind}: error {error:.5} of the logits' size {size:.2}");
            assert!(error < bound);
        }
    }
}

#[test]
fn back_ends_agree_on_families() {
    for backend in Backend::ALL.into_iter().filter(|b| !b.is_available()) {
        println!("skipped: this machine lacks back end {backend}");
    }
    for architecture in FAMILIES {
        for kind in [0, 1, 2, 8, 12, 13, 14, 30] {
            let mut dims = dims(architecture, kind);
            if (12..15).contains(&kind) {
                (dims.width, dims.hidden, dims.head_dim) = (256, 256, 64);
            } else if kind == 2 || kind == 8 {
                dims.head_dim = 32;
            }
            let model = Model::from_bytes(&GgufFile::model(dims, 0.3, 1.0, 11).bytes()).unwrap();
            let expected = all_logits(&model, &mut Runner::new(Backend::Reference, 1), &tokens(75));
            assert!(expected.iter().any(|x| x.unsigned_abs() > 1 << 10));
            for backend in Backend::available() {
                let got = all_logits(&model, &mut Runner::new(backend, 2), &tokens(75));
                assert!(got == expected, "{architecture}, type {kind}, {backend}");
            }
        }
    }
}
