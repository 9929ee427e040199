//! Matrices times vectors: 16 rows times up to eight vectors at a time, in exact 64-bit sums.

use std::{arch::x86_64::*, ops::Range, sync::LazyLock};

use crate::{
    fast::{
        body,
        kernels::{ActBlock, Acts},
    },
    model::{GROUP, Matrix, Unit, Unit4, Unit4Minima, Unit8, Units},
    reference::Output,
};

/// Vectors of the largest tile: with more, registers would not hold the sums.
const TILE: usize = 8;
/// Vectors from which on a tile of its own is worth it.
const HALF: usize = TILE / 2;
/// Units of a row group that are multiplied with all vectors in turn: some 13 KiB.
const UNITS: usize = 12;

/// Units by which reading runs ahead of multiplying where vectors are too few for a tile and memory is what is waited for; 0
/// where the processor reads ahead better by itself. Measured: with prefetches Intel's Emerald Rapids decodes 1.4 times as
/// fast, AMD's Zen 5 1.4 times as slow.
static READ_AHEAD: LazyLock<usize> = LazyLock::new(|| {
    let id = __cpuid(0);
    let vendor = [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes);
    if vendor.as_flattened() == b"GenuineIntel" { 8 } else { 0 }
});

/// A packing of weights, read half a unit at a time.
trait Packed: Unit + Sized {
    /// Where weights are stored with an offset, the right shift of [`ActBlock::offset`] that takes it back.
    const OFFSET_SHIFT: Option<u32>;

    /// The eight lines of both blocks as unsigned bytes.
    ///
    /// # Safety
    /// The machine must have AVX-512.
    unsafe fn line(&self, h: usize, j: usize) -> __m512i;
}

impl Packed for Unit8 {
    const OFFSET_SHIFT: Option<u32> = Some(0);

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(&self, h: usize, j: usize) -> __m512i {
        // SAFETY: 64 bytes; the load needs no alignment.
        unsafe { _mm512_loadu_si512(self.lines[8 * h + j].as_ptr().cast()) }
    }
}

impl Packed for Unit4 {
    const OFFSET_SHIFT: Option<u32> = Some(4);

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(&self, h: usize, j: usize) -> __m512i {
        halves(&self.lines[j], h)
    }
}

impl Packed for Unit4Minima {
    const OFFSET_SHIFT: Option<u32> = None;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(&self, h: usize, j: usize) -> __m512i {
        halves(&self.lines[j], h)
    }
}

/// The low halves of a line's bytes, or the high ones.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(line: &[u8; 64], h: usize) -> __m512i {
    // SAFETY: 64 bytes; the load needs no alignment.
    let line = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    let low = _mm512_set1_epi32(0x0f0f_0f0f);
    match h {
        0 => _mm512_and_si512(line, low),
        _ => _mm512_and_si512(_mm512_srli_epi32::<4>(line), low),
    }
}

/// Of each row's two numbers that of block `h`, in 32 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn of_block(pairs: &[[i16; 2]; GROUP], h: usize) -> __m512i {
    // SAFETY: 64 bytes; the load needs no alignment.
    let pairs = unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) };
    match h {
        0 => _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs)),
        _ => _mm512_srai_epi32::<16>(pairs),
    }
}

