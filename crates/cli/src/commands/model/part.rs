//! A file on its way: it bears its name only once it is whole and is what it should be.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use assay_protocol::B256;
use eyre::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

/// `OUT.part`, with the hash of what it holds. Held by one process at a time.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
}

impl Part {
    /// Takes up what an earlier run left, or begins.
    ///
    /// # Errors
    /// It can't be written or read, or another process has it.
    pub(super) fn open(out: &Path) -> Result<Self> {
        let mut path = out.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .wrap_err_with(|| format!("can't write to {}", path.display()))?;
        // Whoever held it may have renamed it since it was opened here: then it is no longer the part.
        let same = |file: &File| -> std::io::Result<bool> {
            let (there, here) = (std::fs::metadata(&path)?, file.metadata()?);
            Ok((there.dev(), there.ino()) == (here.dev(), here.ino()))
        };
        if file.try_lock().is_err() || !same(&file).unwrap_or(false) {
            bail!("another process is writing to {}", path.display());
        }
        let mut hasher = Sha256::new();
        let len = hash(&mut file, &mut hasher).wrap_err_with(|| format!("can't read {}", path.display()))?;
        Ok(Self { path, file, hasher, len })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it holds.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Of what it holds.
    pub(super) fn sha256(&self) -> B256 {
        B256::from(<[u8; 32]>::from(self.hasher.clone().finalize()))
    }

    /// Bytes of room on its disk, if the system says.
    pub(super) fn free(&self) -> Option<u64> {
        let disk = rustix::fs::fstatvfs(&self.file).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }

    /// # Errors
    /// They can't be written.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).wrap_err_with(|| format!("can't write to {}", self.path.display()))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what it holds.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .wrap_err_with(|| format!("can't write to {}", self.path.display()))?;
        self.hasher.reset();
        self.len = 0;
        Ok(())
    }

    /// Puts it under the name `out`, safe from power cuts, and returns its sha256.
    ///
    /// # Errors
    /// Its hash is not `wanted`: then it is removed. It can't be written or renamed.
    pub(super) fn finish(self, wanted: Option<B256>, out: &Path) -> Result<B256> {
        let found = self.sha256();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            self.remove();
            bail!("the file is not the one that was asked for: expected sha256 {wanted}, found {found}");
        }
        let done = || -> std::io::Result<()> {
            self.file.sync_all()?;
            std::fs::rename(&self.path, out)?;
            let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        done().wrap_err_with(|| format!("can't make {} of {}", out.display(), self.path.display()))?;
        Ok(found)
    }

    /// For what is worth nothing to a later run.
    pub(super) fn remove(&self) {
        // One that stays is noticed by its hash, in the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Bytes read from here to the end.
fn hash(file: &mut File, hasher: &mut Sha256) -> std::io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(len),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                len += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// sha256 of a file.
///
/// # Errors
/// It can't be read.
pub(super) fn sha256(path: &Path) -> Result<B256> {
    let mut hasher = Sha256::new();
    File::open(path)
        .and_then(|mut file| hash(&mut file, &mut hasher))
        .wrap_err_with(|| format!("can't read {}", path.display()))?;
    Ok(B256::from(<[u8; 32]>::from(hasher.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> B256 {
        B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
    }

    #[test]
    fn a_part_goes_on_where_it_ended_and_bears_the_name_only_when_right() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("model");
        let mut part = Part::open(&out).unwrap();
        part.append(b"one ").unwrap();
        assert!(Part::open(&out).unwrap_err().to_string().contains("another process"));
        drop(part);
        let mut part = Part::open(&out).unwrap();
        assert_eq!(part.len(), 4);
        part.append(b"two").unwrap();
        assert_eq!(part.finish(Some(digest(b"one two")), &out).unwrap(), digest(b"one two"));
        assert_eq!(std::fs::read(&out).unwrap(), b"one two");
        assert_eq!(sha256(&out).unwrap(), digest(b"one two"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_wrong_part_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("model");
        let mut part = Part::open(&out).unwrap();
        part.append(b"a long beginning").unwrap();
        part.restart().unwrap();
        part.append(b"other").unwrap();
        let said = part.finish(Some(digest(b"one")), &out).unwrap_err().to_string();
        assert!(said.contains(&digest(b"one").to_string()) && said.contains(&digest(b"other").to_string()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
