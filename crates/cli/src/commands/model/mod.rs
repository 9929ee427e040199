//! `assay model`

mod download;
mod part;
mod progress;
mod pull;
mod show;
mod verify;

use std::path::PathBuf;

use assay_chain::{abi, convert};
use assay_protocol::{B256, PoolParams};
use eyre::{Result, ensure, eyre};

use crate::node::ChainArgs;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a model file's shape, size and root: the root is what a pool commits to.
    Show(show::Args),
    /// Download a model, by its address or by its pool; goes on where an earlier run ended.
    Pull(pull::Args),
    /// Compare a model file with a pool, a sha256 or a root. Fails if they differ.
    Verify(verify::Args),
}

pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Show(args) => show::run(&args),
        Command::Pull(args) => pull::run(&args).await,
        Command::Verify(args) => verify::run(&args).await,
    }
}

/// A pool, and where its chain is.
#[derive(Debug, clap::Args)]
struct PoolArgs {
    /// The pool whose model it is.
    #[arg(long, value_name = "ID", requires = "deployment")]
    pool: Option<B256>,
    /// JSON-RPC of the chain.
    #[arg(long, env = "ASSAY_RPC_URL", default_value = "http://127.0.0.1:8545")]
    rpc_url: String,
    /// Addresses of the contracts, as script/Deploy.s.sol writes them; needed with --pool.
    #[arg(long, env = "ASSAY_DEPLOYMENT", value_name = "FILE")]
    deployment: Option<PathBuf>,
}

/// What a pool says of its model.
#[derive(Debug)]
struct PoolModel {
    /// Where the file can be had; may be empty. Not checked by anybody.
    uri: String,
    /// Of the file, as the pool's creator stated it.
    sha256: B256,
    /// What the pool's servers are held to.
    root: B256,
}

impl PoolArgs {
    /// Reads from the chain; `None` if no pool is given.
    async fn model(&self) -> Result<Option<PoolModel>> {
        let (Some(pool), Some(deployment)) = (self.pool, self.deployment.clone()) else { return Ok(None) };
        let chain = ChainArgs { rpc_url: self.rpc_url.clone(), deployment }.connect().await?;
        let created = chain.pool_created(pool).await?;
        let created = created.ok_or_else(|| eyre!("this deployment has no pool {pool}"))?;
        let params: PoolParams =
            convert(&chain.call(chain.deployment().pools, abi::Pools::getCall { pool }).await?);
        // A pool's id commits to its parameters, so a node can't make up the root.
        ensure!(params.id() == pool, "the chain's node answers for pool {pool} with parameters of another");
        let root = params.basis.modelRoot;
        Ok(Some(PoolModel { uri: created.uri, sha256: created.sha256OfModel, root }))
    }
}
