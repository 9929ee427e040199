//! The model root: what a pool commits to, and what a referee opens one row segment at a time.

use alloy_primitives::{B256, Keccak256, keccak256};
use assay_protocol::ARITHMETIC_VERSION;

use super::{
    load::Weights,
    matrix::{Block, Matrix, Units},
    shape::Shape,
};
use crate::blocks::BLOCK;

/// Blocks of one leaf: 2,048 weights.
const SEGMENT: usize = 64;

/// `keccak(keccak("assay.model.v1") ‖ version (4) ‖ keccak(shape table) ‖ keccak(tokenizer metadata) ‖ weights)`.
pub(crate) fn model_root(shape: &Shape, tied: bool, tokenizer: B256, weights: &Weights) -> B256 {
    let mut table = shape.encode();
    table.push(tied.into());
    let mut hasher = Keccak256::new();
    hasher.update(keccak256(b"assay.model.v1"));
    hasher.update(ARITHMETIC_VERSION.to_be_bytes());
    hasher.update(keccak256(&table));
    hasher.update(tokenizer);
    hasher.update(weights_root(weights));
    hasher.finalize()
}

enum Part<'a> {
    Matrix(&'a Matrix),
    Gains(&'a [i32]),
}

/// Root over the roots of all tensors in the order of evaluation, so that a tensor's index follows from the shape.
fn weights_root(weights: &Weights) -> B256 {
    let mut parts = vec![Part::Matrix(&weights.embedding)];
    for layer in &weights.layers {
        parts.push(Part::Gains(&layer.attention_norm));
        let projections = [&layer.query, &layer.key, &layer.value];
        parts.extend(projections.map(|p| Part::Matrix(&p.matrix)));
        parts.push(Part::Matrix(&layer.attention_output));
        parts.push(Part::Gains(&layer.feed_forward_norm));
        parts.extend([&layer.gate, &layer.up, &layer.down].map(Part::Matrix));
        // What only some models have; the shape table says which.
        let vectors = projections.into_iter().flat_map(|p| [&p.bias, &p.norm]);
        let vectors = vectors.chain([&layer.post_attention_norm, &layer.post_feed_forward_norm]);
        parts.extend(vectors.flatten().map(|gains| Part::Gains(gains)));
    }
    parts.push(Part::Gains(&weights.final_norm));
    if let Some(output) = &weights.output {
        parts.push(Part::Matrix(output));
    }
    merkle_root(parallel(parts.len(), |i| match parts[i] {
        Part::Matrix(matrix) => matrix_root(matrix),
        Part::Gains(gains) => gains_root(gains),
    }))
}

/// Evaluates `f(0..n)` on all cores.
fn parallel(n: usize, f: impl Fn(usize) -> B256 + Sync) -> Vec<B256> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(n);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if i >= n {
                return done;
            }
            done.push((i, f(i)));
        }
    };
    let mut out = vec![B256::ZERO; n];
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for (i, hash) in done {
            out[i] = hash;
        }
    });
    out
}

/// Leaf: `keccak(0x00 ‖ exponent (1) ‖ blocks)`, a block being its scale (2, big-endian) and 32 int8; or with minima
/// `keccak(0x02 ‖ exponent (1) ‖ blocks)`, a minimum (2, big-endian) behind each scale. Leaves run along rows, segments of a
/// row first.
fn matrix_root(matrix: &Matrix) -> B256 {
    let blocks = matrix.row_blocks();
    let minima = matches!(matrix.units, Units::Int4Minima(_));
    let mut leaves = Vec::with_capacity(matrix.rows * blocks.div_ceil(SEGMENT));
    let mut bytes = Vec::with_capacity(2 + SEGMENT * (4 + BLOCK));
    for row in 0..matrix.rows {
        for first in (0..blocks).step_by(SEGMENT) {
            bytes.clear();
            bytes.extend([if minima { 2 } else { 0 }, matrix.exponents[row] as u8]);
            for block in first..blocks.min(first + SEGMENT) {
                let Block { scale, minimum, q } = matrix.block(row, block);
                bytes.extend(scale.to_be_bytes());
                if minima {
                    bytes.extend(minimum.to_be_bytes());
                }
                bytes.extend(q.map(|q| q as u8));
            }
            leaves.push(keccak256(&bytes));
        }
    }
    merkle_root(leaves)
}

/// Leaf: `keccak(0x00 ‖ gains)`, 4 bytes big-endian each, as many as a row segment has weights.
fn gains_root(gains: &[i32]) -> B256 {
    let leaf = |gains: &[i32]| {
        let mut bytes = vec![0];
        bytes.extend(gains.iter().flat_map(|g| g.to_be_bytes()));
        keccak256(&bytes)
    };
    merkle_root(gains.chunks(SEGMENT * BLOCK).map(leaf).collect())
}

/// Node: `keccak(0x01 ‖ left ‖ right)`; a last node without a partner moves up unchanged. The number of leaves
/// follows from the shape, so no two trees can be confused.
fn merkle_root(mut nodes: Vec<B256>) -> B256 {
    while nodes.len() > 1 {
        nodes = nodes
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    let mut hasher = Keccak256::new();
                    hasher.update([1]);
                    hasher.update(left);
                    hasher.update(right);
                    hasher.finalize()
                }
                _ => pair[0],
            })
            .collect();
    }
    nodes.first().copied().unwrap_or(B256::ZERO)
}

#[cfg(test)]
mod tests {
    use super::{super::matrix::Width, *};

    #[test]
    fn merkle_root_of_three() {
        let leaves = [1u8, 2, 3].map(B256::repeat_byte);
        let node = |a: B256, b: B256| keccak256([&[1], a.as_slice(), b.as_slice()].concat());
        assert_eq!(merkle_root(leaves.to_vec()), node(node(leaves[0], leaves[1]), leaves[2]));
        assert_eq!(merkle_root(leaves[..1].to_vec()), leaves[0]);
    }

    #[test]
    fn every_weight_scale_minimum_and_exponent_counts() {
        let mut roots = Vec::new();
        for width in [Width::Int8, Width::Int4, Width::Int4Minima] {
            let mut matrix = Matrix::zeros(3, 70, width);
            let mut block = Block { scale: 0, minimum: 0, q: [0; BLOCK] };
            for i in 0..9 {
                matrix.rows_mut().set_block(i / 3, i % 3, &block);
            }
            roots.push(matrix_root(&matrix));
            block.q[31] = 1;
            matrix.rows_mut().set_block(2, 2, &block);
            roots.push(matrix_root(&matrix));
            block.scale = 1;
            matrix.rows_mut().set_block(2, 2, &block);
            roots.push(matrix_root(&matrix));
            if width == Width::Int4Minima {
                block.minimum = 1;
                matrix.rows_mut().set_block(2, 2, &block);
                roots.push(matrix_root(&matrix));
            }
            matrix.exponents[0] = -1;
            roots.push(matrix_root(&matrix));
        }
        // Four bits or eight are the same weights; minima, even zeros, are not.
        let (eight, rest) = roots.split_at(4);
        assert_eq!(eight, &rest[..4]);
        for (i, a) in rest.iter().enumerate() {
            assert!(!rest[..i].contains(a));
        }
    }
}
