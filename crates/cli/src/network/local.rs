//! Sets a network up, step by step.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use assay_beacon::devnet::DevnetChain;
use assay_beacon::{Client, ClientConfig, SystemClock};
use assay_chain::{Chain, Deployment, Follower, PrivateKeySigner, abi};
use assay_engine::Model;
use assay_protocol::PoolParams;
use eyre::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::process::{Death, Launch, Process, Restarted};
use super::tools;
use crate::commands::pool;

/// Keys that anvil funds: known to everybody, good for nothing else.
const KEYS: [&str; 8] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
];
const DEPLOYER: usize = 0;
const ANY_PORT: &str = "127.0.0.1:0";
/// Tokens that the user gets in each of its accounts: balance, bond, and free for disputes.
const FLOAT: u64 = 50;
const POLL: u64 = 250;

/// A server to start.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// For people.
    pub(crate) name: String,
    /// The file it computes with.
    pub(crate) model: PathBuf,
}

/// What to set up.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Folder for keys, databases and logs.
    pub(crate) dir: PathBuf,
    /// The pool's parameters, in TOML.
    pub(crate) params: PathBuf,
    /// The pool's model.
    pub(crate) model: PathBuf,
    /// At most six.
    pub(crate) servers: Vec<Member>,
    /// Seats of each.
    pub(crate) seats: u32,
    /// Where the gateway listens.
    pub(crate) gateway: String,
    /// Key that the gateway accepts.
    pub(crate) api_key: String,
    /// Seconds between redemptions.
    pub(crate) redeem_every: u64,
    /// Seconds that the gateway gives a server to its next token.
    pub(crate) token_timeout: u64,
    /// Servers announce this address with their name as its path, instead of their own.
    pub(crate) announce_through: Option<String>,
}

/// A running network.
pub(crate) struct LocalNetwork {
    pub(crate) pool: B256,
    pub(crate) chain: Chain,
    pub(crate) follower: Follower,
    /// Accounts and names of the servers.
    pub(crate) servers: Vec<(Address, String)>,
    pub(crate) user: Address,
    pub(crate) gateway_url: String,
    pub(crate) rpc_url: String,
    pub(crate) beacon_url: String,
    /// Hash of the beacon's chain, in hex.
    pub(crate) beacon_hash: String,
    pub(crate) deployment_file: PathBuf,
    /// In the order of their starts.
    pub(crate) processes: Vec<Process>,
    /// Processes that died and were started again.
    pub(crate) restarts: UnboundedReceiver<Restarted>,
}

fn word_after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.split_once(marker)?.1.split_whitespace().next()
}

fn url_in(line: &str) -> Option<String> {
    word_after(line, "listening on ").map(str::to_owned)
}

