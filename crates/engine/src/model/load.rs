//! Reads a model's tensors into the integer formats.

use std::collections::BTreeSet;

use super::{
    matrix::{GROUP, Matrix},
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

/// One layer's weights. Gains of norms are Q22.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<i32>,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) attention_output: Matrix,
    pub(crate) feed_forward_norm: Vec<i32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

impl Weights {
    /// The matrix that makes logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

/// Reads tensors and remembers which were read.
pub(crate) struct Loader<'a> {
    source: &'a Source<'a>,
    header: &'a Header,
    used: BTreeSet<String>,
}

const ROPE_FREQS: &str = "rope_freqs.weight";

impl<'a> Loader<'a> {
    pub(crate) fn new(source: &'a Source<'a>, header: &'a Header) -> Self {
        Self { source, header, used: BTreeSet::new() }
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
        Ok(Layer {
            attention_norm: self.norm(&format!("blk.{i}.attn_norm.weight"), width)?,
            query: self.matrix(&format!("blk.{i}.attn_q.weight"), queries, width)?,
            key: self.matrix(&format!("blk.{i}.attn_k.weight"), keys, width)?,
            value: self.matrix(&format!("blk.{i}.attn_v.weight"), keys, width)?,
            attention_output: self.matrix(&format!("blk.{i}.attn_output.weight"), width, queries)?,
            feed_forward_norm: self.norm(&format!("blk.{i}.ffn_norm.weight"), width)?,
            gate: self.matrix(&format!("blk.{i}.ffn_gate.weight"), hidden, width)?,
            up: self.matrix(&format!("blk.{i}.ffn_up.weight"), hidden, width)?,
            down: self.matrix(&format!("blk.{i}.ffn_down.weight"), width, hidden)?,
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
        let info = self.find(name, &[len])?;
        if info.kind == TensorType::Q8_0 {
            return Err(ModelError::tensor(name, "is a norm in Q8_0"));
        }
        let mut bytes = vec![0; info.bytes as usize];
        self.source.read_at(info.offset, &mut bytes, name)?;
        let mut gains = Vec::with_capacity(len);
        for single in singles(info.kind, &bytes) {
            let gain = single.and_then(|bits| f32_to_fixed(bits, 22, 9));
            let Some(gain) = gain.and_then(|g| i32::try_from(g).ok()) else {
                let reason = format!("gain {} is not finite or not below 512", gains.len());
                return Err(ModelError::tensor(name, reason));
            };
            gains.push(gain);
        }
        Ok(gains)
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix, ModelError> {
        let info = self.find(name, &[cols, rows])?;
        let row_bytes = info.bytes as usize / rows;
        let mut matrix = Matrix::zeros(rows, cols);
        let mut bytes = vec![0; row_bytes * GROUP.min(rows)];
        for first in (0..rows).step_by(GROUP) {
            let count = GROUP.min(rows - first);
            let bytes = &mut bytes[..count * row_bytes];
            self.source.read_at(info.offset + (first * row_bytes) as u64, bytes, name)?;
            for (i, bytes) in bytes.chunks_exact(row_bytes).enumerate() {
                set_row(&mut matrix, first + i, info.kind, bytes)
                    .map_err(|reason| ModelError::tensor(name, format!("row {}: {reason}", first + i)))?;
            }
        }
        Ok(matrix)
    }
}

fn set_row(matrix: &mut Matrix, row: usize, kind: TensorType, bytes: &[u8]) -> Result<(), &'static str> {
    if kind == TensorType::Q8_0 {
        let mut blocks = Vec::with_capacity(bytes.len() / 34);
        for block in bytes.as_chunks::<34>().0 {
            let scale = f16_to_q24(u16::from_le_bytes([block[0], block[1]])).ok_or("scale is not finite")?;
            let scale = u64::try_from(scale).map_err(|_| "scale is negative")?;
            let mut q = [0i8; BLOCK];
            for (q, b) in q.iter_mut().zip(&block[2..]) {
                *q = *b as i8;
            }
            blocks.push((scale, q));
        }
        matrix.set_row_from_q8(row, &blocks);
        return Ok(());
    }
    let weights: Option<Vec<i64>> = match kind {
        TensorType::F16 => words(bytes).map(|w| f16_to_q24(w).map(|v| v << 16)).collect(),
        TensorType::Bf16 => words(bytes).map(bf16_to_q40).collect(),
        _ => singles(kind, bytes).map(|s| f32_to_fixed(s?, 40, 16)).collect(),
    };
    matrix.set_row_from_q40(row, &weights.ok_or("a weight is not finite or not below 65,536")?);
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
