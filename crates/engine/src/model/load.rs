//! Reads a model's tensors into the integer formats.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    arena::Arena,
    kquants::{self, SUPER},
    matrix::{ExactBlock, GROUP, Matrix, RowsMut, Width},
    shape::Shape,
};
use crate::{
    ModelError,
    blocks::BLOCK,
    fixed::{bf16_to_q40, f16_to_q24, f32_to_fixed},
    gguf::{Header, Source, TensorInfo, TensorType},
};

/// All weights in integer form.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Vec<i32>,
    /// `None` where the embedding serves as output matrix too.
    pub(crate) output: Option<Matrix>,
}

/// One layer's weights. Gains of norms are Q22; what a model does not have is `None`.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<i32>,
    pub(crate) query: Projection,
    pub(crate) key: Projection,
    pub(crate) value: Projection,
    pub(crate) attention_output: Matrix,
    pub(crate) post_attention_norm: Option<Vec<i32>>,
    pub(crate) feed_forward_norm: Vec<i32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
    pub(crate) post_feed_forward_norm: Option<Vec<i32>>,
}

/// What makes the queries, keys or values of a layer.
#[derive(Debug)]
pub(crate) struct Projection {
    pub(crate) matrix: Matrix,
    /// Q16, one a row.
    pub(crate) bias: Option<Vec<i32>>,
    /// Gains of the norm of each head, Q22.
    pub(crate) norm: Option<Vec<i32>>,
}

impl Weights {
    /// The matrix that makes logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    /// All matrices, in the order of evaluation.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.layers.iter().flat_map(|layer| {
            let Layer { query, key, value, attention_output, gate, up, down, .. } = layer;
            [&query.matrix, &key.matrix, &value.matrix, attention_output, gate, up, down]
        });
        std::iter::once(&self.embedding).chain(layers).chain(&self.output)
    }
}

/// Reads tensors and remembers which were read.
pub(crate) struct Loader<'a> {
    source: &'a Source<'a>,
    header: &'a Header,
    used: BTreeSet<String>,
    /// Of all matrices, made with the first.
    arena: Option<Arena>,
}

const ROPE_FREQS: &str = "rope_freqs.weight";
/// Rows that a thread reads at a time.
const PART: usize = 16 * GROUP;

impl<'a> Loader<'a> {
    pub(crate) fn new(source: &'a Source<'a>, header: &'a Header) -> Self {
        Self { source, header, used: BTreeSet::new(), arena: None }
    }

    /// Bits of the singles that divide the rotary frequencies, if the file has them.
    pub(crate) fn rope_factors(&mut self) -> Result<Option<Vec<u32>>, ModelError> {
        let Some(info) = self.header.tensors.get(ROPE_FREQS) else { return Ok(None) };
        if info.kind != TensorType::F32 || info.dims.len() != 1 || info.bytes > 1 << 16 {
            return Err(ModelError::tensor(ROPE_FREQS, "is not a short F32 vector"));
        }
        self.used.insert(info.name.clone());
        let mut bytes = vec![0; info.bytes as usize];
        self.source.read_at(info.offset, &mut bytes, ROPE_FREQS)?;
        Ok(Some(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()))
    }

    /// Reads everything that a model of this shape needs, and refuses a file with anything else in it.
    pub(crate) fn weights(&mut self, shape: &Shape) -> Result<Weights, ModelError> {
        let embedding = self.matrix("token_embd.weight", shape.vocabulary, shape.width)?;
        let mut layers = Vec::new();
        for i in 0..shape.layers {
            layers.push(self.layer(i, shape)?);
        }
        let final_norm = self.norm("output_norm.weight", shape.width)?;
        let output = match self.header.tensors.contains_key("output.weight") {
            true => Some(self.matrix("output.weight", shape.vocabulary, shape.width)?),
            false => None,
        };
        if let Some(name) = self.header.tensors.keys().find(|name| !self.used.contains(*name)) {
            return Err(ModelError::tensor(name, "has no place in this architecture"));
        }
        Ok(Weights { embedding, layers, final_norm, output })
    }

