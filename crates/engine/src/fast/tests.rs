//! Each kernel of each back end against the reference, on random shapes and extreme values.

use proptest::prelude::*;

use super::{
    Fast,
    kernels::{Acts, Attention, AttentionScratch, Kernels},
    products::{Products, products},
    team::Team,
};
use crate::{
    Backend,
    blocks::{Quantised, quantise},
    cache::{Cache, LayerCache, compress_query},
    model::{Matrix, Model, Shape},
    reference::{self, Output},
};

/// Back ends of this machine; names the others.
fn available() -> Vec<(Backend, &'static Kernels)> {
    let mut found = Vec::new();
    for backend in [Backend::Avx2, Backend::Avx512] {
        match Kernels::of(backend) {
            Some(kernels) => found.push((backend, kernels)),
            None => println!("skipped: this machine lacks back end {backend}"),
        }
    }
    found
}

/// Numbers of all magnitudes, often at the limits.
fn element() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => (any::<i32>(), 0u32..32).prop_map(|(x, down)| x >> down),
        1 => prop::sample::select(vec![i32::MIN, i32::MAX, 0, 1, -1, 32_767 * 127]),
    ]
}

fn elements(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(element(), len)
}

fn matrix(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut matrix = Matrix::zeros(rows, cols);
    for row in 0..rows {
        matrix.exponents[row] = [-16, 0, 0, 3, 25][next() as usize % 5];
        for block in 0..matrix.row_blocks() {
            let extreme = next() % 4 == 0;
            let q =
                std::array::from_fn(
                    |_| if extreme { [-128, 127][next() as usize % 2] } else { next() as i8 },
                );
            matrix.set_block(row, block, [32_767, 1, next() as u16 >> 1][next() as usize % 3], &q);
        }
    }
    matrix
}

