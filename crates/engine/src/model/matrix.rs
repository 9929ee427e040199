//! Weight matrices: small integers in blocks of 32 along a row, a scale a block and an exponent a row.

use std::io;

use super::arena::{Arena, Plain, Slice};
use crate::blocks::{self, BLOCK};

/// Rows of a unit.
pub(crate) const GROUP: usize = 16;

/// 16 rows × 2 blocks of int8, interleaved for vector kernels: line `8·h + j` holds, for each of the 16 rows,
/// elements `4j..4j+4` of block `h`. Weights are stored as `weight + 128`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unit8 {
    pub(crate) lines: [[u8; 64]; 16],
    /// `[row][h]`
    pub(crate) scales: [[i16; 2]; GROUP],
}

/// 16 rows × 2 blocks of 4 bits: line `j` holds, for each of the 16 rows, elements `4j..4j+4` of block 0 in the low
/// halves of its bytes and of block 1 in the high halves. Weights are stored as `weight + 8`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unit4 {
    pub(crate) lines: [[u8; 64]; 8],
    /// `[row][h]`
    pub(crate) scales: [[i16; 2]; GROUP],
}

// SAFETY: integers.
unsafe impl Plain for Unit8 {}
// SAFETY: integers.
unsafe impl Plain for Unit4 {}

/// How weights lie in memory. It has no influence on what they are.
#[derive(Debug)]
pub(crate) enum Units {
    /// `[row / 16][block / 2]`
    Int8(Slice<Unit8>),
    /// `[row / 16][block / 2]`
    Int4(Slice<Unit4>),
}

/// Bits that a weight is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// `-128 ≤ q ≤ 127`
    Int8,
    /// `-8 ≤ q ≤ 7`
    Int4,
}

/// `rows × cols` weights; weight `(r, c)` is `q · scale(r, c / 32) · 2^(exponent(r) - 24)`.
///
/// `|scale| ≤ 32,767`, `-16 ≤ exponent ≤ 25`. Blocks that were not set, and the padding of rows to a multiple of 64,
/// have the scale 0.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) units: Units,
    /// One a row, padded with zeros to a multiple of 16.
    pub(crate) exponents: Vec<i8>,
}

impl Matrix {
    /// A matrix of zeros.
    pub(crate) fn new(arena: &mut Arena, rows: usize, cols: usize, width: Width) -> io::Result<Self> {
        let len = rows.div_ceil(GROUP) * cols.div_ceil(2 * BLOCK);
        let units = match width {
            Width::Int8 => Units::Int8(arena.zeros(len)?),
            Width::Int4 => Units::Int4(arena.zeros(len)?),
        };
        Ok(Self { rows, cols, units, exponents: vec![0; rows.next_multiple_of(GROUP)] })
    }

    /// A matrix of zeros in memory of its own.
    #[cfg(test)]
    pub(crate) fn zeros(rows: usize, cols: usize, width: Width) -> Self {
        Self::new(&mut Arena::default(), rows, cols, width).unwrap()
    }

    /// Units that cover a row.
    pub(crate) fn row_units(&self) -> usize {
        self.cols.div_ceil(2 * BLOCK)
    }

