//! What loading a hostile file may allocate: a small multiple of the file, whatever it claims.

#![allow(clippy::unwrap_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use assay_engine::{Meter, Model, Options};

#[allow(dead_code)]
#[path = "../src/tests/gguf_file.rs"]
mod gguf_file;

use gguf_file::{Dims, GgufFile, Meta, TensorData};

/// Counts what is allocated, and the most that ever was at a time.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator wants.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Loads a file; says whether that worked and what it took at most, with the weights, which are no allocator's.
fn load(bytes: &[u8]) -> (bool, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let loaded = Model::from_bytes(bytes);
    let peak = PEAK.load(Relaxed) - before;
    let weights = loaded.as_ref().ok().and_then(|model| Meter::new(model, Options::default()));
    (loaded.is_ok(), peak + weights.map_or(0, |meter| meter.weight_bytes() as usize))
}

fn small() -> GgufFile {
    GgufFile::model(Dims::SMALL, 0.2, 1.0, 1)
}

fn raw_array(kind: u32, count: u64, items: &[u8]) -> Meta {
    Meta::Raw(9, [&kind.to_le_bytes()[..], &count.to_le_bytes(), items].concat())
}

type Case = (&'static str, Vec<u8>);

fn changed(change: impl Fn(&mut GgufFile)) -> Vec<u8> {
    let mut file = small();
    change(&mut file);
    file.bytes()
}

/// Small files that claim to be large.
fn claims() -> Vec<Case> {
    let count = |at: usize, value: u64| {
        let mut bytes = small().bytes();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let odd = |value: Meta| changed(|f| f.set("odd", value.clone()));
    vec![
        ("tensor count", count(8, u64::MAX)),
        ("tensor count within limits", count(8, 1 << 16)),
        ("metadata count", count(16, 1 << 16)),
        ("array of 2^62", odd(raw_array(6, 1 << 62, &[]))),
        ("array of 2^22", odd(raw_array(0, 1 << 22, &[]))),
        ("text of 2^60", odd(Meta::Raw(8, (1u64 << 60).to_le_bytes().to_vec()))),
        ("huge tensor", changed(|f| f.tensor("output.weight").dims = vec![64, 1 << 40])),
        (
            "huge shape",
            changed(|f| {
                f.set("llama.embedding_length", Meta::U32(1 << 18));
                f.set("llama.feed_forward_length", Meta::U32(1 << 18));
                f.set("llama.block_count", Meta::U32(512));
                f.set("llama.attention.head_count", Meta::U32(1 << 17));
            }),
        ),
    ]
}

/// Metadata that take more in memory than in the file.
fn metadata() -> Vec<Case> {
    let set = |key: &'static str, value: Meta| changed(|f| f.set(key, value.clone()));
    let template = |source: String| set("tokenizer.chat_template", Meta::Text(source));
    vec![
        ("array of empty texts", set("odd", raw_array(8, 200_000, &vec![0; 1_600_000]))),
        ("array of integers", set("odd", raw_array(4, 400_000, &vec![7; 1_600_000]))),
        ("many keys", changed(|f| f.meta.extend((0..60_000).map(|i| (format!("{i:x}"), Meta::Bool(true)))))),
        ("same tokens", set("tokenizer.ggml.tokens", raw_array(8, 200_000, &vec![0; 1_600_000]))),
        ("deep template", template(format!("{{{{ {}1 }}}}", "-".repeat(65_000)))),
        ("constant template", template(format!("{{{{ 1{} }}}}", " ~ 'x' * 90000000".repeat(100)))),
        ("long template", template("{{a}}".repeat(13_000))),
    ]
}

/// As little as a model can have.
const LEAST: Dims = Dims {
    architecture: "llama",
    layers: 1,
    width: 2,
    heads: 1,
    kv_heads: 1,
    head_dim: 2,
    hidden: 1,
    vocabulary: 40,
    kind: 1,
    tied: true,
};

/// Tensors that take more in memory than in the file.
fn tensors() -> Vec<Case> {
    let model = |dims| GgufFile::model(dims, 0.2, 1.0, 1).bytes();
    let many = changed(|f| {
        f.tensors.extend((0..60_000).map(|i| TensorData {
            name: format!("{i:x}"),
            kind: 1,
            dims: vec![1],
            bytes: vec![0; 2],
            offset: None,
        }));
    });
    vec![
        ("many tensors", many),
        ("many layers", model(Dims { layers: 512, ..LEAST })),
        ("short rows", model(Dims { hidden: 30_000, heads: 10_000, ..LEAST })),
        ("few rows", model(Dims { width: 30_000, ..LEAST })),
    ]
}

/// A vocabulary of hexadecimal numbers.
fn vocabulary(kind: i32) -> GgufFile {
    let count = 60_000;
    let mut file = GgufFile::model(Dims { vocabulary: count, ..LEAST }, 0.2, 1.0, 1);
    file.set("tokenizer.ggml.tokens", Meta::Texts((0..count).map(|i| format!("{i:x}")).collect()));
    file.set("tokenizer.ggml.token_type", Meta::Ints(vec![kind; count as usize]));
    file
}

fn vocabularies() -> Vec<Case> {
    let mut merged = vocabulary(1);
    // Every number of more than one digit is its first digit and the rest.
    let numbers = (16..60_000).map(|i| format!("{i:x}"));
    let pairs = numbers.map(|n| format!("{} {}", &n[..1], &n[1..])).filter(|pair| !pair.contains(" 0"));
    merged.set("tokenizer.ggml.merges", Meta::Texts(pairs.collect()));

    let mut pieces = vocabulary(1);
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let texts: Vec<String> = bytes.chain((256..60_000).map(|i| format!("{i:x}"))).collect();
    pieces.set("tokenizer.ggml.model", Meta::Text("llama".into()));
    pieces.set("tokenizer.ggml.token_type", Meta::Ints([vec![6; 256], vec![1; texts.len() - 256]].concat()));
    pieces.set("tokenizer.ggml.scores", Meta::Singles(vec![0.5; texts.len()]));
    pieces.set("tokenizer.ggml.tokens", Meta::Texts(texts));
    vec![
        ("tokens", vocabulary(1).bytes()),
        ("control tokens", vocabulary(3).bytes()),
        ("merges", merged.bytes()),
        ("pieces", pieces.bytes()),
    ]
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn loading_takes_a_small_multiple_of_the_file() {
    // Regular expressions, template engine and buffers, whatever the file.
    let (loaded, fixed) = load(&small().bytes());
    assert!(loaded);
    println!("{} bytes take {fixed}", small().bytes().len());
    for (name, bytes) in [claims(), metadata(), tensors(), vocabularies()].concat() {
        let (loaded, peak) = load(&bytes);
        let times = peak.saturating_sub(fixed) as f64 / bytes.len() as f64;
        let outcome = if loaded { "loaded" } else { "refused" };
        println!("{name}: {} bytes take {peak}, {times:.1} times; {outcome}", bytes.len());
        assert!(peak <= fixed + 24 * bytes.len(), "{name}: {peak} of {}", bytes.len());
    }
}
