//! Matrices times vectors: eight rows times up to four vectors at a time, in exact 64-bit sums.

use std::{arch::x86_64::*, ops::Range};

use crate::{
    fast::{
        body,
        kernels::{ActBlock, Acts},
    },
    model::{GROUP, Matrix, Unit, Unit4, Unit4Minima, Unit8, Units},
    reference::Output,
};

/// Vectors of the largest tile: with more, registers would not hold the sums.
const TILE: usize = 4;
/// Most units of a row group that are multiplied with all vectors in turn: some 13 KiB.
const UNITS: usize = 12;
/// Rows of a register.
const ROWS: usize = 8;
/// Streams that one vector's weights are read in, as hardware reads ahead in each of them.
const STREAMS: usize = 2;
/// Units by which reading of a stream runs ahead of multiplying. Measured on AMD's Zen 3: with 1, 2, 4 or 8 the same within noise;
/// without, decoding takes twice as long wherever the compiler does not keep loads in order.
const AHEAD: usize = 4;

/// A packing of weights, read as eight rows' share of a line.
trait Packed: Unit + Sized {
    /// For each vector the sums over block `h` of its activations times the weights of eight rows.
    ///
    /// # Safety
    /// The machine must have AVX2.
    unsafe fn sums<const T: usize>(&self, eight: usize, h: usize, acts: [&ActBlock; T]) -> [__m256i; T];

    /// The sums over block `h` of one vector's activations times the weights of all 16 rows.
    ///
    /// # Safety
    /// The machine must have AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn both_sums(&self, h: usize, acts: &ActBlock) -> [__m256i; 2] {
        // SAFETY: as for this function.
        let ([low], [high]) = unsafe { (self.sums(0, h, [acts]), self.sums(1, h, [acts])) };
        [low, high]
    }
}

impl Packed for Unit8 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const T: usize>(&self, eight: usize, h: usize, acts: [&ActBlock; T]) -> [__m256i; T] {
        let mut sums = [_mm256_setzero_si256(); T];
        for (j, line) in self.lines[8 * h..][..8].iter().enumerate() {
            let weights = signed(line, eight);
            for t in 0..T {
                sums[t] = _mm256_add_epi32(sums[t], fours(weights, acts[t].words[j]));
            }
        }
        sums
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn both_sums(&self, h: usize, acts: &ActBlock) -> [__m256i; 2] {
        // Lines in the order in which they lie, as hardware likes to read them.
        let mut sums = [_mm256_setzero_si256(); 2];
        for (line, x) in self.lines[8 * h..][..8].iter().zip(acts.words) {
            for (eight, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_add_epi32(*sum, fours(signed(line, eight), x));
            }
        }
        sums
    }
}

/// Eight rows' part of a line of a [`Unit8`].
#[target_feature(enable = "avx2")]
#[inline]
fn signed(line: &[u8; 64], eight: usize) -> __m256i {
    _mm256_xor_si256(share(line, eight), _mm256_set1_epi8(-128))
}

/// Sums of four weights of eight rows each times four activations.
#[target_feature(enable = "avx2")]
#[inline]
fn fours(weights: __m256i, x: i32) -> __m256i {
    // |w| ≤ 128 as unsigned times a with w's sign: pairs stay within 2 · 128 · 127 < 2^15.
    let x = _mm256_sign_epi8(_mm256_set1_epi32(x), weights);
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), x);
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

impl Packed for Unit4 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const T: usize>(&self, eight: usize, h: usize, acts: [&ActBlock; T]) -> [__m256i; T] {
        let mut sums = sums_of_halves(&self.lines, eight, h, acts);
        for t in 0..T {
            sums[t] = _mm256_add_epi32(sums[t], _mm256_set1_epi32(acts[t].offset >> 4));
        }
        sums
    }
}

impl Packed for Unit4Minima {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const T: usize>(&self, eight: usize, h: usize, acts: [&ActBlock; T]) -> [__m256i; T] {
        sums_of_halves(&self.lines, eight, h, acts)
    }
}

/// Sums over a block of activations times weights of four bits, as they are stored: the low halves of bytes, or the high ones.
#[target_feature(enable = "avx2")]
#[inline]
fn sums_of_halves<const T: usize>(
    lines: &[[u8; 64]; 8],
    eight: usize,
    h: usize,
    acts: [&ActBlock; T],
) -> [__m256i; T] {
    // A lane adds up 16 products, at most 16 · 15 · 127 < 2^15.
    let mut sums = [_mm256_setzero_si256(); T];
    for (j, line) in lines.iter().enumerate() {
        let line = share(line, eight);
        let line = if h == 0 { line } else { _mm256_srli_epi32::<4>(line) };
        let weights = _mm256_and_si256(line, _mm256_set1_epi8(15));
        for t in 0..T {
            let x = _mm256_set1_epi32(acts[t].words[j]);
            sums[t] = _mm256_add_epi16(sums[t], _mm256_maddubs_epi16(weights, x));
        }
    }
    for sum in &mut sums {
        *sum = _mm256_madd_epi16(*sum, _mm256_set1_epi16(1));
    }
    sums
}