    /// Blocks of a row, without the padding to an even number.
    pub(crate) fn row_blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// Bytes that the weights take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.units {
            Units::Int8(units) => size_of_val(&**units),
            Units::Int4(units) => size_of_val(&**units),
        }
    }

    /// The scale and the weights of one block.
    pub(crate) fn block(&self, row: usize, block: usize) -> (i16, [i8; BLOCK]) {
        let index = row / GROUP * self.row_units() + block / 2;
        let (lane, half) = (row % GROUP, block % 2);
        let mut q = [0; BLOCK];
        let fours = q.as_chunks_mut::<4>().0.iter_mut();
        match &self.units {
            Units::Int8(units) => {
                for (four, line) in fours.zip(&units[index].lines[8 * half..]) {
                    *four = line.as_chunks::<4>().0[lane].map(|q| (q ^ 0x80) as i8);
                }
                (units[index].scales[lane][half], q)
            }
            Units::Int4(units) => {
                for (four, line) in fours.zip(&units[index].lines) {
                    *four = line.as_chunks::<4>().0[lane].map(|q| (q >> (4 * half) & 15) as i8 - 8);
                }
                (units[index].scales[lane][half], q)
            }
        }
    }

    /// Parts of at most `rows` rows, a multiple of 16, to fill on several threads.
    pub(crate) fn parts_mut(&mut self, rows: usize) -> Vec<RowsMut<'_>> {
        let (row_units, groups) = (self.row_units(), rows / GROUP);
        let exponents = self.exponents.chunks_mut(rows);
        let part = |(units, exponents)| RowsMut { row_units, units, exponents };
        match &mut self.units {
            Units::Int8(units) => {
                let units = units.chunks_mut(groups * row_units).map(UnitsMut::Int8);
                units.zip(exponents).map(part).collect()
            }
            Units::Int4(units) => {
                let units = units.chunks_mut(groups * row_units).map(UnitsMut::Int4);
                units.zip(exponents).map(part).collect()
            }
        }
    }

    /// All rows as one part.
    #[cfg(test)]
    pub(crate) fn rows_mut(&mut self) -> RowsMut<'_> {
        let rows = self.rows.next_multiple_of(GROUP);
        self.parts_mut(rows).remove(0)
    }
}

enum UnitsMut<'a> {
    Int8(&'a mut [Unit8]),
    Int4(&'a mut [Unit4]),
}

/// Some rows of a matrix, counted from 0, to be filled.
pub(crate) struct RowsMut<'a> {
    row_units: usize,
    units: UnitsMut<'a>,
    exponents: &'a mut [i8],
}

impl RowsMut<'_> {
    /// Sets a block. The weights must fit the width.
    pub(crate) fn set_block(&mut self, row: usize, block: usize, scale: i16, q: &[i8; BLOCK]) {
        let index = row / GROUP * self.row_units + block / 2;
        let (lane, half) = (row % GROUP, block % 2);
        let fours = q.as_chunks::<4>().0;
        match &mut self.units {
            UnitsMut::Int8(units) => {
                let unit = &mut units[index];
                for (four, line) in fours.iter().zip(&mut unit.lines[8 * half..]) {
                    line.as_chunks_mut::<4>().0[lane] = four.map(|q| q as u8 ^ 0x80);
                }
                unit.scales[lane][half] = scale;
            }
            UnitsMut::Int4(units) => {
                let unit = &mut units[index];
                for (four, line) in fours.iter().zip(&mut unit.lines) {
                    let bytes = &mut line.as_chunks_mut::<4>().0[lane];
                    for (byte, q) in bytes.iter_mut().zip(four) {
                        *byte = *byte & !(15 << (4 * half)) | (((q + 8) & 15) as u8) << (4 * half);
                    }
                }
                unit.scales[lane][half] = scale;
            }
        }
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
            self.set_block(row, block, scale as i16, &q);
        }
    }

    /// Sets a row from blocks whose scales are multiples of 2^-24 of magnitude below 2^40: each is rounded half away
    /// from zero to 15 bits and a sign.
    pub(crate) fn set_row_from_blocks(&mut self, row: usize, blocks: &[(i64, [i8; BLOCK])]) {
        let round = |scale: i64, e: u32| (scale.unsigned_abs() + ((1u64 << e) >> 1)) >> e;
        let largest = blocks.iter().map(|b| b.0.abs()).max().unwrap_or(0);
        let mut e = 0;
        while round(largest, e) > blocks::MAX_SCALE {
            e += 1;
        }
        self.exponents[row] = e as i8;
        for (block, (scale, q)) in blocks.iter().enumerate() {
            let rounded = round(*scale, e) as i16;
            self.set_block(row, block, if *scale < 0 { -rounded } else { rounded }, q);
        }
    }
}
