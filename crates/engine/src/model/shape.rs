//! A model's shape table: every number besides the weights that the forward pass depends on.

use super::architecture::{Activation, Architecture, Pairs};
use crate::{
    ModelError,
    fixed::{LOG2_E_Q30, SoftCap, f32_parts, f32_to_fixed, half_up, rope_turns, yarn_turns},
    gguf::Header,
};

pub(crate) const MAX_WIDTH: u32 = 1 << 18;
const MAX_LAYERS: u32 = 512;
const MAX_VOCABULARY: u32 = 1 << 20;
const MAX_HEAD: u32 = 1 << 10;
/// Sums over positions stay below 2^63 up to this many (docs/ARITHMETIC.md, "Attention").
const MAX_CONTEXT: u32 = 1 << 17;
const TEN_THOUSAND: u32 = 0x461c_4000;
const ONE: u32 = 0x3f80_0000;
const THIRTY_TWO: u32 = 0x4200_0000;
/// What `gemma2` has where its file says nothing: limits of 50 for scores and 30 for logits, a window of 4,096.
const FIFTY: u32 = 0x4248_0000;
const THIRTY: u32 = 0x41f0_0000;
const GEMMA2_WINDOW: u32 = 4096;
/// Layers of the models of 27B weights, whose scores are scaled by their width instead of their heads' length.
const GEMMA2_27B_LAYERS: u32 = 46;
const GEMMA3_27B_LAYERS: u32 = 62;

/// The numbers of a model, checked against the bounds that rule out overflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) architecture: Architecture,
    pub(crate) layers: usize,
    /// Elements of the residual stream.
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Leading elements of a head that are rotated.
    pub(crate) rope_dims: usize,
    /// Elements of the feed-forward layer.
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    /// Most positions.
    pub(crate) context: usize,
    /// RMSNorm's epsilon, exactly `eps.0 · 2^eps.1`.
    pub(crate) eps: (u64, i32),
    /// `log2(e) / sqrt(head_dim)` in Q30.
    pub(crate) query_factor: i64,
    /// Turns a position advances each rotated pair, Q64.
    pub(crate) turns: Vec<u64>,
    /// What cosines and sines are multiplied by, Q30, below 2.
    pub(crate) magnitude: Option<i64>,
    pub(crate) pairs: Pairs,
    pub(crate) activation: Activation,
    /// What embeddings are multiplied by, Q20.
    pub(crate) embedding_factor: Option<i64>,
    /// Soft limit of scores, in log2 units as they are.
    pub(crate) score_cap: Option<SoftCap>,
    /// Soft limit of logits.
    pub(crate) logit_cap: Option<SoftCap>,
    /// What layers with a window do differently, if there are such layers.
    pub(crate) local: Option<Local>,
}

/// Layers that see the last positions only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    /// Layer `i` is local unless `i % period == period - 1`.
    pub(crate) period: usize,
    /// Positions that are seen, the newest included.
    pub(crate) window: usize,
    /// As [`Shape::turns`].
    pub(crate) turns: Vec<u64>,
}

