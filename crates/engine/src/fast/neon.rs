//! NEON, which every AArch64 processor has, with and without its dot product.

use std::{
    arch::{aarch64::*, asm},
    ops::Range,
};

use super::{
    body,
    kernels::{ActBlock, Acts, AttentionScratch, Kernels},
};
use crate::{
    blocks::BLOCK,
    cache::{Compressed, Part},
    model::{GROUP, Matrix, Unit, Unit4, Unit4Minima, Unit8, Units},
    reference::{Output, View},
};

pub(super) static PLAIN: Kernels = table::<Widened>();
pub(super) static DOT: Kernels = table::<Sdot>();

const fn table<D: Dot>() -> Kernels {
    Kernels {
        hidden: product::<D, i32>,
        residual: product::<D, i64>,
        // What back ends share is compiled for NEON without being told so.
        norm: body::norm,
        quantise: body::quantise,
        activate: body::activate,
        queries: body::queries,
        row: body::row,
        attend,
        sum,
        multiply: multiply::<D>,
        multiplications: 16 * 16,
    }
}

#[target_feature(enable = "neon")]
fn sum(words: &[u64]) -> u64 {
    // Enough lines to keep several loads in flight.
    let mut sums = [vdupq_n_u64(0); 8];
    let (whole, rest) = words.as_chunks::<16>();
    for words in whole {
        for (sum, line) in sums.iter_mut().zip(words.as_chunks::<2>().0) {
            // SAFETY: 16 bytes; the load needs no alignment.
            *sum = vaddq_u64(*sum, unsafe { vld1q_u64(line.as_ptr()) });
        }
    }
    let sums = sums.iter().map(|sum| vaddvq_u64(*sum));
    sums.chain(rest.iter().copied()).fold(0, u64::wrapping_add)
}

#[target_feature(enable = "neon")]
fn multiply<D: Dot>(rounds: u64) -> i32 {
    let x = vdupq_n_s32(std::hint::black_box(0x0102_0304));
    let mut sums = [x; 16];
    for _ in 0..rounds {
        for i in 0..sums.len() {
            // Depends on a sum, or the products would be computed once; on another one, which needs no copy.
            let weights = vreinterpretq_s8_s32(sums[(i + 1) % sums.len()]);
            // SAFETY: the table of `D` is used only on machines that have what `D` needs.
            sums[i] = unsafe { D::add::<0>(sums[i], weights, vreinterpretq_s8_s32(x)) };
        }
    }
    sums.iter().fold(0, |total: i32, sum| total.wrapping_add(vaddvq_s32(*sum)))
}

/// A way to multiply int8 and to add four products at a time.
trait Dot {
    /// Adds to each of four sums its four weights times the four activations of lane `LANE`, which are within ±127.
    ///
    /// # Safety
    /// The machine must have the instructions.
    unsafe fn add<const LANE: i32>(sums: int32x4_t, weights: int8x16_t, acts: int8x16_t) -> int32x4_t;
}

/// By products of 16 bits.
struct Widened;

impl Dot for Widened {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add<const LANE: i32>(sums: int32x4_t, weights: int8x16_t, acts: int8x16_t) -> int32x4_t {
        let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(acts)));
        let low = vmull_s8(vget_low_s8(weights), vget_low_s8(x));
        let high = vmull_high_s8(weights, x);
        // Pairs stay within 2 · 128 · 127 < 2^15.
        vpadalq_s16(sums, vpaddq_s16(low, high))
    }
}

/// By the dot product's instruction.
struct Sdot;

impl Dot for Sdot {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add<const LANE: i32>(sums: int32x4_t, weights: int8x16_t, acts: int8x16_t) -> int32x4_t {
        let mut sums = sums;
        // As assembly because the intrinsic is not stable. The directive holds for this instruction alone, so that
        // nothing else is compiled for machines that have it.
        // SAFETY: the caller's machine has the instruction, which reads and writes these registers only.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {weights:v}.16b, {acts:v}.4b[{lane}]",
                sums = inout(vreg) sums,
                weights = in(vreg) weights,
                acts = in(vreg) acts,
                lane = const LANE,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// Vectors of a tile: more would spill registers.
const TILE: usize = 4;
/// Units of a row group that are multiplied with all vectors in turn: some 13 KiB.
const UNITS: usize = 12;
/// Rows whose weights a register holds: four each.
const ROWS: usize = 4;

/// A packing of weights, read as four rows' share of a line.
trait Packed: Unit + Sized {
    /// Where weights are read with the offset that they are stored with, the right shift of [`ActBlock::offset`] that takes it
    /// back.
    const OFFSET_SHIFT: Option<u32>;

