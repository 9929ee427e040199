//! Every step against `tests/vectors/engine-steps.json`, which an implementation of `docs/ARITHMETIC.md` in another
//! language makes (`tests/second`).

use std::{fmt::Debug, sync::LazyLock};

use alloy_primitives::{hex, keccak256};
use assay_protocol::Sampling;
use serde_json::Value;

use super::{
    gguf_file::{Dims, GgufFile},
    model, path,
};
use crate::{
    Backend, Model,
    blocks::{BLOCK, quantise},
    cache::{Cache, Layout, Part, compress_query, compress_row},
    chacha,
    fixed::{SoftCap, cos_sin, exp2_parts, f32_to_fixed, gelu, rescale, rope_turns, silu},
    model::{Activation, Block, Matrix, Pairs, Width},
    reference::{self, View, activate, attend, embed, multiply, probability, rms_norm, rotate, scale_score},
    runner::{Outputs, Runner, Work},
    sampling,
};

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read_to_string(path("tests/vectors/engine-steps.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors["arithmetic_version"], assay_protocol::ARITHMETIC_VERSION);
    vectors
});

/// Calls `check` with every case of a step, of which there are at least `least`.
fn each(step: &str, least: usize, mut check: impl FnMut(&'static Value)) {
    let cases = VECTORS[step]["cases"].as_array().unwrap();
    assert!(cases.len() >= least, "{step} has {} cases", cases.len());
    cases.iter().for_each(&mut check);
}

fn one<T: TryFrom<i128, Error: Debug>>(value: &Value) -> T {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    T::try_from(number.unwrap_or_else(|| panic!("{value} is no integer"))).unwrap()
}

fn list<T: TryFrom<i128, Error: Debug>>(value: &Value) -> Vec<T> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(one).collect()
}

fn lists<T: TryFrom<i128, Error: Debug>>(value: &Value) -> Vec<Vec<T>> {
    value.as_array().unwrap().iter().map(list).collect()
}