impl Shape {
    /// Reads the metadata of the architecture. `rope_factors`, bits of singles, divide the rotary frequencies.
    pub(crate) fn read(header: &Header, rope_factors: Option<&[u32]>) -> Result<Self, ModelError> {
        let architecture = architecture(header)?;
        let at = Keys { header, architecture };
        let layers = at.required("block_count", 1, MAX_LAYERS)?;
        let width = at.required("embedding_length", 2, MAX_WIDTH)?;
        let hidden = at.required("feed_forward_length", 1, MAX_WIDTH)?;
        let heads = at.required("attention.head_count", 1, MAX_WIDTH)?;
        let kv_heads = at.int("attention.head_count_kv", 1, heads)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(
                at.refused("attention.head_count_kv", format!("{kv_heads} does not divide {heads} heads"))
            );
        }
        let head_dim = head_dim(&at, width, heads)?;
        let rope_dims = at.int("rope.dimension_count", 2, head_dim)?.unwrap_or(head_dim);
        if !rope_dims.is_multiple_of(2) {
            return Err(at.refused("rope.dimension_count", "is odd"));
        }
        if at.int("expert_count", 0, u32::MAX)?.unwrap_or(0) != 0 {
            return Err(at.refused("expert_count", "mixtures of experts are not implemented"));
        }
        let score_limit = soft_limit(&at, "attn_logit_softcapping", FIFTY)?;
        let logit_limit = soft_limit(&at, "final_logit_softcapping", THIRTY)?;
        let context = at.required("context_length", 1, u32::MAX)?.min(MAX_CONTEXT);
        let scaled_by = match (architecture, layers) {
            (Architecture::Gemma2, GEMMA2_27B_LAYERS) | (Architecture::Gemma3, GEMMA3_27B_LAYERS) => {
                width / heads
            }
            _ => head_dim,
        };
        let (turns, magnitude) = turns(&at, rope_dims, rope_factors)?;
        let local = local(&at, rope_dims, &turns)?;
        let factor = architecture.scales_embeddings().then(|| (u64::from(width) << 40).isqrt() as i64);
        Ok(Self {
            architecture,
            layers: layers as usize,
            width: width as usize,
            heads: heads as usize,
            kv_heads: kv_heads as usize,
            head_dim: head_dim as usize,
            rope_dims: rope_dims as usize,
            hidden: hidden as usize,
            vocabulary: vocabulary(&at)? as usize,
            context: context as usize,
            eps: epsilon(&at)?,
            query_factor: ((LOG2_E_Q30 * LOG2_E_Q30) as u64 / u64::from(scaled_by.max(1))).isqrt() as i64,
            turns,
            magnitude,
            pairs: architecture.pairs(),
            activation: architecture.activation(),
            embedding_factor: factor,
            // Below 2^30 · 2^31.
            score_cap: score_limit.and_then(|limit| SoftCap::new(half_up(limit * LOG2_E_Q30, 30))),
            logit_cap: logit_limit.and_then(SoftCap::new),
            local,
        })
    }

    /// Elements of all queries.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of all keys, or of all values.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Blocks of 32 that a head's key or value takes, the last one padded with zeros.
    pub(crate) fn head_blocks(&self) -> usize {
        self.head_dim.div_ceil(32)
    }

    /// What layer `i` does differently from one that sees all positions.
    pub(crate) fn local(&self, i: usize) -> Option<&Local> {
        self.local.as_ref().filter(|local| i % local.period != local.period - 1)
    }

    /// The table as bytes for the model root: 8 bytes big-endian an entry. What only some architectures have follows
    /// where one of them has it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let counts = [
            self.layers,
            self.width,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.rope_dims,
            self.hidden,
            self.vocabulary,
            self.context,
        ];
        let mut out: Vec<u8> = counts.iter().flat_map(|n| (*n as u64).to_be_bytes()).collect();
        out.extend_from_slice(&self.eps.0.to_be_bytes());
        out.extend_from_slice(&i64::from(self.eps.1).to_be_bytes());
        out.extend_from_slice(&self.query_factor.to_be_bytes());
        out.extend(self.turns.iter().flat_map(|t| t.to_be_bytes()));
        if self.architecture != Architecture::Llama {
            let entries = [
                u64::from(self.pairs == Pairs::Halves),
                u64::from(self.activation == Activation::Gelu),
                self.embedding_factor.unwrap_or(0) as u64,
                u64::from(self.architecture.has_biases()),
                u64::from(self.architecture.has_head_norms()),
                u64::from(self.architecture.has_post_norms()),
                self.local.as_ref().map_or(0, |l| l.period as u64),
                self.local.as_ref().map_or(0, |l| l.window as u64),
            ];
            let turns = self.local.iter().flat_map(|l| &l.turns);
            let caps = [self.score_cap, self.logit_cap].map(|cap| cap.map_or(0, |cap| cap.limit as u64));
            let caps = caps.iter().filter(|_| self.architecture.has_soft_caps());
            out.extend(entries.iter().chain(turns).chain(caps).flat_map(|n| n.to_be_bytes()));
        }
        out.extend(self.magnitude.iter().flat_map(|m| m.to_be_bytes()));
        out
    }
}

/// The metadata entries of one architecture.
struct Keys<'a> {
    header: &'a Header,
    architecture: Architecture,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn refused(&self, key: &str, reason: impl Into<String>) -> ModelError {
        ModelError::metadata(self.key(key), reason)
    }

    fn int(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, ModelError> {
        self.header.int(&self.key(key), least, most)
    }

    fn required(&self, key: &str, least: u32, most: u32) -> Result<u32, ModelError> {
        self.header.required_int(&self.key(key), least, most)
    }

    /// Bits of a single.
    fn bits(&self, key: &str) -> Result<Option<u32>, ModelError> {
        self.header.f32_bits(&self.key(key))
    }

    fn required_bits(&self, key: &str) -> Result<u32, ModelError> {
        self.bits(key)?.ok_or_else(|| self.refused(key, "is missing"))
    }
}

