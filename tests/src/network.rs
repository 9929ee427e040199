//! A network of processes, as `assay devnet` starts it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use assay_beacon::{Client as BeaconClient, ClientConfig, SystemClock};
use assay_chain::{Chain, Deployment, Follower, PrivateKeySigner};
use eyre::{Context, Result, bail, eyre};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::Api;

/// How long a network may take to come up.
const START: Duration = Duration::from_secs(90);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// How long a process that died may take to be back.
const RESTART: Duration = Duration::from_secs(20);

/// How a network differs from `assay devnet` without options.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Address that servers announce, their names as its path.
    pub announce_through: Option<String>,
    /// Seconds between redemptions.
    pub redeem_every: Option<u64>,
    /// Seconds that the gateway gives a server to its next token.
    pub token_timeout: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    gateway: String,
    api_key: String,
    model: String,
    rpc: String,
    beacon: String,
    beacon_hash: String,
    pool: B256,
    user: Address,
    dir: PathBuf,
    deployment: PathBuf,
    processes: Vec<Process>,
}

#[derive(Debug, Deserialize)]
struct Process {
    name: String,
    pid: u32,
    url: String,
    account: Option<Address>,
}

#[derive(Debug, Deserialize)]
struct Restarted {
    restarted: NameAndPid,
}

#[derive(Debug, Deserialize)]
struct NameAndPid {
    name: String,
    pid: u32,
}

/// A running network; stopped when dropped. Its logs stay until the next one of the same name starts.
#[derive(Debug)]
pub struct Network {
    /// The gateway's API.
    pub api: Api,
    /// The pool's id.
    pub pool: B256,
    /// The account that the gateway pays from.
    pub user: Address,
    /// The index of the chain.
    pub follower: Follower,
    /// A connection to the chain that can only read.
    pub chain: Chain,
    /// Client of the beacon's chain.
    pub beacon: BeaconClient,
    description: Description,
    child: Child,
    pids: watch::Receiver<HashMap<String, u32>>,
}

/// The checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The program under test: `ASSAY_BIN`, or the one that a release build leaves.
pub(crate) fn program() -> Result<PathBuf> {
    let path = match std::env::var_os("ASSAY_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
            target.join("release/assay")
        }
    };
    if !path.is_file() {
        bail!(
            "no assay program at {}; build it with 'cargo build --release -p assay-cli', or name one in ASSAY_BIN",
            path.display()
        );
    }
    Ok(path)
}

impl Network {
    /// A command of the program under test, run in the checkout.
    ///
    /// # Errors
    /// The program is not built.
    pub fn command(name: &str) -> Result<Command> {
        let mut command = Command::new(program()?);
        command.arg(name).current_dir(root()).env("NO_COLOR", "1").kill_on_drop(true);
        Ok(command)
    }

