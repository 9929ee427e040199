//! Requests computed together, with little memory, with shared beginnings: each result is the same as alone.

use assay_protocol::{InferenceInput, Sampling};
use proptest::prelude::*;

use super::{
    gguf_file::{Dims, GgufFile, Noise},
    model,
};
use crate::{
    Backend, Engine, InputRefused, Model, Options, Outcome,
    cache::{Layout, PAGE},
    outlet::Outlet,
    run,
    runner::Runner,
    scheduler::{Job, Scheduler},
};

fn input(model: &Model, noise: &mut Noise, prefix: &[u32]) -> InferenceInput {
    let vocabulary = u64::from(model.info().vocabulary);
    let mut tokens = prefix.to_vec();
    tokens.extend((0..=noise.next() % 40).map(|_| (noise.next() % vocabulary) as u32));
    let sampling =
        Sampling { seed: noise.next(), temperature: (noise.next() % 2 * 900) as u32, top_p: 1000, top_k: 0 };
    InferenceInput {
        nonce: [1; 16],
        max_tokens: 1 + (noise.next() % 30) as u32,
        sampling,
        stop: vec![],
        tokens,
    }
}

fn alone(model: &Model, input: &InferenceInput) -> Outcome {
    let options = Options { backend: Backend::Reference, reuse_prefixes: false, ..Options::default() };
    run(model, input, None, options).unwrap()
}

/// Pages of a model's cache, in bytes.
fn pages(model: &Model, count: usize) -> usize {
    count * Layout::of(model.shape()).page_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn together_is_as_alone(seed: u64, count in 1usize..7, batch in 1usize..5, threads in 1usize..3, reuse: bool,
                            capacity in 4usize..20, family in 0usize..6, kind in 0usize..5) {
        let architecture = ["llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"][family];
        let dims = Dims { architecture, kind: [0, 1, 2, 8, 12][kind], ..Dims::SMALL };
        let dims = if dims.kind == 12 { Dims { width: 256, head_dim: 64, hidden: 256, ..dims } } else { dims };
        let model = Model::from_bytes(&GgufFile::model(dims, 0.3, 1.0, 5).bytes()).unwrap();
        let mut noise = Noise(seed);
        let prefix: Vec<u32> = (0..50).map(|i| (i * 7 % 40) as u32).collect();
        let mut inputs: Vec<_> =
            (0..count).map(|i| input(&model, &mut noise, &prefix[..[0, 31, 50][i % 3]])).collect();
        // One that comes again finds its own pages.
        inputs.push(inputs[0].clone());
        let expected: Vec<_> = inputs.iter().map(|input| alone(&model, input)).collect();
        for backend in Backend::available() {
            let options = Options {
                backend, threads, batch, cache_bytes: pages(&model, capacity), reuse_prefixes: reuse,
            };
            let engine = Engine::new(&model, options).unwrap();
            let started: Vec<_> = inputs.iter().map(|input| engine.start(input).unwrap()).collect();
            for (generation, expected) in started.into_iter().zip(&expected) {
                prop_assert_eq!(&generation.finish_at(None), expected, "{}", backend);
            }
        }
    }
}

#[test]
fn a_reader_that_waits_or_leaves_holds_up_nobody() {
    let model = model("tales-300k");
    let mut noise = Noise(3);
    let mut long = input(&model, &mut noise, &[0; 40]);
    (long.max_tokens, long.sampling) = (200, Sampling { seed: 1, temperature: 5_000, top_p: 1000, top_k: 0 });
    let engine = Engine::new(&model, Options { batch: 2, ..Options::default() }).unwrap();
    // Neither is read, so both fill what is computed ahead of a reader, and the batch is full.
    let slow = engine.start(&long).unwrap();
    let mut gone = engine.start(&long).unwrap();
    assert!(gone.next_token().is_some());
    let others: Vec<_> = (0..3).map(|_| input(&model, &mut noise, &[])).collect();
    let waiting: Vec<_> = others.iter().map(|input| engine.start(input).unwrap()).collect();
    drop(gone);
    for (generation, input) in waiting.into_iter().zip(&others) {
        assert_eq!(generation.finish_at(None), alone(&model, input));
    }
    assert_eq!(slow.finish_at(None), alone(&model, &long));
}

#[test]
fn requests_wait_for_memory_in_their_order() {
    let model = Model::from_bytes(&GgufFile::model(Dims::SMALL, 0.3, 1.0, 5).bytes()).unwrap();
    let mut noise = Noise(9);
    let mut inputs: Vec<_> = (0..12).map(|_| input(&model, &mut noise, &[7; 20])).collect();
    for input in &mut inputs {
        input.tokens.truncate(40);
        input.max_tokens = 64 + 1 - input.tokens.len() as u32;
    }
    // Each needs two of five pages.
    let options = Options { cache_bytes: pages(&model, 5), batch: 12, ..Options::default() };
    let engine = Engine::new(&model, options).unwrap();
    let started: Vec<_> = inputs.iter().map(|input| engine.start(input).unwrap()).collect();
    for (generation, input) in started.into_iter().zip(&inputs) {
        assert_eq!(generation.finish_at(None), alone(&model, input));
    }
}