impl LocalNetwork {
    /// Brings everything up. `progress` hears of each step.
    pub(crate) async fn start(plan: &Plan, mut progress: impl FnMut(&str)) -> Result<Self> {
        std::fs::create_dir_all(&plan.dir)?;
        let (restarted, restarts) = unbounded_channel();
        let mut processes = Vec::new();
        progress("chain: anvil, a block a second");
        let anvil = start_anvil(plan, &restarted).await?;
        let rpc_url = anvil.url.clone();
        processes.push(anvil);
        progress("beacon: a drand chain, a round a second");
        let (beacon, devnet) = start_beacon(plan, &restarted).await?;
        let beacon_url = beacon.url.clone();
        processes.push(beacon);
        progress("contracts: script/Deploy.s.sol");
        let deployment_file = deploy(plan, &rpc_url, &devnet).await?;
        let deployment = Deployment::load(&deployment_file)?;
        let signer: PrivateKeySigner = KEYS[DEPLOYER].parse()?;
        let chain = Chain::connect(&rpc_url, deployment, Some(signer)).await?;

        progress("pool: created under the enforced conditions; accounts funded");
        let model = Model::open(&plan.model).wrap_err_with(|| format!("{}", plan.model.display()))?;
        let text = std::fs::read_to_string(&plan.params)?;
        let params = pool::params(&text, &chain, None, model.root())?;
        let id = pool::create(&chain, &params, "", &std::fs::read(&plan.model)?).await?;
        let keys = write_keys(plan)?;
        let servers: Vec<(Address, String)> =
            keys.servers.iter().zip(&plan.servers).map(|((a, _), m)| (*a, m.name.clone())).collect();
        fund(plan, &chain, &params, id, &servers, keys.user.0).await?;
        fund_user(&rpc_url, &chain, id, &keys.user.1).await?;

        progress("servers and gateway: one process each");
        let beacon_hash = hex::encode(devnet.info().hash());
        let node = |command: &str, key: &Path, model: &Path, name: &str| -> Result<Launch> {
            let mut launch = assay(plan, command, name)?;
            launch.args.extend(words(["--rpc-url", &rpc_url, "--beacon-url", &beacon_url]));
            launch.args.extend(words(["--beacon-hash", &beacon_hash, "--pool", &id.to_string()]));
            launch.args.extend(words(["--poll", &POLL.to_string()]));
            for (option, path) in
                [("--deployment", deployment_file.as_path()), ("--key-file", key), ("--model", model)]
            {
                launch.args.extend([option.into(), path.into()]);
            }
            launch.args.extend(["--data".into(), plan.dir.join(name).into()]);
            Ok(launch)
        };
        let mut starts = Vec::new();
        for ((_, key), member) in keys.servers.iter().zip(&plan.servers) {
            let mut launch = node("server", key, &member.model, &member.name)?;
            launch.args.extend(words(["--seats", &plan.seats.to_string()]));
            launch.args.extend(words(["--redeem-every", &plan.redeem_every.to_string()]));
            if let Some(proxy) = &plan.announce_through {
                let url = format!("{}/{}", proxy.trim_end_matches('/'), member.name);
                launch.args.extend(words(["--announce", &url]));
            }
            if member.model != plan.model {
                launch.args.push("--wrong-model".into());
            }
            starts.push(Process::start(launch, restarted.clone()));
        }
        for started in futures::future::join_all(starts).await {
            processes.push(started?);
        }
        let mut launch = node("gateway", &keys.user.1, &plan.model, "gateway")?;
        launch.listen = Some(plan.gateway.clone());
        launch.args.extend(words(["--api-key", &plan.api_key]));
        launch.args.extend(words(["--token-timeout", &plan.token_timeout.to_string()]));
        let gateway = Process::start(launch, restarted).await?;
        let gateway_url = gateway.url.clone();
        processes.push(gateway);

        progress("waiting until the seats are in the table (two epochs)");
        let follower = Follower::start(chain.clone(), Duration::from_millis(POLL)).await?;
        let network = Self {
            pool: id,
            chain,
            follower,
            servers,
            user: keys.user.0,
            gateway_url,
            rpc_url,
            beacon_url,
            beacon_hash,
            deployment_file,
            processes,
            restarts,
        };
        network.until_open().await?;
        Ok(network)
    }

    /// Waits until the pool is large enough for its requests to count.
    async fn until_open(&self) -> Result<()> {
        let mut blocks = self.follower.blocks();
        loop {
            {
                let index = self.follower.read().await;
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
                if index.pool(self.pool).is_some_and(|p| p.is_open(p.params.epoch_of(now))) {
                    return Ok(());
                }
            }
            blocks.changed().await?;
        }
    }

    /// Name of a server's account.
    pub(crate) fn name_of(&self, account: Address) -> String {
        if account == self.user {
            return "user".into();
        }
        let found = self.servers.iter().find(|(a, _)| *a == account);
        found.map_or_else(|| account.to_string(), |(_, name)| name.clone())
    }

    /// Stops everything, gateway first.
    pub(crate) async fn stop(mut self) {
        while let Some(process) = self.processes.pop() {
            process.stop().await;
        }
    }
}

fn words<const N: usize>(words: [&str; N]) -> [OsString; N] {
    words.map(OsString::from)
}

/// This very program as a child.
fn assay(plan: &Plan, command: &str, name: &str) -> Result<Launch> {
    Ok(Launch {
        name: name.to_owned(),
        program: std::env::current_exe()?,
        args: words([command, "--exit-with-parent"]).into(),
        secret: None,
        listen: Some(ANY_PORT.into()),
        log: plan.dir.join(format!("{name}.log")),
        listening: url_in,
        death: Death::Restart,
    })
}

async fn start_anvil(plan: &Plan, restarted: &UnboundedSender<Restarted>) -> Result<Process> {
    // Blocks of Ethereum's size: of transactions that don't fit into one anvil loses some.
    let launch = Launch {
        name: "anvil".into(),
        program: tools::path(&plan.root, "anvil"),
        args: words(["--port", "0", "--block-time", "1", "--hardfork", "prague", "--gas-limit", "60000000"])
            .into(),
        secret: None,
        listen: None,
        log: plan.dir.join("anvil.log"),
        listening: |line| Some(format!("http://{}", word_after(line, "Listening on ")?)),
        death: Death::Report,
    };
    Process::start(launch, restarted.clone()).await
}

