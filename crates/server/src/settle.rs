//! What is due to a server, collected: redemptions, claims, released rewards, jurors' pay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;

use assay_chain::{AccountKind, ChainError, abi, convert, submit_rounds};
use assay_store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::jury;
use crate::records::{Check, CheckProgress, Lane};

/// `IDisputes.State` of disputes that ended with the case before the arbiter.
const CONVICTED: u8 = 3;
const VOID: u8 = 5;

/// Lanes redeemed in one transaction.
const BATCH: usize = 50;

#[derive(Debug, thiserror::Error)]
enum DutyError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Does every duty after each block until `stop`. They run side by side: a juror's window does not wait for a redemption.
pub(crate) async fn duties(node: Arc<Inner>, stop: CancellationToken) {
    let redeem_every = node.config.redeem_every;
    let jury = each_block(&node, Duration::ZERO, async |node| jury::tend(node).await);
    let pay = each_block(&node, Duration::ZERO, async |node| {
        log("claims", claim(node).await);
        log("claims due", settle_claims(node).await);
        log("jurors' pay", settle_jurors(node).await);
    });
    let redemption = each_block(&node, redeem_every, async |node| {
        log("redemption", redeem(node).await);
        log("release", release(node).await);
    });
    tokio::select! {
        () = stop.cancelled() => {}
        _ = futures::future::join3(jury, pay, redemption) => {}
    }
}

/// Runs `duty` after every block, and every second while no block comes, since windows end by the clock; at most once in
/// `pause`.
async fn each_block(node: &Arc<Inner>, pause: Duration, duty: impl AsyncFn(&Arc<Inner>)) {
    let mut blocks = node.follower.blocks();
    let mut last: Option<Instant> = None;
    loop {
        if last.is_none_or(|last| last.elapsed() >= pause) {
            last = Some(Instant::now());
            duty(node).await;
        }
        if let Ok(Err(_)) = tokio::time::timeout(Duration::from_secs(1), blocks.changed()).await {
            // The follower is gone, and the process with it.
            return;
        }
    }
}

fn log(what: &str, result: Result<(), DutyError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what}: will be tried again");
    }
}

/// Redeems the last voucher of every lane that has earned something.
async fn redeem(node: &Arc<Inner>) -> Result<(), DutyError> {
    let mut lanes = node.store.list::<Lane>("redeemable")?;
    // The contract reads each user's accounts once.
    lanes.sort_by_key(|lane| lane.user);
    for batch in lanes.chunks(BATCH) {
        match redeem_batch(node, batch).await {
            // One user can spoil a batch, by leaving or by redeeming first: then each lane goes by itself.
            Err(DutyError::Chain(ChainError::Reverted { .. })) if batch.len() > 1 => {
                for lane in batch {
                    if let Err(error) = redeem_batch(node, std::slice::from_ref(lane)).await {
                        tracing::warn!(user = %lane.user, lane = lane.lane, %error, "a voucher was not redeemed");
                    }
                }
            }
            Err(error @ DutyError::Chain(ChainError::Reverted { .. })) => {
                tracing::warn!(user = %batch[0].user, lane = batch[0].lane, %error, "a voucher was not redeemed");
            }
            result => result?,
        }
    }
    Ok(())
}

async fn redeem_batch(node: &Arc<Inner>, batch: &[Lane]) -> Result<(), DutyError> {
    let vouchers: Vec<_> = batch.iter().filter_map(|lane| lane.voucher.clone()).collect();
    let call = abi::Lanes::redeemCall {
        pool: node.config.pool,
        server: node.account,
        vouchers: vouchers.iter().map(|(v, _)| convert(v)).collect(),
        signatures: vouchers.iter().map(|(_, s)| s.clone()).collect(),
    };
    let mut expired = false;
    match node.chain.send(node.chain.deployment().lanes, call).await {
        Ok(_) => {}
        // An earlier transaction went through after all: what is on-chain counts.
        Err(error) if batch.len() == 1 && error.is_revert("NothingToRedeem") => {}
        Err(error) if batch.len() == 1 && error.is_revert("VoucherExpired") => {
            tracing::error!(user = %batch[0].user, %error, "earned, and lost");
            expired = true;
        }
        Err(error) => return Err(error.into()),
    }
    for lane in batch {
        let on_chain = node
            .chain
            .call(
                node.chain.deployment().lanes,
                abi::Lanes::laneOfCall {
                    pool: node.config.pool,
                    user: lane.user,
                    server: node.account,
                    lane: lane.lane,
                },
            )
            .await?;
        let updated = node.store.write(|w| {
            let lane = w.get::<Lane>(&crate::records::lane_key(lane.user, lane.lane))?;
            let lane = lane.map(|lane| Lane {
                redeemed_count: on_chain.count,
                redeemed_units: on_chain.units,
                voucher: lane.voucher.filter(|_| !expired),
                ..lane
            });
            if let Some(lane) = &lane {
                w.put(lane)?;
            }
            Ok::<_, StoreError>(lane)
        })?;
        if let Some(lane) = updated {
            node.credit.update(&lane);
        }
    }
    Ok(())
}