    fn layer(&mut self, i: usize, shape: &Shape) -> Result<Layer, ModelError> {
        let (width, hidden) = (shape.width, shape.hidden);
        let (queries, keys) = (shape.query_width(), shape.kv_width());
        let architecture = shape.architecture;
        let (head_norms, post_norms) = (architecture.has_head_norms(), architecture.has_post_norms());
        let name = |part: &str| format!("blk.{i}.{part}");
        let optional = |this: &mut Self, wanted: bool, part: &str, len| {
            wanted.then(|| this.norm(&name(part), len)).transpose()
        };
        let attention_norm = self.norm(&name("attn_norm.weight"), width)?;
        let mut projection = |part: &str, rows, with_norm: bool| {
            Ok::<_, ModelError>(Projection {
                matrix: self.matrix(&name(&format!("attn_{part}.weight")), rows, width)?,
                bias: match architecture.has_biases() {
                    true => Some(self.bias(&name(&format!("attn_{part}.bias")), rows)?),
                    false => None,
                },
                norm: optional(self, with_norm, &format!("attn_{part}_norm.weight"), shape.head_dim)?,
            })
        };
        let query = projection("q", queries, head_norms)?;
        let key = projection("k", keys, head_norms)?;
        let value = projection("v", keys, false)?;
        Ok(Layer {
            attention_norm,
            query,
            key,
            value,
            attention_output: self.matrix(&name("attn_output.weight"), width, queries)?,
            post_attention_norm: optional(self, post_norms, "post_attention_norm.weight", width)?,
            feed_forward_norm: self.norm(&name("ffn_norm.weight"), width)?,
            gate: self.matrix(&name("ffn_gate.weight"), hidden, width)?,
            up: self.matrix(&name("ffn_up.weight"), hidden, width)?,
            down: self.matrix(&name("ffn_down.weight"), width, hidden)?,
            post_feed_forward_norm: optional(self, post_norms, "post_ffw_norm.weight", width)?,
        })
    }

    fn find(&mut self, name: &str, dims: &[usize]) -> Result<&'a TensorInfo, ModelError> {
        let info = self.header.tensors.get(name).ok_or_else(|| ModelError::tensor(name, "is missing"))?;
        if !info.dims.iter().eq(dims.iter().map(|d| *d as u64).collect::<Vec<_>>().iter()) {
            return Err(ModelError::tensor(name, format!("has shape {:?}, not {dims:?}", info.dims)));
        }
        self.used.insert(name.to_owned());
        Ok(info)
    }

    /// A norm's gains in Q22, each below 2^9.
    fn norm(&mut self, name: &str, len: usize) -> Result<Vec<i32>, ModelError> {
        self.vector(name, len, 22, 9)
    }

    /// A bias in Q16, each element below 2^15.
    fn bias(&mut self, name: &str, len: usize) -> Result<Vec<i32>, ModelError> {
        self.vector(name, len, 16, 15)
    }

    /// A vector with `bits` fractional bits, each element below `2^limit`; `bits + limit` is 31.
    fn vector(&mut self, name: &str, len: usize, bits: i32, limit: i32) -> Result<Vec<i32>, ModelError> {
        let info = self.find(name, &[len])?;
        if !matches!(info.kind, TensorType::F32 | TensorType::F16 | TensorType::Bf16) {
            return Err(ModelError::tensor(name, format!("is a vector in {}", info.kind.name())));
        }
        let mut bytes = vec![0; info.bytes as usize];
        self.source.read_at(info.offset, &mut bytes, name)?;
        let mut out = Vec::with_capacity(len);
        for single in singles(info.kind, &bytes) {
            let element = single.and_then(|single| f32_to_fixed(single, bits, limit));
            let Some(element) = element.and_then(|e| i32::try_from(e).ok()) else {
                let reason = format!("element {} is not finite or not below {}", out.len(), 1 << limit);
                return Err(ModelError::tensor(name, reason));
            };
            out.push(element);
        }
        Ok(out)
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix, ModelError> {
        let info = self.find(name, &[cols, rows])?;
        let arena = match &mut self.arena {
            Some(arena) => arena,
            none => none.insert(Arena::new(bytes_of_matrices(self.header))?),
        };
        let mut matrix = Matrix::new(arena, rows, cols, width_of(info.kind))?;
        let row_bytes = info.bytes as usize / rows;
        let source = self.source;
        let read = |first: usize, mut part: RowsMut<'_>| {
            let mut bytes = vec![0; row_bytes * PART.min(rows - first)];
            source.read_at(info.offset + (first * row_bytes) as u64, &mut bytes, name)?;
            for (i, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
                set_row(&mut part, i, info.kind, bytes)
                    .map_err(|reason| ModelError::tensor(name, format!("row {}: {reason}", first + i)))?;
            }
            Ok(())
        };
        on_all_cores(matrix.parts_mut(PART), read)?;
        Ok(matrix)
    }
}