/// Eight rows' part of a line.
#[target_feature(enable = "avx2")]
#[inline]
fn share(line: &[u8; 64], eight: usize) -> __m256i {
    let line = &line.as_chunks::<32>().0[eight];
    // SAFETY: 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(line.as_ptr().cast()) }
}

/// Eight rows' two numbers a row, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn numbers(pairs: &[[i16; 2]; GROUP], eight: usize) -> __m256i {
    let pairs = &pairs.as_chunks::<ROWS>().0[eight];
    // SAFETY: 8 rows of 2 numbers are 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(pairs.as_ptr().cast()) }
}

/// Of each row's two numbers that of block `h`, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn of_block(pairs: __m256i, h: usize) -> __m256i {
    match h {
        0 => _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs)),
        _ => _mm256_srai_epi32::<16>(pairs),
    }
}

/// Of each row's two numbers that of block `h` in the low half of 32 bits; the high half is to be multiplied by zero.
#[target_feature(enable = "avx2")]
#[inline]
fn alone(pairs: __m256i, h: usize) -> __m256i {
    match h {
        0 => pairs,
        _ => _mm256_srli_epi32::<16>(pairs),
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn product<O: Output>(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], out: &mut [O]) {
    match &matrix.units {
        Units::Int8(units) => packed(matrix, units, groups, acts, out),
        Units::Int4(units) => packed(matrix, units, groups, acts, out),
        Units::Int4Minima(units) => packed(matrix, units, groups, acts, out),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn packed<U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    groups: Range<usize>,
    acts: &[Acts],
    out: &mut [O],
) {
    if let [acts] = acts {
        return streamed(matrix, units, groups, acts, out);
    }
    let row_units = matrix.row_units();
    // Weights that several tiles need stay in the innermost cache.
    let chunk = row_units.div_ceil(row_units.div_ceil(UNITS));
    let mut sums = vec![Sums::ZERO; acts.len()];
    let line = out.len() / groups.len();
    for (group, out) in groups.zip(out.chunks_exact_mut(line)) {
        let units = &units[group * row_units..][..row_units];
        let Some(exponents) = matrix.exponents[group * GROUP..].first_chunk() else { return };
        sums.fill(Sums::ZERO);
        for (first, units) in (0..row_units).step_by(chunk).zip(units.chunks(chunk)) {
            let mut next = Next::after(units, acts.len());
            for (acts, sums) in acts.chunks(TILE).zip(sums.chunks_mut(TILE)) {
                let next = &mut next;
                match (acts, sums) {
                    ([a, b, c, d], [e, f, g, h]) => {
                        tile::<4, 1, _>(units, next, first, [a, b, c, d], [e, f, g, h]);
                    }
                    ([a, b, c], [e, f, g]) => tile::<3, 1, _>(units, next, first, [a, b, c], [e, f, g]),
                    ([a, b], [e, f]) => tile::<2, 2, _>(units, next, first, [a, b], [e, f]),
                    ([a], [e]) => tile::<1, 2, _>(units, next, first, [a], [e]),
                    _ => {}
                }
            }
        }
        for ((sums, acts), out) in sums.iter().zip(acts).zip(out.as_chunks_mut::<GROUP>().0) {
            finish(sums, exponents, acts.exponent, out);
        }
    }
}

/// [`packed`] for one vector, which waits for memory: row groups that lie far apart are read side by side.
#[target_feature(enable = "avx2")]
#[inline]
fn streamed<U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    groups: Range<usize>,
    acts: &Acts,
    out: &mut [O],
) {
    let each = groups.len() / STREAMS;
    let out = out.as_chunks_mut::<GROUP>().0;
    for i in 0..each {
        let mut chosen = [i; STREAMS];
        for (s, chosen) in chosen.iter_mut().enumerate() {
            *chosen += s * each;
        }
        row_groups(matrix, units, groups.start, chosen, acts, out);
    }
    for i in STREAMS * each..groups.len() {
        row_groups(matrix, units, groups.start, [i], acts, out);
    }
}

/// Row groups `start + chosen[g]` times one vector, into `out[chosen[g]]`.
#[target_feature(enable = "avx2")]
#[inline]
fn row_groups<const G: usize, U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    start: usize,
    chosen: [usize; G],
    acts: &Acts,
    out: &mut [[O; GROUP]],
) {
    let row_units = matrix.row_units();
    let mut rows: [&[U]; G] = [&[]; G];
    for (row, i) in rows.iter_mut().zip(chosen) {
        *row = &units[(start + i) * row_units..][..row_units];
    }
    let mut sums = [Sums::ZERO; G];
    for (p, blocks) in acts.blocks.as_chunks::<2>().0[..row_units].iter().enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let unit = &row[p];
            Next::ahead(unit).fetch();
            for (h, acts) in blocks.iter().enumerate() {
                // SAFETY: this function has AVX2.
                let blocks = unsafe { unit.both_sums(h, acts) };
                for (eight, total) in sums.0.iter_mut().enumerate() {
                    add(unit, eight, h, [blocks[eight]], [acts], std::array::from_mut(total));
                }
            }
        }
    }
    for (sums, i) in sums.iter().zip(chosen) {
        let Some(exponents) = matrix.exponents[(start + i) * GROUP..].first_chunk() else { return };
        finish(sums, exponents, acts.exponent, &mut out[i]);
    }
}

