//! Damaged and hostile model files: a typed error that names the field, never a panic.

use proptest::prelude::*;

use super::{
    gguf_file::{Dims, GgufFile, Meta, TensorData},
    path,
};
use crate::{Backend, Model, ModelError, Options, run};
use assay_protocol::{InferenceInput, Sampling};

fn small() -> GgufFile {
    GgufFile::model(Dims::SMALL, 0.2, 1.0, 1)
}

fn error(file: &GgufFile) -> String {
    Model::from_bytes(&file.bytes()).unwrap_err().to_string()
}

type Change = (&'static str, fn(&mut GgufFile));

fn linear(file: &mut GgufFile, factor: f32) {
    file.set("llama.rope.scaling.type", Meta::Text("linear".into()));
    file.set("llama.rope.scaling.factor", Meta::Single(factor));
}

/// Factors of the small model's eight pairs; `kind` says of which type they claim to be.
fn rope_freqs(file: &mut GgufFile, kind: u32, factors: &[f32]) {
    file.tensors.push(TensorData {
        name: "rope_freqs.weight".into(),
        kind,
        dims: vec![factors.len() as u64],
        bytes: factors.iter().flat_map(|f| f.to_le_bytes()).collect(),
        offset: None,
    });
}

#[test]
fn errors_name_the_field() {
    assert!(Model::from_bytes(&small().bytes()).is_ok());
    let changes: &[Change] = &[
        ("general.architecture", |f| f.remove("general.architecture")),
        ("general.architecture", |f| f.set("general.architecture", Meta::Text("gpt-j".into()))),
        ("general.architecture", |f| f.set("general.architecture", Meta::U32(1))),
        ("general.alignment", |f| f.set("general.alignment", Meta::U32(24))),
        ("llama.block_count", |f| f.remove("llama.block_count")),
        ("llama.block_count", |f| f.set("llama.block_count", Meta::U32(u32::MAX))),
        ("blk.2.attn_norm.weight", |f| f.set("llama.block_count", Meta::U32(3))),
        ("blk.1.", |f| f.set("llama.block_count", Meta::U32(1))),
        ("token_embd.weight", |f| f.set("llama.embedding_length", Meta::U32(32))),
        ("llama.embedding_length", |f| f.set("llama.embedding_length", Meta::U32(0))),
        ("llama.attention.head_count_kv", |f| f.set("llama.attention.head_count_kv", Meta::U32(3))),
        ("llama.attention.head_count_kv", |f| f.set("llama.attention.head_count_kv", Meta::U32(0))),
        ("llama.attention.key_length", |f| f.set("llama.attention.key_length", Meta::U32(15))),
        ("llama.attention.value_length", |f| f.set("llama.attention.value_length", Meta::U32(32))),
        ("llama.attention.key_length", |f| f.set("llama.attention.head_count", Meta::U32(1 << 18))),
        ("llama.rope.dimension_count", |f| f.set("llama.rope.dimension_count", Meta::U32(64))),
        ("llama.rope.freq_base", |f| f.set("llama.rope.freq_base", Meta::Single(f32::NAN))),
        ("llama.rope.freq_base", |f| f.set("llama.rope.freq_base", Meta::Single(0.0))),
        ("llama.rope.freq_base", |f| f.set("llama.rope.freq_base", Meta::U32(10_000))),
        ("llama.rope.scaling.type", |f| f.set("llama.rope.scaling.type", Meta::Text("longrope".into()))),
        ("llama.final_logit_softcapping", |f| f.set("llama.final_logit_softcapping", Meta::Single(30.0))),
        ("llama.attn_logit_softcapping", |f| f.set("llama.attn_logit_softcapping", Meta::Single(50.0))),
        ("llama.rope.scaling.factor", |f| f.set("llama.rope.scaling.type", Meta::Text("linear".into()))),
        ("llama.rope.scaling.factor", |f| linear(f, f32::NAN)),
        ("llama.rope.scaling.factor", |f| linear(f, 0.0)),
        ("llama.rope.scaling.factor", |f| linear(f, -4.0)),
        ("llama.rope.scaling.factor", |f| linear(f, f32::INFINITY)),
        ("rope_freqs.weight", |f| rope_freqs(f, 0, &[1.0; 7])),
        ("rope_freqs.weight", |f| rope_freqs(f, 1, &[1.0; 8])),
        ("rope_freqs.weight", |f| rope_freqs(f, 0, &[1.0, 1.0, 1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0])),
        ("rope_freqs.weight", |f| rope_freqs(f, 0, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])),
        ("rope_freqs.weight", |f| rope_freqs(f, 0, &[-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])),
        ("llama.rope.scaling.type", |f| {
            rope_freqs(f, 0, &[1.0; 8]);
            linear(f, 2.0);
        }),
        ("llama.expert_count", |f| f.set("llama.expert_count", Meta::U32(8))),
        ("layer_norm_rms_epsilon", |f| {
            f.set("llama.attention.layer_norm_rms_epsilon", Meta::Single(0.0));
        }),
        ("layer_norm_rms_epsilon", |f| {
            f.set("llama.attention.layer_norm_rms_epsilon", Meta::Single(f32::INFINITY));
        }),
        ("tokenizer.ggml.tokens", |f| f.remove("tokenizer.ggml.tokens")),
        ("token_embd.weight", |f| f.set("tokenizer.ggml.tokens", Meta::Texts(vec!["a".into(), "b".into()]))),
        ("tokenizer.ggml.tokens", |f| f.set("tokenizer.ggml.tokens", Meta::Texts(vec!["a".into(); 40]))),
        ("llama.vocab_size", |f| f.set("llama.vocab_size", Meta::U32(41))),
        ("tokenizer.ggml.merges", |f| f.set("tokenizer.ggml.merges", Meta::Texts(vec!["ab".into()]))),
        ("tokenizer.ggml.merges", |f| f.set("tokenizer.ggml.merges", Meta::Texts(vec!["x y".into()]))),
        ("tokenizer.ggml.pre", |f| f.set("tokenizer.ggml.pre", Meta::Text("klingon".into()))),
        ("tokenizer.ggml.model", |f| f.set("tokenizer.ggml.model", Meta::Text("bert".into()))),
        ("tokenizer.ggml.token_type", |f| f.set("tokenizer.ggml.token_type", Meta::Ints(vec![1; 39]))),
        ("tokenizer.ggml.token_type", |f| f.set("tokenizer.ggml.token_type", Meta::Ints(vec![9; 40]))),
        ("tokenizer.ggml.eos_token_id", |f| f.set("tokenizer.ggml.eos_token_id", Meta::U32(40))),
        ("tokenizer.chat_template", |f| f.set("tokenizer.chat_template", Meta::Text("{% if".into()))),
        ("general.alignment", |f| f.set("general.alignment", Meta::U32(0))),
        ("general.alignment", |f| f.set("general.alignment", Meta::U32(1 << 31))),
        ("general.alignment", |f| f.set("general.alignment", Meta::Text("32".into()))),
        ("tokenizer.ggml.pre", |f| f.remove("tokenizer.ggml.pre")),
        ("tokenizer.ggml.model", |f| f.remove("tokenizer.ggml.model")),
        ("tokenizer.ggml.tokens", |f| f.set("tokenizer.ggml.tokens", Meta::Texts(vec![]))),
        ("tokenizer.ggml.tokens", |f| f.set("tokenizer.ggml.tokens", Meta::Ints(vec![1; 40]))),
        ("token_embd.weight", |f| {
            f.set("tokenizer.ggml.tokens", Meta::Texts((0..41).map(|i| format!("t{i}")).collect()));
        }),
        ("tokenizer.ggml.bos_token_id", |f| {
            f.set("tokenizer.ggml.bos_token_id", Meta::Raw(5, vec![0xff; 4]));
        }),
        ("tokenizer.ggml.add_bos_token", |f| f.set("tokenizer.ggml.add_bos_token", Meta::U32(1))),
        ("tokenizer.ggml.token_type", |f| {
            f.set("tokenizer.ggml.token_type", Meta::Texts(vec!["1".into(); 40]));
        }),
        ("tokenizer.chat_template", |f| {
            f.set("tokenizer.chat_template", Meta::Text("{{ 1".repeat(20_000)));
        }),
        ("tokenizer.chat_template", |f| {
            f.set("tokenizer.chat_template", Meta::Text(format!("{{{{ {}1", "not ".repeat(10_000))));
        }),
        // A key, a value, an item and a tensor's name that are not UTF-8.
        ("odd.key", |f| f.set("odd.key", Meta::Raw(8, [&1u64.to_le_bytes()[..], &[0xff]].concat()))),
        ("odd.key", |f| {
            let parts = [&8u32.to_le_bytes()[..], &1u64.to_le_bytes(), &1u64.to_le_bytes(), &[0xc3]];
            f.set("odd.key", Meta::Raw(9, parts.concat()));
        }),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(9, [[0xff; 4], [0; 4], [0; 4]].concat()))),
        ("odd.key", |f| {
            f.set("odd.key", Meta::Raw(9, [&6u32.to_le_bytes()[..], &(1u64 << 62).to_le_bytes()].concat()));
        }),
        ("odd.key", |f| {
            // An array in an array in an array.
            let nested = [9u32.to_le_bytes(), [1, 0, 0, 0], [0; 4]].concat().repeat(3);
            f.set("odd.key", Meta::Raw(9, nested));
        }),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(8, (1u64 << 21).to_le_bytes().to_vec()))),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(99, vec![]))),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(7, vec![2]))),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(8, u64::MAX.to_le_bytes().to_vec()))),
        ("odd.key", |f| {
            f.set("odd.key", Meta::Raw(9, [&8u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat()));
        }),
        ("odd.key", |f| {
            f.set("odd.key", Meta::Raw(9, [&4u32.to_le_bytes()[..], &(1u64 << 21).to_le_bytes()].concat()));
        }),
        ("odd.key", |f| f.set("odd.key", Meta::Raw(9, [9u32.to_le_bytes(), [0; 4]].concat()))),
        ("general.name", |f| f.meta.push(("general.name".into(), Meta::U32(1)))),
        ("blk.0.attn_q.weight", |f| f.tensors.retain(|t| t.name != "blk.0.attn_q.weight")),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![32, 128]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![4096]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![u64::MAX, u64::MAX]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![64, 0]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![1; 5]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![0, 64]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![0]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![64, 64, 1]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![33, 64]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![1 << 32, 1 << 32]),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").dims = vec![32, 1 << 62, 1 << 2]),
        ("blk.0.attn_norm.weight", |f| f.tensor("blk.0.attn_norm.weight").dims = vec![u64::MAX]),
        ("blk.0.attn_norm.weight", |f| f.tensor("blk.0.attn_norm.weight").dims = vec![63]),
        ("output.weight", |f| f.tensor("output.weight").dims = vec![64, 39]),
        ("blk.0.attn_q.weight: is missing", |f| f.tensor("blk.0.attn_q.weight").name = String::new()),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").kind = u32::MAX),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").kind = 12),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").offset = Some(8)),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.attn_q.weight").offset = Some(u64::MAX - 31)),
        ("overlaps", |f| f.tensor("blk.0.attn_q.weight").offset = Some(0)),
        ("blk.0.extra", |f| {
            let mut extra = f.tensor("blk.0.attn_q.weight").clone();
            extra.name = "blk.0.extra".into();
            f.tensors.push(extra);
        }),
        ("blk.0.attn_q.weight", |f| f.tensor("blk.0.ffn_down.weight").name = "blk.0.attn_q.weight".into()),
        ("row 0: scale is not finite", |f| {
            f.tensor("blk.0.ffn_up.weight").bytes[..2].copy_from_slice(&0x7c00u16.to_le_bytes());
        }),
        ("row 0: scale is not finite", |f| {
            f.tensor("blk.0.ffn_up.weight").bytes[..2].copy_from_slice(&0x7e01u16.to_le_bytes());
        }),
        ("row 0: scale is not finite", |f| {
            f.tensor("token_embd.weight").bytes[34..36].copy_from_slice(&0xfc00u16.to_le_bytes());
        }),
        ("row 1: scale is negative", |f| {
            f.tensor("blk.0.ffn_up.weight").bytes[68..70].copy_from_slice(&0x8400u16.to_le_bytes());
        }),
        ("output_norm.weight", |f| {
            f.tensor("output_norm.weight").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
        ("output_norm.weight", |f| {
            f.tensor("output_norm.weight").bytes[..4].copy_from_slice(&512f32.to_le_bytes());
        }),
    ];
    for (i, (expected, change)) in changes.iter().enumerate() {
        let mut file = small();
        change(&mut file);
        let message = error(&file);
        assert!(message.contains(expected), "change {i}: {message:?} does not name {expected:?}");
    }
    for kind in [0, 1, 30] {
        let mut file = GgufFile::model(Dims { kind, ..Dims::SMALL }, 0.2, 1.0, 1);
        file.tensor("blk.1.attn_k.weight").bytes[..4].fill(0xff);
        assert!(error(&file).contains("blk.1.attn_k.weight"), "type {kind}");
    }
    // Where a block's scale lies: at its beginning, of Q6_K at its end.
    let k_quants = Dims { width: 256, head_dim: 64, hidden: 256, ..Dims::SMALL };
    for (dims, at) in [
        (Dims { kind: 2, ..Dims::SMALL }, 0),
        (Dims { kind: 13, ..k_quants }, 0),
        (Dims { kind: 13, ..k_quants }, 2),
        (Dims { kind: 14, ..k_quants }, 208),
    ] {
        for half in [0x7c00u16, 0xfc00, 0x7e00] {
            let mut file = GgufFile::model(dims, 0.2, 1.0, 1);
            file.tensor("blk.1.attn_k.weight").bytes[at..at + 2].copy_from_slice(&half.to_le_bytes());
            let message = error(&file);
            assert!(message.contains("blk.1.attn_k.weight"), "type {}, {half:#x}: {message}", dims.kind);
        }
    }
    for bias in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut file = GgufFile::model(Dims { architecture: "qwen2", ..Dims::SMALL }, 0.2, 1.0, 1);
        file.tensor("blk.1.attn_k.bias").bytes[4..8].copy_from_slice(&bias.to_le_bytes());
        assert!(error(&file).contains("blk.1.attn_k.bias"), "{bias}");
    }
    let yarn = |architecture, changes: &[(&str, Meta)]| {
        let mut file = GgufFile::model(Dims { architecture, ..Dims::SMALL }, 0.2, 1.0, 1);
        for (key, value) in
            [("type", Meta::Text("yarn".into())), ("factor", Meta::Single(4.0))].iter().chain(changes)
        {
            file.set(&format!("{architecture}.rope.scaling.{key}"), value.clone());
        }
        file
    };
    assert!(Model::from_bytes(&yarn("qwen2", &[("yarn_beta_fast", Meta::Single(32.0))]).bytes()).is_ok());
    for key in ["attn_factor", "yarn_attn_factor", "yarn_ext_factor", "yarn_beta_fast", "yarn_beta_slow"] {
        assert!(error(&yarn("llama", &[(key, Meta::Single(2.0))])).contains(key));
    }
    for factor in [0.5, 5_000.0, f32::NAN, -4.0] {
        assert!(error(&yarn("llama", &[("factor", Meta::Single(factor))])).contains("rope.scaling.factor"));
    }
    let mut base = yarn("llama", &[]);
    base.set("llama.rope.freq_base", Meta::Single(1.5));
    assert!(error(&base).contains("llama.rope.freq_base"));
    assert!(error(&yarn("llama", &[("original_context_length", Meta::U32(0))])).contains("original_context"));
    assert!(error(&yarn("gemma3", &[])).contains("rope.scaling.type"));
    let gemma2 = Dims { architecture: "gemma2", ..Dims::SMALL };
    for cap in [0.06, 16_384.0, -30.0, f32::NAN, f32::INFINITY, 1e-30] {
        for key in ["gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping"] {
            let mut file = GgufFile::model(gemma2, 0.2, 1.0, 1);
            file.set(key, Meta::Single(cap));
            assert!(error(&file).contains(key), "{cap}");
        }
    }
    let q4_k = Dims { kind: 12, width: 256, head_dim: 64, hidden: 256, ..Dims::SMALL };
    for (at, half, expected) in [
        (0, 0x7c00u16, "row 0: scale is not finite"),
        (144 + 2, 0x7e00, "row 1: scale is not finite"),
        // 65,504 times what the next bytes say.
        (0, 0x7bff, "row 0: a scale or minimum is not below 65,536"),
        (2, 0xfbff, "row 0: a scale or minimum is not below 65,536"),
    ] {
        let mut file = GgufFile::model(q4_k, 0.2, 1.0, 1);
        let bytes = &mut file.tensor("blk.1.attn_k.weight").bytes;
        bytes[4..16].fill(0x21);
        bytes[at..at + 2].copy_from_slice(&half.to_le_bytes());
        let message = error(&file);
        assert!(message.contains("blk.1.attn_k.weight") && message.contains(expected), "{message}");
    }
}