/// Frees rewards whose vesting is over.
async fn release(node: &Arc<Inner>) -> Result<(), DutyError> {
    let epochs: Vec<u32> = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(node.config.pool) else { return Ok(()) };
        if pool.servers.get(&node.account).is_some_and(|s| s.convicted || s.freezes > 0) {
            return Ok(());
        }
        pool.vesting
            .iter()
            .filter(|((server, _), (_, free_at))| *server == node.account && *free_at <= index.time)
            .map(|((_, epoch), _)| *epoch)
            .collect()
    };
    if !epochs.is_empty() {
        let call = abi::Lanes::releaseCall { pool: node.config.pool, server: node.account, epochs };
        node.chain.send(node.chain.deployment().lanes, call).await?;
    }
    Ok(())
}

/// Claims the pay of checks that found equal digests.
async fn claim(node: &Arc<Inner>) -> Result<(), DutyError> {
    let due = node.store.list::<Check>("equal")?;
    let missing: BTreeSet<u64> = {
        let index = node.follower.read().await;
        due.iter().map(|c| c.ticket_round).filter(|r| !index.rounds.contains(r)).collect()
    };
    let missing: Vec<u64> = missing.into_iter().collect();
    submit_rounds(&node.chain, node.params.basis.beacon, &node.beacon, &missing).await?;
    for claimed in futures::future::join_all(due.into_iter().take(BATCH).map(|c| claim_one(node, c))).await {
        claimed?;
    }
    Ok(())
}

async fn claim_one(node: &Arc<Inner>, mut check: Check) -> Result<(), DutyError> {
    let call = abi::Checks::claimCall { e: convert(&check.evidence) };
    check.progress = match node.chain.send(node.chain.deployment().checks, call).await {
        Ok(_) => CheckProgress::Claimed,
        Err(error) if error.is_revert("ClaimExists") => {
            let index = node.follower.read().await;
            match index.pool(node.config.pool).and_then(|pool| pool.claims.get(&check.response)) {
                Some(claim) if claim.validator == node.account => CheckProgress::Claimed,
                // Another validator's. If it lied, a dispute may take its claim away before the window is over.
                Some(claim) if claim.free_at < index.time => CheckProgress::Over,
                _ => return Ok(()),
            }
        }
        Err(error @ ChainError::Reverted { .. }) => {
            tracing::warn!(%error, response = %check.response, "a claim was refused for good");
            CheckProgress::Over
        }
        Err(error) => return Err(error.into()),
    };
    Ok(node.store.put(&check)?)
}

/// Collects claims that can't be disputed any more.
async fn settle_claims(node: &Arc<Inner>) -> Result<(), DutyError> {
    for mut check in node.store.list::<Check>("claimed")? {
        let due = {
            let index = node.follower.read().await;
            let Some(pool) = index.pool(node.config.pool) else { return Ok(()) };
            let frozen = pool.servers.get(&node.account).is_some_and(|s| s.freezes > 0);
            match pool.claims.get(&check.response) {
                Some(claim) if claim.over => None,
                Some(claim) if claim.free_at < index.time && !frozen => Some(claim.user),
                _ => continue,
            }
        };
        if let Some(user) = due {
            let call = abi::Checks::settleCall { pool: node.config.pool, user, response: check.response };
            node.chain.send(node.chain.deployment().checks, call).await?;
        }
        check.progress = CheckProgress::Over;
        node.store.put(&check)?;
    }
    Ok(())
}

/// Has the jurors of ended disputes paid or fined, once this server is one of those who are owed.
async fn settle_jurors(node: &Arc<Inner>) -> Result<(), DutyError> {
    let due: Vec<_> = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(node.config.pool) else { return Ok(()) };
        let mut due = Vec::new();
        let mut seen = BTreeSet::new();
        for dispute in index.disputes.values().filter(|d| d.ended.is_some()) {
            let response = dispute.record.response;
            // What a jury is due is known once its case has ended any of its disputes.
            let judged = dispute.ended.is_some_and(|state| (CONVICTED..=VOID).contains(&state));
            let waiting = index.open_disputes().any(|d| d.record.response == response);
            if (!judged && waiting) || !seen.insert(response) {
                continue;
            }
            let Some(subject) = index.subjects.get(&dispute.id) else { continue };
            for ballot in 1..=2u8 {
                let Some(jury) = index.juries.get(&(*subject, ballot)) else { continue };
                let mine: BTreeSet<u64> = (0u64..)
                    .zip(&jury.seats)
                    .filter(|(p, seat)| {
                        pool.owner_of(**seat) == Some(node.account)
                            && jury.commitments.contains_key(p)
                            && !jury.settled.contains(p)
                    })
                    .map(|(p, _)| p)
                    .collect();
                if !mine.is_empty() && pool.balance(AccountKind::Case, response) > U256::ZERO {
                    let positions: Vec<U256> = mine.into_iter().map(U256::from).collect();
                    due.push((response, ballot, positions));
                }
            }
        }
        due
    };
    for (response, ballot, positions) in due {
        let call = abi::Disputes::settleJurorsCall { pool: node.config.pool, response, ballot, positions };
        node.chain.send(node.chain.deployment().disputes, call).await?;
    }
    Ok(())
}
