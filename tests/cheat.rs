//! `assay demo`: among five servers the one that runs a cheaper model is caught, and nobody else is.

use std::process::Stdio;

use assay_tests::Network;
use eyre::{Result, ensure};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_convicts_the_cheat_alone_and_adds_up() -> Result<()> {
    // The command's own limit is for people who watch; a busy machine may need longer, and this asks what comes out.
    let output = Network::command("demo")?.args(["--limit", "300"]).stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let shown = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "assay demo: {}\n{shown}", output.status);

    let convicted: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("convicted: ")).collect();
    ensure!(convicted.len() == 1, "{shown}");
    let names = convicted[0].split("   after").next().unwrap_or_default();
    ensure!(names == "cheat", "convicted: {names}\n{shown}");
    // Every verdict names it, and so does every slash.
    let verdicts: Vec<&str> = text.lines().filter(|l| l.contains(" verdict: ")).collect();
    ensure!(!verdicts.is_empty(), "{shown}");
    for line in verdicts {
        ensure!(
            line.contains("verdict: cheat convicted") || line.contains("verdict: nobody convicted"),
            "{line}\n{shown}"
        );
    }
    for line in text.lines().filter(|l| l.contains(" slash: ")) {
        ensure!(line.contains(" of cheat "), "{line}\n{shown}");
    }
    ensure!(text.contains("each account: true") && !text.contains(": false"), "{shown}");
    Ok(())
}