/// One vector's exact sums for a row group, eight rows each.
#[derive(Debug, Clone, Copy)]
struct Sums([Eight; 2]);

impl Sums {
    // SAFETY: all bit patterns are vectors.
    const ZERO: Self = unsafe { std::mem::zeroed() };
}

#[derive(Debug, Clone, Copy)]
struct Eight {
    /// Of the first, third, … of eight rows.
    even: __m256i,
    /// Of the second, fourth, ….
    odd: __m256i,
}

/// Adds a part of one row group times `T` vectors to their sums, `R` times eight rows at a time; the part begins with unit
/// `from` of the rows.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "h, r and t index several arrays each")]
fn tile<const T: usize, const R: usize, U: Packed>(
    units: &[U],
    next: &mut Next,
    from: usize,
    acts: [&Acts; T],
    sums: [&mut Sums; T],
) {
    // Loops, as closures given to other functions are not inlined into one with these features.
    let mut blocks: [&[[ActBlock; 2]]; T] = [&[]; T];
    for t in 0..T {
        blocks[t] = &acts[t].blocks.as_chunks::<2>().0[from..][..units.len()];
    }
    for first in (0..2).step_by(R) {
        let mut totals = [[sums[0].0[0]; T]; R];
        for t in 0..T {
            for r in 0..R {
                totals[r][t] = sums[t].0[first + r];
            }
        }
        for (p, unit) in units.iter().enumerate() {
            next.fetch();
            for h in 0..2 {
                let mut acts = [&blocks[0][p][h]; T];
                for t in 0..T {
                    acts[t] = &blocks[t][p][h];
                }
                for r in 0..R {
                    // SAFETY: this function has AVX2.
                    let block = unsafe { unit.sums(first + r, h, acts) };
                    add(unit, first + r, h, block, acts, &mut totals[r]);
                }
            }
        }
        for t in 0..T {
            for r in 0..R {
                sums[t].0[first + r] = totals[r][t];
            }
        }
    }
}

/// Adds the sums over block `h` of eight rows times `T` vectors, multiplied by their scales, to `totals`.
#[target_feature(enable = "avx2")]
#[inline]
fn add<const T: usize, U: Packed>(
    unit: &U,
    eight: usize,
    h: usize,
    block: [__m256i; T],
    acts: [&ActBlock; T],
    totals: &mut [Eight; T],
) {
    let scales = numbers(unit.scales(), eight);
    if let Some(minima) = unit.minima() {
        let minima = of_block(numbers(minima, eight), h);
        let scales = of_block(scales, h);
        for t in 0..T {
            let total = _mm256_set1_epi32(acts[t].total());
            // Below 2^31, as `reference::multiply` says.
            let less = _mm256_mullo_epi32(minima, total);
            let value = _mm256_sub_epi32(_mm256_mullo_epi32(scales, block[t]), less);
            totals[t].add(value, _mm256_set1_epi32(acts[t].scale));
        }
        return;
    }
    let scales = alone(scales, h);
    for t in 0..T {
        // Of 16 bits each, so that pairs are multiplied, one of them by zero: cheaper than a product of 32 bits.
        let scale = _mm256_madd_epi16(scales, _mm256_set1_epi32(acts[t].scale));
        totals[t].add(block[t], scale);
    }
}

/// Weights that are needed next. They are brought closer a few lines at a time, so that memory and multipliers work together.
struct Next {
    at: *const i8,
    end: *const i8,
    /// Bytes at a time.
    step: usize,
}

impl Next {
    /// The unit [`AHEAD`] of `unit`, at once. There need not be one.
    fn ahead<U>(unit: &U) -> Self {
        let at: *const i8 = std::ptr::from_ref(unit).wrapping_add(AHEAD).cast();
        Self { at, end: at.wrapping_add(size_of::<U>()), step: size_of::<U>() }
    }

