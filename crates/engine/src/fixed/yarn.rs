//! YaRN: rotations for more positions than a model was trained on (Peng et al., 2023, <https://arxiv.org/abs/2309.00071>).

use super::{
    f32_parts,
    trig::{log2_q58, rope_turns},
};

/// `log2(2π)` in Q58.
const LOG2_TAU_Q58: i128 = 764_241_726_762_614_231;
/// `ln(2) / 10` in Q30.
const TENTH_LN_2_Q30: i64 = 74_426_112;
/// Turns within the positions trained on from which a pair keeps its frequency, as a power of two; from one turn down it is
/// slowed by the whole factor.
const FAST: i128 = 5;
const ONE: u32 = 0x3f80_0000;

/// Turns a position advances each rotated pair, Q64, and what cosines and sines are multiplied by, Q30.
///
/// `base` and `factor` are the bits of singles, `trained` the positions of the training. `None` where the base is outside
/// `2..=2^40` or the factor outside `1..=2^12`.
pub(crate) fn yarn_turns(base: u32, factor: u32, trained: u32, dims: u32) -> Option<(Vec<u64>, i64)> {
    let log2 = |single: u32| {
        let (mantissa, exponent) = f32_parts(single)?;
        let mantissa = u64::try_from(mantissa).ok().filter(|m| *m > 0)?;
        let bits = 64 - mantissa.leading_zeros() as i32 + exponent;
        (1..=41).contains(&bits).then(|| log2_q58(mantissa, exponent) as i128)
    };
    let (base_log2, factor_log2) = (log2(base)?, log2(factor)?);
    if base_log2 < 1 << 58 || factor_log2 > 12 << 58 || trained == 0 {
        return None;
    }
    // The pair, not whole, that makes 2^power turns within the positions trained on, times 2 · log2(base).
    let pair =
        |power: i128| i128::from(dims) * (log2_q58(trained.into(), 0) as i128 - (power << 58) - LOG2_TAU_Q58);
    let low = pair(FAST).div_euclid(2 * base_log2).max(0);
    let high = (-(-pair(0)).div_euclid(2 * base_log2)).min(i128::from(dims) - 1);
    let turn = |j: u32| {
        let (kept, slowed) = (rope_turns(base, ONE, j, dims)?, rope_turns(base, factor, j, dims)?);
        Some(match i128::from(j) {
            j if j <= low => kept,
            j if j >= high => slowed,
            j => slowed + (i128::from(kept - slowed) * (high - j) / (high - low)) as u64,
        })
    };
    let turns = (0..dims / 2).map(turn).collect::<Option<_>>()?;
    // Below 1.84.
    let magnitude = (1 << 30) + (((factor_log2 >> 28) as i64 * TENTH_LN_2_Q30) >> 30);
    Some((turns, magnitude))
}