fn width_of(kind: TensorType) -> Width {
    match kind {
        TensorType::Q4_0 => Width::Int4,
        TensorType::Q4K => Width::Int4Minima,
        _ => Width::Int8,
    }
}

/// Bytes that the weights of all matrices take.
fn bytes_of_matrices(header: &Header) -> usize {
    let size = |info: &TensorInfo| match info.dims[..] {
        [cols, rows] => Matrix::bytes_of(rows as usize, cols as usize, width_of(info.kind)),
        _ => 0,
    };
    header.tensors.values().map(size).fold(0, usize::saturating_add)
}

/// Runs `read(first row, part)` for all parts on all cores; the error of the first part that fails.
fn on_all_cores<'a>(
    parts: Vec<RowsMut<'a>>,
    read: impl Fn(usize, RowsMut<'a>) -> Result<(), ModelError> + Sync,
) -> Result<(), ModelError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores.min(parts.len()).max(1);
    let parts: Vec<_> = parts.into_iter().map(|part| std::sync::Mutex::new(Some(part))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(i) else { return Ok(()) };
            // Nothing panics while it is locked, and each is taken once.
            let Some(part) = part.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() else {
                continue;
            };
            read(i * PART, part).map_err(|error| (i, error))?;
        }
    };
    let first = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut failures: Vec<_> = work().err().into_iter().collect();
        for helper in helpers {
            match helper.join() {
                Ok(outcome) => failures.extend(outcome.err()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failures.into_iter().min_by_key(|(i, _)| *i)
    });
    first.map_or(Ok(()), |(_, error)| Err(error))
}