    /// Starts a network whose state and logs are in `target/e2e/NAME`.
    ///
    /// # Errors
    /// The network does not come up in time; the text says what it printed.
    pub async fn start(name: &str, options: &Options) -> Result<Self> {
        let dir = root().join("target/e2e").join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        let errors = dir.join("devnet.err");
        let mut command = Self::command("devnet")?;
        command.args(["--json", "--exit-with-parent", "--listen", "127.0.0.1:0", "--dir"]).arg(&dir);
        if let Some(url) = &options.announce_through {
            command.args(["--announce-through", url]);
        }
        if let Some(seconds) = options.redeem_every {
            command.args(["--redeem-every", &seconds.to_string()]);
        }
        if let Some(seconds) = options.token_timeout {
            command.args(["--token-timeout", &seconds.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(&errors)?);
        let mut child = command.spawn().wrap_err("can't start assay devnet")?;
        let stdout = child.stdout.take().ok_or_else(|| eyre!("assay devnet has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START, lines.next_line())
            .await
            .map_err(|_| eyre!("assay devnet is not up after {START:?}; logs in {}", dir.display()))??;
        let Some(first) = first else {
            bail!("assay devnet ended:\n{}", std::fs::read_to_string(&errors).unwrap_or_default());
        };
        let description: Description =
            serde_json::from_str(&first).wrap_err_with(|| format!("assay devnet says: {first}"))?;
        let (pids_out, pids) = watch::channel(
            description.processes.iter().map(|p| (p.name.clone(), p.pid)).collect::<HashMap<_, _>>(),
        );
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(Restarted { restarted }) = serde_json::from_str(&line) {
                    pids_out.send_modify(|pids| {
                        pids.insert(restarted.name, restarted.pid);
                    });
                }
            }
        });
        let chain =
            Chain::connect(&description.rpc, Deployment::load(&description.deployment)?, None).await?;
        let follower = Follower::start(chain.clone(), Duration::from_millis(250)).await?;
        let hash = hex::decode(&description.beacon_hash)?;
        let hash = hash.try_into().map_err(|_| eyre!("the beacon's hash is not 32 bytes"))?;
        let config = ClientConfig { urls: vec![description.beacon.clone()], ..ClientConfig::default() };
        let beacon = BeaconClient::connect(hash, config, std::sync::Arc::new(SystemClock)).await?;
        let api = Api::new(&description.gateway, &description.api_key, &description.model)?;
        let (pool, user) = (description.pool, description.user);
        Ok(Self { api, pool, user, follower, chain, beacon, description, child, pids })
    }

    /// Names of the servers.
    pub fn servers(&self) -> Vec<String> {
        let servers = self.description.processes.iter().filter(|p| p.name.starts_with("server"));
        servers.map(|p| p.name.clone()).collect()
    }

    fn process(&self, name: &str) -> Result<&Process> {
        self.description.processes.iter().find(|p| p.name == name).ok_or_else(|| eyre!("no process {name}"))
    }

    /// Account of a server.
    ///
    /// # Errors
    /// There is no such server.
    pub fn account(&self, name: &str) -> Result<Address> {
        self.process(name)?.account.ok_or_else(|| eyre!("{name} has no account"))
    }

    /// Name of the server with an account.
    ///
    /// # Errors
    /// There is no such server.
    pub fn name_of(&self, account: Address) -> Result<String> {
        let found = self.description.processes.iter().find(|p| p.account == Some(account));
        found.map(|p| p.name.clone()).ok_or_else(|| eyre!("nobody has the account {account}"))
    }

    /// Where a process listens, whatever it announces.
    ///
    /// # Errors
    /// There is no such process.
    pub fn url(&self, name: &str) -> Result<String> {
        Ok(self.process(name)?.url.clone())
    }

    /// The key of a server, or of `user`.
    ///
    /// # Errors
    /// There is no such key file.
    pub fn key(&self, name: &str) -> Result<PrivateKeySigner> {
        let path = self.description.dir.join(format!("{name}.key"));
        let text = std::fs::read_to_string(&path).wrap_err_with(|| format!("{}", path.display()))?;
        Ok(text.trim().parse()?)
    }

    /// JSON-RPC of its chain.
    pub fn rpc_url(&self) -> &str {
        &self.description.rpc
    }

    /// The file with the contracts' addresses.
    pub fn deployment(&self) -> &Path {
        &self.description.deployment
    }

    /// Calls a method of anvil's own.
    ///
    /// # Errors
    /// The chain does not answer, or refuses.
    pub async fn rpc(&self, method: &str, params: serde_json::Value) -> Result<()> {
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let client = reqwest::Client::builder().no_proxy().build()?;
        let reply: serde_json::Value = client.post(self.rpc_url()).json(&body).send().await?.json().await?;
        if let Some(error) = reply.get("error") {
            bail!("{method}: {error}");
        }
        Ok(())
    }

    /// What a process has logged so far.
    ///
    /// # Errors
    /// There is no such process.
    pub fn log(&self, name: &str) -> Result<String> {
        let path = self.description.dir.join(format!("{name}.err"));
        std::fs::read_to_string(&path).wrap_err_with(|| format!("{}", path.display()))
    }

    fn pid(&self, name: &str) -> Result<Pid> {
        let raw = if name == "devnet" { self.child.id() } else { self.pids.borrow().get(name).copied() };
        let pid = raw.and_then(|raw| Pid::from_raw(i32::try_from(raw).ok()?));
        pid.ok_or_else(|| eyre!("{name} is not running"))
    }

    /// Kills a process without a chance to finish anything, as a power cut would. The devnet starts it again.
    ///
    /// # Errors
    /// There is no such process.
    pub fn kill(&self, name: &str) -> Result<Killed> {
        let pid = self.pid(name)?;
        let pids = self.pids.clone();
        kill_process(pid, Signal::KILL).wrap_err_with(|| format!("can't kill {name}"))?;
        Ok(Killed { name: name.to_owned(), pid, pids })
    }

    /// Stops a process where it is, as a machine that hangs or a network that drops everything would. It goes on when the
    /// value is dropped. `devnet` stands for the process that starts the others again.
    ///
    /// # Errors
    /// There is no such process.
    pub fn pause(&self, name: &str) -> Result<Paused> {
        let pid = self.pid(name)?;
        kill_process(pid, Signal::STOP).wrap_err_with(|| format!("can't stop {name}"))?;
        Ok(Paused(pid))
    }
}

/// A process that was killed.
#[derive(Debug)]
pub struct Killed {
    name: String,
    pid: Pid,
    pids: watch::Receiver<HashMap<String, u32>>,
}

impl Killed {
    /// Waits until it is running and listening again.
    ///
    /// # Errors
    /// It does not come back.
    pub async fn back(mut self) -> Result<()> {
        let old = self.pid.as_raw_nonzero().get().unsigned_abs();
        let back = self.pids.wait_for(|pids| pids.get(&self.name).is_some_and(|pid| *pid != old));
        let waited = tokio::time::timeout(RESTART, back).await;
        waited.map_err(|_| eyre!("{} is not back after {RESTART:?}", self.name))??;
        Ok(())
    }
}

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub struct Paused(Pid);

impl Drop for Paused {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < STOP {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its children end with it, but for the chain, which knows nothing of its parent.
        let _ = self.child.start_kill();
        if let Ok(anvil) = self.pid("anvil") {
            let _ = kill_process(anvil, Signal::KILL);
        }
    }
}
