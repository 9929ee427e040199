//! Where the checkout and its pinned tools are.

use std::path::{Path, PathBuf};

use eyre::{Result, bail};

/// The checkout: the nearest folder upwards, from here or from this program, that has foundry.toml and node_modules.
pub(crate) fn find_root() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let program = std::env::current_exe()?;
    for start in [here.as_path(), program.as_path()] {
        let found =
            start.ancestors().find(|d| d.join("foundry.toml").is_file() && d.join("node_modules").is_dir());
        if let Some(root) = found {
            return Ok(root.to_owned());
        }
    }
    bail!(
        "no checkout with its tools here; run 'tools/setup' in a clone of the repository, and this command inside it"
    )
}

/// The native binary of a pinned tool.
pub(crate) fn path(root: &Path, tool: &str) -> PathBuf {
    root.join("node_modules/.bin").join(tool)
}