/// Of each row's two numbers that of block `h` in the low half of 32 bits; the high half is to be multiplied by zero.
#[target_feature(enable = "avx512f")]
#[inline]
fn alone(pairs: &[[i16; 2]; GROUP], h: usize) -> __m512i {
    // SAFETY: 64 bytes; the load needs no alignment.
    let pairs = unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) };
    match h {
        0 => pairs,
        _ => _mm512_srli_epi32::<16>(pairs),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn product<O: Output>(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], out: &mut [O]) {
    match &matrix.units {
        Units::Int8(units) => packed(matrix, units, groups, acts, out),
        Units::Int4(units) => packed(matrix, units, groups, acts, out),
        Units::Int4Minima(units) => packed(matrix, units, groups, acts, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn packed<U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    groups: Range<usize>,
    acts: &[Acts],
    out: &mut [O],
) {
    let row_units = matrix.row_units();
    let tiles = acts.len().div_ceil(TILE);
    // Weights that several tiles need stay in the innermost cache.
    let chunk = if tiles == 1 { row_units } else { UNITS };
    let distance = match *READ_AHEAD {
        0 if acts.len() < HALF => 0,
        distance if acts.len() <= TILE && distance > 0 => distance,
        _ => row_units,
    };
    let mut sums = vec![Sums::ZERO; acts.len()];
    let line = out.len() / groups.len();
    for (group, out) in groups.zip(out.chunks_exact_mut(line)) {
        let this = &units[group * row_units..][..row_units];
        let Some(exponents) = matrix.exponents[group * GROUP..].first_chunk() else { return };
        sums.fill(Sums::ZERO);
        for (first, this) in (0..row_units).step_by(chunk).zip(this.chunks(chunk)) {
            let next = match distance {
                0 => &[],
                _ => {
                    let start = (group * row_units + first + distance).min(units.len());
                    &units[start..(start + this.len()).min(units.len())]
                }
            };
            for (i, (acts, sums)) in acts.chunks(TILE).zip(sums.chunks_mut(TILE)).enumerate() {
                let ahead = Ahead::new(next, i, tiles);
                match (acts, sums) {
                    ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) => {
                        tile(this, ahead, first, [a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]);
                    }
                    ([a, b, c, d, acts @ ..], [e, f, g, h, sums @ ..]) => {
                        tile(this, ahead, first, [a, b, c, d], [e, f, g, h]);
                        few(this, Ahead::NOTHING, first, acts, sums);
                    }
                    (acts, sums) => few(this, ahead, first, acts, sums),
                }
            }
        }
        for ((sums, acts), out) in sums.iter().zip(acts).zip(out.as_chunks_mut::<GROUP>().0) {
            finish(sums, exponents, acts.exponent, out);
        }
    }
}

/// [`tile`] of fewer than four vectors, or none.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn few<U: Packed>(units: &[U], ahead: Ahead, from: usize, acts: &[Acts], sums: &mut [Sums]) {
    match (acts, sums) {
        ([a, b, c], [e, f, g]) => tile(units, ahead, from, [a, b, c], [e, f, g]),
        ([a, b], [e, f]) => tile(units, ahead, from, [a, b], [e, f]),
        ([a], [e]) => tile(units, ahead, from, [a], [e]),
        _ => {}
    }
}

/// One vector's exact sums for a row group.
#[derive(Debug, Clone, Copy)]
struct Sums {
    /// Of rows 0, 2, …, 14.
    even: __m512i,
    /// Of rows 1, 3, …, 15.
    odd: __m512i,
}

impl Sums {
    // SAFETY: all bit patterns are vectors.
    const ZERO: Self = unsafe { std::mem::zeroed() };
}

/// Weights to bring closer while others are multiplied, a little with every unit: memory answers few requests at a
/// time.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    next: *const i8,
    end: *const i8,
    /// Cache lines to fetch with a unit.
    lines: usize,
}

impl Ahead {
    const NOTHING: Self = Self { next: std::ptr::null(), end: std::ptr::null(), lines: 0 };

