//! The operations that a back end provides, as a table of functions.

use std::ops::Range;

use crate::{
    Backend,
    blocks::{self, BLOCK},
    cache::{LayerCache, Query},
    model::{Matrix, Shape},
    reference::Output,
};

/// A block of activations in the shape that kernels want.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ActBlock {
    /// 32 int8, four a word, little-endian.
    pub(super) words: [i32; 8],
    pub(super) scale: i32,
    /// `-128 ·` sum of the 32: takes back the offset of the stored weights.
    pub(super) offset: i32,
}

/// A vector in the block format, the same numbers as [`blocks::Quantised`].
#[derive(Debug, Clone, Default)]
pub(super) struct Acts {
    /// An even number of blocks.
    pub(super) blocks: Vec<ActBlock>,
    pub(super) exponent: u32,
}

/// Scores and probabilities of one head; kept to save allocations.
#[derive(Debug, Default)]
pub(super) struct AttentionScratch {
    pub(super) scores: Vec<i64>,
    pub(super) probabilities: Vec<i32>,
    pub(super) mixed: Vec<i64>,
}

/// Arguments of an attention kernel.
pub(super) struct Attention<'a> {
    pub(super) shape: &'a Shape,
    pub(super) query: &'a Query,
    pub(super) cache: &'a LayerCache,
    pub(super) kv_head: usize,
    /// Leading positions that are attended to.
    pub(super) positions: usize,
}

/// Signature of [`crate::reference::rms_norm`] with its result behind the arguments.
type Norm = unsafe fn(&[i64], &[i32], (u64, i32), &mut [i32]);

/// A back end's functions. A table exists only behind [`Kernels::of`], which checks that the machine can run it.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) product: unsafe fn(&Matrix, Range<usize>, &[Acts], Output, &mut [i64]),
    pub(super) norm: Norm,
    pub(super) quantise: unsafe fn(&[i32], &mut Acts),
    pub(super) swiglu: unsafe fn(&mut [i32], &[i32]),
    pub(super) attend: unsafe fn(&Attention<'_>, &mut AttentionScratch, &mut [i32]),
}

impl Kernels {
    /// The back end's table if this machine can run it.
    pub(super) fn of(backend: Backend) -> Option<&'static Self> {
        if !backend.is_available() {
            return None;
        }
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => Some(&super::avx2::KERNELS),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => Some(&super::avx512::KERNELS),
            _ => None,
        }
    }

    /// Row groups `groups` of a matrix times each vector; `out` is `[group][token][row]`.
    pub(super) fn product(
        &self,
        matrix: &Matrix,
        groups: Range<usize>,
        acts: &[Acts],
        output: Output,
        out: &mut [i64],
    ) {
        // SAFETY: tables are handed out only on machines that have the features their functions need.
        unsafe { (self.product)(matrix, groups, acts, output, out) }
    }

    /// [`crate::reference::rms_norm`] into `out`.
    pub(super) fn norm(&self, x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
        // SAFETY: as in `product`.
        unsafe { (self.norm)(x, gains, eps, out) }
    }

    /// [`blocks::quantise`] into `out`.
    pub(super) fn quantise(&self, x: &[i32], out: &mut Acts) {
        let padded = x.len().next_multiple_of(2 * BLOCK) / BLOCK;
        out.blocks.clear();
        out.blocks.resize(padded, ActBlock { scale: 1, ..ActBlock::default() });
        // SAFETY: as in `product`.
        unsafe { (self.quantise)(x, out) }
    }

    /// [`crate::reference::swiglu`] of each pair, into `gate`.
    pub(super) fn swiglu(&self, gate: &mut [i32], up: &[i32]) {
        // SAFETY: as in `product`.
        unsafe { (self.swiglu)(gate, up) }
    }

    /// Scores, softmax and mix of one head into its `head_dim` elements.
    pub(super) fn attend(&self, attention: &Attention<'_>, scratch: &mut AttentionScratch, out: &mut [i32]) {
        // SAFETY: as in `product`.
        unsafe { (self.attend)(attention, scratch, out) }
    }
}

impl From<&Acts> for blocks::Quantised {
    fn from(acts: &Acts) -> Self {
        let q = acts.blocks.iter().flat_map(|b| b.words).flat_map(|w| w.to_le_bytes().map(|b| b as i8));
        let scales = acts.blocks.iter().map(|b| b.scale as u16);
        Self { q: q.collect(), scales: scales.collect(), exponent: acts.exponent }
    }
}
