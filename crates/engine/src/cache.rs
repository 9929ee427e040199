//! Keys and values of the positions that were computed, in pages that sequences can share.

use std::sync::Arc;

use crate::{
    blocks::BLOCK,
    fixed::{half_up, signed_product},
    model::Shape,
};

/// Positions of a page.
pub(crate) const PAGE: usize = 32;
/// Largest magnitude of a compressed element.
const MAX_Q: i64 = i16::MAX as i64;

/// 32 elements as int16: element `q · 2^shift` in Q16.
pub(crate) type Compressed = [i16; BLOCK];

/// What a row of a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Keys,
    Values,
}

/// How a page is laid out: `[layer][part][head][position][block]`, heads padded with zeros to whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    layers: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Blocks of a head.
    blocks: usize,
}

impl Layout {
    pub(crate) fn of(shape: &Shape) -> Self {
        let Shape { layers, kv_heads, head_dim, .. } = *shape;
        Self { layers, kv_heads, head_dim, blocks: shape.head_blocks() }
    }

    #[cfg(test)]
    pub(crate) fn test(layers: usize, kv_heads: usize, head_dim: usize) -> Self {
        Self { layers, kv_heads, head_dim, blocks: head_dim.div_ceil(BLOCK) }
    }

    /// Blocks of one position's keys, or of its values, in one layer.
    pub(crate) fn row_blocks(&self) -> usize {
        self.kv_heads * self.blocks
    }

    fn page_blocks(&self) -> usize {
        self.layers * 2 * self.kv_heads * PAGE * self.blocks
    }

    /// Bytes that a page takes.
    pub(crate) fn page_bytes(&self) -> usize {
        self.page_blocks() * (size_of::<Compressed>() + 1)
    }

    /// First block of a head's positions.
    fn first(&self, layer: usize, part: Part, head: usize) -> usize {
        ((2 * layer + part as usize) * self.kv_heads + head) * PAGE * self.blocks
    }
}

/// Keys and values of [`PAGE`] positions in all layers.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Blocks from `first` on, which begin with a cache line where they were allocated: others take two loads each.
    elements: Vec<i16>,
    first: usize,
    /// One a block, each at most 16.
    shifts: Vec<u8>,
}

impl Page {
    fn new(layout: &Layout) -> Self {
        let elements = vec![0; (layout.page_blocks() + 1) * BLOCK];
        let first = elements.as_ptr().align_offset(size_of::<Compressed>());
        Self { first: first.min(BLOCK), elements, shifts: vec![0; layout.page_blocks()] }
    }

    fn q(&self) -> &[Compressed] {
        self.elements[self.first..].as_chunks().0
    }

    fn q_mut(&mut self) -> &mut [Compressed] {
        self.elements[self.first..].as_chunks_mut().0
    }
}

/// Keys and values of a sequence. Grows at its end; full pages never change.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    layout: Layout,
    full: Vec<Arc<Page>>,
    open: Vec<Page>,
    /// Positions that every layer holds.
    len: usize,
}

impl Cache {
    /// An empty cache, or one that begins with the pages of a sequence that began with the same tokens.
    pub(crate) fn new(layout: Layout, prefix: Vec<Arc<Page>>) -> Self {
        Self { layout, len: prefix.len() * PAGE, full: prefix, open: Vec::new() }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn full_pages(&self) -> &[Arc<Page>] {
        &self.full
    }

    /// Stores the keys or values of one position at or after the end, all heads in turn. Every layer's are stored
    /// before [`Cache::advance`] counts the position.
    pub(crate) fn store(
        &mut self,
        layer: usize,
        part: Part,
        position: usize,
        row: &[Compressed],
        shifts: &[u8],
    ) {
        let page = position / PAGE - self.full.len();
        while self.open.len() <= page {
            self.open.push(Page::new(&self.layout));
        }
        let (page, blocks) = (&mut self.open[page], self.layout.blocks);
        for (head, (row, shifts)) in row.chunks_exact(blocks).zip(shifts.chunks_exact(blocks)).enumerate() {
            let at = self.layout.first(layer, part, head) + position % PAGE * blocks;
            page.q_mut()[at..][..blocks].copy_from_slice(row);
            page.shifts[at..][..blocks].copy_from_slice(shifts);
        }
    }

    /// Counts positions that every layer holds by now.
    pub(crate) fn advance(&mut self, positions: usize) {
        self.len += positions;
        let full = self.len / PAGE - self.full.len();
        self.full.extend(self.open.drain(..full).map(Arc::new));
    }

    /// A head's first `positions` keys or values, page by page: blocks and their shifts, `[position][block]`.
    #[inline(always)]
    pub(crate) fn head(
        &self,
        layer: usize,
        part: Part,
        head: usize,
        positions: usize,
    ) -> impl Iterator<Item = (&[Compressed], &[u8])> {
        let first = self.layout.first(layer, part, head);
        let blocks = self.layout.blocks;
        let pages = self.full.iter().map(|p| &**p).chain(&self.open);
        pages.zip((0..positions).step_by(PAGE)).map(move |(page, from)| {
            let count = PAGE.min(positions - from) * blocks;
            (&page.q()[first..][..count], &page.shifts[first..][..count])
        })
    }
}

/// Compresses one position's keys or values: `x` holds all heads, each `head_dim` long, in Q16.
#[inline(always)]
pub(crate) fn compress_row(x: &[i32], head_dim: usize, q: &mut [Compressed], shifts: &mut [u8]) {
    let blocks = x.chunks_exact(head_dim).flat_map(|head| head.chunks(BLOCK));
    for ((x, q), shift) in blocks.zip(q).zip(shifts) {
        *shift = compress(x, q);
    }
}

/// The smallest shift of at most 16 that leaves 15 bits; `q` becomes the elements rounded to it.
#[inline(always)]
fn compress(x: &[i32], q: &mut Compressed) -> u8 {
    let amax = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0).min(i32::MAX as u32);
    let shift = (32 - amax.leading_zeros()).saturating_sub(15);
    *q = [0; BLOCK];
    for (q, x) in q.iter_mut().zip(x) {
        *q = half_up((*x).into(), shift).clamp(-MAX_Q, MAX_Q) as i16;
    }
    shift as u8
}

