//! Weight matrices: int8 blocks of 32 along a row, a scale a block and an exponent a row.

use crate::blocks::{self, BLOCK};

/// Rows of a [`Unit`].
pub(crate) const GROUP: usize = 16;

/// 16 rows × 2 blocks, interleaved for vector kernels: line `8·h + j` holds, for each of the 16 rows, elements
/// `4j..4j+4` of block `h`. Weights are stored XOR 0x80, that is as `weight + 128`.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Unit {
    pub(crate) lines: [[u8; 64]; 16],
    /// `[row][h]`
    pub(crate) scales: [[u16; 2]; GROUP],
}

impl Unit {
    /// Zero weights.
    const EMPTY: Self = Self { lines: [[0x80; 64]; 16], scales: [[0; 2]; GROUP] };
}

/// `rows × cols` weights; weight `(r, c)` is `q · scale(r, c / 32) · 2^(exponent(r) - 24)`.
///
/// `scale ≤ 32,767`, `-128 ≤ q ≤ 127`, `-16 ≤ exponent ≤ 25`. Rows are padded with zeros to a multiple of 64.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// `[row / 16][block / 2]`
    pub(crate) units: Vec<Unit>,
    /// One a row, padded with zeros to a multiple of 16.
    pub(crate) exponents: Vec<i8>,
}

impl Matrix {
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        let units = vec![Unit::EMPTY; rows.div_ceil(GROUP) * cols.div_ceil(2 * BLOCK)];
        Self { rows, cols, units, exponents: vec![0; rows.next_multiple_of(GROUP)] }
    }

    /// Units that cover a row.
    pub(crate) fn row_units(&self) -> usize {
        self.cols.div_ceil(2 * BLOCK)
    }

    /// Blocks of a row, without the padding to an even number.
    pub(crate) fn row_blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// The scale and the weights of one block.
    pub(crate) fn block(&self, row: usize, block: usize) -> (u16, [i8; BLOCK]) {
        let unit = &self.units[row / GROUP * self.row_units() + block / 2];
        let (lane, half) = (row % GROUP, block % 2);
        let mut q = [0; BLOCK];
        for (four, line) in q.as_chunks_mut::<4>().0.iter_mut().zip(&unit.lines[8 * half..]) {
            *four = line.as_chunks::<4>().0[lane].map(|q| (q ^ 0x80) as i8);
        }
        (unit.scales[lane][half], q)
    }

    pub(crate) fn set_block(&mut self, row: usize, block: usize, scale: u16, q: &[i8; BLOCK]) {
        let index = row / GROUP * self.row_units() + block / 2;
        let unit = &mut self.units[index];
        let (lane, half) = (row % GROUP, block % 2);
        for (four, line) in q.as_chunks::<4>().0.iter().zip(&mut unit.lines[8 * half..]) {
            line.as_chunks_mut::<4>().0[lane] = four.map(|q| q as u8 ^ 0x80);
        }
        unit.scales[lane][half] = scale;
    }

    /// Sets a row from weights in Q40, `|weight| < 2^16`, by the block rule of `docs/ARITHMETIC.md`.
    pub(crate) fn set_row_from_q40(&mut self, row: usize, weights: &[i64]) {
        // Scales count in 2^-40 · 2^exponent here, in 2^-24 · 2^exponent in the matrix.
        let shift = blocks::exponent(weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0));
        self.exponents[row] = shift as i8 - 16;
        for (block, weights) in weights.chunks(BLOCK).enumerate() {
            let amax = weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0);
            let scale = blocks::scale(amax, shift);
            let step = i64::from(scale) << shift;
            let mut q = [0; BLOCK];
            for (q, w) in q.iter_mut().zip(weights) {
                *q = ((2 * w + step).div_euclid(2 * step)) as i8;
            }
            self.set_block(row, block, scale, &q);
        }
    }

    /// Sets a row from Q8_0 blocks: scales as multiples of 2^-24 below 2^40, and weights.
    pub(crate) fn set_row_from_q8(&mut self, row: usize, blocks: &[(u64, [i8; BLOCK])]) {
        let round = |scale: u64, e: u32| (scale + ((1u64 << e) >> 1)) >> e;
        let largest = blocks.iter().map(|b| b.0).max().unwrap_or(0);
        let mut e = 0;
        while round(largest, e) > blocks::MAX_SCALE {
            e += 1;
        }
        self.exponents[row] = e as i8;
        for (block, (scale, q)) in blocks.iter().enumerate() {
            self.set_block(row, block, round(*scale, e) as u16, q);
        }
    }
}
