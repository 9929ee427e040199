//! GGUF, the container of the models: header, metadata and the places of the tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian. A file is
//! hostile: every length is held against the bytes that are left before anything of that size is allocated.

mod reader;
mod source;

pub(crate) use reader::parse;
pub(crate) use source::Source;

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
    Texts(Vec<String>),
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
}

impl TensorType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// Bytes of a row of `cols` elements, or `None` where the type can't hold such a row.
    pub(crate) fn row_bytes(self, cols: u64) -> Option<u64> {
        match self {
            Self::F32 => cols.checked_mul(4),
            Self::F16 | Self::Bf16 => cols.checked_mul(2),
            Self::Q8_0 => cols.is_multiple_of(32).then(|| (cols / 32).checked_mul(34))?,
        }
    }
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
