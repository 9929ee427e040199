//! Weight matrices: small integers in blocks of 32 along a row, a scale a block and an exponent a row.

use std::io;

use super::arena::{Arena, Plain, Slice};
use crate::blocks::{self, BLOCK};

/// Rows of a unit.
pub(crate) const GROUP: usize = 16;

/// 32 weights of a row: weight `i` is `(q[i] · scale - minimum) · 2^(exponent - 24)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) scale: i16,
    /// 0 but in matrices of [`Width::Int4Minima`].
    pub(crate) minimum: i16,
    pub(crate) q: [i8; BLOCK],
}

/// A block as a file has it, its scale and minimum in units of 2^-24 and below 2^40.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExactBlock {
    pub(crate) scale: i64,
    pub(crate) minimum: i64,
    pub(crate) q: [i8; BLOCK],
}

/// 16 rows × 2 blocks, interleaved for vector kernels, which read a unit from its beginning to its end: scales come first.
pub(crate) trait Unit {
    fn block(&self, row: usize, h: usize) -> Block;
    fn set_block(&mut self, row: usize, h: usize, block: &Block);

    /// `[row][h]`
    fn scales(&self) -> &[[i16; 2]; GROUP];

    /// What each weight of a row's block is less than its multiple of the scale: `[row][h]`, where the packing has it.
    fn minima(&self) -> Option<&[[i16; 2]; GROUP]> {
        None
    }
}

/// 16 rows × 2 blocks of int8: line `8·h + j` holds, for each of the 16 rows, elements `4j..4j+4` of block `h`. Weights are
/// stored as `q + 128`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unit8 {
    /// `[row][h]`
    pub(crate) scales: [[i16; 2]; GROUP],
    pub(crate) lines: [[u8; 64]; 16],
}

impl Unit for Unit8 {
    fn block(&self, row: usize, h: usize) -> Block {
        let mut q = [0; BLOCK];
        for (four, line) in q.as_chunks_mut::<4>().0.iter_mut().zip(&self.lines[8 * h..]) {
            *four = line.as_chunks::<4>().0[row].map(|q| (q ^ 0x80) as i8);
        }
        Block { scale: self.scales[row][h], minimum: 0, q }
    }

    fn set_block(&mut self, row: usize, h: usize, block: &Block) {
        for (four, line) in block.q.as_chunks::<4>().0.iter().zip(&mut self.lines[8 * h..]) {
            line.as_chunks_mut::<4>().0[row] = four.map(|q| q as u8 ^ 0x80);
        }
        self.scales[row][h] = block.scale;
    }

    fn scales(&self) -> &[[i16; 2]; GROUP] {
        &self.scales
    }
}

/// Line `j` holds, for each of 16 rows, elements `4j..4j+4` of block 0 in the low halves of its bytes and of block 1 in the
/// high halves, stored as `q + OFFSET`.
type Lines4 = [[u8; 64]; 8];

fn read4<const OFFSET: i8>(lines: &Lines4, row: usize, h: usize) -> [i8; BLOCK] {
    let mut q = [0; BLOCK];
    for (four, line) in q.as_chunks_mut::<4>().0.iter_mut().zip(lines) {
        *four = line.as_chunks::<4>().0[row].map(|q| (q >> (4 * h) & 15) as i8 - OFFSET);
    }
    q
}

fn write4<const OFFSET: i8>(lines: &mut Lines4, row: usize, h: usize, q: &[i8; BLOCK]) {
    for (four, line) in q.as_chunks::<4>().0.iter().zip(lines) {
        for (byte, q) in line.as_chunks_mut::<4>().0[row].iter_mut().zip(four) {
            *byte = *byte & !(15 << (4 * h)) | (((q + OFFSET) & 15) as u8) << (4 * h);
        }
    }
}

/// 16 rows × 2 blocks of 4 bits, stored as `q + 8`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unit4 {
    /// `[row][h]`
    pub(crate) scales: [[i16; 2]; GROUP],
    pub(crate) lines: Lines4,
}

impl Unit for Unit4 {
    fn block(&self, row: usize, h: usize) -> Block {
        Block { scale: self.scales[row][h], minimum: 0, q: read4::<8>(&self.lines, row, h) }
    }

    fn set_block(&mut self, row: usize, h: usize, block: &Block) {
        write4::<8>(&mut self.lines, row, h, &block.q);
        self.scales[row][h] = block.scale;
    }

    fn scales(&self) -> &[[i16; 2]; GROUP] {
        &self.scales
    }
}

/// 16 rows × 2 blocks of 4 bits with minima, stored as `q`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Unit4Minima {
    /// `[row][h]`
    pub(crate) scales: [[i16; 2]; GROUP],
    /// `[row][h]`
    pub(crate) minima: [[i16; 2]; GROUP],
    pub(crate) lines: Lines4,
}

impl Unit for Unit4Minima {
    fn block(&self, row: usize, h: usize) -> Block {
        let q = read4::<0>(&self.lines, row, h);
        Block { scale: self.scales[row][h], minimum: self.minima[row][h], q }
    }

    fn set_block(&mut self, row: usize, h: usize, block: &Block) {
        write4::<0>(&mut self.lines, row, h, &block.q);
        (self.scales[row][h], self.minima[row][h]) = (block.scale, block.minimum);
    }

    fn scales(&self) -> &[[i16; 2]; GROUP] {
        &self.scales
    }

    fn minima(&self) -> Option<&[[i16; 2]; GROUP]> {
        Some(&self.minima)
    }
}

// SAFETY: integers.
unsafe impl Plain for Unit8 {}
// SAFETY: integers.
unsafe impl Plain for Unit4 {}
// SAFETY: integers.
unsafe impl Plain for Unit4Minima {}