#[test]
fn header_counts_are_not_believed() {
    let good = small().bytes();
    for (at, value) in [(8, u64::MAX), (16, u64::MAX), (8, 1 << 16), (16, 1 << 16), (8, 0), (16, 0)] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        assert!(Model::from_bytes(&bytes).is_err(), "{value} at {at}");
    }
    for (at, value) in [(0, b'X'), (4, 1), (4, 4)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert!(Model::from_bytes(&bytes).unwrap_err().to_string().contains("GGUF"));
    }
}

/// A whole model of some kilobytes.
fn tiny() -> GgufFile {
    let dims = Dims {
        architecture: "llama",
        layers: 1,
        width: 2,
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        hidden: 1,
        vocabulary: 3,
        kind: 1,
        tied: true,
    };
    GgufFile::model(dims, 0.2, 1.0, 1)
}

/// Loads and, if that works, runs the file; says whether it did. An error must name something.
fn loads(bytes: &[u8]) -> bool {
    let named = match Model::from_bytes(bytes) {
        Ok(model) => {
            same_everywhere(&model, vec![0]);
            return true;
        }
        Err(ModelError::Truncated { field, .. }) => field,
        Err(ModelError::Metadata { key, reason }) => format!("{key}{reason}"),
        Err(ModelError::Tensor { name, reason }) => format!("{name}{reason}"),
        Err(ModelError::Format(reason)) => reason,
        Err(ModelError::Io(error)) => panic!("{error}"),
    };
    assert!(!named.is_empty());
    false
}

