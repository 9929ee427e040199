//! `assay model verify`

use std::path::PathBuf;

use assay_engine::Model;
use assay_protocol::B256;
use eyre::{Context, Result, bail};

use super::{PoolArgs, part};

const EXAMPLE: &str = "\
Examples:
  assay model verify model.gguf --pool 0xPOOL --deployment deployments/11155111.json --rpc-url https://rpc.example
  assay model verify model.gguf --sha256 0xHASH

Servers of a pool are held to the root. The sha256 is what the pool's creator stated of the file; no contract checks it.";

/// Prints a model file's sha256 and root, and compares them with what is given. Fails if anything differs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// A GGUF file.
    file: PathBuf,
    #[command(flatten)]
    pool: PoolArgs,
    /// What the file's sha256 should be.
    #[arg(long, value_name = "HEX")]
    sha256: Option<B256>,
    /// What the model's root should be.
    #[arg(long, value_name = "HEX")]
    root: Option<B256>,
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let pool = args.pool.model().await?;
    let pool = pool.as_ref();
    let sha256 = part::sha256(&args.file)?;
    println!("sha256  {sha256}");
    let wanted = [("--sha256", args.sha256), ("the pool", pool.map(|p| p.sha256))];
    let mut wrong = differences("sha256", sha256, &wanted);
    // Read only now: of a file that is no model, the sha256 is still worth knowing.
    match Model::open(&args.file).wrap_err_with(|| format!("{}", args.file.display())) {
        Ok(model) => {
            println!("root    {}", model.root());
            let wanted = [("--root", args.root), ("the pool", pool.map(|p| p.root))];
            wrong.extend(differences("root", model.root(), &wanted));
        }
        Err(error) => wrong.push(format!("{error:#}")),
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n       "));
    }
    if let Some(id) = args.pool.pool {
        println!("It is the model of pool {id}.");
    }
    Ok(())
}

/// A line for each expectation that `found` does not meet.
fn differences(what: &str, found: B256, wanted: &[(&str, Option<B256>)]) -> Vec<String> {
    let wrong = |(who, wanted): &(&str, Option<B256>)| {
        let wanted = wanted.filter(|wanted| *wanted != found)?;
        Some(format!("{what} differs: {who} says {wanted}, the file has {found}"))
    };
    wanted.iter().filter_map(wrong).collect()
}
