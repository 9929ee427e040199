//! Every back end and thread count gives the same digest.

#![allow(clippy::unwrap_used)]

use assay_engine::{Backend, Model, Options, run};
use assay_protocol::{InferenceInput, Sampling};

fn model(name: &str) -> Model {
    Model::open(format!("{}/../../models/{name}.gguf", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn input(model: &Model, prompt: &str, max_tokens: u32, sampling: Sampling) -> InferenceInput {
    let tokens = model.tokenizer().encode_prompt(prompt).unwrap();
    InferenceInput { nonce: [9; 16], max_tokens, sampling, stop: vec![], tokens }
}

const STORY: &str = "<|begin|><|user|>Tell me a story about a brave fox who finds a lantern.<|assistant|>";

#[test]
fn the_fastest_is_chosen() {
    let chosen = Backend::Auto.resolve();
    assert_eq!(Backend::available().last(), Some(&chosen));
    println!("chosen: {chosen}");
}

#[test]
fn same_digest_everywhere() {
    for backend in Backend::ALL.into_iter().filter(|b| !b.is_available()) {
        println!("skipped: this machine lacks back end {backend}");
    }
    let sampled = Sampling { seed: 5, temperature: 900, top_p: 950, top_k: 40 };
    for name in ["tales-3m", "tales-300k"] {
        let model = model(name);
        // Longer than one chunk of prefill, and no multiple of the tile sizes.
        let long = STORY.repeat(6);
        for (prompt, sampling) in
            [(STORY, Sampling::GREEDY), (STORY, sampled), (long.as_str(), Sampling::GREEDY)]
        {
            let input = input(&model, prompt, 40, sampling);
            let expected = run(
                &model,
                &input,
                None,
                Options { backend: Backend::Reference, threads: 1, ..Options::default() },
            )
            .unwrap();
            for backend in Backend::available() {
                for threads in [1, 2, 3] {
                    let got = run(&model, &input, None, Options { backend, threads, ..Options::default() })
                        .unwrap();
                    assert_eq!(got, expected, "{name} {backend} {threads}");
                }
            }
        }
    }
}
