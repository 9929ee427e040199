//! Speed of every back end on this machine: `cargo run --release -p assay-engine --example speed -- MODEL.gguf…`
//!
//! Memory and neighbours on a machine vary, so each line stands beside a read-only pass over as many bytes as the
//! model has, timed just before it by one thread.

#![allow(clippy::unwrap_used)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use assay_engine::{Backend, Generation, Model, Options};
use assay_protocol::{InferenceInput, Sampling};

/// Prompt tokens, and output tokens at most.
const PROMPT: usize = 100;
const OUTPUT: u32 = 100;
const REPEATS: usize = 5;
/// Weights up to which the reference is timed too.
const REFERENCE_LIMIT: u64 = 20_000_000;

fn main() {
    for path in std::env::args().skip(1) {
        let start = Instant::now();
        let model = Model::open(&path).unwrap();
        let opened = start.elapsed();
        let start = Instant::now();
        model.root();
        let info = model.info();
        println!("{path}: {} weights, {} bytes", info.parameters, info.file_bytes);
        println!("  opened in {opened:.1?}, root in {:.1?}", start.elapsed());
        let words = vec![1u64; info.file_bytes as usize / 8];
        for backend in Backend::ALL {
            if !backend.is_available() {
                println!("  {backend}: not available on this machine");
                continue;
            }
            if backend == Backend::Reference && info.parameters > REFERENCE_LIMIT {
                println!("  {backend}: left out, it would take minutes");
                continue;
            }
            for threads in [1, 2, 4] {
                if backend == Backend::Reference && threads > 1 {
                    continue;
                }
                report(&model, &words, Options { backend, threads });
            }
        }
    }
}

/// Medians over some repetitions.
fn report(model: &Model, words: &[u64], options: Options) {
    let (mut reads, mut prefills, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let start = Instant::now();
        black_box(black_box(words).iter().fold(0u64, |a, b| a.wrapping_add(*b)));
        reads.push(start.elapsed());
        // Sampling far from greedy, so that no end token comes early.
        let input = InferenceInput {
            nonce: [0; 16],
            max_tokens: OUTPUT,
            sampling: Sampling { seed: 1, temperature: 3000, top_p: 1000, top_k: 0 },
            stop: vec![],
            tokens: (0..PROMPT as u32).map(|i| 5 + i % 100).collect(),
        };
        let mut generation = Generation::start(model, &input, options).unwrap();
        let start = Instant::now();
        generation.next_token();
        prefills.push(start.elapsed());
        let start = Instant::now();
        let mut n = 0u32;
        while generation.next_token().is_some() {
            n += 1;
        }
        tokens.push(start.elapsed() / n.max(1));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let token = median(&mut tokens);
    println!(
        "  {} ×{}: prompt of {PROMPT} in {:.2?}, {:.0} tokens/s ({token:.1?} each; reading as many bytes {:.1?})",
        options.backend,
        options.threads,
        median(&mut prefills),
        1.0 / token.as_secs_f64(),
        median(&mut reads),
    );
}
