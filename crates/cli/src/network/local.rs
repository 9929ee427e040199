//! Sets a network up, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use assay_beacon::devnet::DevnetChain;
use assay_beacon::{Client, ClientConfig, SystemClock};
use assay_chain::{abi, Chain, Deployment, Follower, PrivateKeySigner};
use assay_engine::Model;
use assay_protocol::PoolParams;
use eyre::{bail, Context, Result};
use tokio::process::Command;

use super::process::Process;
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
/// Tokens that each server and the user deposit beyond what seats cost.
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
    processes: Vec<Process>,
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
        let mut processes = Vec::new();
        progress("chain: anvil, a block a second");
        let (anvil, rpc_url) = start_anvil(plan).await?;
        processes.push(anvil);
        progress("beacon: a drand chain, a round a second");
        let (beacon, devnet, beacon_url) = start_beacon(plan).await?;
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
        let common = |command: &mut Command, key: &Path, data: &str| {
            command
                .args(["--rpc-url", &rpc_url, "--beacon-url", &beacon_url, "--beacon-hash", &beacon_hash])
                .arg("--deployment")
                .arg(&deployment_file)
                .arg("--key-file")
                .arg(key)
                .arg("--data")
                .arg(plan.dir.join(data))
                .args(["--pool", &id.to_string(), "--poll", &POLL.to_string(), "--exit-with-parent"]);
        };
        let starts = keys.servers.iter().zip(&plan.servers).map(|((_, key), member)| {
            let common = &common;
            async move {
                let mut command = assay("server")?;
                common(&mut command, key, &member.name);
                command
                    .arg("--model")
                    .arg(&member.model)
                    .args(["--seats", &plan.seats.to_string(), "--redeem-every", &plan.redeem_every.to_string()]);
                if member.model != plan.model {
                    command.arg("--wrong-model");
                }
                let log = plan.dir.join(format!("{}.log", member.name));
                Process::start(&member.name, command, &log, url_in).await
            }
        });
        for started in futures::future::join_all(starts).await {
            processes.push(started?.0);
        }
        let mut command = assay("gateway")?;
        common(&mut command, &keys.user.1, "gateway");
        command
            .arg("--model")
            .arg(&plan.model)
            .args(["--listen", &plan.gateway, "--api-key", &plan.api_key]);
        let (gateway, gateway_url) =
            Process::start("gateway", command, &plan.dir.join("gateway.log"), url_in).await?;
        processes.push(gateway);

        progress("waiting until the seats are in the table (two epochs)");
        let follower = Follower::start(chain.clone(), Duration::from_millis(POLL)).await?;
        let network =
            Self { pool: id, chain, follower, servers, user: keys.user.0, gateway_url, rpc_url, processes };
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

/// This very program as a child.
fn assay(command: &str) -> Result<Command> {
    let mut child = Command::new(std::env::current_exe()?);
    child.arg(command);
    Ok(child)
}

async fn start_anvil(plan: &Plan) -> Result<(Process, String)> {
    let mut command = Command::new(tools::path(&plan.root, "anvil"));
    command.args(["--port", "0", "--block-time", "1", "--hardfork", "prague"]);
    let log = plan.dir.join("anvil.log");
    Process::start("anvil", command, &log, |line| Some(format!("http://{}", word_after(line, "Listening on ")?)))
        .await
}

async fn start_beacon(plan: &Plan) -> Result<(Process, DevnetChain, String)> {
    let seed: [u8; 32] = rand::random();
    let genesis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 30;
    let devnet = DevnetChain::new(&seed, genesis, 1)?;
    let mut command = assay("beacon")?;
    command.args(["--genesis", &genesis.to_string(), "--exit-with-parent"]);
    // Not an argument: whoever can list processes would know every round.
    command.env("ASSAY_BEACON_SEED", hex::encode(seed));
    let (process, url) = Process::start("beacon", command, &plan.dir.join("beacon.log"), url_in).await?;
    let config = ClientConfig { urls: vec![url.clone()], ..ClientConfig::default() };
    Client::new(devnet.info().clone(), config, Arc::new(SystemClock))?.check().await?;
    Ok((process, devnet, url))
}

async fn deploy(plan: &Plan, rpc_url: &str, devnet: &DevnetChain) -> Result<PathBuf> {
    let file = plan.dir.join("deployment.json");
    let info = devnet.info();
    let output = Command::new(tools::path(&plan.root, "forge"))
        .current_dir(&plan.root)
        .args(["script", "script/Deploy.s.sol", "--broadcast", "--rpc-url", rpc_url])
        .args(["--private-key", KEYS[DEPLOYER]])
        .env("DRAND_PUBLIC_KEY", format!("0x{}", hex::encode(info.public_key_uncompressed())))
        .env("DRAND_GENESIS", info.genesis().to_string())
        .env("DRAND_PERIOD", info.period().to_string())
        .env("ASSAY_DEPLOYMENT_FILE", &file)
        .output()
        .await
        .wrap_err("can't run forge")?;
    if !output.status.success() || !file.exists() {
        bail!(
            "deploying failed:\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
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
    let deposits = servers.chain([(user, tokens(2 * FLOAT))]).map(|(to, amount)| async move {
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