#[test]
fn every_truncation_is_refused() {
    let bytes = tiny().bytes();
    let last = tiny().tensors.last().unwrap().bytes.len();
    // The last tensor is followed by padding that nobody reads.
    let end = bytes.len() - last.next_multiple_of(32) + last;
    for n in 0..end {
        assert!(!loads(&bytes[..n]), "cut at {n} of {}", bytes.len());
    }
    assert!(loads(&bytes[..end]));
    let bytes = std::fs::read(path("models/tales-300k.gguf")).unwrap();
    for n in (0..bytes.len()).step_by(4_999) {
        assert!(Model::from_bytes(&bytes[..n]).is_err(), "cut at {n} of {}", bytes.len());
    }
    assert!(Model::open(path("models")).is_err());
    assert!(Model::open(path("models/no-such.gguf")).is_err());
}

#[test]
fn every_bit_of_a_header_may_flip() {
    let mut bytes = tiny().bytes();
    let data: usize = tiny().tensors.iter().map(|t| t.bytes.len().next_multiple_of(32)).sum();
    let header = bytes.len() - data;
    let mut refused = 0;
    // Unoptimised, one bit of each byte must do.
    let step = if cfg!(debug_assertions) { 9 } else { 1 };
    for bit in (0..8 * header).step_by(step) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused += u32::from(!loads(&bytes));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    println!("{refused} of {} flips refused", 8 * header / step);
    assert!(refused > 0);
}