fn row<const N: usize>(value: &Value) -> [i128; N] {
    list(value).try_into().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn numbers() {
    each("rescale", 50, |case| {
        let [x, s, bits, y] = row(case);
        assert_eq!(i128::from(rescale(x as i64, s as i32, 1 << bits)), y, "{case}");
    });
    each("exp2", 50, |case| {
        let [z, m, n] = row(case);
        assert_eq!(exp2_parts(z as i64), (m as i64, n as u32), "{case}");
        let expected = ((m + (1 << (14 + n))) >> (15 + n)).min(32_767);
        assert_eq!(i128::from(probability(z as i64)), expected, "{case}");
    });
    each("activations", 100, |case| {
        let [g, with_silu, with_gelu] = row(case).map(|x| x as i32);
        assert_eq!((silu(g), gelu(g)), (with_silu, with_gelu), "{case}");
    });
    each("gates", 70, |case| {
        let [g, u, with_silu, with_gelu] = row(case).map(|x| x as i32);
        let got = [Activation::Silu, Activation::Gelu].map(|activation| activate(activation, g, u));
        assert_eq!(got, [with_silu, with_gelu], "{case}");
    });
    each("limits", 100, |case| {
        let [x, c, y] = row(case);
        assert_eq!(i128::from(SoftCap::new(c as i64).unwrap().apply(x as i64)), y, "{case}");
    });
    each("cos_sin", 50, |case| {
        let [position, turns, cos, sin] = row(case);
        assert_eq!(cos_sin(position as u32, turns as u64), (cos as i32, sin as i32), "{case}");
    });
    each("turns", 150, |case| {
        let expected = (!case[4].is_null()).then(|| one::<u64>(&case[4]));
        let got = rope_turns(one(&case[0]), one(&case[1]), one(&case[2]), one(&case[3]));
        assert_eq!(got, expected, "{case}");
    });
    each("singles", 150, |case| {
        let expected = (!case[3].is_null()).then(|| one::<i64>(&case[3]));
        assert_eq!(f32_to_fixed(one(&case[0]), one(&case[1]), one(&case[2])), expected, "{case}");
    });
}

#[test]
fn rows_of_weights() {
    let kinds = [
        ("F32", 0),
        ("F16", 1),
        ("Q4_0", 2),
        ("Q8_0", 8),
        ("Q4_K", 12),
        ("Q5_K", 13),
        ("Q6_K", 14),
        ("BF16", 30),
    ];
    for (name, kind) in kinds {
        let mut cases = Vec::new();
        each("rows", 30, |case| {
            if case["type"] == name {
                cases.push(case);
            }
        });
        // They are the embedding of an otherwise arbitrary model.
        let width = one(&cases[0]["n"]);
        let dims = Dims {
            layers: 1,
            width,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
            vocabulary: cases.len() as u32,
            kind: 0,
            tied: true,
            ..Dims::SMALL
        };
        let mut file = GgufFile::model(dims, 0.3, 1.0, 1);
        let embedding = file.tensor("token_embd.weight");
        embedding.kind = kind;
        embedding.bytes = cases.iter().flat_map(|case| bytes(&case["bytes"])).collect();
        let model = Model::from_bytes(&file.bytes()).unwrap();
        let matrix = &model.weights().embedding;
        assert_eq!(matrix.row_blocks(), width.div_ceil(32) as usize);
        for (i, case) in cases.into_iter().enumerate() {
            let blocks: Vec<Block> = (0..matrix.row_blocks()).map(|b| matrix.block(i, b)).collect();
            let of = |number: fn(&Block) -> i16| blocks.iter().map(number).collect::<Vec<_>>();
            assert_eq!(matrix.exponents[i], one::<i8>(&case["e"]), "{case}");
            assert_eq!(of(|b| b.scale), list::<i16>(&case["sw"]), "{case}");
            if name == "Q4_K" {
                assert_eq!(of(|b| b.minimum), list::<i16>(&case["mw"]), "{case}");
            }
            assert_eq!(blocks.iter().flat_map(|b| b.q).collect::<Vec<_>>(), list::<i8>(&case["q"]), "{case}");
        }
    }
}

#[test]
fn steps_of_a_layer() {
    each("norm", 14, |case| {
        let got = rms_norm(&list(&case["x"]), &list(&case["gains"]), (one(&case["m"]), one(&case["z"])));
        assert_eq!(got, list::<i32>(&case["y"]), "{case}");
    });
    each("quantise", 11, |case| {
        let got = quantise(&list(&case["a"]));
        let (scales, q) = (list::<u16>(&case["sa"]), list::<i8>(&case["q"]));
        assert_eq!(got.exponent, one::<u32>(&case["e"]), "{case}");
        assert_eq!(got.scales[..scales.len()], scales, "{case}");
        assert_eq!(got.q[..q.len()], q, "{case}");
    });
    each("product", 33, |case| {
        let a = list(&case["a"]);
        let (weights, scales) = (lists::<i8>(&case["q"]), lists::<i16>(&case["sw"]));
        let minima = (!case["mw"].is_null()).then(|| lists::<i16>(&case["mw"]));
        let width = if minima.is_some() { Width::Int4Minima } else { Width::Int8 };
        let mut matrix = Matrix::zeros(weights.len(), a.len(), width);
        for (row, (weights, scales)) in weights.iter().zip(&scales).enumerate() {
            for (i, (q, scale)) in weights.as_chunks::<BLOCK>().0.iter().zip(scales).enumerate() {
                let minimum = minima.as_ref().map_or(0, |minima| minima[row][i]);
                matrix.rows_mut().set_block(row, i, &Block { scale: *scale, minimum, q: *q });
            }
        }
        matrix.exponents[..weights.len()].copy_from_slice(&list::<i8>(&case["e"]));
        let a = quantise(&a);
        assert_eq!(multiply::<i32>(&matrix, &a), list::<i32>(&case["q16"]), "{case}");
        assert_eq!(multiply::<i64>(&matrix, &a), list::<i64>(&case["q24"]), "{case}");
    });
    each("rotate", 12, |case| {
        let pairs = if case["halves"].as_bool().unwrap() { Pairs::Halves } else { Pairs::Neighbours };
        let position = one(&case["p"]);
        let angles: Vec<_> = list(&case["t"]).into_iter().map(|turns| cos_sin(position, turns)).collect();
        let mut x = list(&case["x"]);
        rotate(&mut x, pairs, &angles);
        assert_eq!(x, list::<i32>(&case["y"]), "{case}");
    });
}

fn compressed(head: &[i32]) -> (Vec<[i16; BLOCK]>, Vec<u8>) {
    let blocks = head.len().div_ceil(BLOCK);
    let (mut q, mut shifts) = (vec![[1; BLOCK]; blocks], vec![1; blocks]);
    compress_row(head, head.len(), &mut q, &mut shifts);
    (q, shifts)
}

#[test]
fn attention() {
    each("store", 9, |case| {
        let x: Vec<i32> = list(&case["x"]);
        let (q, shifts) = compressed(&x);
        assert_eq!(q.as_flattened()[..x.len()], list::<i16>(&case["q"]), "{case}");
        assert_eq!(shifts, list::<u8>(&case["shifts"]), "{case}");
    });
    each("query", 7, |case| {
        let x: Vec<i32> = list(&case["x"]);
        let mut q = vec![[1; BLOCK]; x.len().div_ceil(BLOCK)];
        assert_eq!(compress_query(&x, one(&case["c"]), &mut q), one::<u32>(&case["shift"]), "{case}");
        assert_eq!(q.as_flattened()[..x.len()], list::<i16>(&case["q"]), "{case}");
    });
    each("attend", 8, |case| {
        let query: Vec<i32> = list(&case["query"]);
        let (keys, values) = (lists::<i32>(&case["keys"]), lists::<i32>(&case["values"]));
        let blocks = query.len().div_ceil(BLOCK);
        let mut q = vec![[0; BLOCK]; blocks];
        let shift = compress_query(&query, one(&case["c"]), &mut q);
        let mut cache = Cache::new(Layout::test(1, 1, query.len()), Vec::new());
        let cap = (!case["cap"].is_null()).then(|| SoftCap::new(one(&case["cap"])).unwrap());
        let mut scores = Vec::new();
        for (position, (key, value)) in keys.iter().zip(&values).enumerate() {
            for (part, head) in [(Part::Keys, key), (Part::Values, value)] {
                let (q, shifts) = compressed(head);
                cache.store(0, part, position, &q, &shifts);
            }
            let (key, shifts) = compressed(key);
            let sum = (0..blocks).map(|b| {
                let products = key[b].iter().zip(&q[b]).map(|(k, q)| i64::from(*k) * i64::from(*q));
                products.sum::<i64>() << shifts[b]
            });
            let score = scale_score(sum.sum(), shift);
            scores.push(cap.map_or(score, |cap| cap.apply(score)));
        }
        cache.advance(keys.len());
        assert_eq!(scores, list::<i64>(&case["scores"]), "{case}");
        let max = *scores.iter().max().unwrap();
        let probabilities: Vec<i32> = scores.iter().map(|score| probability(max - score)).collect();
        assert_eq!(probabilities, list::<i32>(&case["probabilities"]), "{case}");
        let view = View { cache: &cache, layer: 0, kv_head: 0, from: 0, to: keys.len(), cap };
        assert_eq!(attend(view, &q, shift)[..query.len()], list::<i32>(&case["out"]), "{case}");
    });
}

/// Hidden states and logits of all positions, from every back end.
fn outputs(model: &Model, tokens: &[u32], mut check: impl FnMut(&Outputs, Backend)) {
    for backend in Backend::available() {
        let mut cache = Cache::new(Layout::of(model.shape()), Vec::new());
        let mut outputs = Outputs::default();
        let mut work = [Work { cache: &mut cache, tokens, wanted: tokens.len() }];
        Runner::new(backend, 1).step(model, &mut work, &mut outputs);
        check(&outputs, backend);
    }
}

#[test]
fn layers_of_a_model() {
    let case = &VECTORS["layers"]["cases"];
    let model = model(case["model"].as_str().unwrap());
    let (shape, weights) = (model.shape(), model.weights());
    let tokens: Vec<u32> = list(&case["tokens"]);
    let (last, before) = tokens.split_last().unwrap();
    let mut cache = Cache::new(Layout::of(shape), Vec::new());
    for token in before {
        reference::forward(&model, &mut cache, *token);
    }
    let mut residual = embed(shape, &weights.embedding, *last);
    assert_eq!(residual, list::<i64>(&case["embedding"]));
    let expected = case["layers"].as_array().unwrap();
    assert_eq!(expected.len(), weights.layers.len());
    for (i, (layer, expected)) in weights.layers.iter().zip(expected).enumerate() {
        reference::attention_block(shape, layer, &mut cache, i, &mut residual);
        assert_eq!(residual, list::<i64>(&expected["attention"]), "layer {i}");
        reference::feed_forward_block(shape, layer, &mut residual);
        assert_eq!(residual, list::<i64>(&expected["feed_forward"]), "layer {i}");
    }
    let (hidden, logits) = (list::<i32>(&case["hidden"]), list::<i32>(&case["logits"]));
    assert_eq!(rms_norm(&residual, &weights.final_norm, shape.eps), hidden);
    outputs(&model, &tokens, |got, backend| {
        assert!(got.hidden.ends_with(&hidden) && got.logits.ends_with(&logits), "{backend}");
    });
}

#[test]
fn roots() {
    each("roots", 3, |case| {
        let model = Model::open(path(case[0].as_str().unwrap())).unwrap();
        assert_eq!(model.root().as_slice(), bytes(&case[1]), "{case}");
    });
}

#[test]
fn families() {
    each("families", 7, |case| {
        let name = case["file"].as_str().unwrap();
        let model = Model::open(path(&format!("tests/vectors/families/{name}"))).unwrap();
        assert_eq!(model.root().as_slice(), bytes(&case["root"]), "{name}");
        let (hidden, logits) = (list::<i32>(&case["hidden"]), list::<i32>(&case["last_logits"]));
        outputs(&model, &list(&case["tokens"]), |got, backend| {
            assert!(got.hidden.ends_with(&hidden), "{name}, {backend}");
            assert!(got.logits.ends_with(&logits), "{name}, {backend}");
            let all: Vec<u8> = got.logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
            assert_eq!(keccak256(all).as_slice(), bytes(&case["all_logits"]), "{name}, {backend}");
        });
    });
}

#[test]
fn choice_of_a_token() {
    each("draw", 16, |case| {
        let [seed, position, r] = row(case);
        let key = [seed as u32, (seed >> 32) as u32, 0, 0, 0, 0, 0, 0];
        let nonce: Vec<u32> =
            b"assay.sample".as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let block = chacha::block(&key, position as u32, &nonce.try_into().unwrap());
        assert_eq!(i128::from(block[0]) | i128::from(block[1]) << 32, r, "{case}");
    });
    each("sample", 200, |case| {
        let sampling = Sampling {
            seed: one(&case["seed"]),
            temperature: one(&case["temperature"]),
            top_p: one(&case["top_p"]),
            top_k: one(&case["top_k"]),
        };
        let got = sampling::choose(&list(&case["logits"]), &sampling, one(&case["position"]));
        assert_eq!(got, one::<u32>(&case["token"]), "{case}");
    });
}
