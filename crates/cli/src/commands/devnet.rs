//! `assay devnet`

use std::path::PathBuf;

use eyre::Result;
use serde_json::{Value, json};

use crate::network::{LocalNetwork, Member, Plan, tools};
use crate::node::stop_signal;

/// The model of the bundled network, by its file's name.
const MODEL: &str = "tales-3m";

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
    /// Seconds between redemptions.
    #[arg(long, default_value_t = 5)]
    redeem_every: u64,
    /// Seconds that the gateway gives a server to its next token.
    #[arg(long, default_value_t = 20)]
    token_timeout: u64,
    /// Announce each server as this address followed by /NAME instead of its own: for a proxy in between.
    #[arg(long, value_name = "URL")]
    announce_through: Option<String>,
    /// For programs: one line of JSON once the network is up, and one for each process that was started again.
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends: for a parent process that may die.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// The bundled network: `count` servers, the last of which cheats if `cheat`.
pub(crate) fn plan(
    dir: Option<PathBuf>,
    listen: &str,
    api_key: &str,
    count: usize,
    cheat: bool,
) -> Result<Plan> {
    let root = tools::find_root()?;
    let dir = dir.unwrap_or_else(|| root.join(format!("target/devnet/{}", std::process::id())));
    let model = root.join("models").join(MODEL).with_extension("gguf");
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
        token_timeout: 20,
        announce_through: None,
    })
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let mut plan = plan(args.dir, &args.listen, &args.api_key, 5, args.cheat)?;
    plan.redeem_every = args.redeem_every;
    plan.token_timeout = args.token_timeout;
    plan.announce_through = args.announce_through;
    let stop = stop_signal(args.exit_with_parent);
    let mut network = tokio::select! {
        network = LocalNetwork::start(&plan, |step| eprintln!("· {step}")) => network?,
        () = stop.cancelled() => return Ok(()),
    };
    if args.json {
        println!("{}", description(&network, &plan));
    } else {
        welcome(&network, &plan);
    }
    loop {
        let restarted = tokio::select! {
            Some(restarted) = network.restarts.recv() => restarted,
            () = stop.cancelled() => break,
        };
        if args.json {
            println!("{}", json!({ "restarted": { "name": restarted.name, "pid": restarted.pid } }));
        }
    }
    eprintln!("stopping");
    network.stop().await;
    Ok(())
}

/// The network for programs.
fn description(network: &LocalNetwork, plan: &Plan) -> Value {
    let account = |name: &str| {
        let server = network.servers.iter().find(|(_, n)| n == name).map(|(account, _)| *account);
        server.or((name == "gateway").then_some(network.user))
    };
    let processes: Vec<Value> = network
        .processes
        .iter()
        .map(|p| json!({ "name": p.name, "pid": p.pid(), "url": p.url, "account": account(&p.name) }))
        .collect();
    json!({
        "gateway": network.gateway_url, "apiKey": plan.api_key, "model": MODEL, "rpc": network.rpc_url,
        "beacon": network.beacon_url, "beaconHash": network.beacon_hash, "pool": network.pool,
        "user": network.user, "dir": plan.dir, "deployment": network.deployment_file, "processes": processes,
    })
}

/// The network for people.
fn welcome(network: &LocalNetwork, plan: &Plan) {
    println!("gateway  {}/v1", network.gateway_url);
    println!("key      {}", plan.api_key);
    println!("model    {MODEL}");
    println!("chain    {}", network.rpc_url);
    println!("pool     {}", network.pool);
    println!("logs     {}", plan.dir.display());
    let program = std::env::current_exe().unwrap_or_else(|_| "assay".into());
    println!(
        "\ntry:     {} ask \"Tell me a story about a brave fox\" --url {}",
        program.display(),
        network.gateway_url
    );
    println!(
        "or:      curl {}/v1/chat/completions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n           \
         -d '{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Tell me a story about a brave fox\"}}]}}'",
        network.gateway_url, plan.api_key
    );
    println!("\nCtrl-C stops everything.");
}