fn architecture(header: &Header) -> Result<Architecture, ModelError> {
    let key = "general.architecture";
    let name = header.text(key)?.ok_or_else(|| ModelError::metadata(key, "is missing"))?;
    Architecture::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
        let known = Architecture::ALL.map(Architecture::name).join(", ");
        ModelError::metadata(key, format!("{name:?} is not implemented; {known} are"))
    })
}

fn head_dim(at: &Keys<'_>, width: u32, heads: u32) -> Result<u32, ModelError> {
    let head_dim = match at.int("attention.key_length", 2, MAX_HEAD)? {
        Some(head_dim) => head_dim,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let reason = format!("{heads} does not divide the width {width}");
            return Err(at.refused("attention.head_count", reason));
        }
    };
    if !(2..=MAX_HEAD).contains(&head_dim) || !head_dim.is_multiple_of(2) {
        return Err(at.refused("attention.key_length", format!("head of {head_dim} elements")));
    }
    if u64::from(heads) * u64::from(head_dim) > MAX_WIDTH.into() {
        let reason = format!("{heads} heads of {head_dim} are too many elements");
        return Err(at.refused("attention.key_length", reason));
    }
    match at.int("attention.value_length", 2, MAX_HEAD)? {
        Some(value) if value != head_dim => {
            let reason = format!("{value} differs from the key length {head_dim}");
            Err(at.refused("attention.value_length", reason))
        }
        _ => Ok(head_dim),
    }
}

/// The number of tokens; the embedding's shape is held against it.
fn vocabulary(at: &Keys<'_>) -> Result<u32, ModelError> {
    let key = "tokenizer.ggml.tokens";
    let count = match at.header.metadata.get(key) {
        Some(crate::gguf::Value::Texts(tokens)) => tokens.len(),
        Some(_) => return Err(ModelError::metadata(key, "is not an array of texts")),
        None => return Err(ModelError::metadata(key, "is missing")),
    };
    let count = u32::try_from(count)
        .ok()
        .filter(|n| (1..=MAX_VOCABULARY).contains(n))
        .ok_or_else(|| ModelError::metadata(key, format!("{count} tokens")))?;
    match at.int("vocab_size", 1, MAX_VOCABULARY)? {
        Some(size) if size != count => {
            Err(at.refused("vocab_size", format!("{size} differs from {count} tokens")))
        }
        _ => Ok(count),
    }
}

fn epsilon(at: &Keys<'_>) -> Result<(u64, i32), ModelError> {
    let key = "attention.layer_norm_rms_epsilon";
    let bits = at.required_bits(key)?;
    let refused = || at.refused(key, "is not within 2^-60 to 1/16");
    let (mantissa, exponent) = f32_parts(bits).ok_or_else(refused)?;
    let mantissa = u64::try_from(mantissa).ok().filter(|m| *m > 0).ok_or_else(refused)?;
    let bits = 64 - mantissa.leading_zeros() as i32 + exponent;
    if !(-59..=-4).contains(&bits) {
        return Err(refused());
    }
    Ok((mantissa, exponent))
}

/// Turns a position of each pair, and the magnitude of cosines and sines if it is not 1.
fn turns(
    at: &Keys<'_>,
    rope_dims: u32,
    factors: Option<&[u32]>,
) -> Result<(Vec<u64>, Option<i64>), ModelError> {
    let base = at.bits("rope.freq_base")?.unwrap_or(TEN_THOUSAND);
    let linear = match at.header.text(&at.key("rope.scaling.type"))? {
        None | Some("none") => ONE,
        Some("linear") => at.required_bits("rope.scaling.factor")?,
        Some("yarn") => return yarn(at, base, rope_dims, factors.is_some()),
        Some(other) => return Err(at.refused("rope.scaling.type", format!("{other:?} is not implemented"))),
    };
    let pairs = (rope_dims / 2) as usize;
    if let Some(factors) = factors {
        if factors.len() != pairs {
            return Err(ModelError::tensor("rope_freqs.weight", format!("has {} factors", factors.len())));
        }
        if linear != ONE {
            let reason = "linear together with rope_freqs.weight is not implemented";
            return Err(at.refused("rope.scaling.type", reason));
        }
    }
    let wrong = |j| match factors {
        Some(_) => ModelError::tensor("rope_freqs.weight", format!("factor {j} is not within 2^-4 to 2^20")),
        None => at.refused("rope.scaling.factor", "is not within 2^-4 to 2^20"),
    };
    let factor = |j: u32| factors.map_or(linear, |f| f[j as usize]);
    Ok((turns_of(at, "rope.freq_base", base, rope_dims, factor, wrong)?, None))
}