/// A scheduler over so many pages; jobs come in by `push` and are read when they are over.
fn scheduler(model: &Model, capacity: usize, reuse: bool) -> Scheduler {
    Scheduler::new(model.clone(), Runner::new(Backend::Auto, 1), 80, capacity, reuse)
}

fn push(scheduler: &mut Scheduler, nonce: u8, tokens: usize, max_tokens: u32) {
    let input = InferenceInput {
        nonce: [nonce; 16],
        max_tokens,
        sampling: Sampling::GREEDY,
        stop: vec![],
        tokens: (0..tokens).map(|i| (i * 7 % 40) as u32).collect(),
    };
    scheduler.push(Job { input, outlet: Outlet::default() });
}

/// A small request that would fit waits behind a large one that does not.
#[test]
fn nobody_overtakes_who_waits_for_memory() {
    let model = Model::from_bytes(&GgufFile::model(Dims::SMALL, 0.3, 1.0, 5).bytes()).unwrap();
    let mut scheduler = scheduler(&model, 5, false);
    push(&mut scheduler, 1, 2 * PAGE - 7, 8);
    push(&mut scheduler, 2, 4 * PAGE - 7, 8);
    push(&mut scheduler, 3, PAGE - 7, 8);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    while !scheduler.is_idle() {
        assert!(scheduler.step());
        let admitted = scheduler.admitted().iter().map(|nonce| nonce[0]).collect();
        if seen.last() != Some(&admitted) {
            seen.push(admitted);
        }
    }
    // What is over has left the batch by the end of its last step.
    assert_eq!(
        seen[..2],
        [vec![1], vec![]],
        "two of five pages leave room for the third, and not for the second"
    );
    assert!(seen[2..].contains(&vec![2, 3]), "{seen:?}");
}

/// More sequences that decode than a step has places leave some to prompts.
#[test]
fn prompts_go_on_while_many_decode() {
    let model = Model::from_bytes(&GgufFile::model(Dims::SMALL, 0.3, 1.0, 5).bytes()).unwrap();
    let mut scheduler = scheduler(&model, 80, false);
    (0..70).for_each(|nonce| push(&mut scheduler, nonce, 1, 20));
    while scheduler.admitted().len() < 70 || scheduler.computed < 140 {
        assert!(scheduler.step());
    }
    push(&mut scheduler, 70, 40, 1);
    // Sixteen at a time.
    for _ in 0..3 {
        assert!(scheduler.step());
    }
    assert_eq!(scheduler.admitted().len(), 70);
    assert!(!scheduler.admitted().contains(&[70; 16]));
}

#[test]
fn a_common_beginning_is_computed_once() {
    let model = Model::from_bytes(&GgufFile::model(Dims::SMALL, 0.3, 1.0, 5).bytes()).unwrap();
    for reuse in [false, true] {
        let mut scheduler = scheduler(&model, 20, reuse);
        let mut computed = Vec::new();
        for nonce in 0..3 {
            let before = scheduler.computed;
            push(&mut scheduler, nonce, 3 * PAGE + 5, 4);
            while !scheduler.is_idle() {
                assert!(scheduler.step());
            }
            computed.push(scheduler.computed - before);
        }
        let whole = 3 * PAGE + 5 + 3;
        let again = if reuse { whole - 3 * PAGE } else { whole };
        assert_eq!(computed, [whole, again, again]);
    }
}

#[test]
fn a_request_that_can_never_fit_is_refused() {
    let model = model("tales-300k");
    let engine =
        Engine::new(&model, Options { cache_bytes: pages(&model, 2) + 5, ..Options::default() }).unwrap();
    let mut input = input(&model, &mut Noise(1), &[]);
    (input.tokens, input.max_tokens) = (vec![3; PAGE], PAGE as u32 + 1);
    assert!(engine.start(&input).is_ok());
    input.max_tokens += 1;
    let (needed, budget) = (pages(&model, 3) as u64, pages(&model, 2) as u64);
    assert_eq!(engine.start(&input).unwrap_err(), InputRefused::CacheExceeded { needed, budget });
}

#[test]
fn a_panic_reaches_its_reader_and_the_engine_goes_on() {
    let model = model("tales-300k");
    let engine = Engine::new(&model, Options::default()).unwrap();
    let good = input(&model, &mut Noise(4), &[]);
    let bad = InferenceInput { nonce: Scheduler::PANICS, ..good.clone() };
    for _ in 0..2 {
        let bad = engine.start(&bad).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bad.finish_at(None)));
        assert!(outcome.is_err(), "an output cut short would be taken for a whole one");
        assert_eq!(engine.start(&good).unwrap().finish_at(None), alone(&model, &good));
    }
}
