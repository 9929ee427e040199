//! Each kernel of each back end against the reference, on random shapes and extreme values.

use proptest::prelude::*;

use super::{
    Fast, body,
    kernels::{Acts, AttentionScratch, Finished, Kernels, Preparation},
    products::Products,
    team::Team,
};
use crate::{
    Backend,
    blocks::{Quantised, quantise},
    cache::{Cache, Layout, Part, compress_query, compress_row},
    fixed::SoftCap,
    model::{Activation, Block, Matrix, Model, Pairs, Width},
    reference::{self, View},
    runner::{Outputs, Work},
};

/// Back ends of this machine; names the others.
fn available() -> Vec<(Backend, &'static Kernels)> {
    let mut found = Vec::new();
    for backend in Backend::ALL.into_iter().filter(|b| *b != Backend::Reference) {
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

fn matrix(rows: usize, cols: usize, width: Width, seed: u64) -> Matrix {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut matrix = Matrix::zeros(rows, cols, width);
    for row in 0..rows {
        matrix.exponents[row] = [-16, 0, 0, 3, 26][next() as usize % 5];
        for block in 0..matrix.row_blocks() {
            let extreme = next() % 4 == 0;
            let q = std::array::from_fn(|_| {
                let q = if extreme { [-128, 127][next() as usize % 2] } else { next() as i8 };
                match width {
                    Width::Int8 => q,
                    Width::Int4 => q >> 4,
                    Width::Int4Minima => (q >> 4) + 8,
                }
            });
            let mut number = || {
                let (number, sign) = ([32_767, 1, (next() & 0x7fff) as i16], 1 - 2 * (next() as i16 & 1));
                sign * number[next() as usize % 3]
            };
            let scale = number();
            let minimum = if width == Width::Int4Minima { number() } else { 0 };
            matrix.rows_mut().set_block(row, block, &Block { scale, minimum, q });
        }
    }
    matrix
}

fn multiplied<O: Finished>(
    kernels: &Kernels,
    team: &Team,
    matrices: &[&Matrix],
    acts: &[Acts],
) -> Vec<Vec<Vec<O>>> {
    let mut out = Products::default();
    out.compute(kernels, team, matrices, acts);
    let vector = |m: usize, t: usize| {
        let mut got = vec![O::default(); matrices[m].rows];
        out.gather(m, t, &mut got);
        got
    };
    (0..matrices.len()).map(|m| (0..acts.len()).map(|t| vector(m, t)).collect()).collect()
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

    /// The sum of the probabilities bounds what they weigh: values are within ±32,767 · 2^16.
    #[test]
    fn mixing_is_the_reference(sum in 0u32..18, low in 0i64..32_768, share in any::<i32>(), small: bool) {
        let sum = ((32_767 << sum) - low).max(32_767);
        let most = (i128::from(sum) * 32_767) << 16;
        let acc = ((most * i128::from(share)) >> if small { 62 } else { 31 }) as i64;
        let reciprocal = reference::mix_reciprocal(sum);
        for acc in [acc, most as i64, -most as i64] {
            prop_assert_eq!(body::mix_element(acc, reciprocal), reference::mix_element(acc, reciprocal));
        }
    }

    #[test]
    fn activation_is_the_reference(pairs in prop::collection::vec((element(), element()), 0..70), gelu: bool) {
        let (gate, up): (Vec<i32>, Vec<i32>) = pairs.into_iter().unzip();
        let activation = if gelu { Activation::Gelu } else { Activation::Silu };
        let expected: Vec<i32> = gate.iter().zip(&up).map(|(g, u)| reference::activate(activation, *g, *u)).collect();
        for (backend, kernels) in available() {
            let mut got = gate.clone();
            kernels.activate(activation, &mut got, &up);
            prop_assert_eq!(&got, &expected, "{}", backend);
        }
    }

    #[test]
    fn products_are_the_reference(rows in 1usize..70, more in 1usize..40, rest in 1usize..40, cols in 1usize..300, long in 0usize..2, seed: u64,
                                  tokens in prop::collection::vec(elements(1_300), 1..10), threads in 1usize..4) {
        // More than the units that are multiplied at a time, now and then.
        let cols = cols + 1_000 * long;
        let widths = [(rows, Width::Int8), (more, Width::Int4), (rest, Width::Int4Minima)];
        let matrices = widths.map(|(rows, width)| matrix(rows, cols, width, seed ^ rows as u64));
        let matrices = matrices.each_ref();
        for (backend, kernels) in available() {
            let team = Team::new(threads).eager();
            let mut acts = vec![Acts::default(); tokens.len()];
            for (x, acts) in tokens.iter().zip(&mut acts) {
                kernels.quantise(&x[..cols], acts);
            }
            let hidden = multiplied::<i32>(kernels, &team, &matrices, &acts);
            let residual = multiplied::<i64>(kernels, &team, &matrices, &acts);
            for (m, matrix) in matrices.iter().enumerate() {
                for (t, x) in tokens.iter().enumerate() {
                    let x = quantise(&x[..cols]);
                    prop_assert_eq!(&hidden[m][t], &reference::multiply::<i32>(matrix, &x), "{}", backend);
                    prop_assert_eq!(&residual[m][t], &reference::multiply::<i64>(matrix, &x), "{}", backend);
                }
            }
        }
    }

    /// Every number at its limit, of each sign, times as many vectors as make every tile.
    #[test]
    fn largest_products_are_the_reference(signs in prop::array::uniform3(any::<bool>()), cols in 1usize..200, vectors in 1usize..20) {
        let sign = |negative: bool| if negative { -32_767 } else { 32_767 };
        let x = vec![if signs[2] { i32::MIN } else { i32::MAX }; cols];
        for (width, q) in [(Width::Int8, -128), (Width::Int4, -8), (Width::Int4Minima, 15)] {
            let minimum = if width == Width::Int4Minima { sign(signs[1]) } else { 0 };
            let block = Block { scale: sign(signs[0]), minimum, q: [q; 32] };
            let mut matrix = Matrix::zeros(20, cols, width);
            for row in 0..20 {
                (0..matrix.row_blocks()).for_each(|i| matrix.rows_mut().set_block(row, i, &block));
            }
            for (backend, kernels) in available() {
                let mut acts = Acts::default();
                kernels.quantise(&x, &mut acts);
                let got = multiplied::<i64>(kernels, &Team::new(1), &[&matrix], &vec![acts; vectors]);
                let expected = vec![reference::multiply::<i64>(&matrix, &quantise(&x)); vectors];
                prop_assert_eq!(&got[0], &expected, "{}", backend);
            }
        }
    }

    #[test]
    fn preparation_is_the_reference(half_head in 1usize..70, heads in 1usize..4, x in elements(420), gains in elements(140),
                                    bias: bool, norm: bool, halves: bool, angle in any::<(i32, i32)>()) {
        let head_dim = 2 * half_head;
        let x = &x[..heads * head_dim];
        let angles = vec![(angle.0 >> 1, angle.1 >> 1); half_head];
        let pairs = if halves { Pairs::Halves } else { Pairs::Neighbours };
        let mut expected = x.to_vec();
        if bias {
            reference::add_bias(&mut expected, &x.iter().rev().copied().collect::<Vec<_>>());
        }
        if norm {
            reference::normalise_heads(&mut expected, &gains[..head_dim], (3, -20));
        }
        expected.chunks_mut(head_dim).for_each(|head| reference::rotate(head, pairs, &angles));
        let blocks = head_dim.div_ceil(32);
        let (mut row, mut row_shifts) = (vec![[0; 32]; heads * blocks], vec![0; heads * blocks]);
        compress_row(&expected, head_dim, &mut row, &mut row_shifts);
        let (mut queries, mut shifts) = (row.clone(), vec![0; heads]);
        for ((head, q), shift) in expected.chunks(head_dim).zip(queries.chunks_mut(blocks)).zip(&mut shifts) {
            *shift = compress_query(head, 1 << 29, q);
        }
        let reversed: Vec<i32> = x.iter().rev().copied().collect();
        let how = Preparation {
            head_dim,
            bias: bias.then_some(&reversed[..]),
            norm: norm.then_some(&gains[..head_dim]),
            eps: (3, -20),
            rotation: Some((pairs, &angles)),
        };
        for (backend, kernels) in available() {
            let (mut q, mut got_shifts) = (vec![[7; 32]; heads * blocks], vec![7; heads * blocks]);
            kernels.row(&mut x.to_vec(), &how, &mut q, &mut got_shifts);
            prop_assert_eq!((&q, &got_shifts), (&row, &row_shifts), "{}", backend);
            let (mut q, mut got_shifts) = (vec![[7; 32]; heads * blocks], vec![7; heads]);
            kernels.queries(&mut x.to_vec(), &how, 1 << 29, &mut q, &mut got_shifts);
            prop_assert_eq!((&q, &got_shifts), (&queries, &shifts), "{}", backend);
        }
    }

    #[test]
    fn attention_is_the_reference(half_head in 1usize..70, kv_heads in 1usize..4, positions in 1usize..80, window in 1usize..100,
                                  x in elements(140 * 3 * 2), down in 0u32..20, seed: u64,
                                  limit in prop::option::of((1i64 << 12..1 << 31, 0u32..19))) {
        let head_dim = 2 * half_head;
        let cap = limit.and_then(|(limit, down)| SoftCap::new((limit >> down).max(1 << 12)));
        let layout = Layout::test(1, kv_heads, head_dim);
        let (blocks, row_blocks) = (head_dim.div_ceil(32), layout.row_blocks());
        let mut cache = Cache::new(layout, Vec::new());
        for position in 0..positions {
            let at = (seed as usize).wrapping_add(position * 7) % (x.len() - 140 * 3);
            let row: Vec<i32> = x[at..][..kv_heads * head_dim].iter().map(|x| x >> (down * (position as u32 % 2))).collect();
            let (mut q, mut shifts) = (vec![[0; 32]; row_blocks], vec![0; row_blocks]);
            compress_row(&row, head_dim, &mut q, &mut shifts);
            cache.store(0, Part::Keys, position, &q, &shifts);
            cache.store(0, Part::Values, position, &q, &shifts);
            // The last ones are read before they are counted, as in a prompt.
            if position + 5 < positions {
                cache.advance(1);
            }
        }
        let mut query = vec![[0; 32]; blocks];
        let shift = compress_query(&x[..head_dim], 1_549_082_005 / half_head as i64, &mut query);
        for kv_head in 0..kv_heads {
            let view = View { cache: &cache, layer: 0, kv_head, from: positions.saturating_sub(window), to: positions, cap };
            let expected = &reference::attend(view, &query, shift)[..head_dim];
            for (backend, kernels) in available() {
                let mut got = vec![0; head_dim];
                kernels.attend(view, &query, shift, &mut AttentionScratch::default(), &mut got);
                prop_assert_eq!(&got, expected, "{}", backend);
            }
        }
    }

    #[test]
    fn sums_are_sums(words in prop::collection::vec(any::<u64>(), 0..100)) {
        let expected = words.iter().fold(0u64, |a, b| a.wrapping_add(*b));
        for (backend, kernels) in available() {
            prop_assert_eq!(kernels.sum(&words), expected, "{}", backend);
        }
    }
}

#[test]
fn many_threads_compute_a_whole_model() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
    let model = Model::open(path).unwrap();
    let tokens: Vec<u32> = (0..70).map(|i| i * 29 % 2048).collect();
    let layout = Layout::of(model.shape());
    let mut cache = Cache::new(layout, Vec::new());
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
            let mut cache = Cache::new(layout, Vec::new());
            let mut outputs = Outputs::default();
            for range in [0..66, 66..67, 67..68, 68..69, 69..70] {
                let mut work = [Work { cache: &mut cache, tokens: &tokens[range], wanted: 1 }];
                fast.step(&model, &mut work, &mut outputs);
            }
            assert_eq!(outputs.hidden, expected, "{backend} ×{threads}");
            assert_eq!(outputs.logits, logits, "{backend} ×{threads}");
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

/// Every position weighs the same, and as much as it can; values are as large as they can be, at scales that differ.
#[test]
fn equal_weights_of_extreme_values_are_exact() {
    let head_dim = 72;
    let layout = Layout::test(1, 1, head_dim);
    for (shifts, count) in [
        ([16, 0, 0, 16], 61),
        ([0, 0, 0, 0], 64),
        ([3, 4, 3, 16], 33),
        ([6, 16, 6, 16], 40),
        ([16, 16, 16, 16], 5),
    ] {
        let mut cache = Cache::new(layout, Vec::new());
        for position in 0..count {
            let row = vec![[if position % 3 == 2 { -32_767i16 } else { 32_767 }; 32]; layout.row_blocks()];
            let shifts = vec![shifts[position % 4]; layout.row_blocks()];
            cache.store(0, Part::Keys, position, &row, &shifts);
            cache.store(0, Part::Values, position, &row, &shifts);
        }
        cache.advance(count);
        let query = vec![[0; 32]; head_dim.div_ceil(32)];
        let view = View { cache: &cache, layer: 0, kv_head: 0, from: 0, to: count, cap: None };
        let expected = &reference::attend(view, &query, 0)[..head_dim];
        for (backend, kernels) in available() {
            let mut got = vec![0; head_dim];
            kernels.attend(view, &query, 0, &mut AttentionScratch::default(), &mut got);
            assert_eq!(got, expected, "{backend}");
        }
    }
}
