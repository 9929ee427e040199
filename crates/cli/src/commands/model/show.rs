//! `assay model show`

use std::path::PathBuf;

use assay_engine::Model;
use eyre::{Context, Result};

/// Shows a model file's shape, size and root: the root is what a pool commits to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file.
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let model = Model::open(&args.file).wrap_err_with(|| format!("{}", args.file.display()))?;
    let info = model.info();
    if args.json {
        let value = serde_json::json!({
            "name": info.name, "architecture": info.architecture, "layers": info.layers, "width": info.width,
            "heads": info.heads, "kvHeads": info.kv_heads, "headDim": info.head_dim, "hidden": info.hidden,
            "vocabulary": info.vocabulary, "context": info.context, "parameters": info.parameters,
            "tensorTypes": info.tensor_types, "fileBytes": info.file_bytes, "root": model.root(),
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!("name        {}", info.name);
    println!(
        "shape       {}: {} layers of width {}, {} heads of {} ({} for keys and values), feed-forward {}",
        info.architecture, info.layers, info.width, info.heads, info.head_dim, info.kv_heads, info.hidden
    );
    println!("vocabulary  {} tokens, context {}", info.vocabulary, info.context);
    println!("weights     {} ({})", info.parameters, info.tensor_types);
    println!("file        {} bytes", info.file_bytes);
    println!("root        {}", model.root());
    Ok(())
}
