//! Which code computes. Every back end gives the same bits.

use std::fmt;

/// An implementation of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backend {
    /// The fastest one that this machine has.
    #[default]
    Auto,
    /// Plain loops: the specification.
    Reference,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// AArch64 with NEON.
    Neon,
    /// AArch64 with NEON and its dot product.
    NeonDot,
}

impl Backend {
    /// Every implementation, available or not, slowest first.
    pub const ALL: [Self; 5] = [Self::Reference, Self::Avx2, Self::Avx512, Self::Neon, Self::NeonDot];

    /// Implementations that this machine can run, slowest first; the reference always can.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|b| b.is_available()).collect()
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Auto | Self::Reference => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
            // Words of activations and lines of weights have the same order only there.
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => true,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
            Self::Neon | Self::NeonDot => false,
        }
    }

    /// The implementation that runs: for [`Backend::Auto`] the fastest available one, otherwise itself.
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto => Self::available().last().copied().unwrap_or(Self::Reference),
            other => other,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
        })
    }
}

/// How to compute. Has no influence on the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Which implementation.
    pub backend: Backend,
    /// Most threads to use; at least one and never more than there are cores. The reference uses one, and so do
    /// steps that are too small to share.
    pub threads: usize,
    /// Most requests computed at a time; others wait.
    pub batch: usize,
    /// Most bytes of keys and values, those kept for reuse included. A request is computed once all that it can need
    /// is free.
    pub cache_bytes: usize,
    /// Whether requests reuse the keys and values of others that began with the same tokens. A user who measures time
    /// can find out whether somebody else has sent a beginning before.
    pub reuse_prefixes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: Backend::Auto, threads: 1, batch: 16, cache_bytes: 1 << 30, reuse_prefixes: true }
    }
}
