//! `assay gateway`

use std::path::PathBuf;
use std::time::Duration;

use assay_engine::Model;
use assay_gateway::{Config, Gateway};
use eyre::{Context, Result};

use crate::node::NodeArgs;

/// Serves the OpenAI-compatible API: orders from the pool's servers, verifies, has answers checked, disputes wrong ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// The pool's model, a GGUF file: for its tokenizer and chat template.
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    model: PathBuf,
    /// What the API calls the model; the file's name if none is given.
    #[arg(long)]
    model_name: Option<String>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8799")]
    listen: String,
    /// API keys to accept; without any every caller is let in.
    #[arg(long = "api-key", env = "ASSAY_API_KEYS", value_delimiter = ',')]
    api_keys: Vec<String>,
    /// Milliseconds that this clock may be off.
    #[arg(long, default_value_t = 200)]
    clock_skew: u64,
    /// Seconds that a server may take to its next token.
    #[arg(long, default_value_t = 20)]
    token_timeout: u64,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let model = Model::open(&args.model).wrap_err_with(|| format!("{}", args.model.display()))?;
    let node = args.node.connect("gateway").await?;
    let stem = args.model.file_stem().map(|s| s.to_string_lossy().into_owned());
    let config = Config {
        pool: args.node.pool,
        signer: node.signer,
        model_name: args.model_name.or(stem).unwrap_or_else(|| "model".into()),
        model,
        api_keys: args.api_keys,
        clock_skew: Duration::from_millis(args.clock_skew),
        token_timeout: Duration::from_secs(args.token_timeout),
    };
    let listener = tokio::net::TcpListener::bind(&args.listen).await.wrap_err("can't listen")?;
    let gateway = Gateway::new(config, node.chain, node.follower, node.beacon, node.store).await?;
    println!("listening on http://{}", listener.local_addr()?);
    gateway.run(listener, args.node.stop_signal()).await?;
    Ok(())
}