proptest! {
    #[test]
    fn quantise_is_the_reference(x in elements(0..150)) {
        for (backend, kernels) in available() {
            let mut acts = Acts::default();
            kernels.quantise(&x, &mut acts);
            prop_assert_eq!(Quantised::from(&acts), quantise(&x), "{}", backend);
            for block in &acts.blocks {
                let sum: i32 = block.words.iter().flat_map(|w| w.to_le_bytes()).map(|b| i32::from(b as i8)).sum();
                prop_assert_eq!(block.offset, -128 * sum);
            }
        }
    }

    #[test]
    fn norm_is_the_reference(x in elements(2..150), left in 0u32..25, gains in elements(150), eps in 1u64..1 << 24, e in -60i32..-28) {
        let x: Vec<i64> = x.iter().map(|x| i64::from(*x) << left).collect();
        let expected = reference::rms_norm(&x, &gains[..x.len()], (eps, e));
        for (backend, kernels) in available() {
            let mut got = vec![0; x.len()];
            kernels.norm(&x, &gains[..x.len()], (eps, e), &mut got);
            prop_assert_eq!(&got, &expected, "{}", backend);
        }
    }

    #[test]
    fn swiglu_is_the_reference(pairs in prop::collection::vec((element(), element()), 0..70)) {
        let (gate, up): (Vec<i32>, Vec<i32>) = pairs.into_iter().unzip();
        let expected: Vec<i32> = gate.iter().zip(&up).map(|(g, u)| reference::swiglu(*g, *u)).collect();
        for (backend, kernels) in available() {
            let mut got = gate.clone();
            kernels.swiglu(&mut got, &up);
            prop_assert_eq!(&got, &expected, "{}", backend);
        }
    }

    #[test]
    fn products_are_the_reference(rows in 1usize..70, more in 1usize..40, cols in 1usize..300, seed: u64,
                                  tokens in prop::collection::vec(elements(300), 1..10), threads in 1usize..4, residual: bool) {
        let matrices = [matrix(rows, cols, seed), matrix(more, cols, seed ^ 1)];
        let output = if residual { Output::Residual } else { Output::Hidden };
        for (backend, kernels) in available() {
            let team = Team::new(threads).eager();
            let mut acts = vec![Acts::default(); tokens.len()];
            for (x, acts) in tokens.iter().zip(&mut acts) {
                kernels.quantise(&x[..cols], acts);
            }
            let mut out = Products::default();
            products(kernels, &team, &[&matrices[0], &matrices[1]], &acts, output, &mut out);
            for (m, matrix) in matrices.iter().enumerate() {
                for (t, x) in tokens.iter().enumerate() {
                    let expected = reference::multiply(matrix, &quantise(&x[..cols]), output);
                    let mut got = vec![0; tokens.len() * matrix.rows];
                    out.add_to(m, &mut got, matrix.rows);
                    prop_assert_eq!(&got[t * matrix.rows..][..matrix.rows], &expected[..], "{}", backend);
                }
            }
        }
    }

    #[test]
    fn attention_is_the_reference(half_head in 1usize..70, kv_heads in 1usize..4, positions in 1usize..40,
                                  x in elements(140 * 3 * 2), down in 0u32..20, seed: u64) {
        let head_dim = 2 * half_head;
        let shape = Shape {
            layers: 1, width: 2, heads: kv_heads, kv_heads, head_dim, rope_dims: 2, hidden: 1, vocabulary: 1, context: 64,
            eps: (1, -20), query_factor: 1_549_082_005 / half_head as i64, turns: vec![],
        };
        let mut cache = LayerCache::default();
        for position in 0..positions {
            let at = (seed as usize).wrapping_add(position * 7) % (x.len() - 140 * 3);
            let row: Vec<i32> = x[at..][..kv_heads * head_dim].iter().map(|x| x >> (down * (position as u32 % 2))).collect();
            cache.keys.push(&row, head_dim);
            cache.values.push(&row, head_dim);
        }
        let query = compress_query(&x[..head_dim], shape.query_factor);
        for kv_head in 0..kv_heads {
            let expected = reference::attend(&shape, &query, &cache.keys, &cache.values, kv_head);
            for (backend, kernels) in available() {
                let mut got = vec![0; head_dim];
                let attention = Attention { shape: &shape, query: &query, cache: &cache, kv_head, positions };
                kernels.attend(&attention, &mut AttentionScratch::default(), &mut got);
                prop_assert_eq!(&got, &expected, "{}", backend);
            }
        }
    }
}

#[test]
fn many_threads_compute_a_whole_model() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
    let model = Model::open(path).unwrap();
    let tokens: Vec<u32> = (0..70).map(|i| i * 29 % 2048).collect();
    let mut cache = Cache::new(model.shape());
    let mut expected = Vec::new();
    for token in &tokens {
        expected = reference::forward(&model, &mut cache, *token);
    }
    let logits = reference::logits(&model, &expected);
    for (backend, _) in available() {
        for threads in [1, 2, 3, 5] {
            let mut fast = Fast::new(backend, threads).unwrap();
            fast.team = Team::new(threads).eager();
            assert_eq!(fast.team.threads(), threads);
            let mut cache = Cache::new(model.shape());
            fast.advance(&model, &mut cache, &tokens[..66]);
            for token in &tokens[66..69] {
                fast.advance(&model, &mut cache, &[*token]);
            }
            let hidden = fast.advance(&model, &mut cache, &tokens[69..]);
            assert_eq!(hidden, expected, "{backend} ×{threads}");
            assert_eq!(fast.logits(&model, &hidden), logits, "{backend} ×{threads}");
        }
    }
}

#[test]
fn a_panicking_job_reaches_the_caller_and_the_team_goes_on() {
    let team = Team::new(3).eager();
    for bad in 0..3 {
        let job = |i: usize| assert!(i != bad, "on purpose");
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| team.run(&job))).is_err());
        let done = std::sync::atomic::AtomicUsize::new(0);
        team.run(&|i| {
            done.fetch_add(1 << (8 * i), std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 0x01_01_01);
    }
}
