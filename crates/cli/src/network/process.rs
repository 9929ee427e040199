//! Child processes that say where they listen and end with their parent.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use eyre::{bail, Context, Result};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// How long a process may take until it listens.
const START: Duration = Duration::from_secs(60);
/// How long one may take to stop when asked.
const STOP: Duration = Duration::from_secs(5);

/// A running child. Killed when dropped; [`Process::stop`] lets it finish first.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
}

impl Process {
    /// Starts `command` and waits for the line of its output that `listening` recognises. All output goes to `log`.
    pub(crate) async fn start<T>(
        name: &str,
        mut command: Command,
        log: &Path,
        listening: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T)> {
        let errors = std::fs::File::create(log.with_extension("err"))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("can't start {name}"))?;
        let Some(stdout) = child.stdout.take() else { bail!("{name} has no output") };
        let mut lines = BufReader::new(stdout).lines();
        let mut file = File::create(log).await?;
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                file.write_all(line.as_bytes()).await?;
                file.write_all(b"\n").await?;
                if let Some(found) = listening(&line) {
                    return Ok(found);
                }
            }
            let errors = std::fs::read_to_string(log.with_extension("err")).unwrap_or_default();
            bail!("{name} ended at once:\n{}", errors.trim())
        };
        let found = tokio::time::timeout(START, wait)
            .await
            .map_err(|_| eyre::eyre!("{name} does not listen after {START:?}; see {}", log.display()))??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if file.write_all(line.as_bytes()).await.is_err() || file.write_all(b"\n").await.is_err() {
                    return;
                }
            }
        });
        Ok((Self { name: name.to_owned(), child }, found))
    }

    /// Kills it at once, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.wrap_err_with(|| format!("can't kill {}", self.name))
    }

    /// Asks it to stop by ending its input, and kills it if it does not.
    pub(crate) async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.kill().await;
        }
    }
}