/// Scales a head's query in Q16 by `factor`, Q30 (`log2(e) / sqrt(head_dim)`), and rounds it to 15 bits: element
/// `q · 2^shift` in Q20, padded with zeros to whole blocks. Returns the shift, at most 21.
#[inline(always)]
pub(crate) fn compress_query(x: &[i32], factor: i64, q: &mut [Compressed]) -> u32 {
    let scaled = |x: &i32| half_up(signed_product((*x).into(), factor), 26);
    let amax = x.iter().map(|x| scaled(x).unsigned_abs()).max().unwrap_or(0);
    let shift = (64 - amax.leading_zeros()).saturating_sub(15);
    let q = q.as_flattened_mut();
    q.fill(0);
    for (q, x) in q.iter_mut().zip(x) {
        *q = half_up(scaled(x), shift).clamp(-MAX_Q, MAX_Q) as i16;
    }
    shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(x: &[i32]) -> (Compressed, u8) {
        let mut q = [1; BLOCK];
        let shift = compress(x, &mut q);
        (q, shift)
    }

    #[test]
    fn extremes_keep_their_bounds() {
        assert_eq!(compressed(&[i32::MIN, i32::MAX, 0]).1, 16);
        assert_eq!(compressed(&[i32::MIN, i32::MAX, 0]).0[..3], [-32_767, 32_767, 0]);
        assert_eq!(compressed(&[32_767, -32_767]).1, 0);
        assert_eq!(compressed(&[]), ([0; BLOCK], 0));
        let mut q = [[1; BLOCK]];
        assert!(compress_query(&[i32::MIN; 2], (1 << 30) * 3 / 2, &mut q) <= 21);
        assert_eq!(q[0][2..], [0; 30]);
    }

    #[test]
    fn positions_are_found_again() {
        let layout = Layout::test(2, 3, 40);
        let mut cache = Cache::new(layout, Vec::new());
        let row = |n: usize| -> Vec<Compressed> { (0..6).map(|b| [(100 * b + n) as i16; BLOCK]).collect() };
        for count in [1, 40, 30, 5] {
            for position in cache.len()..cache.len() + count {
                for layer in 0..2 {
                    for part in [Part::Keys, Part::Values] {
                        let n = 1_000 * (2 * layer + part as usize) + position;
                        cache.store(layer, part, position, &row(n), &[position as u8; 6]);
                    }
                }
            }
            cache.advance(count);
            assert_eq!(cache.full_pages().len(), cache.len() / PAGE);
        }
        for (part, base) in [(Part::Keys, 2_000), (Part::Values, 3_000)] {
            for positions in [1, 32, 33, 76] {
                let (mut q, mut shifts) = (Vec::new(), Vec::new());
                for (page, page_shifts) in cache.head(1, part, 2, positions) {
                    q.extend_from_slice(page);
                    shifts.extend_from_slice(page_shifts);
                }
                assert_eq!(shifts, (0..positions).flat_map(|p| [p as u8; 2]).collect::<Vec<_>>());
                let expected = (0..positions).flat_map(|p| row(base + p)[4..].to_vec());
                assert_eq!(q, expected.collect::<Vec<_>>());
            }
        }
    }

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest_step(x in proptest::collection::vec(any::<i32>(), 1..=32), down in 0u32..32) {
            let x: Vec<i32> = x.iter().map(|x| x >> down).collect();
            let (q, shift) = compressed(&x);
            for (q, x) in q.iter().zip(&x) {
                let error = (i64::from(*q) << shift) - i64::from(*x);
                // A magnitude just under a power of two is cut to 32,767 steps.
                prop_assert!(error.abs() <= 1i64 << shift);
            }
        }
    }
}
