//! A model's shape table: every number besides the weights that the forward pass depends on.

use crate::{
    ModelError,
    fixed::{LOG2_E_Q30, f32_parts, rope_turns},
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

/// The numbers of a `llama` model, checked against the bounds that rule out overflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    /// Elements of the residual stream.
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Leading elements of a head that are rotated, as neighbouring pairs.
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
}

impl Shape {
    /// Reads the `llama.*` metadata. `rope_factors`, bits of singles, divide the rotary frequencies.
    pub(crate) fn read(header: &Header, rope_factors: Option<&[u32]>) -> Result<Self, ModelError> {
        match header.text("general.architecture")? {
            Some("llama") => {}
            Some(other) => {
                let reason = format!("{other:?} is not implemented; llama is");
                return Err(ModelError::metadata("general.architecture", reason));
            }
            None => return Err(ModelError::metadata("general.architecture", "is missing")),
        }
        let layers = header.required_int("llama.block_count", 1, MAX_LAYERS)?;
        let width = header.required_int("llama.embedding_length", 2, MAX_WIDTH)?;
        let hidden = header.required_int("llama.feed_forward_length", 1, MAX_WIDTH)?;
        let heads = header.required_int("llama.attention.head_count", 1, MAX_WIDTH)?;
        let key = "llama.attention.head_count_kv";
        let kv_heads = header.int(key, 1, heads)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(ModelError::metadata(key, format!("{kv_heads} does not divide {heads} heads")));
        }
        let head_dim = head_dim(header, width, heads)?;
        let key = "llama.rope.dimension_count";
        let rope_dims = header.int(key, 2, head_dim)?.unwrap_or(head_dim);
        if !rope_dims.is_multiple_of(2) {
            return Err(ModelError::metadata(key, "is odd"));
        }
        if header.int("llama.expert_count", 0, u32::MAX)?.unwrap_or(0) != 0 {
            return Err(ModelError::metadata(
                "llama.expert_count",
                "mixtures of experts are not implemented",
            ));
        }
        let context = header.required_int("llama.context_length", 1, u32::MAX)?.min(MAX_CONTEXT);
        Ok(Self {
            layers: layers as usize,
            width: width as usize,
            heads: heads as usize,
            kv_heads: kv_heads as usize,
            head_dim: head_dim as usize,
            rope_dims: rope_dims as usize,
            hidden: hidden as usize,
            vocabulary: vocabulary(header)? as usize,
            context: context as usize,
            eps: epsilon(header)?,
            query_factor: ((LOG2_E_Q30 * LOG2_E_Q30) as u64 / u64::from(head_dim)).isqrt() as i64,
            turns: turns(header, rope_dims, rope_factors)?,
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

    /// The table as bytes for the model root: 8 bytes big-endian an entry.
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
        out
    }
}

fn head_dim(header: &Header, width: u32, heads: u32) -> Result<u32, ModelError> {
    let key = "llama.attention.key_length";
    let head_dim = match header.int(key, 2, MAX_HEAD)? {
        Some(head_dim) => head_dim,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let reason = format!("{heads} does not divide the width {width}");
            return Err(ModelError::metadata("llama.attention.head_count", reason));
        }
    };
    if !(2..=MAX_HEAD).contains(&head_dim) || !head_dim.is_multiple_of(2) {
        return Err(ModelError::metadata(key, format!("head of {head_dim} elements")));
    }
    if u64::from(heads) * u64::from(head_dim) > MAX_WIDTH.into() {
        return Err(ModelError::metadata(key, format!("{heads} heads of {head_dim} are too many elements")));
    }
    let key = "llama.attention.value_length";
    match header.int(key, 2, MAX_HEAD)? {
        Some(value) if value != head_dim => {
            Err(ModelError::metadata(key, format!("{value} differs from the key length {head_dim}")))
        }
        _ => Ok(head_dim),
    }
}

/// The number of tokens; the embedding's shape is held against it.
fn vocabulary(header: &Header) -> Result<u32, ModelError> {
    let key = "tokenizer.ggml.tokens";
    let count = match header.metadata.get(key) {
        Some(crate::gguf::Value::Texts(tokens)) => tokens.len(),
        Some(_) => return Err(ModelError::metadata(key, "is not an array of texts")),
        None => return Err(ModelError::metadata(key, "is missing")),
    };
    let count = u32::try_from(count)
        .ok()
        .filter(|n| (1..=MAX_VOCABULARY).contains(n))
        .ok_or_else(|| ModelError::metadata(key, format!("{count} tokens")))?;
    match header.int("llama.vocab_size", 1, MAX_VOCABULARY)? {
        Some(size) if size != count => {
            Err(ModelError::metadata("llama.vocab_size", format!("{size} differs from {count} tokens")))
        }
        _ => Ok(count),
    }
}

fn epsilon(header: &Header) -> Result<(u64, i32), ModelError> {
    let key = "llama.attention.layer_norm_rms_epsilon";
    let bits = header.f32_bits(key)?.ok_or_else(|| ModelError::metadata(key, "is missing"))?;
    let refused = || ModelError::metadata(key, "is not within 2^-60 to 1/16");
    let (mantissa, exponent) = f32_parts(bits).ok_or_else(refused)?;
    let mantissa = u64::try_from(mantissa).ok().filter(|m| *m > 0).ok_or_else(refused)?;
    let bits = 64 - mantissa.leading_zeros() as i32 + exponent;
    if !(-59..=-4).contains(&bits) {
        return Err(refused());
    }
    Ok((mantissa, exponent))
}

fn turns(header: &Header, rope_dims: u32, factors: Option<&[u32]>) -> Result<Vec<u64>, ModelError> {
    let base = header.f32_bits("llama.rope.freq_base")?.unwrap_or(TEN_THOUSAND);
    let key = "llama.rope.scaling.type";
    let linear = match header.text(key)? {
        None | Some("none") => ONE,
        Some("linear") => {
            let key = "llama.rope.scaling.factor";
            header.f32_bits(key)?.ok_or_else(|| ModelError::metadata(key, "is missing"))?
        }
        Some(other) => return Err(ModelError::metadata(key, format!("{other:?} is not implemented"))),
    };
    let pairs = rope_dims / 2;
    if let Some(factors) = factors {
        if factors.len() != pairs as usize {
            return Err(ModelError::tensor("rope_freqs.weight", format!("has {} factors", factors.len())));
        }
        if linear != ONE {
            return Err(ModelError::metadata(
                key,
                "linear together with rope_freqs.weight is not implemented",
            ));
        }
    }
    let mut turns = Vec::with_capacity(pairs as usize);
    for j in 0..pairs {
        let factor = factors.map_or(linear, |f| f[j as usize]);
        let value = rope_turns(base, factor, j, rope_dims).ok_or_else(|| {
            ModelError::metadata(
                "llama.rope.freq_base",
                format!("base or factor of pair {j} is out of range"),
            )
        })?;
        turns.push(value);
    }
    Ok(turns)
}