fn yarn(
    at: &Keys<'_>,
    base: u32,
    rope_dims: u32,
    has_factors: bool,
) -> Result<(Vec<u64>, Option<i64>), ModelError> {
    if has_factors || at.architecture.window_period() != 1 {
        let reason = "yarn together with windows or rope_freqs.weight is not implemented";
        return Err(at.refused("rope.scaling.type", reason));
    }
    // What the paper has constants for may be said by a file, but not otherwise.
    for (key, expected) in [
        ("rope.scaling.attn_factor", ONE),
        ("rope.scaling.yarn_attn_factor", ONE),
        ("rope.scaling.yarn_ext_factor", ONE),
        ("rope.scaling.yarn_beta_fast", THIRTY_TWO),
        ("rope.scaling.yarn_beta_slow", ONE),
        ("rope.scaling.yarn_log_multiplier", 0),
    ] {
        if at.bits(key)?.is_some_and(|bits| bits != expected) {
            return Err(at.refused(key, "is implemented for its usual value alone"));
        }
    }
    let key = "rope.scaling.original_context_length";
    let trained = match at.int(key, 1, u32::MAX)? {
        Some(trained) => trained,
        None => at.required("context_length", 1, u32::MAX)?,
    };
    let factor = at.required_bits("rope.scaling.factor")?;
    if yarn_turns(base, ONE, trained, rope_dims).is_none() {
        return Err(at.refused("rope.freq_base", "is not within 2 to 2^40, as yarn wants it"));
    }
    let (turns, magnitude) = yarn_turns(base, factor, trained, rope_dims)
        .ok_or_else(|| at.refused("rope.scaling.factor", "is not within 1 to 4,096"))?;
    Ok((turns, Some(magnitude)))
}

fn turns_of(
    at: &Keys<'_>,
    key: &str,
    base: u32,
    rope_dims: u32,
    factor: impl Fn(u32) -> u32,
    wrong: impl Fn(u32) -> ModelError,
) -> Result<Vec<u64>, ModelError> {
    if rope_turns(base, ONE, 0, rope_dims).is_none() {
        return Err(at.refused(key, "is not within 1 to 2^40"));
    }
    (0..rope_dims / 2).map(|j| rope_turns(base, factor(j), j, rope_dims).ok_or_else(|| wrong(j))).collect()
}

/// A soft limit in Q16; `None` where the family has none or the file says 0.
fn soft_limit(at: &Keys<'_>, key: &str, otherwise: u32) -> Result<Option<i64>, ModelError> {
    let bits = at.bits(key)?;
    if !at.architecture.has_soft_caps() {
        return match bits {
            None | Some(0) => Ok(None),
            Some(_) => Err(at.refused(key, "is implemented for gemma2 alone")),
        };
    }
    let bits = bits.unwrap_or(otherwise);
    match f32_to_fixed(bits, 16, 14) {
        _ if bits == 0 => Ok(None),
        Some(limit) if limit >= 1 << 12 => Ok(Some(limit)),
        _ => Err(at.refused(key, "is not within 1/16 to 16,384")),
    }
}

/// `turns` are those of layers that see all positions.
fn local(at: &Keys<'_>, rope_dims: u32, turns: &[u64]) -> Result<Option<Local>, ModelError> {
    let period = at.architecture.window_period();
    if period == 1 {
        return Ok(None);
    }
    let key = "attention.sliding_window";
    if at.architecture == Architecture::Gemma2 {
        let window = at.int(key, 1, u32::MAX)?.unwrap_or(GEMMA2_WINDOW) as usize;
        return Ok(Some(Local { period, window, turns: turns.to_vec() }));
    }
    let window = at.required(key, 1, u32::MAX)? as usize;
    let base = at.bits("rope.freq_base_swa")?.unwrap_or(TEN_THOUSAND);
    let wrong = |_| at.refused("rope.freq_base_swa", "is out of range");
    let turns = turns_of(at, "rope.freq_base_swa", base, rope_dims, |_| ONE, wrong)?;
    Ok(Some(Local { period, window, turns }))
}
