//! The operations that a back end provides, as a table of functions.

use std::ops::Range;

use crate::{
    Backend,
    blocks::{self, BLOCK},
    cache::Compressed,
    model::{Activation, Matrix},
    reference::{Output, View},
};

/// A block of activations in the shape that kernels want.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ActBlock {
    /// 32 int8, four a word, little-endian.
    pub(super) words: [i32; 8],
    pub(super) scale: i32,
    /// `-128 ·` sum of the 32: takes back the offset of weights stored as `weight + 128`.
    pub(super) offset: i32,
}

impl ActBlock {
    /// The sum of the 32, at most 32 · 127.
    #[inline(always)]
    pub(super) fn total(&self) -> i32 {
        -(self.offset >> 7)
    }
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

/// How the elements of one position's queries, keys or values become what attention reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preparation<'a> {
    pub(super) head_dim: usize,
    pub(super) bias: Option<&'a [i32]>,
    pub(super) norm: Option<&'a [i32]>,
    pub(super) eps: (u64, i32),
    /// Rotation: which pairs, and their angles.
    pub(super) rotation: Option<(crate::model::Pairs, &'a [(i32, i32)])>,
}

/// What a kernel multiplies and where the products go: some row groups of a matrix, the vectors, and
/// `[group][vector][row]`, where groups may be longer than their vectors need.
type Product<O> = unsafe fn(&Matrix, Range<usize>, &[Acts], &mut [O]);

/// Signature of [`crate::reference::rms_norm`] with its result behind the arguments.
type Norm = unsafe fn(&[i64], &[i32], (u64, i32), &mut [i32]);

/// A back end's functions. A table exists only behind [`Kernels::of`], which checks that the machine can run it.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) hidden: Product<i32>,
    pub(super) residual: Product<i64>,
    pub(super) norm: Norm,
    pub(super) quantise: unsafe fn(&[i32], &mut Acts),
    pub(super) activate: unsafe fn(Activation, &mut [i32], &[i32]),
    pub(super) queries: unsafe fn(&mut [i32], &Preparation<'_>, i64, &mut [Compressed], &mut [u32]),
    pub(super) row: unsafe fn(&mut [i32], &Preparation<'_>, &mut [Compressed], &mut [u8]),
    pub(super) attend: unsafe fn(View<'_>, &[Compressed], u32, &mut AttentionScratch, &mut [i32]),
    /// The sum of all 8-byte words: reads as fast as the machine can.
    pub(super) sum: unsafe fn(&[u64]) -> u64,
    /// Rounds of multiplications of int8 in registers, as fast as the machine can; the result depends on all of them.
    pub(super) multiply: unsafe fn(u64) -> i32,
    /// Multiplications of a round.
    pub(super) multiplications: u64,
}

/// A format that a back end can finish products in.
pub(super) trait Finished: Output {
    fn product(kernels: &Kernels) -> Product<Self>;
}

impl Finished for i32 {
    fn product(kernels: &Kernels) -> Product<Self> {
        kernels.hidden
    }
}

impl Finished for i64 {
    fn product(kernels: &Kernels) -> Product<Self> {
        kernels.residual
    }
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
            #[cfg(target_arch = "aarch64")]
            Backend::Neon => Some(&super::neon::PLAIN),
            #[cfg(target_arch = "aarch64")]
            Backend::NeonDot => Some(&super::neon::DOT),
            _ => None,
        }
    }

    /// Row groups `groups`, at least one, of a matrix times each vector; `out` is `[group][vector][row]`, its groups of one length.
    pub(super) fn product<O: Finished>(
        &self,
        matrix: &Matrix,
        groups: Range<usize>,
        acts: &[Acts],
        out: &mut [O],
    ) {
        // SAFETY: tables are handed out only on machines that have the features their functions need.
        unsafe { O::product(self)(matrix, groups, acts, out) }
    }

    /// [`crate::reference::rms_norm`] into `out`.
    pub(super) fn norm(&self, x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
        // SAFETY: as in `product`.
        unsafe { (self.norm)(x, gains, eps, out) }
    }

    /// [`blocks::quantise`] into `out`.
    pub(super) fn quantise(&self, x: &[i32], out: &mut Acts) {
        let padded = x.len().next_multiple_of(2 * BLOCK) / BLOCK;
        if out.blocks.len() != padded || !x.len().is_multiple_of(2 * BLOCK) {
            out.blocks.clear();
            out.blocks.resize(padded, ActBlock { scale: 1, ..ActBlock::default() });
        }
        // SAFETY: as in `product`.
        unsafe { (self.quantise)(x, out) }
    }

    /// [`crate::reference::activate`] of each pair, into `gate`.
    pub(super) fn activate(&self, activation: Activation, gate: &mut [i32], up: &[i32]) {
        // SAFETY: as in `product`.
        unsafe { (self.activate)(activation, gate, up) }
    }

    /// Prepares one position's queries: compressed heads and a shift a head.
    pub(super) fn queries(
        &self,
        x: &mut [i32],
        how: &Preparation<'_>,
        factor: i64,
        q: &mut [Compressed],
        shifts: &mut [u32],
    ) {
        // SAFETY: as in `product`.
        unsafe { (self.queries)(x, how, factor, q, shifts) }
    }

    /// Prepares one position's keys or values.
    pub(super) fn row(&self, x: &mut [i32], how: &Preparation<'_>, q: &mut [Compressed], shifts: &mut [u8]) {
        // SAFETY: as in `product`.
        unsafe { (self.row)(x, how, q, shifts) }
    }

    /// [`crate::reference::attend`] into `out`.
    pub(super) fn attend(
        &self,
        view: View<'_>,
        query: &[Compressed],
        query_shift: u32,
        scratch: &mut AttentionScratch,
        out: &mut [i32],
    ) {
        // SAFETY: as in `product`.
        unsafe { (self.attend)(view, query, query_shift, scratch, out) }
    }

    /// So many rounds of multiplications.
    pub(super) fn multiply(&self, rounds: u64) -> i32 {
        // SAFETY: as in `product`.
        unsafe { (self.multiply)(rounds) }
    }

    /// The wrapping sum of all words.
    pub(super) fn sum(&self, words: &[u64]) -> u64 {
        // SAFETY: as in `product`.
        unsafe { (self.sum)(words) }
    }
}

impl From<&Acts> for blocks::Quantised {
    fn from(acts: &Acts) -> Self {
        let q = acts.blocks.iter().flat_map(|b| b.words).flat_map(|w| w.to_le_bytes().map(|b| b as i8));
        let scales = acts.blocks.iter().map(|b| b.scale as u16);
        Self { q: q.collect(), scales: scales.collect(), exponent: acts.exponent }
    }
}
