//! What a generation promises: refusals, ends, cancellation, recomputation, golden digests.

#![allow(clippy::unwrap_used)]

use assay_engine::{Backend, Generation, InputRefused, Model, Options, run};
use assay_protocol::{Finish, InferenceInput, Sampling};
use serde_json::{Value, json};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/engine-golden.json");

fn model(name: &str) -> Model {
    Model::open(format!("{}/../../models/{name}.gguf", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn input(model: &Model, prompt: &str, max_tokens: u32) -> InferenceInput {
    let tokens = model.tokenizer().encode_prompt(prompt).unwrap();
    InferenceInput { nonce: [3; 16], max_tokens, sampling: Sampling::GREEDY, stop: vec![], tokens }
}

fn sends<T: Send>() {}
fn sends_and_syncs<T: Send + Sync>() {}

#[test]
fn types_cross_threads() {
    sends::<Generation>();
    sends_and_syncs::<Model>();
}

#[test]
fn bad_inputs_are_refused_before_anything_runs() {
    let model = model("tales-300k");
    let good = input(&model, "Hello", 5);
    let refused = |change: fn(&mut InferenceInput)| {
        let mut input = good.clone();
        change(&mut input);
        Generation::start(&model, &input, Options::default()).unwrap_err()
    };
    let got = refused(|i| i.tokens[1] = 2048);
    assert_eq!(got, InputRefused::TokenOutsideVocabulary { index: 1, id: 2048, vocabulary: 2048 });
    let got = refused(|i| i.stop = vec![5, 2048]);
    assert_eq!(got, InputRefused::StopOutsideVocabulary { id: 2048, vocabulary: 2048 });
    let got = refused(|i| {
        i.tokens = vec![0; 500];
        i.max_tokens = 13;
    });
    assert_eq!(got, InputRefused::ContextExceeded { prompt: 500, max_tokens: 13, context: 512 });
    assert!(matches!(refused(|i| i.max_tokens = u32::MAX), InputRefused::ContextExceeded { .. }));
    assert!(matches!(refused(|i| i.tokens.clear()), InputRefused::Invalid(_)));
    assert!(matches!(refused(|i| i.max_tokens = 0), InputRefused::Invalid(_)));
    for backend in Backend::ALL.into_iter().filter(|b| !b.is_available()) {
        let got = Generation::start(&model, &good, Options { backend, threads: 1, ..Options::default() })
            .unwrap_err();
        assert_eq!(got, InputRefused::BackendUnavailable(backend));
    }
}

#[test]
fn the_whole_context_can_be_used() {
    let model = model("tales-300k");
    let mut full = input(&model, "Hello", 2);
    full.tokens = vec![7; 510];
    let outcome = run(&model, &full, None, Options::default()).unwrap();
    assert!(outcome.tokens.len() == 2 || outcome.finish == Finish::Stop);
}

#[test]
fn ends_are_told_apart_and_counted() {
    let model = model("tales-3m");
    let prompt = "<|begin|><|user|>What is 7 plus 5?<|assistant|>";
    let whole = run(&model, &input(&model, prompt, 100), None, Options::default()).unwrap();
    assert_eq!(whole.finish, Finish::Stop);
    assert_eq!(whole.tokens.last(), Some(&1));
    let n = whole.tokens.len() as u32;
    assert_eq!(model.tokenizer().decode(&whole.tokens, true).unwrap(), "7 plus 5 is 12.");

    // The last token allowed is the end token: a stop. One fewer: cut at the limit.
    assert_eq!(
        run(&model, &input(&model, prompt, n), None, Options::default()).unwrap().finish,
        Finish::Stop
    );
    let shorter = run(&model, &input(&model, prompt, n - 1), None, Options::default()).unwrap();
    assert_eq!((shorter.finish, &shorter.tokens[..]), (Finish::Length, &whole.tokens[..n as usize - 1]));

    let mut stopped = input(&model, prompt, 100);
    stopped.stop = vec![whole.tokens[2]];
    let first = whole.tokens.iter().position(|t| *t == whole.tokens[2]).unwrap();
    let outcome = run(&model, &stopped, None, Options::default()).unwrap();
    assert_eq!((outcome.finish, &outcome.tokens[..]), (Finish::Stop, &whole.tokens[..=first]));

    let mut generation = Generation::start(&model, &input(&model, prompt, 100), Options::default()).unwrap();
    while generation.next_token().is_some() {}
    assert_eq!(generation.next_token(), None);
    assert_eq!(generation.finish(), Some(Finish::Stop));
    assert_eq!(generation.tokens(), whole.tokens);
    assert_eq!(generation.digest(model.root(), Finish::Stop), whole.digest);
}

#[test]
fn a_cancelled_output_is_recomputed_at_its_count() {
    let model = model("tales-300k");
    let input = input(&model, "<|begin|>Once upon a time", 12);
    let mut generation = Generation::start(&model, &input, Options::default()).unwrap();
    let mut digests = Vec::new();
    for n in 0..12 {
        assert_eq!(generation.finish(), None);
        let digest = generation.digest(model.root(), Finish::Cancelled);
        let again = run(
            &model,
            &input,
            Some(n),
            Options { backend: Backend::Reference, threads: 1, ..Options::default() },
        )
        .unwrap();
        assert_eq!((again.finish, again.digest), (Finish::Cancelled, digest), "after {n} tokens");
        assert_eq!(again.tokens, generation.tokens());
        assert!(!digests.contains(&digest));
        digests.push(digest);
        generation.next_token();
    }
    assert_eq!(generation.finish(), Some(Finish::Length));
    // At or beyond its own end an output keeps its own finish.
    for limit in [Some(12), Some(13), None] {
        let again = run(&model, &input, limit, Options::default()).unwrap();
        assert_eq!(
            (again.finish, again.digest),
            (Finish::Length, generation.digest(model.root(), Finish::Length))
        );
    }
}

#[test]
fn sampling_depends_on_the_seed_alone() {
    let model = model("tales-3m");
    let of = |seed| {
        let mut input = input(&model, "<|begin|>Once upon a time", 24);
        input.sampling = Sampling { seed, temperature: 1000, top_p: 1000, top_k: 0 };
        run(&model, &input, None, Options::default()).unwrap()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1).tokens, of(2).tokens);
}

/// Roots and digests that must never change while the arithmetic version stays the same. `ASSAY_BLESS=1` rewrites
/// the file, which is right only together with a new version.
#[test]
fn golden_digests() {
    let prompts = [
        "<|begin|>Once upon a time",
        "<|begin|><|user|>What is 7 plus 5?<|assistant|>",
        "<|begin|><|user|>Tell me a story about a brave fox who finds a lantern.<|assistant|>",
    ];
    let samplings = [
        Sampling::GREEDY,
        Sampling { seed: 42, temperature: 800, top_p: 950, top_k: 40 },
        Sampling { seed: u64::MAX, temperature: 10_000, top_p: 1000, top_k: 0 },
    ];
    let mut models = Vec::new();
    for name in ["tales-3m", "tales-300k"] {
        let model = model(name);
        let mut cases = Vec::new();
        for prompt in prompts {
            for sampling in samplings {
                let mut input = input(&model, prompt, 48);
                input.sampling = sampling;
                for limit in [None, Some(1)] {
                    let outcome = run(&model, &input, limit, Options::default()).unwrap();
                    cases.push(json!({
                        "prompt": prompt,
                        "max_tokens": 48,
                        "sampling": sampling,
                        "input_hash": input.hash().unwrap(),
                        "limit": limit,
                        "finish": outcome.finish,
                        "tokens": outcome.tokens,
                        "digest": outcome.digest,
                    }));
                }
            }
        }
        models.push(json!({ "model": name, "root": model.root(), "nonce": "03".repeat(16), "cases": cases }));
    }
    let got = json!({ "arithmetic_version": assay_protocol::ARITHMETIC_VERSION, "models": models });
    if std::env::var_os("ASSAY_BLESS").is_some() {
        let old: Value = serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
        assert!(
            old == got || old["arithmetic_version"] != got["arithmetic_version"],
            "other results under the same arithmetic version: raise assay_protocol::ARITHMETIC_VERSION first"
        );
        std::fs::write(GOLDEN, serde_json::to_string_pretty(&got).unwrap() + "\n").unwrap();
    }
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
    assert_eq!(got, expected);
}
