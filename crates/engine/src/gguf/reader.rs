//! Reads header, metadata and tensor table.

use std::collections::BTreeMap;

use super::{Header, Source, TensorInfo, TensorType, Texts, Value};
use crate::ModelError;

const MAX_ENTRIES: u64 = 1 << 16;
const MAX_NAME: u64 = 1 << 10;
const MAX_TEXT: u64 = 1 << 20;
const MAX_ARRAY: u64 = 1 << 22;
const DEFAULT_ALIGNMENT: u32 = 32;
const CHUNK: usize = 1 << 16;

/// Sequential, buffered access with a name for what is being read.
struct Cursor<'a> {
    source: &'a Source<'a>,
    /// File offset of the next byte to hand out.
    at: u64,
    buffer: Vec<u8>,
    /// File offset of `buffer[0]`.
    start: u64,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], ModelError> {
        let mut out = [0; N];
        self.fill(&mut out, field)?;
        Ok(out)
    }

    fn fill(&mut self, out: &mut [u8], field: &str) -> Result<(), ModelError> {
        let end = self.at.saturating_add(out.len() as u64);
        if self.at < self.start || end > self.start + self.buffer.len() as u64 {
            if out.len() > CHUNK {
                self.source.read_at(self.at, out, field)?;
                self.at = end;
                return Ok(());
            }
            // No more than a chunk, so within usize.
            let n = self.source.len().saturating_sub(self.at).min(CHUNK as u64) as usize;
            self.buffer.resize(n.max(out.len()), 0);
            self.start = self.at;
            self.buffer.truncate(n);
            self.source.read_at(self.at, &mut self.buffer, field)?;
        }
        let from = (self.at - self.start) as usize;
        let bytes = self.buffer.get(from..from + out.len()).ok_or_else(|| ModelError::Truncated {
            field: field.to_owned(),
            needed: out.len() as u64,
            left: self.source.len().saturating_sub(self.at),
        })?;
        out.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    fn u32(&mut self, field: &str) -> Result<u32, ModelError> {
        Ok(u32::from_le_bytes(self.take(field)?))
    }

    fn u64(&mut self, field: &str) -> Result<u64, ModelError> {
        Ok(u64::from_le_bytes(self.take(field)?))
    }

    /// Checks that `count` items of at least `min_bytes` can follow.
    fn expect(&self, count: u64, min_bytes: u64, field: &str) -> Result<(), ModelError> {
        let left = self.source.len().saturating_sub(self.at);
        match count.checked_mul(min_bytes) {
            Some(needed) if needed <= left => Ok(()),
            needed => Err(ModelError::Truncated {
                field: field.to_owned(),
                needed: needed.unwrap_or(u64::MAX),
                left,
            }),
        }
    }

    fn skip(&mut self, count: u64, item_bytes: u64, field: &str) -> Result<(), ModelError> {
        self.expect(count, item_bytes, field)?;
        self.at += count * item_bytes;
        Ok(())
    }

    fn text(&mut self, limit: u64, field: &str) -> Result<String, ModelError> {
        let len = self.u64(field)?;
        self.expect(len, 1, field)?;
        if len > limit {
            return Err(ModelError::metadata(field, format!("text of {len} bytes is over {limit}")));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, field)?;
        String::from_utf8(bytes).map_err(|_| ModelError::metadata(field, "is not UTF-8"))
    }
}

/// Reads everything before the tensor data.
pub(crate) fn parse(source: &Source<'_>) -> Result<Header, ModelError> {
    let mut at = Cursor { source, at: 0, buffer: Vec::new(), start: 0 };
    if at.take::<4>("magic")? != *b"GGUF" {
        return Err(ModelError::Format("wrong magic".into()));
    }
    let version = at.u32("version")?;
    if !(2..=3).contains(&version) {
        return Err(ModelError::Format(format!("version {version}")));
    }
    let tensor_count = at.u64("tensor count")?;
    let entry_count = at.u64("metadata count")?;
    for (count, name) in [(tensor_count, "tensor count"), (entry_count, "metadata count")] {
        if count > MAX_ENTRIES {
            return Err(ModelError::Format(format!("{name} {count} is over {MAX_ENTRIES}")));
        }
    }

    let mut metadata = BTreeMap::new();
    for _ in 0..entry_count {
        let key = at.text(MAX_NAME, "metadata key")?;
        let kind = at.u32(&key)?;
        let value = read_value(&mut at, kind, &key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(ModelError::metadata(key, "is given twice"));
        }
    }

    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let info = read_tensor_info(&mut at)?;
        let name = info.name.clone();
        if tensors.insert(name.clone(), info).is_some() {
            return Err(ModelError::tensor(name, "is given twice"));
        }
    }

    let mut header = Header { metadata, tensors };
    let alignment = header.int("general.alignment", 1, 1 << 20)?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() {
        return Err(ModelError::metadata("general.alignment", format!("{alignment} is no power of two")));
    }
    place_tensors(&mut header, at.at.next_multiple_of(alignment.into()), alignment.into(), source.len())?;
    Ok(header)
}