    /// The share of tile `i` of `tiles` in fetching `units`.
    fn new<U>(units: &[U], i: usize, tiles: usize) -> Self {
        let lines = size_of::<U>() / 64;
        let range = units.as_ptr_range();
        let (start, end) = (range.start.cast::<i8>(), range.end.cast::<i8>());
        let share = lines.div_ceil(tiles);
        Self { next: start.wrapping_add(64 * share * units.len() * i), end, lines: share }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn fetch(&mut self) {
        for _ in 0..self.lines {
            if self.next < self.end {
                _mm_prefetch::<_MM_HINT_T1>(self.next);
                self.next = self.next.wrapping_add(64);
            }
        }
    }
}

/// Adds a part of one row group times `T` vectors to their sums; the part begins with unit `from` of the rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn tile<const T: usize, U: Packed>(
    units: &[U],
    mut ahead: Ahead,
    from: usize,
    acts: [&Acts; T],
    sums: [&mut Sums; T],
) {
    // Loops, as closures given to other functions are not inlined into one with these features.
    let (mut even, mut odd) = ([_mm512_setzero_si512(); T], [_mm512_setzero_si512(); T]);
    let mut blocks: [&[[ActBlock; 2]]; T] = [&[]; T];
    for t in 0..T {
        (even[t], odd[t]) = (sums[t].even, sums[t].odd);
        blocks[t] = &acts[t].blocks.as_chunks::<2>().0[from..][..units.len()];
    }
    // A sum is ready only some cycles after it was added to: few vectors' are made of both blocks at once.
    let together = if T <= HALF { 2 } else { 1 };
    for (p, unit) in units.iter().enumerate() {
        ahead.fetch();
        for first in (0..2).step_by(together) {
            let mut block = [[_mm512_setzero_si512(); T]; 2];
            if let Some(shift) = U::OFFSET_SHIFT {
                for i in 0..together {
                    for t in 0..T {
                        block[i][t] = _mm512_set1_epi32(blocks[t][p][first + i].offset >> shift);
                    }
                }
            }
            for j in 0..8 {
                for i in 0..together {
                    // SAFETY: this function has AVX-512.
                    let weights = unsafe { unit.line(first + i, j) };
                    for t in 0..T {
                        let x = _mm512_set1_epi32(blocks[t][p][first + i].words[j]);
                        block[i][t] = _mm512_dpbusd_epi32(block[i][t], weights, x);
                    }
                }
            }
            for i in 0..together {
                let h = first + i;
                if let Some(minima) = unit.minima() {
                    let scales = of_block(unit.scales(), h);
                    let minima = of_block(minima, h);
                    for t in 0..T {
                        let total = _mm512_set1_epi32(blocks[t][p][h].total());
                        // Below 2^31, as `reference::multiply` says.
                        let less = _mm512_mullo_epi32(minima, total);
                        let value = _mm512_sub_epi32(_mm512_mullo_epi32(scales, block[i][t]), less);
                        let scale = _mm512_set1_epi32(blocks[t][p][h].scale);
                        even[t] = _mm512_add_epi64(even[t], _mm512_mul_epi32(value, scale));
                        let value = _mm512_srli_epi64::<32>(value);
                        odd[t] = _mm512_add_epi64(odd[t], _mm512_mul_epi32(value, scale));
                    }
                    continue;
                }
                let scales = alone(unit.scales(), h);
                for t in 0..T {
                    // Of 16 bits each, so that pairs are multiplied, one of them by zero: cheaper than a product of 32 bits.
                    let scale = _mm512_madd_epi16(scales, _mm512_set1_epi32(blocks[t][p][h].scale));
                    even[t] = _mm512_add_epi64(even[t], _mm512_mul_epi32(block[i][t], scale));
                    let (block, scale) =
                        (_mm512_srli_epi64::<32>(block[i][t]), _mm512_srli_epi64::<32>(scale));
                    odd[t] = _mm512_add_epi64(odd[t], _mm512_mul_epi32(block, scale));
                }
            }
        }
    }
    for t in 0..T {
        *sums[t] = Sums { even: even[t], odd: odd[t] };
    }
}

/// [`reference::finish`] of 16 rows' sums.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[inline]
fn finish<O: Output>(sums: &Sums, exponents: &[i8; GROUP], token_exponent: u32, out: &mut [O; GROUP]) {
    let low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    let high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    let Sums { even, odd } = *sums;
    let sums = [_mm512_permutex2var_epi64(even, low, odd), _mm512_permutex2var_epi64(even, high, odd)];
    // SAFETY: 16 bytes; the load needs no alignment.
    let exponents_ = unsafe { _mm_loadu_si128(exponents.as_ptr().cast()) };
    let exponents_ = [exponents_, _mm_srli_si128::<8>(exponents_)];
    let base = _mm512_set1_epi64(i64::from(40 - O::BITS) - i64::from(token_exponent));
    let shifts = exponents_.map(|e| _mm512_sub_epi64(base, _mm512_cvtepi8_epi64(e)));
    let zero = _mm512_setzero_si512();
    if _mm512_cmplt_epi64_mask(shifts[0], zero) | _mm512_cmplt_epi64_mask(shifts[1], zero) != 0 {
        let mut exact = [0i64; GROUP];
        for (sums, exact) in sums.iter().zip(exact.as_chunks_mut::<8>().0) {
            // SAFETY: 64 bytes; the store needs no alignment.
            unsafe { _mm512_storeu_si512(exact.as_mut_ptr().cast(), *sums) };
        }
        return body::finish(&exact, exponents, token_exponent, out);
    }
    for ((sums, shifts), out) in sums.iter().zip(shifts).zip(out.as_chunks_mut::<8>().0) {
        let half = _mm512_srli_epi64::<1>(_mm512_sllv_epi64(_mm512_set1_epi64(1), shifts));
        let value = _mm512_srav_epi64(_mm512_add_epi64(*sums, half), shifts);
        // SAFETY: `out` is eight elements of the size that is stored.
        unsafe {
            if const { size_of::<O>() == 4 } {
                // Saturates to the limits of `i32`, which are this format's.
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtsepi64_epi32(value));
            } else {
                let value = _mm512_max_epi64(value, _mm512_set1_epi64(-O::LIMIT));
                let value = _mm512_min_epi64(value, _mm512_set1_epi64(O::LIMIT - 1));
                _mm512_storeu_si512(out.as_mut_ptr().cast(), value);
            }
        }
    }
}
