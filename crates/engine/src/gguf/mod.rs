//! GGUF, the container of the models: header, metadata and the places of the tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian. A file is
//! hostile: every length is held against the bytes that are left before anything of that size is allocated.

mod reader;
mod source;
mod texts;

pub(crate) use reader::parse;
pub(crate) use source::Source;
pub(crate) use texts::Texts;

use std::collections::BTreeMap;

use crate::ModelError;

/// A metadata value. Floats stay raw bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Any integer type.
    Int(i128),
    /// A boolean.
    Bool(bool),
    /// The bits of an IEEE 754 single.
    F32(u32),
    /// UTF-8 text.
    Text(String),
    /// Array of texts.
    Texts(Texts),
    /// Array of 32-bit integers.
    Ints(Vec<i64>),
    /// Array of the bits of singles.
    F32s(Vec<u32>),
    /// A value of a type that no known key has; its bytes were skipped.
    Other,
}

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TensorType {
    /// IEEE 754 single.
    F32,
    /// IEEE 754 half.
    F16,
    /// The upper half of a single.
    Bf16,
    /// Blocks of 32: a half `d`, then 32 int8 `q`; the weight is `d·q`.
    Q8_0,
    /// Blocks of 32: a half `d`, then 4 bits `q` each; the weight is `d·(q - 8)`.
    Q4_0,
    /// Blocks of 256 with 4 bits a weight, 8 scales and minima of 6 bits.
    Q4K,
    /// As [`TensorType::Q4K`] with 5 bits a weight.
    Q5K,
    /// Blocks of 256 with 6 bits a weight, 16 scales of 8 bits.
    Q6K,
}

impl TensorType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Bytes of a row of `cols` elements, or `None` where the type can't hold such a row.
    pub(crate) fn row_bytes(self, cols: u64) -> Option<u64> {
        match self {
            Self::F32 => cols.checked_mul(4),
            Self::F16 | Self::Bf16 => cols.checked_mul(2),
            Self::Q8_0 => of_blocks(cols, 32, 34),
            Self::Q4_0 => of_blocks(cols, 32, 18),
            Self::Q4K => of_blocks(cols, 256, 144),
            Self::Q5K => of_blocks(cols, 256, 176),
            Self::Q6K => of_blocks(cols, 256, 210),
        }
    }
}

fn of_blocks(cols: u64, block: u64, bytes: u64) -> Option<u64> {
    cols.is_multiple_of(block).then(|| (cols / block).checked_mul(bytes))?
}

/// Place and shape of a tensor. `dims[0]` is the length of a row.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) kind: TensorType,
    pub(crate) dims: Vec<u64>,
    /// From the start of the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A parsed header.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(ModelError::metadata(key, "is not a text")),
        }
    }

    /// An integer entry within `min..=max`.
    pub(crate) fn int(&self, key: &str, min: u32, max: u32) -> Result<Option<u32>, ModelError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Int(value)) => u32::try_from(*value)
                .ok()
                .filter(|v| (min..=max).contains(v))
                .map(Some)
                .ok_or_else(|| ModelError::metadata(key, format!("{value} is not within {min} to {max}"))),
            Some(_) => Err(ModelError::metadata(key, "is not an integer")),
        }
    }

    pub(crate) fn required_int(&self, key: &str, min: u32, max: u32) -> Result<u32, ModelError> {
        self.int(key, min, max)?.ok_or_else(|| ModelError::metadata(key, "is missing"))
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, ModelError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(ModelError::metadata(key, "is not a boolean")),
        }
    }

    /// Raw bits of a single.
    pub(crate) fn f32_bits(&self, key: &str) -> Result<Option<u32>, ModelError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::F32(bits)) => Ok(Some(*bits)),
            Some(_) => Err(ModelError::metadata(key, "is not a 32-bit float")),
        }
    }
}