fn read_value(at: &mut Cursor<'_>, kind: u32, key: &str) -> Result<Value, ModelError> {
    Ok(match kind {
        0 => Value::Int(u8::from_le_bytes(at.take(key)?).into()),
        1 => Value::Int(i8::from_le_bytes(at.take(key)?).into()),
        2 => Value::Int(u16::from_le_bytes(at.take(key)?).into()),
        3 => Value::Int(i16::from_le_bytes(at.take(key)?).into()),
        4 => Value::Int(u32::from_le_bytes(at.take(key)?).into()),
        5 => Value::Int(i32::from_le_bytes(at.take(key)?).into()),
        6 => Value::F32(at.u32(key)?),
        7 => match at.take::<1>(key)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            [other] => return Err(ModelError::metadata(key, format!("{other} is no boolean"))),
        },
        8 => Value::Text(at.text(MAX_TEXT, key)?),
        9 => read_array(at, key)?,
        10 => Value::Int(at.u64(key)?.into()),
        11 => Value::Int(i64::from_le_bytes(at.take(key)?).into()),
        12 => {
            at.skip(1, 8, key)?;
            Value::Other
        }
        other => return Err(ModelError::metadata(key, format!("has the unknown type {other}"))),
    })
}

fn read_array(at: &mut Cursor<'_>, key: &str) -> Result<Value, ModelError> {
    let kind = at.u32(key)?;
    let count = at.u64(key)?;
    if count > MAX_ARRAY {
        return Err(ModelError::metadata(key, format!("array of {count} items is over {MAX_ARRAY}")));
    }
    let item_bytes = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        other => return Err(ModelError::metadata(key, format!("is an array of the refused type {other}"))),
    };
    at.expect(count, item_bytes, key)?;
    Ok(match kind {
        4 => Value::Ints(items(count, || at.u32(key).map(i64::from))?),
        5 => Value::Ints(items(count, || at.take(key).map(|b| i32::from_le_bytes(b).into()))?),
        6 => Value::F32s(items(count, || at.u32(key))?),
        8 => {
            let mut texts = Texts::with_capacity(count as usize);
            for _ in 0..count {
                texts.push(&at.text(MAX_TEXT, key)?);
            }
            texts.shrink();
            Value::Texts(texts)
        }
        _ => {
            at.skip(count, item_bytes, key)?;
            Value::Other
        }
    })
}

/// Reads an array whose length has been held against the file's.
fn items<T>(count: u64, mut read: impl FnMut() -> Result<T, ModelError>) -> Result<Vec<T>, ModelError> {
    let mut out = Vec::with_capacity(count as usize);
    for _ in 0..count {
        out.push(read()?);
    }
    Ok(out)
}

fn read_tensor_info(at: &mut Cursor<'_>) -> Result<TensorInfo, ModelError> {
    let name = at.text(MAX_NAME, "tensor name")?;
    let rank = at.u32(&name)?;
    if !(1..=4).contains(&rank) {
        return Err(ModelError::tensor(name, format!("has {rank} dimensions")));
    }
    let mut dims = Vec::with_capacity(4);
    for _ in 0..rank {
        dims.push(at.u64(&name)?);
    }
    let kind = match at.u32(&name)? {
        0 => TensorType::F32,
        1 => TensorType::F16,
        2 => TensorType::Q4_0,
        8 => TensorType::Q8_0,
        12 => TensorType::Q4K,
        13 => TensorType::Q5K,
        14 => TensorType::Q6K,
        30 => TensorType::Bf16,
        other => {
            let reason =
                format!("has type {other}; F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K and Q6_K are read");
            return Err(ModelError::tensor(name, reason));
        }
    };
    let offset = at.u64(&name)?;
    let rows = dims[1..].iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let bytes = rows.and_then(|rows| kind.row_bytes(dims[0])?.checked_mul(rows));
    match bytes {
        Some(bytes) if bytes > 0 => Ok(TensorInfo { name, kind, dims, offset, bytes }),
        _ => Err(ModelError::tensor(name, format!("has the impossible shape {dims:?} for {}", kind.name()))),
    }
}

/// Turns relative offsets into file offsets; refuses misaligned, overlapping and overhanging tensors.
fn place_tensors(header: &mut Header, data: u64, alignment: u64, len: u64) -> Result<(), ModelError> {
    let mut spans = Vec::with_capacity(header.tensors.len());
    for info in header.tensors.values_mut() {
        if !info.offset.is_multiple_of(alignment) {
            let reason = format!("offset {} is no multiple of {alignment}", info.offset);
            return Err(ModelError::tensor(&info.name, reason));
        }
        let start = data.checked_add(info.offset);
        let end = start.and_then(|s| s.checked_add(info.bytes));
        let (Some(start), Some(end)) = (start, end.filter(|e| *e <= len)) else {
            return Err(ModelError::Truncated {
                field: info.name.clone(),
                needed: info.bytes,
                left: len.saturating_sub(data.saturating_add(info.offset)),
            });
        };
        info.offset = start;
        spans.push((start, end, &info.name));
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if pair[1].0 < pair[0].1 {
            return Err(ModelError::tensor(pair[1].2, format!("overlaps {}", pair[0].2)));
        }
    }
    Ok(())
}
