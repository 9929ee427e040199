//! `assay account` as people call it: money in, seats and bonds, and everything out again.

use std::path::PathBuf;

use alloy_primitives::{Address, U256};
use assay_chain::PrivateKeySigner;
use assay_tests::{Network, Options, root};
use eyre::{Result, bail, ensure, eyre};

/// Of the shipped token.
const TOKEN: u64 = 1_000_000_000_000_000_000;

/// Anvil's first account deploys the token and owns its supply; everybody knows its key.
const TOKENS_OWNER: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

struct Caller<'a> {
    network: &'a Network,
    key: PathBuf,
}

impl Caller<'_> {
    /// What `assay account …` prints.
    async fn account(&self, arguments: &str) -> Result<String> {
        let output = Network::command("account")?
            .args(arguments.split_whitespace())
            .env("ASSAY_RPC_URL", self.network.rpc_url())
            .env("ASSAY_DEPLOYMENT", self.network.deployment())
            .env("ASSAY_POOL", self.network.pool.to_string())
            .env("ASSAY_KEY_FILE", &self.key)
            .output()
            .await?;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "{err}");
        Ok(out)
    }

    async fn refused(&self, arguments: &str, why: &str) -> Result<()> {
        match self.account(arguments).await {
            Ok(out) => bail!("{arguments} went through: {out}"),
            Err(error) => {
                ensure!(error.to_string().contains(why), "{arguments}: {error}");
                Ok(())
            }
        }
    }

    /// The line of `account show` that begins with `what`, without that.
    async fn shown(&self, who: Address, what: &str) -> Result<String> {
        let text = self.account(&format!("show {who}")).await?;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(what));
        Ok(line.ok_or_else(|| eyre!("no line {what}:\n{text}"))?.trim().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_comes_in_works_and_leaves() -> Result<()> {
    let network = Network::start("account", &Options::default()).await?;
    let key = root().join("target/e2e/account/newcomer.key");
    let signer = PrivateKeySigner::random();
    std::fs::write(&key, format!("0x{}", hex::encode(signer.to_bytes())))?;
    let (own, me) = (signer.address(), Caller { network: &network, key });
    let rich = Caller { network: &network, key: root().join("target/e2e/account/owner.key") };
    std::fs::write(&rich.key, TOKENS_OWNER)?;

    // Without gas and tokens nothing goes.
    me.refused("deposit 1", "holds 0 of token").await?;
    network.rpc("anvil_setBalance", serde_json::json!([own, "0xde0b6b3a7640000"])).await?;
    let (amount, half) = (U256::from(10 * TOKEN), U256::from(TOKEN) / U256::from(2));
    rich.account(&format!("deposit {amount} --to {own}")).await?;
    ensure!(me.shown(own, "free").await? == amount.to_string());
    me.refused(&format!("withdraw {}", amount + U256::from(1)), "Insufficient").await?;

    // A user.
    ensure!(me.shown(own, "bond").await?.contains("below the pool's minBond"));
    me.account(&format!("fund --balance {half} --bond {half}")).await?;
    ensure!(me.shown(own, "balance").await? == half.to_string());
    ensure!(me.shown(own, "bond").await? == half.to_string());
    me.account("exit").await?;
    ensure!(me.shown(own, "leaving").await?.contains("in "));
    me.account("exit --cancel").await?;
    ensure!(me.shown(own, "leaving").await.is_err());
    me.account("exit").await?;
    me.refused("exit --finish", "ExitTooEarly").await?;

    // A server.
    me.account("join 2").await?;
    let price = {
        let index = network.follower.read().await;
        let prices = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?.params.prices.clone();
        U256::from(prices.seatStake) + U256::from(prices.seatFloat)
    };
    ensure!(me.shown(own, "free").await? == (amount - half - half - price - price).to_string());
    let text = me.account(&format!("show {own}")).await?;
    let seats: Vec<u64> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("seat ")?.split_whitespace().next()?.parse().ok())
        .collect();
    ensure!(seats.len() == 2 && text.contains("in the table"), "{text}");
    me.account(&format!("top-up {} 7", seats[0])).await?;
    me.refused(&format!("withdraw-seats {}", seats[0]), "NotLeaving").await?;
    me.account(&format!("unbond {}", seats[0])).await?;
    me.refused(&format!("withdraw-seats {}", seats[0]), "StillBonded").await?;
    me.account("unbond --all").await?;

    // Time passes, for this test alone.
    network.rpc("evm_increaseTime", serde_json::json!([1_000])).await?;
    network.rpc("evm_mine", serde_json::json!([])).await?;
    me.account("exit --finish").await?;
    for seat in &seats {
        me.account(&format!("withdraw-seats {seat}")).await?;
    }
    ensure!(me.shown(own, "free").await? == amount.to_string());
    me.account(&format!("withdraw {amount}")).await?;
    ensure!(me.shown(own, "outside the pool").await?.starts_with(&format!("{amount} tokens")));

    // What nobody can do.
    me.refused("top-up 1 7", "NotOwner").await?;
    me.refused("fund --bond 1", "Insufficient").await?;
    Ok(())
}