#[test]
fn names_that_are_no_text_are_refused() {
    let bytes = tiny().bytes();
    for name in ["general.name", "blk.0.attn_q.weight", "test"] {
        let at = bytes.windows(name.len()).position(|w| w == name.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at] = 0xff;
        let error = Model::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("is not UTF-8"), "{name}: {error}");
    }
}

/// Runs a few tokens of a loaded file everywhere; debug builds check every addition for overflow.
fn same_everywhere(model: &Model, tokens: Vec<u32>) {
    let sampling = Sampling { seed: 3, temperature: 1000, top_p: 1000, top_k: 0 };
    let input = InferenceInput { nonce: [0; 16], max_tokens: 4, sampling, stop: vec![], tokens };
    let outcomes: Vec<_> = Backend::available()
        .into_iter()
        .map(|backend| run(model, &input, None, Options { backend, ..Options::default() }).unwrap())
        .collect();
    for outcome in &outcomes {
        assert_eq!(outcome, &outcomes[0]);
    }
}

#[test]
fn extreme_weights_overflow_nothing() {
    for kind in [0, 1, 8, 30] {
        for amplitude in [0.0, 1e-9, 1e-4, 1.0, 3e4, 6e6] {
            // Beyond 65,504 only a half that is multiplied by 127 goes.
            let amplitude = if kind == 8 { amplitude } else { f32::min(amplitude, 6e4) };
            for gain in [0.0, 1e-6, 1.0, 511.0] {
                let file = GgufFile::model(Dims { kind, ..Dims::SMALL }, amplitude, gain, 7);
                same_everywhere(&Model::from_bytes(&file.bytes()).unwrap(), (0..40).collect());
            }
        }
    }
}