async fn start_beacon(plan: &Plan, restarted: &UnboundedSender<Restarted>) -> Result<(Process, DevnetChain)> {
    let seed: [u8; 32] = rand::random();
    let genesis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 30;
    let devnet = DevnetChain::new(&seed, genesis, 1)?;
    let mut launch = assay(plan, "beacon", "beacon")?;
    launch.args.extend(words(["--genesis", &genesis.to_string()]));
    // Not an argument: whoever can list processes would know every round.
    launch.secret = Some(("ASSAY_BEACON_SEED", hex::encode(seed)));
    let process = Process::start(launch, restarted.clone()).await?;
    let config = ClientConfig { urls: vec![process.url.clone()], ..ClientConfig::default() };
    Client::new(devnet.info().clone(), config, Arc::new(SystemClock))?.check().await?;
    Ok((process, devnet))
}

async fn deploy(plan: &Plan, rpc_url: &str, devnet: &DevnetChain) -> Result<PathBuf> {
    let file = plan.dir.join("deployment.json");
    // forge may write below target/ alone, wherever the network's own folder is.
    let written = plan.root.join(format!("target/devnet/deployment-{}.json", std::process::id()));
    std::fs::create_dir_all(plan.root.join("target/devnet"))?;
    let info = devnet.info();
    let output = Command::new(tools::path(&plan.root, "forge"))
        .current_dir(&plan.root)
        .args(["script", "script/Deploy.s.sol", "--broadcast", "--rpc-url", rpc_url])
        .args(["--private-key", KEYS[DEPLOYER]])
        .env("DRAND_PUBLIC_KEY", format!("0x{}", hex::encode(info.public_key_uncompressed())))
        .env("DRAND_GENESIS", info.genesis().to_string())
        .env("DRAND_PERIOD", info.period().to_string())
        .env("ASSAY_DEPLOYMENT_FILE", &written)
        .output()
        .await
        .wrap_err("can't run forge")?;
    if !output.status.success() || !written.exists() {
        bail!(
            "deploying failed:\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::fs::rename(&written, &file).or_else(|_| std::fs::copy(&written, &file).map(drop))?;
    Ok(file)
}

struct Keys {
    servers: Vec<(Address, PathBuf)>,
    user: (Address, PathBuf),
}

fn write_keys(plan: &Plan) -> Result<Keys> {
    let write = |index: usize, name: &str| -> Result<(Address, PathBuf)> {
        let Some(key) = KEYS.get(index) else { bail!("at most {} servers", KEYS.len() - 2) };
        let signer: PrivateKeySigner = key.parse()?;
        let path = plan.dir.join(format!("{name}.key"));
        std::fs::write(&path, key)?;
        Ok((signer.address(), path))
    };
    let servers =
        plan.servers.iter().enumerate().map(|(i, m)| write(i + 1, &m.name)).collect::<Result<_>>()?;
    Ok(Keys { servers, user: write(plan.servers.len() + 1, "user")? })
}

fn tokens(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}

/// Puts money into the pool for everybody, in as few blocks as it takes.
async fn fund(
    plan: &Plan,
    chain: &Chain,
    params: &PoolParams,
    pool: B256,
    servers: &[(Address, String)],
    user: Address,
) -> Result<()> {
    let d = chain.deployment();
    chain.send(d.token, abi::AssayToken::approveCall { spender: d.ledger, value: U256::MAX }).await?;
    let seat = U256::from(params.prices.seatStake) + U256::from(params.prices.seatFloat);
    let servers = servers.iter().map(|(a, _)| (*a, seat * U256::from(plan.seats) + tokens(1)));
    let deposits = servers.chain([(user, tokens(3 * FLOAT))]).map(|(to, amount)| async move {
        chain.send(d.ledger, abi::Ledger::depositCall { pool, to, amount }).await
    });
    for sent in futures::future::join_all(deposits).await {
        sent?;
    }
    Ok(())
}

async fn fund_user(rpc_url: &str, chain: &Chain, pool: B256, key: &Path) -> Result<()> {
    let signer = crate::node::read_key(key)?;
    let chain = Chain::connect(rpc_url, chain.deployment().clone(), Some(signer)).await?;
    let call = abi::Lanes::fundCall { pool, balance: tokens(FLOAT), bond: tokens(FLOAT) };
    chain.send(chain.deployment().lanes, call).await?;
    Ok(())
}
