//! Token ids and greedy text against other engines' on the same files.

#![allow(clippy::unwrap_used)]

use assay_engine::{Backend, Model, Options, run};
use assay_protocol::{InferenceInput, Sampling};
use serde_json::Value;

const MODELS: [&str; 2] = ["tales-3m", "tales-300k"];
/// Logit gap below which two engines may choose differently. Rounding activations to int8 in blocks moves the logits
/// of these models by some hundredths, in this arithmetic as in llama.cpp's.
const NEAR_TIE: f64 = 0.1;

fn model(name: &str) -> Model {
    Model::open(format!("{}/../../models/{name}.gguf", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/engine-greedy.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

#[test]
fn prompts_become_the_same_tokens_and_text() {
    let model = model("tales-3m");
    let tokenizer = model.tokenizer();
    for row in vectors()["prompts"].as_array().unwrap() {
        let prompt = row["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode(prompt, true).unwrap(), ids(&row["ids"]), "{prompt}");
        assert_eq!(tokenizer.encode_prompt(prompt).unwrap(), ids(&row["ids"]), "{prompt}");
        assert_eq!(tokenizer.decode(&ids(&row["ids"]), false).unwrap(), prompt);
        for name in MODELS {
            let greedy = &row["greedy"][name];
            assert_eq!(
                tokenizer.decode(&ids(&greedy["ids"]), false).unwrap(),
                greedy["text"].as_str().unwrap()
            );
        }
    }
}

#[test]
fn greedy_text_agrees_up_to_the_first_near_tie() {
    for name in MODELS {
        let model = model(name);
        let (mut compared, mut whole) = (0, 0);
        for row in vectors()["prompts"].as_array().unwrap() {
            let expected = ids(&row["greedy"][name]["ids"]);
            let input = InferenceInput {
                nonce: [0; 16],
                max_tokens: expected.len() as u32,
                sampling: Sampling::GREEDY,
                stop: vec![],
                tokens: ids(&row["ids"]),
            };
            let options = Options { backend: Backend::Auto, threads: 1, ..Options::default() };
            let got = run(&model, &input, None, options).unwrap().tokens;
            let margins = row["greedy"][name]["margin"].as_array().unwrap();
            let differs = (0..expected.len()).find(|i| got.get(*i) != Some(&expected[*i]));
            compared += differs.unwrap_or(expected.len());
            match differs {
                None => whole += 1,
                Some(i) => {
                    let margin = margins[i].as_f64().unwrap();
                    println!("{name}: {:?} differs at {i}, margin {margin}", row["prompt"].as_str().unwrap());
                    assert!(margin < NEAR_TIE, "{name}: {:?} at {i}: {margin}", row["prompt"]);
                }
            }
        }
        println!("{name}: {compared} tokens compared, {whole} of 20 continuations agree to the end");
        assert!(compared >= 300 && whole >= 10);
    }
}