    /// As many units as `units`, behind them, while these are multiplied by so many vectors. There need not be any.
    fn after<U>(units: &[U], vectors: usize) -> Self {
        let at: *const i8 = units.as_ptr_range().end.cast();
        // A tile passes over a unit twice, one of two vectors or one once.
        let passes = (2 * vectors).div_ceil(TILE);
        let step = size_of::<U>().div_ceil(passes).next_multiple_of(64);
        Self { at, end: at.wrapping_add(size_of_val(units)), step }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn fetch(&mut self) {
        let stop = self.at.wrapping_add(self.step).min(self.end);
        // A loop that stays one: among unrolled ones the compiler mixes the loads of several units, and hardware reads ahead of
        // ordered ones only.
        while self.at < stop {
            _mm_prefetch::<_MM_HINT_T0>(self.at);
            self.at = self.at.wrapping_add(64);
        }
    }
}

impl Eight {
    /// Adds the products of eight rows' numbers.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add(&mut self, a: __m256i, b: __m256i) {
        self.even = _mm256_add_epi64(self.even, _mm256_mul_epi32(a, b));
        let (a, b) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
        self.odd = _mm256_add_epi64(self.odd, _mm256_mul_epi32(a, b));
    }
}

/// [`crate::reference::finish`] of 16 rows' sums.
#[target_feature(enable = "avx2")]
#[inline]
fn finish<O: Output>(sums: &Sums, exponents: &[i8; GROUP], token_exponent: u32, out: &mut [O; GROUP]) {
    let base = _mm256_set1_epi64x(i64::from(40 - O::BITS) - i64::from(token_exponent));
    // SAFETY: 16 bytes; the load needs no alignment.
    let e = unsafe { _mm_loadu_si128(exponents.as_ptr().cast()) };
    let fours = [e, _mm_srli_si128::<4>(e), _mm_srli_si128::<8>(e), _mm_srli_si128::<12>(e)];
    let mut shifts = [base; 4];
    let mut exact = [base; 4];
    for (i, e) in fours.into_iter().enumerate() {
        shifts[i] = _mm256_sub_epi64(base, _mm256_cvtepi8_epi64(e));
        let Eight { even, odd } = sums.0[i / 2];
        let (a, b) = (_mm256_unpacklo_epi64(even, odd), _mm256_unpackhi_epi64(even, odd));
        exact[i] = if i % 2 == 0 {
            _mm256_permute2x128_si256::<0x20>(a, b)
        } else {
            _mm256_permute2x128_si256::<0x31>(a, b)
        };
    }
    let signs = _mm256_or_si256(_mm256_or_si256(shifts[0], shifts[1]), _mm256_or_si256(shifts[2], shifts[3]));
    // A bit a byte; each shift's sign is in its eighth.
    if _mm256_movemask_epi8(signs) as u32 & 0x8080_8080 != 0 {
        let mut sums = [0i64; GROUP];
        for (exact, sums) in exact.iter().zip(sums.as_chunks_mut::<4>().0) {
            // SAFETY: 32 bytes; the store needs no alignment.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *exact) };
        }
        return body::finish(&sums, exponents, token_exponent, out);
    }
    let (most, least) = (_mm256_set1_epi64x(O::LIMIT - 1), _mm256_set1_epi64x(-O::LIMIT));
    for (exact, shifts) in exact.iter_mut().zip(shifts) {
        let half = _mm256_srli_epi64::<1>(_mm256_sllv_epi64(_mm256_set1_epi64x(1), shifts));
        // Shifts right are of unsigned numbers here: 2^63 more before, and what is left of them less behind.
        let offset = _mm256_set1_epi64x(i64::MIN);
        let above = _mm256_add_epi64(_mm256_add_epi64(*exact, half), offset);
        let value = _mm256_sub_epi64(_mm256_srlv_epi64(above, shifts), _mm256_srlv_epi64(offset, shifts));
        let value = _mm256_blendv_epi8(value, most, _mm256_cmpgt_epi64(value, most));
        *exact = _mm256_blendv_epi8(value, least, _mm256_cmpgt_epi64(least, value));
    }
    let values = exact;
    // SAFETY: `out` is 16 elements of the size that is stored.
    unsafe {
        if const { size_of::<O>() == 4 } {
            for (values, out) in values.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<8>().0) {
                let low = _mm256_shuffle_epi32::<0b11_01_10_00>(values[0]);
                let high = _mm256_shuffle_epi32::<0b10_00_11_01>(values[1]);
                let both = _mm256_blend_epi32::<0b1100_1100>(low, high);
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), ordered);
            }
        } else {
            for (value, out) in values.iter().zip(out.as_chunks_mut::<4>().0) {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), *value);
            }
        }
    }
}
