//! The stock `openai` package of PyPI works against the gateway by its base URL alone.

use std::process::Stdio;

use assay_tests::{Network, Options, root};
use eyre::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

async fn output(mut command: Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await.wrap_err_with(|| format!("can't run {what}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{what}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_client_works_by_base_url_alone() -> Result<()> {
    let python = tokio::spawn(output(Command::new(root().join("tests/setup-python")), "tests/setup-python"));
    let network = Network::start("openai", &Options::default()).await?;
    let python = python.await??;

    let mut client = Command::new(python.trim());
    client
        .arg(root().join("tests/openai_client.py"))
        .env("OPENAI_BASE_URL", format!("{}/v1", network.api.url))
        .env("OPENAI_API_KEY", &network.api.key)
        .env("ASSAY_MODEL", &network.api.model)
        .env("NO_PROXY", "127.0.0.1");
    let ids: Vec<String> = serde_json::from_str(output(client, "tests/openai_client.py").await?.trim())?;

    // Every answer that the client got, the gateway remembers with a server that stands for it.
    ensure!(ids.len() > 10, "{ids:?}");
    for id in ids {
        let reply = network.api.get(&format!("/assay/v1/requests/{id}")).send().await?;
        ensure!(reply.status() == 200, "{id} is not remembered");
        let status: Value = reply.json().await?;
        let server = serde_json::from_value(status["server"].clone())?;
        ensure!(network.name_of(server)?.starts_with("server"), "{status}");
    }
    Ok(())
}
