//! Keys and values of the positions that were computed.

use crate::{blocks::BLOCK, fixed::half_up, model::Shape};

/// Largest magnitude of a compressed element.
const MAX_Q: i64 = i16::MAX as i64;

/// Keys or values of one layer, as int16 in blocks of 32: element `q · 2^shift` in Q16. Heads are padded with zeros
/// to whole blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// `[position][head][element]`
    pub(crate) q: Vec<i16>,
    /// `[position][head][block]`, each at most 16.
    pub(crate) shifts: Vec<u8>,
}

impl Rows {
    /// Appends one position: `x` holds all heads, each `head_dim` long, in Q16.
    pub(crate) fn push(&mut self, x: &[i32], head_dim: usize) {
        for block in x.chunks(head_dim).flat_map(|head| head.chunks(BLOCK)) {
            let (q, shift) = compress(block);
            self.q.extend_from_slice(&q);
            self.shifts.push(shift);
        }
    }
}

/// The smallest shift of at most 16 that leaves 15 bits, and the elements rounded to it.
fn compress(x: &[i32]) -> ([i16; BLOCK], u8) {
    let amax = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0).min(i32::MAX as u32);
    let shift = (32 - amax.leading_zeros()).saturating_sub(15);
    let mut q = [0; BLOCK];
    for (q, x) in q.iter_mut().zip(x) {
        *q = half_up((*x).into(), shift).clamp(-MAX_Q, MAX_Q) as i16;
    }
    (q, shift as u8)
}

/// A query of one head: element `q · 2^shift` in Q20, padded with zeros to whole blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) q: Vec<i16>,
    /// At most 21.
    pub(crate) shift: u32,
}

/// Scales a head's query by `factor`, Q30 (`log2(e) / sqrt(head_dim)`), and rounds it to 15 bits.
pub(crate) fn compress_query(x: &[i32], factor: i64) -> Query {
    let scaled: Vec<i64> = x.iter().map(|x| half_up(i64::from(*x) * factor, 26)).collect();
    let amax = scaled.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
    let shift = (64 - amax.leading_zeros()).saturating_sub(15);
    let mut q = vec![0; x.len().next_multiple_of(BLOCK)];
    for (q, x) in q.iter_mut().zip(&scaled) {
        *q = half_up(*x, shift).clamp(-MAX_Q, MAX_Q) as i16;
    }
    Query { q, shift }
}

/// Keys and values of one layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerCache {
    pub(crate) keys: Rows,
    pub(crate) values: Rows,
}

/// Keys and values of all layers. Grows by one position at a time.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// Positions that every layer holds.
    pub(crate) len: usize,
}

impl Cache {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self { layers: vec![LayerCache::default(); shape.layers], len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn extremes_keep_their_bounds() {
        assert_eq!(compress(&[i32::MIN, i32::MAX, 0]).1, 16);
        assert_eq!(compress(&[i32::MIN, i32::MAX, 0]).0[..3], [-32_767, 32_767, 0]);
        assert_eq!(compress(&[32_767, -32_767]).1, 0);
        assert_eq!(compress(&[]), ([0; BLOCK], 0));
        assert!(compress_query(&[i32::MIN; 2], (1 << 30) * 3 / 2).shift <= 21);
    }

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest_step(x in proptest::collection::vec(any::<i32>(), 1..=32), down in 0u32..32) {
            let x: Vec<i32> = x.iter().map(|x| x >> down).collect();
            let (q, shift) = compress(&x);
            for (q, x) in q.iter().zip(&x) {
                let error = (i64::from(*q) << shift) - i64::from(*x);
                // A magnitude just under a power of two is cut to 32,767 steps.
                prop_assert!(error.abs() <= 1i64 << shift);
            }
        }
    }
}
