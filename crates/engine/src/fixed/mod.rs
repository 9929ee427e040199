//! Integer stand-ins for real functions. Formulas and error bounds: `docs/ARITHMETIC.md`.
//!
//! `Qn` is a number stored as an integer multiple of 2^-n.

mod decode;
mod exp2;
mod narrow;
mod round;
mod softcap;
mod trig;
mod yarn;

#[cfg(test)]
mod tests;

pub(crate) use decode::{bf16_to_q40, f16_to_q24, f32_parts, f32_to_fixed};
pub(crate) use exp2::{LOG2_E_Q30, exp2_parts, gelu, silu};
pub(crate) use narrow::{signed_product, unsigned_product};
pub(crate) use round::{clamp_i32, half_up, rescale};
pub(crate) use softcap::SoftCap;
pub(crate) use trig::{cos_sin, rope_turns};
pub(crate) use yarn::yarn_turns;