/// How weights lie in memory, `[row / 16][block / 2]`. It has no influence on what they are.
#[derive(Debug)]
pub(crate) enum Units {
    Int8(Slice<Unit8>),
    Int4(Slice<Unit4>),
    Int4Minima(Slice<Unit4Minima>),
}

/// Bits that a weight is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// `-128 ≤ q ≤ 127`
    Int8,
    /// `-8 ≤ q ≤ 7`
    Int4,
    /// `0 ≤ q ≤ 15`, and a minimum a block.
    Int4Minima,
}

/// `rows × cols` weights, in blocks of 32 along a row.
///
/// `|scale|` and `|minimum|` are at most 32,767, `-16 ≤ exponent ≤ 26`. Blocks that were not set, and the padding of rows to
/// a multiple of 64, have the scale and the minimum 0.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) units: Units,
    /// One a row, padded with zeros to a multiple of 16.
    pub(crate) exponents: Vec<i8>,
}

impl Matrix {
    /// Bytes of an arena that a matrix takes.
    pub(crate) fn bytes_of(rows: usize, cols: usize, width: Width) -> usize {
        let unit = match width {
            Width::Int8 => size_of::<Unit8>(),
            Width::Int4 => size_of::<Unit4>(),
            Width::Int4Minima => size_of::<Unit4Minima>(),
        };
        rows.div_ceil(GROUP).saturating_mul(cols.div_ceil(2 * BLOCK)).saturating_mul(unit)
    }

    /// A matrix of zeros.
    pub(crate) fn new(arena: &mut Arena, rows: usize, cols: usize, width: Width) -> io::Result<Self> {
        let len = rows.div_ceil(GROUP) * cols.div_ceil(2 * BLOCK);
        let units = match width {
            Width::Int8 => Units::Int8(arena.zeros(len)?),
            Width::Int4 => Units::Int4(arena.zeros(len)?),
            Width::Int4Minima => Units::Int4Minima(arena.zeros(len)?),
        };
        Ok(Self { rows, cols, units, exponents: vec![0; rows.next_multiple_of(GROUP)] })
    }

    /// A matrix of zeros in memory of its own.
    #[cfg(test)]
    pub(crate) fn zeros(rows: usize, cols: usize, width: Width) -> Self {
        let mut arena = Arena::new(Self::bytes_of(rows, cols, width)).unwrap();
        Self::new(&mut arena, rows, cols, width).unwrap()
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
            Units::Int4Minima(units) => size_of_val(&**units),
        }
    }

    /// One block of a row.
    pub(crate) fn block(&self, row: usize, block: usize) -> Block {
        let index = row / GROUP * self.row_units() + block / 2;
        let (row, h) = (row % GROUP, block % 2);
        match &self.units {
            Units::Int8(units) => units[index].block(row, h),
            Units::Int4(units) => units[index].block(row, h),
            Units::Int4Minima(units) => units[index].block(row, h),
        }
    }

    /// Parts of at most `rows` rows, a multiple of 16, to fill on several threads.
    pub(crate) fn parts_mut(&mut self, rows: usize) -> Vec<RowsMut<'_>> {
        let row_units = self.row_units();
        let len = rows / GROUP * row_units;
        let units: Box<dyn Iterator<Item = UnitsMut<'_>>> = match &mut self.units {
            Units::Int8(units) => Box::new(units.chunks_mut(len).map(UnitsMut::Int8)),
            Units::Int4(units) => Box::new(units.chunks_mut(len).map(UnitsMut::Int4)),
            Units::Int4Minima(units) => Box::new(units.chunks_mut(len).map(UnitsMut::Int4Minima)),
        };
        let parts = units.zip(self.exponents.chunks_mut(rows));
        parts.map(|(units, exponents)| RowsMut { row_units, units, exponents }).collect()
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
    Int4Minima(&'a mut [Unit4Minima]),
}

/// Some rows of a matrix, counted from 0, to be filled.
pub(crate) struct RowsMut<'a> {
    row_units: usize,
    units: UnitsMut<'a>,
    exponents: &'a mut [i8],
}

impl RowsMut<'_> {
    /// Sets a block, which must fit the width.
    pub(crate) fn set_block(&mut self, row: usize, index: usize, block: &Block) {
        let unit = row / GROUP * self.row_units + index / 2;
        let (row, h) = (row % GROUP, index % 2);
        match &mut self.units {
            UnitsMut::Int8(units) => units[unit].set_block(row, h, block),
            UnitsMut::Int4(units) => units[unit].set_block(row, h, block),
            UnitsMut::Int4Minima(units) => units[unit].set_block(row, h, block),
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
            self.set_block(row, block, &Block { scale: scale as i16, minimum: 0, q });
        }
    }

    /// Sets a row from blocks of a file: scales and minima are rounded half away from zero to 15 bits and a sign.
    pub(crate) fn set_row_from_blocks(&mut self, row: usize, blocks: &[ExactBlock]) {
        let round = |x: i64, e: u32| (x.unsigned_abs() + ((1u64 << e) >> 1)) >> e;
        let largest = blocks.iter().map(|b| b.scale.abs().max(b.minimum.abs())).max().unwrap_or(0);
        let mut e = 0;
        while round(largest, e) > blocks::MAX_SCALE {
            e += 1;
        }
        self.exponents[row] = e as i8;
        let rounded = |x: i64| x.signum() as i16 * round(x, e) as i16;
        for (index, ExactBlock { scale, minimum, q }) in blocks.iter().enumerate() {
            let block = Block { scale: rounded(*scale), minimum: rounded(*minimum), q: *q };
            self.set_block(row, index, &block);
        }
    }
}
