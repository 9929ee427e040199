//! Where a model's bytes come from: a file or memory.
//!
//! Files are read, not mapped: a map of a file that somebody truncates while it is in use kills the process, and
//! the weights are repacked at load in any case.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::ModelError;

/// Random access to the bytes of a model.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// A file and its length when it was opened.
    File(File, u64),
    /// Bytes in memory.
    Memory(&'a [u8]),
}

impl Source<'_> {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ModelError::Format("not a regular file".into()));
        }
        Ok(Self::File(file, metadata.len()))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(_, len) => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `out` from `offset` on; `field` names what is read.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8], field: &str) -> Result<(), ModelError> {
        let needed = out.len() as u64;
        let truncated = || ModelError::Truncated {
            field: field.to_owned(),
            needed,
            left: self.len().saturating_sub(offset),
        };
        let end = offset.checked_add(needed).filter(|end| *end <= self.len()).ok_or_else(truncated)?;
        match self {
            Self::File(file, _) => match file.read_exact_at(out, offset) {
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(truncated()),
                other => Ok(other?),
            },
            // Within a slice's length, so within usize.
            Self::Memory(bytes) => {
                out.copy_from_slice(&bytes[offset as usize..end as usize]);
                Ok(())
            }
        }
    }
}
