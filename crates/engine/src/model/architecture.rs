//! The families of models, and what tells them apart.

use std::fmt;

/// `general.architecture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma,
    Gemma2,
    Gemma3,
}

impl Architecture {
    pub(crate) const ALL: [Self; 6] =
        [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma, Self::Gemma2, Self::Gemma3];

    /// Its name in the file, which also begins its metadata keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Whether queries, keys and values have biases.
    pub(crate) fn has_biases(self) -> bool {
        self == Self::Qwen2
    }

    /// Whether each head's query and key are normalised.
    pub(crate) fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Whether what a block adds to the residual is normalised.
    pub(crate) fn has_post_norms(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    pub(crate) fn pairs(self) -> Pairs {
        match self {
            Self::Llama => Pairs::Neighbours,
            _ => Pairs::Halves,
        }
    }

    pub(crate) fn activation(self) -> Activation {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma3 => Activation::Gelu,
            _ => Activation::Silu,
        }
    }

    /// Whether embeddings are multiplied by the root of their length.
    pub(crate) fn scales_embeddings(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Whether scores and logits have soft limits.
    pub(crate) fn has_soft_caps(self) -> bool {
        self == Self::Gemma2
    }

    /// Of so many layers the last sees all positions and the others a window; 1 where all see all.
    pub(crate) fn window_period(self) -> usize {
        match self {
            Self::Gemma2 => 2,
            Self::Gemma3 => 6,
            _ => 1,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// `2j` and `2j + 1`.
    Neighbours,
    /// `j` and `j + rope_dims / 2`.
    Halves,
}

/// The feed-forward layer's function of its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x / (1 + e^-x)`
    Silu,
    /// `x / (1 + e^(-2u))` for `u = sqrt(2/π) · (x + 0.044715 · x³)`, that is the approximation of GELU by a tanh.
    Gelu,
}
