//! Every input of the fuzzers' corpora, findings among them, through what is fuzzed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

#[allow(dead_code)]
#[path = "../src/tests/gguf_file.rs"]
mod gguf_file;
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use assay_protocol::{InferenceInput, Sampling};
use gguf_file::{Dims, GgufFile, Meta};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

#[test]
fn every_input_holds() {
    for (name, target) in targets::TARGETS {
        let mut count = 0;
        for file in std::fs::read_dir(folder(name)).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 4, "{name} has {count} inputs");
    }
}

/// Small models of some weight types and both tokenizers; the others are in tests/vectors/families.
fn models() -> Vec<(String, Vec<u8>)> {
    let tiny = Dims {
        architecture: "llama",
        layers: 1,
        width: 2,
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        hidden: 1,
        vocabulary: 4,
        kind: 0,
        tied: true,
    };
    let small = Dims { width: 32, heads: 2, kv_heads: 1, head_dim: 32, hidden: 32, vocabulary: 4, ..tiny };
    let mut out = Vec::new();
    for (name, dims) in [
        ("f32", tiny),
        ("f16", Dims { kind: 1, ..tiny }),
        ("bf16", Dims { kind: 30, tied: false, ..tiny }),
        ("q8", Dims { kind: 8, ..small }),
    ] {
        out.push((name.to_owned(), GgufFile::model(dims, 0.2, 1.0, 1).bytes()));
    }
    for (name, source) in [
        ("chat", "{{ bos_token }}{% for m in messages %}{{ m.role ~ m['content'].strip() }}{% endfor %}"),
        ("loop", "{% set ns = namespace(x=[]) %}{% for i in range(9) %}{% set ns.x = [ns.x] %}{% endfor %}"),
    ] {
        let mut file = GgufFile::model(Dims { kind: 1, ..tiny }, 0.2, 1.0, 1);
        file.set("tokenizer.chat_template", Meta::Text(source.into()));
        file.set("tokenizer.ggml.token_type", Meta::Ints(vec![3, 1, 4, 1]));
        file.set("tokenizer.ggml.bos_token_id", Meta::U32(0));
        out.push((name.to_owned(), file.bytes()));
    }
    let texts = (0..256).map(|b| format!("<0x{b:02X}>")).chain(["<s>", "▁a", "a", "▁"].map(String::from));
    let mut file = GgufFile::model(Dims { kind: 1, vocabulary: 260, ..tiny }, 0.2, 1.0, 1);
    file.set("tokenizer.ggml.model", Meta::Text("llama".into()));
    file.set("tokenizer.ggml.tokens", Meta::Texts(texts.collect()));
    file.set("tokenizer.ggml.token_type", Meta::Ints([vec![6; 256], vec![3, 1, 1, 1]].concat()));
    file.set("tokenizer.ggml.scores", Meta::Singles((0..260).map(|i| 0.5 - i as f32).collect()));
    file.set("llama.rope.scaling.type", Meta::Text("linear".into()));
    file.set("llama.rope.scaling.factor", Meta::Single(2.0));
    file.set("general.alignment", Meta::U32(32));
    out.push(("spm".to_owned(), file.bytes()));
    out
}

/// Inputs of `targets::tokenizer`: flags, tokens with kinds, cutting, merges, begin token, text.
fn vocabularies() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for pre in 0..7u8 {
        let mut bytes = vec![0, 5];
        for (kind, text) in [(0, "th"), (0, "the"), (2, "<|end|>"), (3, "<tool>"), (0, "\u{120}a")] {
            bytes.extend([kind, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        // Merges by index: t h, th e, Ġ a.
        bytes.extend([pre, 3, b't', 0, b'h', 0, 0, 1, b'e', 0, b' ', 0, b'a', 0, 2]);
        bytes.extend("the <|end|> a<tool> 123 日本 it's\r\n\n  x".as_bytes());
        out.push((format!("bpe-{pre}"), bytes));
    }
    for flags in [1, 5, 9] {
        let mut bytes = vec![flags, 4];
        for (kind, text) in [(0, "▁a"), (0, "ab"), (2, "<s>"), (3, "  ")] {
            bytes.extend([kind, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        bytes.extend([0; 256]);
        bytes.extend([0x3f, 0x40, 0, 0, 2]);
        bytes.extend("ab a  <s>b ▁ab é".as_bytes());
        out.push((format!("spm-{flags}"), bytes));
    }
    out
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let input = |stop: Vec<u32>, tokens: Vec<u32>, sampling| {
        InferenceInput { nonce: [7; 16], max_tokens: 5, sampling, stop, tokens }.encode().unwrap()
    };
    let sampled = Sampling { seed: 9, temperature: 700, top_p: 900, top_k: 40 };
    let mut out = vec![
        ("one".to_owned(), input(vec![], vec![0], Sampling::GREEDY)),
        ("stops".to_owned(), input(vec![1, 2, 900], (0..30).collect(), sampled)),
        ("most-stops".to_owned(), input((0..64).collect(), vec![u32::MAX], sampled)),
    ];
    let mut longer = input(vec![], vec![1, 2], sampled);
    longer.push(0);
    out.push(("tail".to_owned(), longer));
    let mut unsorted = input(vec![1, 2], vec![1, 2], sampled);
    unsorted.swap(49, 53);
    out.push(("unsorted".to_owned(), unsorted));
    out
}

/// Writes the seeds; what fuzzing found lies beside them.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_seeds() {
    for (target, seeds) in
        [("gguf_loader", models()), ("tokenizer", vocabularies()), ("canonical_input", inputs())]
    {
        std::fs::create_dir_all(folder(target)).unwrap();
        for (name, bytes) in seeds {
            std::fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
}