#[test]
fn extreme_weights_of_no_family_overflow_anything() {
    for architecture in ["qwen2", "qwen3", "gemma", "gemma2", "gemma3"] {
        // Up to what a scale of the file can say.
        for (kind, largest) in [(0, 6e4), (2, 5e5), (8, 6e6), (12, 6e4)] {
            for amplitude in [0.0, 1e-6, largest] {
                for gain in [1e-6, 511.0] {
                    let mut dims = Dims { architecture, kind, head_dim: 32, ..Dims::SMALL };
                    if kind == 12 {
                        (dims.width, dims.hidden, dims.head_dim) = (256, 256, 64);
                    }
                    // One layer of gemma3 without a window.
                    dims.layers = if architecture == "gemma3" { 6 } else { 2 };
                    let file = GgufFile::model(dims, amplitude, gain, 7);
                    same_everywhere(&Model::from_bytes(&file.bytes()).unwrap(), (0..40).collect());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape_gives_the_same_everywhere(layers in 1u32..3, width in 2u32..200, kv_heads in 1u32..4, group in 1u32..4,
                                           half_head in 1u32..40, hidden in 1u32..200, vocabulary in 3u32..60,
                                           kind in prop::sample::select(vec![0u32, 1, 8, 30]), tied: bool, seed: u64,
                                           amplitude in prop::sample::select(vec![0.05f32, 0.5, 20.0]),
                                           prompt in prop::collection::vec(0u32..3, 1..80)) {
        let whole = |n: u32| if kind == 8 { n.next_multiple_of(32) } else { n };
        let head_dim = if kind == 8 { 32 * (half_head % 3 + 1) } else { 2 * half_head };
        let dims = Dims { architecture: "llama", layers, width: whole(width), heads: kv_heads * group, kv_heads, head_dim, hidden: whole(hidden),
                          vocabulary, kind, tied };
        let file = GgufFile::model(dims, amplitude, 1.0, seed);
        same_everywhere(&Model::from_bytes(&file.bytes()).unwrap(), prompt);
    }

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6)) {
        let file = small();
        let mut bytes = file.bytes();
        let data: usize = file.tensors.iter().map(|t| t.bytes.len().next_multiple_of(32)).sum();
        let header = bytes.len() - data;
        for (index, value, in_header) in flips {
            let at = if in_header { index.index(header) } else { index.index(bytes.len()) };
            bytes[at] = value;
        }
        if let Ok(model) = Model::from_bytes(&bytes) {
            same_everywhere(&model, vec![0, 2, 1]);
        }
    }
}
