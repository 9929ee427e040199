//! The deployment that docs/OPERATING.md describes, by its own commands, on chains that bear the testnets' ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use assay_beacon::quicknet;
use assay_chain::{Chain, Deployment, abi, convert};
use assay_protocol::{Basis, Limits, PoolParams, Prices, Rates, Windows};
use assay_tests::{Network, root};
use eyre::{Context, Result, bail, ensure, eyre};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long one run of the commands may take: forge asks for each receipt as rarely as the testnet has blocks, and where it has to
/// compile first, npm's solc takes minutes.
const LIMIT: Duration = Duration::from_secs(600);
const SECTION: &str = "## Deploying";
const MODEL: &str = "models/tales-3m.gguf";
/// A key that anvil funds, for the one command that takes a plain key.
const ANVIL_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A testnet.
struct Testnet {
    chain_id: u64,
    pool: &'static str,
}

const TESTNETS: [Testnet; 2] = [
    Testnet { chain_id: 11_155_111, pool: "pools/sepolia.toml" },
    Testnet { chain_id: 11_155_420, pool: "pools/op-sepolia.toml" },
];

#[derive(Deserialize)]
struct PoolFile {
    prices: Prices,
    rates: Rates,
    limits: Limits,
    windows: Windows,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_deployment_works_and_a_second_run_changes_nothing() -> Result<()> {
    let commands = Commands::read()?;
    let place = Workplace::make()?;
    let account = place.run(&commands.once, None).await?;
    let account: Address = account.trim().lines().last().unwrap_or_default().parse()?;
    let mut deployments = Vec::new();
    for testnet in &TESTNETS {
        let anvil = Anvil::start(testnet.chain_id).await?;
        anvil.give(account, U256::from(10).pow(U256::from(18))).await?;
        place.run(&commands.each, Some((testnet, &anvil))).await?;
        let (files, sent) = (place.files()?, anvil.sent(account).await?);
        deployments.push(holds(&place, testnet, &anvil, account).await?);

        // The same commands once more, in later blocks.
        anvil.call("anvil_mine", serde_json::json!(["0x5"])).await?;
        let said = place.run(&commands.each, Some((testnet, &anvil))).await?;
        ensure!(place.files()? == files, "a second run changed deployments/");
        ensure!(anvil.sent(account).await? == sent, "a second run sent transactions");

        // So is a contract of this code that another constructor may have given other storage.
        let verify = "forge script script/Verify.s.sol 2>&1 || true";
        let deployer = said.split("deployer ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let deployer: Address = deployer.unwrap_or_default().parse()?;
        let staking = deployments.last().map(|d: &Deployment| d.staking).unwrap_or_default();
        anvil.forget_init_code(deployer, staking).await?;
        let said = place.run(verify, Some((testnet, &anvil))).await?;
        ensure!(said.contains("InitCodeDiffers(\"staking\""), "{said}");

        // Other code in a contract's place is noticed.
        let ledger = deployments.last().map(|d: &Deployment| d.ledger);
        anvil.call("anvil_setCode", serde_json::json!([ledger, "0x00"])).await?;
        let said = place.run(verify, Some((testnet, &anvil))).await?;
        ensure!(said.contains("CodeDiffers(\"ledger\""), "{said}");
    }
    // One account, the same addresses on both.
    let [sepolia, op_sepolia] = deployments.as_slice() else { bail!("two testnets") };
    let moved =
        Deployment { chain_id: op_sepolia.chain_id, start_block: op_sepolia.start_block, ..sepolia.clone() };
    ensure!(moved == *op_sepolia, "{sepolia:?}\n{op_sepolia:?}");
    Ok(())
}

/// The beacon is quicknet's, the pool is that of its file, and `assay pool create` would make the same one.
async fn holds(place: &Workplace, testnet: &Testnet, anvil: &Anvil, account: Address) -> Result<Deployment> {
    let path = place.dir.join(format!("deployments/{}.json", testnet.chain_id));
    let deployment = Deployment::load(&path)?;
    let chain = Chain::connect(&anvil.url, deployment.clone(), None).await?;
    let beacon = deployment.beacon;
    let info = quicknet::chain()?;
    let key = chain.call(beacon, abi::DrandBeacon::publicKeyCall {}).await?;
    ensure!(key[..] == info.public_key_uncompressed()[..], "the beacon's key is {}", hex::encode(key));
    ensure!(chain.call(beacon, abi::DrandBeacon::genesisCall {}).await? == quicknet::GENESIS);
    ensure!(chain.call(beacon, abi::DrandBeacon::periodCall {}).await? == u64::from(quicknet::PERIOD));
    let supply = chain.call(deployment.token, abi::AssayToken::totalSupplyCall {}).await?;
    let held = chain.call(deployment.token, abi::AssayToken::balanceOfCall { account }).await?;
    ensure!(supply == held && !supply.is_zero(), "the account holds {held} of {supply}");

    let file: PoolFile = toml::from_str(&std::fs::read_to_string(root().join(testnet.pool))?)?;
    let model_root = model_root().await?;
    let params = PoolParams {
        basis: Basis { token: deployment.token, beacon, arbiter: deployment.arbiter, modelRoot: model_root },
        prices: file.prices,
        rates: file.rates,
        limits: file.limits,
        windows: file.windows,
    };
    let id = params.id();
    let found: PoolParams = convert(&chain.call(deployment.pools, abi::Pools::getCall { pool: id }).await?);
    ensure!(found == params, "the pool is another than its file");
    let list = std::fs::read_to_string(path.with_extension("pools.json"))?;
    let list: BTreeMap<B256, serde_json::Value> = serde_json::from_str(&list)?;
    ensure!(list.keys().eq([&id]), "{list:?} does not name {id} alone");
    ensure!(list[&id]["file"] == testnet.pool, "{list:?}");

    let key_file = place.home.join("plain.key");
    std::fs::write(&key_file, ANVIL_KEY)?;
    let output = Network::command("pool")?
        .args(["create", testnet.pool, "--model", MODEL, "--rpc-url", &anvil.url, "--deployment"])
        .arg(&path)
        .arg("--key-file")
        .arg(&key_file)
        .output()
        .await?;
    let refusal = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && refusal.contains("PoolExists") && refusal.contains(&id.to_string()),
        "assay pool create, {}: {refusal}",
        output.status
    );
    model_by_pool(place, id, &path, anvil).await?;
    Ok(deployment)
}

/// The pool's model comes from where its creation says, and is verified; another one is told apart.
async fn model_by_pool(place: &Workplace, pool: B256, deployment: &Path, anvil: &Anvil) -> Result<()> {
    let run = async |arguments: &[&str]| -> Result<(bool, String)> {
        let mut command = Network::command("model")?;
        command.args(arguments).args(["--pool", &pool.to_string(), "--rpc-url", &anvil.url]);
        let output = command.arg("--deployment").arg(deployment).output().await?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    };
    let out = place.home.join(format!("{pool}.gguf"));
    let out = out.to_str().ok_or_else(|| eyre!("{}", out.display()))?;
    let (fine, said) = run(&["pull", "--out", out]).await?;
    ensure!(fine && std::fs::read(out)? == std::fs::read(root().join(MODEL))?, "assay model pull: {said}");
    let (fine, said) = run(&["verify", out]).await?;
    ensure!(fine && said.contains("It is the model of pool"), "assay model verify: {said}");
    let (fine, said) = run(&["verify", "models/tales-300k.gguf"]).await?;
    ensure!(!fine && said.contains("sha256 differs") && said.contains("root differs"), "{said}");
    // From another place, the pool's sha256 still decides.
    let other = format!("file://{}", root().join("models/tales-300k.gguf").display());
    let (fine, said) = run(&["pull", &other, "--out", &format!("{out}.other")]).await?;
    ensure!(!fine && said.contains("expected sha256"), "{said}");
    Ok(())
}

async fn model_root() -> Result<B256> {
    let output = Network::command("model")?.args(["show", MODEL]).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|l| l.strip_prefix("root")).map(str::trim);
    Ok(found.ok_or_else(|| eyre!("assay model show prints no root: {text}"))?.parse()?)
}