fn set_row(part: &mut RowsMut<'_>, row: usize, kind: TensorType, bytes: &[u8]) -> Result<(), &'static str> {
    const NOT_FINITE: &str = "scale is not finite";
    const TOO_LARGE: &str = "a weight is not finite or not below 65,536";
    let super_blocks = |size: usize, decode: fn(&[u8], &mut [i64; SUPER]) -> Option<()>| {
        let mut weights = vec![0; bytes.len() / size * SUPER];
        for (block, out) in bytes.chunks_exact(size).zip(weights.as_chunks_mut::<SUPER>().0) {
            decode(block, out).ok_or(NOT_FINITE)?;
        }
        for weight in &mut weights {
            if weight.unsigned_abs() >= 1 << 40 {
                return Err(TOO_LARGE);
            }
            *weight <<= 16;
        }
        Ok(weights)
    };
    let weights: Vec<i64> = match kind {
        TensorType::Q8_0 => {
            let mut blocks = Vec::with_capacity(bytes.len() / 34);
            for block in bytes.as_chunks::<34>().0 {
                let scale = f16_to_q24(u16::from_le_bytes([block[0], block[1]])).ok_or(NOT_FINITE)?;
                if scale < 0 {
                    return Err("scale is negative");
                }
                let mut q = [0i8; BLOCK];
                for (q, b) in q.iter_mut().zip(&block[2..]) {
                    *q = *b as i8;
                }
                blocks.push(ExactBlock { scale, minimum: 0, q });
            }
            part.set_row_from_blocks(row, &blocks);
            return Ok(());
        }
        TensorType::Q4_0 => {
            let mut blocks = Vec::with_capacity(bytes.len() / 18);
            for block in bytes.as_chunks::<18>().0 {
                let scale = f16_to_q24(u16::from_le_bytes([block[0], block[1]])).ok_or(NOT_FINITE)?;
                let mut q = [0i8; BLOCK];
                let (low, high) = q.split_at_mut(BLOCK / 2);
                for ((low, high), b) in low.iter_mut().zip(high).zip(&block[2..]) {
                    *low = (b & 15) as i8 - 8;
                    *high = (b >> 4) as i8 - 8;
                }
                blocks.push(ExactBlock { scale, minimum: 0, q });
            }
            part.set_row_from_blocks(row, &blocks);
            return Ok(());
        }
        TensorType::Q4K => {
            let mut blocks = Vec::with_capacity(bytes.len() / 144 * (SUPER / BLOCK));
            for block in bytes.as_chunks::<144>().0 {
                blocks.extend(kquants::q4_k(block).ok_or(NOT_FINITE)?);
            }
            if blocks.iter().any(|b| b.scale.abs().max(b.minimum.abs()) >= 1 << 40) {
                return Err("a scale or minimum is not below 65,536");
            }
            part.set_row_from_blocks(row, &blocks);
            return Ok(());
        }
        TensorType::Q5K => super_blocks(176, kquants::q5_k)?,
        TensorType::Q6K => super_blocks(210, kquants::q6_k)?,
        TensorType::F16 => {
            words(bytes).map(|w| f16_to_q24(w).map(|v| v << 16)).collect::<Option<_>>().ok_or(TOO_LARGE)?
        }
        TensorType::Bf16 => words(bytes).map(bf16_to_q40).collect::<Option<_>>().ok_or(TOO_LARGE)?,
        TensorType::F32 => {
            singles(kind, bytes).map(|s| f32_to_fixed(s?, 40, 16)).collect::<Option<_>>().ok_or(TOO_LARGE)?
        }
    };
    part.set_row_from_q40(row, &weights);
    Ok(())
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b))
}

/// Elements as the bits of singles; `None` for one that is not finite. Exact: a single holds every half.
fn singles(kind: TensorType, bytes: &[u8]) -> Box<dyn Iterator<Item = Option<u32>> + '_> {
    match kind {
        TensorType::F16 => Box::new(words(bytes).map(half_to_single)),
        TensorType::Bf16 => Box::new(words(bytes).map(|w| Some(u32::from(w) << 16))),
        _ => Box::new(bytes.as_chunks::<4>().0.iter().map(|b| Some(u32::from_le_bytes(*b)))),
    }
}

fn half_to_single(half: u16) -> Option<u32> {
    let value = f16_to_q24(half)?;
    let sign = u32::from(half >> 15) << 31;
    if value == 0 {
        return Some(sign);
    }
    // At most 11 significant bits, so the shifts drop zeros only.
    let magnitude = value.unsigned_abs();
    let top = magnitude.ilog2();
    let fraction = (magnitude << 23 >> top) as u32 & 0x7f_ffff;
    Some(sign | (top + 127 - 24) << 23 | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_survive_as_singles() {
        for half in 0..=u16::MAX {
            let single = half_to_single(half).and_then(|bits| f32_to_fixed(bits, 24, 17));
            assert_eq!(single, f16_to_q24(half), "{half:#06x}");
        }
    }
}