    /// The weights of elements `4j..4j+4` of block `h` in four rows.
    ///
    /// # Safety
    /// The machine must have NEON.
    unsafe fn line(&self, four: usize, h: usize, j: usize) -> int8x16_t;
}

impl Packed for Unit8 {
    /// 255 is no int8, so the offset is taken from each weight.
    const OFFSET_SHIFT: Option<u32> = None;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn line(&self, four: usize, h: usize, j: usize) -> int8x16_t {
        let line = &self.lines[8 * h + j].as_chunks::<16>().0[four];
        // SAFETY: `line` is 16 bytes; the load needs no alignment.
        let stored = unsafe { vld1q_u8(line.as_ptr()) };
        vreinterpretq_s8_u8(veorq_u8(stored, vdupq_n_u8(128)))
    }
}

impl Packed for Unit4 {
    const OFFSET_SHIFT: Option<u32> = Some(4);

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn line(&self, four: usize, h: usize, j: usize) -> int8x16_t {
        halves(&self.lines[j], four, h)
    }
}

impl Packed for Unit4Minima {
    const OFFSET_SHIFT: Option<u32> = None;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn line(&self, four: usize, h: usize, j: usize) -> int8x16_t {
        halves(&self.lines[j], four, h)
    }
}

/// The low halves of four rows' bytes of a line, or the high ones.
#[target_feature(enable = "neon")]
#[inline]
fn halves(line: &[u8; 64], four: usize, h: usize) -> int8x16_t {
    let line = &line.as_chunks::<16>().0[four];
    // SAFETY: `line` is 16 bytes; the load needs no alignment.
    let stored = unsafe { vld1q_u8(line.as_ptr()) };
    vreinterpretq_s8_u8(if h == 0 { vandq_u8(stored, vdupq_n_u8(15)) } else { vshrq_n_u8::<4>(stored) })
}

/// Of four rows' two numbers those of block `h`.
#[target_feature(enable = "neon")]
#[inline]
fn of_block(pairs: &[[i16; 2]; GROUP], four: usize, h: usize) -> int16x4_t {
    let pairs = &pairs.as_chunks::<ROWS>().0[four];
    // SAFETY: 4 rows of 2 numbers are 16 bytes; the load needs no alignment.
    let pairs = unsafe { vld1q_s32(pairs.as_ptr().cast()) };
    if h == 0 { vmovn_s32(pairs) } else { vshrn_n_s32::<16>(pairs) }
}

#[target_feature(enable = "neon")]
fn product<D: Dot, O: Output>(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], out: &mut [O]) {
    match &matrix.units {
        Units::Int8(units) => packed::<D, _, _>(matrix, units, groups, acts, out),
        Units::Int4(units) => packed::<D, _, _>(matrix, units, groups, acts, out),
        Units::Int4Minima(units) => packed::<D, _, _>(matrix, units, groups, acts, out),
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn packed<D: Dot, U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    groups: Range<usize>,
    acts: &[Acts],
    out: &mut [O],
) {
    let row_units = matrix.row_units();
    let mut sums = vec![[0; GROUP]; acts.len()];
    let line = out.len() / groups.len();
    for (group, out) in groups.zip(out.chunks_exact_mut(line)) {
        let units = &units[group * row_units..][..row_units];
        let Some(exponents) = matrix.exponents[group * GROUP..].first_chunk() else { return };
        sums.fill([0; GROUP]);
        // Weights that are read several times stay in the innermost cache.
        for (first, units) in (0..row_units).step_by(UNITS).zip(units.chunks(UNITS)) {
            for (acts, sums) in acts.chunks(TILE).zip(sums.chunks_mut(TILE)) {
                // As many sums as registers hold: of more vectors those of fewer rows.
                match (acts, sums) {
                    ([a, b, c, d], [e, f, g, h]) => {
                        tile::<D, U, 4, 2>(units, first, [a, b, c, d], [e, f, g, h]);
                    }
                    ([a, b, c], [e, f, g]) => tile::<D, U, 3, 2>(units, first, [a, b, c], [e, f, g]),
                    ([a, b], [e, f]) => tile::<D, U, 2, 4>(units, first, [a, b], [e, f]),
                    ([a], [e]) => tile::<D, U, 1, 4>(units, first, [a], [e]),
                    _ => {}
                }
            }
        }
        for ((sums, acts), out) in sums.iter().zip(acts).zip(out.as_chunks_mut::<GROUP>().0) {
            body::finish(sums, exponents, acts.exponent, out);
        }
    }
}

/// Adds a part of one row group times `T` vectors to their sums, `R` registers of rows at a time; the part begins with
/// unit `from` of the rows.
#[target_feature(enable = "neon")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "h, r and t index several arrays each")]
fn tile<D: Dot, U: Packed, const T: usize, const R: usize>(
    units: &[U],
    from: usize,
    acts: [&Acts; T],
    sums: [&mut [i64; GROUP]; T],
) {
    // Loops, as closures given to other functions are not inlined into one with these features.
    let mut blocks: [&[[ActBlock; 2]]; T] = [&[]; T];
    for t in 0..T {
        blocks[t] = &acts[t].blocks.as_chunks::<2>().0[from..][..units.len()];
    }
    for first in (0..GROUP / ROWS).step_by(R) {
        // Sums of rows 0 and 1, and of 2 and 3, of each register of rows.
        let mut totals = [[[vdupq_n_s64(0); 2]; R]; T];
        for t in 0..T {
            for r in 0..R {
                let sums = &sums[t].as_chunks::<ROWS>().0[first + r];
                // SAFETY: 16 bytes each; the loads need no alignment.
                totals[t][r] = unsafe { [vld1q_s64(sums[..2].as_ptr()), vld1q_s64(sums[2..].as_ptr())] };
            }
        }
        for (p, unit) in units.iter().enumerate() {
            for h in 0..2 {
                let mut block = [[vdupq_n_s32(0); R]; T];
                if let Some(shift) = U::OFFSET_SHIFT {
                    for t in 0..T {
                        block[t] = [vdupq_n_s32(blocks[t][p][h].offset >> shift); R];
                    }
                }
                for half in 0..2 {
                    let mut x = [vdupq_n_s8(0); T];
                    for t in 0..T {
                        let words = &blocks[t][p][h].words.as_chunks::<4>().0[half];
                        // SAFETY: 16 bytes; the load needs no alignment.
                        x[t] = vreinterpretq_s8_s32(unsafe { vld1q_s32(words.as_ptr()) });
                    }
                    lane::<D, U, 0, T, R>(unit, first, h, 4 * half, &x, &mut block);
                    lane::<D, U, 1, T, R>(unit, first, h, 4 * half, &x, &mut block);
                    lane::<D, U, 2, T, R>(unit, first, h, 4 * half, &x, &mut block);
                    lane::<D, U, 3, T, R>(unit, first, h, 4 * half, &x, &mut block);
                }
                for r in 0..R {
                    let scales = of_block(unit.scales(), first + r, h);
                    if let Some(minima) = unit.minima() {
                        let (scales, minima) = (vmovl_s16(scales), of_block(minima, first + r, h));
                        for t in 0..T {
                            let less = vmull_n_s16(minima, blocks[t][p][h].total() as i16);
                            // Below 2^31, as `reference::multiply` says.
                            let value = vsubq_s32(vmulq_s32(scales, block[t][r]), less);
                            let scale = vdupq_n_s32(blocks[t][p][h].scale);
                            totals[t][r][0] =
                                vmlal_s32(totals[t][r][0], vget_low_s32(value), vget_low_s32(scale));
                            totals[t][r][1] = vmlal_high_s32(totals[t][r][1], value, scale);
                        }
                        continue;
                    }
                    for t in 0..T {
                        let scale = vmull_n_s16(scales, blocks[t][p][h].scale as i16);
                        let (low, high) = (vget_low_s32(block[t][r]), vget_low_s32(scale));
                        totals[t][r][0] = vmlal_s32(totals[t][r][0], low, high);
                        totals[t][r][1] = vmlal_high_s32(totals[t][r][1], block[t][r], scale);
                    }
                }
            }
        }
        for t in 0..T {
            for r in 0..R {
                let sums = &mut sums[t].as_chunks_mut::<ROWS>().0[first + r];
                // SAFETY: 16 bytes each; the stores need no alignment.
                unsafe {
                    vst1q_s64(sums[..2].as_mut_ptr(), totals[t][r][0]);
                    vst1q_s64(sums[2..].as_mut_ptr(), totals[t][r][1]);
                }
            }
        }
    }
}

/// Adds line `j + LANE` of some rows times lane `LANE` of `x` to a block's sums.
#[target_feature(enable = "neon")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "r and t index several arrays each")]
fn lane<D: Dot, U: Packed, const LANE: i32, const T: usize, const R: usize>(
    unit: &U,
    first: usize,
    h: usize,
    j: usize,
    x: &[int8x16_t; T],
    block: &mut [[int32x4_t; R]; T],
) {
    for r in 0..R {
        // SAFETY: this function has NEON.
        let weights = unsafe { unit.line(first + r, h, j + LANE as usize) };
        for t in 0..T {
            // SAFETY: the table of `D` is used only on machines that have what `D` needs.
            block[t][r] = unsafe { D::add::<LANE>(block[t][r], weights, x[t]) };
        }
    }
}

#[target_feature(enable = "neon")]
fn attend(
    view: View<'_>,
    query: &[Compressed],
    query_shift: u32,
    scratch: &mut AttentionScratch,
    out: &mut [i32],
) {
    let blocks = query.len();
    scratch.scores.clear();
    for (keys, shifts) in body::seen(view, Part::Keys, blocks) {
        for (keys, shifts) in keys.chunks_exact(blocks).zip(shifts.chunks_exact(blocks)) {
            let mut sum = vdupq_n_s64(0);
            for ((key, shift), query) in keys.iter().zip(shifts).zip(query) {
                let mut both = vdupq_n_s64(0);
                for (key, query) in key.as_chunks::<8>().0.iter().zip(query.as_chunks::<8>().0) {
                    // SAFETY: both are 16 bytes; the loads need no alignment.
                    let (key, query) = unsafe { (vld1q_s16(key.as_ptr()), vld1q_s16(query.as_ptr())) };
                    // Elements are within ±32,767, so a sum of two products is below 2^31.
                    let low = vmull_s16(vget_low_s16(key), vget_low_s16(query));
                    both = vpadalq_s32(both, vmlal_high_s16(low, key, query));
                }
                sum = vaddq_s64(sum, vshlq_s64(both, vdupq_n_s64((*shift).into())));
            }
            scratch.scores.push(vaddvq_s64(sum));
        }
    }
    body::scale_scores(view, &mut scratch.scores, query_shift);
    body::softmax_and_mix(scratch, blocks, out, |probabilities, mixed| {
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [vdupq_n_s64(0); BLOCK / 2];
            let mut probabilities = probabilities.iter();
            for (values, shifts) in body::seen(view, Part::Values, blocks) {
                let positions = values.chunks_exact(blocks).zip(shifts.chunks_exact(blocks));
                for ((values, shifts), p) in positions.zip(&mut probabilities) {
                    // At most 32,767 · 2^16.
                    let p = vdupq_n_s32(*p << shifts[block]);
                    for (sums, eight) in
                        sums.as_chunks_mut::<4>().0.iter_mut().zip(values[block].as_chunks::<8>().0)
                    {
                        // SAFETY: 16 bytes; the load needs no alignment.
                        let v = unsafe { vld1q_s16(eight.as_ptr()) };
                        let (low, high) = (vmovl_s16(vget_low_s16(v)), vmovl_high_s16(v));
                        sums[0] = vmlal_s32(sums[0], vget_low_s32(low), vget_low_s32(p));
                        sums[1] = vmlal_high_s32(sums[1], low, p);
                        sums[2] = vmlal_s32(sums[2], vget_low_s32(high), vget_low_s32(p));
                        sums[3] = vmlal_high_s32(sums[3], high, p);
                    }
                }
            }
            for (sum, two) in sums.iter().zip(mixed.as_chunks_mut::<2>().0) {
                // SAFETY: 16 bytes; the store needs no alignment.
                unsafe { vst1q_s64(two.as_mut_ptr(), *sum) };
            }
        }
    });
}