/// The document's commands.
struct Commands {
    /// Those that make the account.
    once: String,
    /// Those for each chain.
    each: String,
}

impl Commands {
    /// Takes the blocks of the section that carry the marker.
    fn read() -> Result<Self> {
        let text = std::fs::read_to_string(root().join("docs/OPERATING.md"))?;
        let (_, section) = text.split_once(SECTION).ok_or_else(|| eyre!("no section {SECTION}"))?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let blocks = |marker: &str| -> String {
            section.split(marker).skip(1).filter_map(|rest| rest.split("```").next()).collect()
        };
        let found = Self { once: blocks("```sh rehearsal once\n"), each: blocks("```sh rehearsal\n") };
        for (commands, wanted) in [
            (&found.once, &["cast wallet new"][..]),
            (&found.each, &["script/Deploy.s.sol", "script/Verify.s.sol", "script/CreatePool.s.sol"]),
        ] {
            for command in wanted {
                ensure!(commands.contains(command), "no block marked 'rehearsal' holds '{command}'");
            }
        }
        Ok(found)
    }
}

/// A copy of what the commands need of the checkout, and a home folder, so that nothing real is touched.
struct Workplace {
    dir: PathBuf,
    home: PathBuf,
}

impl Workplace {
    fn make() -> Result<Self> {
        let (dir, from) = (root().join("target/rehearsal/checkout"), root());
        let home = root().join("target/rehearsal/home");
        if let Some(parent) = dir.parent().filter(|p| p.exists()) {
            std::fs::remove_dir_all(parent)?;
        }
        // With forge's output, which spares compiling again.
        for part in ["contracts/src", "script", "pools", "target/forge/out", "target/forge/cache"] {
            copy(&from.join(part), &dir.join(part)).wrap_err(part)?;
        }
        std::fs::copy(from.join("foundry.toml"), dir.join("foundry.toml"))?;
        std::os::unix::fs::symlink(from.join("node_modules"), dir.join("node_modules"))?;
        std::fs::create_dir_all(dir.join("deployments"))?;
        std::fs::create_dir_all(&home)?;
        // forge keeps compilers in the home folder, and would download one into a new one.
        let compilers = std::env::home_dir().unwrap_or_default().join(".svm");
        if compilers.exists() {
            std::os::unix::fs::symlink(compilers, home.join(".svm"))?;
        }
        Ok(Self { dir, home })
    }

