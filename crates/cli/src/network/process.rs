//! Child processes that say where they listen, are started again when they die, and end with their parent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eyre::{Context, Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a process may take until it listens.
const START: Duration = Duration::from_secs(60);
/// How long one may take to stop when asked.
const STOP: Duration = Duration::from_secs(5);
/// Pause before a process that could not be started again is tried once more.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a process says that it listens, in a line of its output.
pub(crate) type Listening = fn(&str) -> Option<String>;

/// What to do when a process dies on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Start it again with the same arguments, at the same address. It is told to stop by the end of its input.
    Restart,
    /// Say so: its state died with it. It does not read its input, and is killed to stop it.
    Report,
}

/// How to start a process, the first time and after it died.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Environment beyond this process's own.
    pub(crate) secret: Option<(&'static str, String)>,
    /// Address for `--listen`; a restart gets the one that the first start took.
    pub(crate) listen: Option<String>,
    /// Gets the standard output; the file beside it that ends in `.err` gets the standard error.
    pub(crate) log: PathBuf,
    pub(crate) listening: Listening,
    pub(crate) death: Death,
}

/// A process that was started again.
#[derive(Debug, Clone)]
pub(crate) struct Restarted {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

/// A running child. Killed when dropped; [`Process::stop`] lets it finish first.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// What it said that it listens on.
    pub(crate) url: String,
    pid: Arc<AtomicU32>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // The task owns the child, which is killed when dropped.
        self.task.abort();
    }
}

impl Process {
    /// Starts a process and waits until it listens. `restarts` hears of every later start.
    pub(crate) async fn start(mut launch: Launch, restarts: UnboundedSender<Restarted>) -> Result<Self> {
        let (child, url) = launch.spawn(false).await?;
        if launch.listen.is_some() {
            launch.listen = url.rsplit('/').next().map(str::to_owned);
        }
        let pid = Arc::new(AtomicU32::new(child.id().unwrap_or_default()));
        let stop = CancellationToken::new();
        let name = launch.name.clone();
        let task = tokio::spawn(supervise(launch, child, pid.clone(), stop.clone(), restarts));
        Ok(Self { name, url, pid, stop, task })
    }

    /// The operating system's number of it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Acquire)
    }

    /// Asks it to stop, and kills it if it does not.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // A task that panicked has dropped, and so killed, its child.
        let _ = (&mut self.task).await;
    }
}

/// Owns a child until `stop`; starts it again whenever it dies.
async fn supervise(
    launch: Launch,
    mut child: Child,
    pid: Arc<AtomicU32>,
    stop: CancellationToken,
    restarts: UnboundedSender<Restarted>,
) {
    let name = &launch.name;
    loop {
        // Waiting would close it, and its end tells the child to stop.
        let input = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status,
            () = stop.cancelled() => {
                drop(input);
                return end(&launch, child).await;
            }
        };
        let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
        if launch.death == Death::Report {
            eprintln!("{name} ended ({status}); the network can't go on without it");
            return;
        }
        eprintln!("{name} ended ({status}); starting it again");
        child = loop {
            let started = tokio::select! {
                started = launch.spawn(true) => started,
                () = stop.cancelled() => return,
            };
            match started {
                Ok((child, _)) => break child,
                Err(error) => eprintln!("{error:#}; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => return,
            }
        };
        pid.store(child.id().unwrap_or_default(), Ordering::Release);
        // Nobody may be listening.
        let _ = restarts.send(Restarted { name: name.clone(), pid: child.id().unwrap_or_default() });
    }
}

/// Kills a child unless it stops by itself, now that its input has ended.
async fn end(launch: &Launch, mut child: Child) {
    let asked = launch.death == Death::Restart;
    if !asked || tokio::time::timeout(STOP, child.wait()).await.is_err() {
        // It may be gone by now.
        let _ = child.kill().await;
    }
}

async fn open(path: &Path, again: bool) -> std::io::Result<File> {
    File::options().create(true).write(true).append(again).truncate(!again).open(path).await
}

impl Launch {
    /// Starts a child; `again` keeps what earlier ones logged.
    async fn spawn(&self, again: bool) -> Result<(Child, String)> {
        let errors_path = self.log.with_extension("err");
        let errors = open(&errors_path, again).await?.into_std().await;
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(listen) = &self.listen {
            command.args(["--listen", listen]);
        }
        if let Some((variable, value)) = &self.secret {
            command.env(variable, value);
        }
        let name = &self.name;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            // Ctrl-C is for this process, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("can't start {name}"))?;
        let Some(stdout) = child.stdout.take() else { bail!("{name} has no output") };
        let mut lines = BufReader::new(stdout).lines();
        let mut file = open(&self.log, again).await?;
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                file.write_all(line.as_bytes()).await?;
                file.write_all(b"\n").await?;
                if let Some(found) = (self.listening)(&line) {
                    return Ok(found);
                }
            }
            let errors = std::fs::read_to_string(&errors_path).unwrap_or_default();
            bail!("{name} ended at once:\n{}", errors.trim())
        };
        let found = tokio::time::timeout(START, wait).await.map_err(|_| {
            eyre::eyre!("{name} does not listen after {START:?}; see {}", self.log.display())
        })??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if file.write_all(line.as_bytes()).await.is_err() || file.write_all(b"\n").await.is_err() {
                    return;
                }
            }
        });
        Ok((child, found))
    }
}
