//! `assay economics` as people call it: what it prints, writes and refuses.

use std::process::Output;

use assay_tests::{Network, root};
use eyre::{Result, ensure};

const POOL: &str = "pools/sepolia.toml";

fn economics(arguments: &[&str]) -> Result<Output> {
    Ok(Network::command("economics")?.into_std().args(arguments).output()?)
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

/// Fails, with a text on stderr that holds `part`.
fn refused(arguments: &[&str], part: &str) -> Result<()> {
    let o = economics(arguments)?;
    let error = String::from_utf8_lossy(&o.stderr);
    ensure!(!o.status.success() && error.contains(part), "{arguments:?}: {error}");
    Ok(())
}

/// A copy of the pool with one line changed.
fn changed(from: &str, to: &str) -> Result<tempfile::NamedTempFile> {
    let text = std::fs::read_to_string(root().join(POOL))?;
    ensure!(text.contains(from), "{POOL} has no {from}");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text.replace(from, to))?;
    Ok(file)
}

#[test]
fn check_accepts_the_pools_that_ship_and_names_what_another_breaks() -> Result<()> {
    for (pool, period) in [("pools/devnet.toml", "1"), (POOL, "3"), ("pools/op-sepolia.toml", "3")] {
        let o = economics(&["check", pool, "--period", period])?;
        ensure!(o.status.success() && out(&o).contains("The contract accepts this pool."), "{pool}");
        ensure!(!out(&o).contains(" NO "), "{pool}: {}", out(&o));
    }
    let file = changed("jurorPay = \"6000000000000000\"", "jurorPay = \"1\"")?;
    let path = file.path().display().to_string();
    let o = economics(&["check", &path])?;
    ensure!(!o.status.success() && out(&o).contains("NO"), "{}", out(&o));
    ensure!(String::from_utf8_lossy(&o.stderr).contains("Participation"));
    refused(&["check", "pools/none.toml"], "can't read pools/none.toml")?;
    let file = changed("maxUnits = 4096", "maxUnits = \"many\"")?;
    refused(&["check", &file.path().display().to_string()], "maxUnits")?;
    refused(&["check", POOL, "--period", "0"], "period")
}

#[test]
fn solve_prints_an_edge_or_why_there_is_none() -> Result<()> {
    let o = economics(&["solve", POOL])?;
    ensure!(o.status.success(), "{o:?}");
    let text = out(&o);
    for part in
        ["smallest safe stake at this rate: 0.59", "smallest safe rate at this stake: 1.3", "cheapest: stake"]
    {
        ensure!(text.contains(part), "{part}: {text}");
    }
    let file = changed("seatStake = \"2000000000000000000\"", "seatStake = \"1000\"")?;
    let o = economics(&["solve", &file.path().display().to_string()])?;
    ensure!(out(&o).contains("the smallest stake that is safe at rate 1 is"), "{}", out(&o));
    refused(&["solve", POOL, "--responses", "0"], "--responses")?;
    refused(&["solve", POOL, "--interest=-1"], "--interest")
}

#[test]
fn sweep_prints_a_row_a_value() -> Result<()> {
    let o = economics(&[
        "sweep",
        POOL,
        "--param",
        "rates.collusion",
        "--from",
        "0",
        "--to",
        "400",
        "--steps",
        "4",
    ])?;
    let rows: Vec<String> = out(&o).lines().map(str::to_owned).collect();
    ensure!(o.status.success() && rows.len() == 6, "{rows:?}");
    ensure!(rows[1].starts_with("0,,") && rows[5] == "400,Domain,,", "{rows:?}");
    let most = u128::MAX.to_string();
    refused(
        &["sweep", POOL, "--param", "rates.collusion", "--from", "0", "--to", &most, "--steps", "3"],
        "collusion",
    )?;
    refused(
        &["sweep", POOL, "--param", "prices.none", "--from", "0", "--to", "1"],
        "no parameter is called",
    )?;
    refused(
        &["sweep", POOL, "--param", "rates.collusion", "--from", "0", "--to", "70000", "--steps", "1"],
        "collusion",
    )
}

#[test]
fn simulate_prints_what_agents_earn() -> Result<()> {
    let o = economics(&["simulate", POOL, "--agents", "honest, lying", "--requests", "20000"])?;
    let text = out(&o);
    ensure!(o.status.success() && text.lines().count() == 4, "{text}");
    ensure!(!text.contains(" NO"), "{text}");
    let learnt = economics(&["simulate", POOL, "--learn", "--requests", "2000", "--tries", "20"])?;
    ensure!(out(&learnt).contains("alone: best of 20"), "{}", out(&learnt));
    refused(&["simulate", POOL, "--agents", "saint"], "no agent is called \"saint\"")?;
    refused(&["simulate", POOL, "--share", "1"], "--share")?;
    refused(&["simulate", POOL, "--servers", "5"], "can't fill a jury")?;
    let two = ["simulate", POOL, "--servers", "2", "--agents", "silent juror", "--share", "0.5"];
    refused(&two, "can't fill a jury")?;
    refused(&["simulate", POOL, "--requests", "0"], "no users, requests")
}

#[test]
fn report_is_one_page_and_its_pictures() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let to = folder.path().display().to_string();
    let o = economics(&["report", POOL, "--requests", "5000", "--out", &to])?;
    ensure!(o.status.success(), "{o:?}");
    let html = std::fs::read_to_string(folder.path().join("report.html"))?;
    ensure!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    ensure!(std::fs::read_dir(folder.path())?.count() >= 8);
    let text = economics(&["report", POOL, "--requests", "5000", "--text"])?;
    ensure!(out(&text) == std::fs::read_to_string(folder.path().join("report.txt"))?);
    refused(&["report", POOL, "--requests", "5000", "--out", "/proc/none"], "can't make /proc/none")
}