    /// Runs commands as the document's reader would, and returns what they print.
    async fn run(&self, commands: &str, on: Option<(&Testnet, &Anvil)>) -> Result<String> {
        let program = Network::command("model")?;
        let assay = Path::new(program.as_std().get_program()).parent().unwrap_or(Path::new("."));
        let mut path = vec![root().join("node_modules/.bin"), assay.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", commands])
            .current_dir(&self.dir)
            .env("PATH", std::env::join_paths(path)?)
            .env("HOME", &self.home)
            .env("ASSAY_MODEL", root().join(MODEL))
            .env("ASSAY_MODEL_URI", format!("file://{}", root().join(MODEL).display()))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // The other place for compilers.
        if std::env::var_os("XDG_DATA_HOME").is_none() {
            bash.env("XDG_DATA_HOME", std::env::home_dir().unwrap_or_default().join(".local/share"));
        }
        for variable in
            ["DRAND_PUBLIC_KEY", "DRAND_GENESIS", "DRAND_PERIOD", "ASSAY_TOKEN", "ASSAY_DEPLOYMENT_FILE"]
        {
            bash.env_remove(variable);
        }
        if let Some((testnet, anvil)) = on {
            bash.env("ASSAY_RPC_URL", &anvil.url).env("ASSAY_POOL_FILE", testnet.pool);
        }
        let output = tokio::time::timeout(LIMIT, bash.output())
            .await
            .map_err(|_| eyre!("not done within {LIMIT:?}:\n{commands}"))??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{}\n{commands}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// All that lies in `deployments/`.
    fn files(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(self.dir.join("deployments"))? {
            let path = entry?.path();
            files.insert(path.clone(), std::fs::read(path)?);
        }
        Ok(files)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A chain with the id of another; stopped when dropped.
struct Anvil {
    url: String,
    client: reqwest::Client,
    _child: Child,
}

impl Anvil {
    async fn start(chain_id: u64) -> Result<Self> {
        // Blocks by time and of Ethereum's size, as on the real ones. Of transactions that don't fit into a block anvil loses some.
        let mut child = Command::new(root().join("node_modules/.bin/anvil"))
            .args([
                "--port",
                "0",
                "--block-time",
                "1",
                "--hardfork",
                "prague",
                "--gas-limit",
                "60000000",
                "--chain-id",
                &chain_id.to_string(),
            ])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .wrap_err("can't start anvil; 'tools/setup' installs it")?;
        let stdout = child.stdout.take().ok_or_else(|| eyre!("anvil has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let Some(line) = lines.next_line().await? else { bail!("anvil ended") };
            if let Some((_, address)) = line.split_once("Listening on ") {
                break address.trim().to_owned();
            }
        };
        // A pipe that nobody reads would fill up and stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { url: format!("http://{address}"), client, _child: child })
    }

    async fn call(&self, method: &str, params: serde_json::Value) -> Result<serde_json::Value> {
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply: serde_json::Value = self.client.post(&self.url).json(&body).send().await?.json().await?;
        ensure!(reply.get("error").is_none(), "{method}: {reply}");
        Ok(reply["result"].clone())
    }

    async fn give(&self, account: Address, amount: U256) -> Result<()> {
        self.call("anvil_setBalance", serde_json::json!([account, amount])).await.map(drop)
    }

    /// What the deployer keeps of a contract's init code is at the start of its storage.
    async fn forget_init_code(&self, deployer: Address, of: Address) -> Result<()> {
        let slot = keccak256([of.into_word(), B256::ZERO].concat());
        let set = serde_json::json!([deployer, slot, B256::ZERO]);
        self.call("anvil_setStorageAt", set).await.map(drop)
    }

    /// Transactions that an account has sent.
    async fn sent(&self, account: Address) -> Result<U256> {
        let nonce = self.call("eth_getTransactionCount", serde_json::json!([account, "latest"])).await?;
        Ok(serde_json::from_value(nonce)?)
    }
}
