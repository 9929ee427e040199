//! The 256-element blocks of Q4_K, Q5_K and Q6_K as exact integers.
//!
//! Formats: `block_q4_K`, `block_q5_K` and `block_q6_K` of
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use super::matrix::ExactBlock;
use crate::{blocks::BLOCK, fixed::f16_to_q24};

/// Elements of a block.
pub(crate) const SUPER: usize = 256;

/// Reads the little-endian half at `at`, Q24.
fn half(block: &[u8], at: usize) -> Option<i64> {
    f16_to_q24(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The 6-bit scale and minimum of sub-block `j` of 8, packed into 12 bytes.
fn scale_and_minimum(packed: &[u8], j: usize) -> (i64, i64) {
    let (scale, minimum) = match j {
        0..4 => (packed[j] & 63, packed[j + 4] & 63),
        _ => (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4),
    };
    (scale.into(), minimum.into())
}

/// The blocks of 144 bytes of Q4_K: scales `d·scale`, minima `dmin·minimum`. `None` where a half is not finite.
pub(crate) fn q4_k(block: &[u8; 144]) -> Option<[ExactBlock; SUPER / BLOCK]> {
    let (d, dmin) = (half(block, 0)?, half(block, 2)?);
    let (packed, low) = block[4..].split_at(12);
    Some(std::array::from_fn(|j| {
        let (scale, minimum) = scale_and_minimum(packed, j);
        let q = std::array::from_fn(|l| (low[32 * (j / 2) + l] >> (4 * (j % 2)) & 15) as i8);
        ExactBlock { scale: d * scale, minimum: dmin * minimum, q }
    }))
}

/// 176 bytes of Q5_K as weights in Q24: `d·scale·q − dmin·minimum`. `None` where a half is not finite.
pub(crate) fn q5_k(block: &[u8], out: &mut [i64; SUPER]) -> Option<()> {
    let (d, dmin) = (half(block, 0)?, half(block, 2)?);
    let (packed, high, low) = (&block[4..16], &block[16..48], &block[48..]);
    for (j, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(packed, j);
        for (l, out) in out.iter_mut().enumerate() {
            let q = low[32 * (j / 2) + l] >> (4 * (j % 2)) & 15 | (high[l] >> j & 1) << 4;
            *out = d * scale * i64::from(q) - dmin * minimum;
        }
    }
    Some(())
}

/// 210 bytes of Q6_K as weights in Q24: `d·scale·(q − 32)`, a scale for every 16. `None` where `d` is not finite.
pub(crate) fn q6_k(block: &[u8], out: &mut [i64; SUPER]) -> Option<()> {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208)?;
    for (i, out) in out.iter_mut().enumerate() {
        // Two halves of 128, each of four runs of 32.
        let (part, run, l) = (i / 128, i / 32 % 4, i % 32);
        let four = low[64 * part + 32 * (run % 2) + l] >> (4 * (run / 2)) & 15;
        let two = high[32 * part + l] >> (2 * run) & 3;
        let scale = i64::from(scales[i / 16] as i8);
        *out = d * scale * (i64::from(two << 4 | four) - 32);
    }
    Some(())
}
