//! `assay devnet`

use std::path::PathBuf;

use eyre::Result;

use crate::network::{tools, LocalNetwork, Member, Plan};
use crate::node::stop_signal;

/// Keeps a network of anvil, a beacon, five honest servers and a gateway up until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8799")]
    listen: String,
    /// The key it accepts.
    #[arg(long, default_value = "assay-devnet")]
    api_key: String,
    /// Folder for keys, databases and logs; a fresh one under target/ if none is given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Let one server compute with the small model, as the demo does.
    #[arg(long)]
    cheat: bool,
}

/// The bundled network: `count` servers, the last of which cheats if `cheat`.
pub(crate) fn plan(dir: Option<PathBuf>, listen: &str, api_key: &str, count: usize, cheat: bool) -> Result<Plan> {
    let root = tools::find_root()?;
    let dir = dir.unwrap_or_else(|| root.join(format!("target/devnet/{}", std::process::id())));
    let model = root.join("models/tales-3m.gguf");
    let servers = (1..=count)
        .map(|i| {
            let lies = cheat && i == count;
            Member {
                name: if lies { "cheat".into() } else { format!("server{i}") },
                model: if lies { root.join("models/tales-300k.gguf") } else { model.clone() },
            }
        })
        .collect();
    Ok(Plan {
        params: root.join("pools/devnet.toml"),
        root,
        dir,
        model,
        servers,
        seats: 12,
        gateway: listen.to_owned(),
        api_key: api_key.to_owned(),
        redeem_every: 5,
    })
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let plan = plan(args.dir, &args.listen, &args.api_key, 5, args.cheat)?;
    let stop = stop_signal(false);
    let network = tokio::select! {
        network = LocalNetwork::start(&plan, |step| eprintln!("· {step}")) => network?,
        () = stop.cancelled() => return Ok(()),
    };
    println!("gateway  {}/v1", network.gateway_url);
    println!("key      {}", plan.api_key);
    println!("model    tales-3m");
    println!("chain    {}", network.rpc_url);
    println!("pool     {}", network.pool);
    println!("logs     {}", plan.dir.display());
    println!("\ntry:     assay ask \"Tell me a story about a brave fox\" --url {}", network.gateway_url);
    println!(
        "or:      curl {}/v1/chat/completions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n           \
         -d '{{\"model\":\"tales-3m\",\"messages\":[{{\"role\":\"user\",\"content\":\"Tell me a story about a brave fox\"}}]}}'",
        network.gateway_url, plan.api_key
    );
    println!("\nCtrl-C stops everything.");
    stop.cancelled().await;
    eprintln!("stopping");
    network.stop().await;
    Ok(())
}
