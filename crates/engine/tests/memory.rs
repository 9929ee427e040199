//! What loading a hostile file may allocate: a small multiple of the file, whatever it claims.

#![allow(clippy::unwrap_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use assay_engine::Model;

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

/// Loads a file; says whether that worked and what it took at most.
fn load(bytes: &[u8]) -> (bool, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let loaded = Model::from_bytes(bytes).is_ok();
    (loaded, PEAK.load(Relaxed) - before)
}

fn small() -> GgufFile {
    GgufFile::model(Dims::SMALL, 0.2, 1.0, 1)
}

fn raw_array(kind: u32, count: u64, items: &[u8]) -> Meta {
    Meta::Raw(9, [&kind.to_le_bytes()[..], &count.to_le_bytes(), items].concat())
}

/// A vocabulary of short texts in a model that is as small as can be.
fn vocabulary(count: u32, kind: i32) -> GgufFile {
    let dims = Dims {
        layers: 1,
        width: 2,
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        hidden: 1,
        kind: 1,
        tied: true,
        vocabulary: count,
    };
    let mut file = GgufFile::model(dims, 0.2, 1.0, 1);
    let text = |i: u32| format!("{i:x}");
    file.set("tokenizer.ggml.tokens", Meta::Texts((0..count).map(text).collect()));
    file.set("tokenizer.ggml.token_type", Meta::Ints(vec![kind; count as usize]));
    file
}

/// Hostile files that are large themselves, or say so.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let with = |change: &dyn Fn(&mut GgufFile)| {
        let mut file = small();
        change(&mut file);
        file.bytes()
    };
    let counts = |at: usize, value: u64| {
        let mut bytes = small().bytes();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    // Every number of more than one digit is its first digit and the rest.
    let merges: Vec<String> = (16..60_000)
        .map(|i| format!("{i:x}"))
        .map(|t| format!("{} {}", &t[..1], &t[1..]))
        .filter(|t| !t.contains(" 0"))
        .collect();
    vec![
        ("tensor count", counts(8, u64::MAX)),
        ("tensor count within limits", counts(8, 1 << 16)),
        ("metadata count", counts(16, 1 << 16)),
        ("array of 2^62", with(&|f| f.set("odd", raw_array(6, 1 << 62, &[])))),
        ("array of 2^22", with(&|f| f.set("odd", raw_array(0, 1 << 22, &[])))),
        ("array of empty texts", with(&|f| f.set("odd", raw_array(8, 200_000, &vec![0; 1_600_000])))),
        ("array of integers", with(&|f| f.set("odd", raw_array(4, 400_000, &vec![7; 1_600_000])))),
        ("text of 2^60", with(&|f| f.set("odd", Meta::Raw(8, (1u64 << 60).to_le_bytes().to_vec())))),
        ("many keys", with(&|f| (0..60_000).for_each(|i| f.meta.push((format!("{i:x}"), Meta::Bool(true)))))),
        (
            "many tensors",
            with(&|f| {
                for i in 0..60_000 {
                    f.tensors.push(TensorData {
                        name: format!("{i:x}"),
                        kind: 1,
                        dims: vec![1],
                        bytes: vec![0; 2],
                        offset: None,
                    });
                }
            }),
        ),
        ("huge tensor", with(&|f| f.tensor("output.weight").dims = vec![64, 1 << 40])),
        (
            "huge shape",
            with(&|f| {
                f.set("llama.embedding_length", Meta::U32(1 << 18));
                f.set("llama.feed_forward_length", Meta::U32(1 << 18));
                f.set("llama.block_count", Meta::U32(512));
                f.set("llama.attention.head_count", Meta::U32(1 << 17));
            }),
        ),
        (
            "flat matrices",
            GgufFile::model(
                Dims { width: 2, hidden: 30_000, head_dim: 2, heads: 10_000, kind: 1, ..Dims::SMALL },
                0.2,
                1.0,
                1,
            )
            .bytes(),
        ),
        (
            "narrow matrices",
            GgufFile::model(
                Dims { width: 30_000, hidden: 1, head_dim: 2, heads: 1, kv_heads: 1, kind: 1, ..Dims::SMALL },
                0.2,
                1.0,
                1,
            )
            .bytes(),
        ),
        ("vocabulary", vocabulary(60_000, 1).bytes()),
        ("control tokens", vocabulary(60_000, 3).bytes()),
        (
            "same tokens",
            with(&|f| f.set("tokenizer.ggml.tokens", raw_array(8, 200_000, &vec![0; 1_600_000]))),
        ),
        ("merges", {
            let mut file = vocabulary(60_000, 1);
            file.set("tokenizer.ggml.merges", Meta::Texts(merges));
            file.bytes()
        }),
        ("SentencePiece", {
            let mut file = vocabulary(60_000, 1);
            let (mut texts, mut kinds): (Vec<String>, Vec<i32>) =
                ((0..60_000).map(|i| format!("{i:x}")).collect(), vec![1; 60_000]);
            for b in 0..256 {
                texts[b] = format!("<0x{b:02X}>");
                kinds[b] = 6;
            }
            file.set("tokenizer.ggml.model", Meta::Text("llama".into()));
            file.set("tokenizer.ggml.tokens", Meta::Texts(texts));
            file.set("tokenizer.ggml.token_type", Meta::Ints(kinds));
            file.set("tokenizer.ggml.scores", Meta::Singles(vec![0.5; 60_000]));
            file.bytes()
        }),
        (
            "deep template",
            with(&|f| {
                f.set("tokenizer.chat_template", Meta::Text(format!("{{{{ {}1 }}}}", "-".repeat(65_000))))
            }),
        ),
        ("chat template", with(&|f| f.set("tokenizer.chat_template", Meta::Text("{{a}}".repeat(13_000))))),
    ]
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn loading_takes_a_small_multiple_of_the_file() {
    // Regular expressions, template engine and buffers, whatever the file.
    let (loaded, fixed) = load(&small().bytes());
    assert!(loaded);
    println!("{} bytes take {fixed}", small().bytes().len());
    for (name, bytes) in files() {
        let (loaded, peak) = load(&bytes);
        let times = peak.saturating_sub(fixed) as f64 / bytes.len() as f64;
        println!(
            "{name}: {} bytes take {peak}, {times:.1} times; {}",
            bytes.len(),
            if loaded { "loaded" } else { "refused" }
        );
        assert!(peak <= fixed + 24 * bytes.len(), "{name}: {peak} of {}", bytes.len());
    }
}
