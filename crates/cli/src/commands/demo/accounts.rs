//! Every account's way from start to end, and whether it adds up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{Address, B256, U256};
use assay_chain::{AccountKind, Change, PoolView, abi};
use eyre::{Result, bail};
use tokio::task::JoinHandle;

use crate::network::LocalNetwork;

/// An amount in millionths of the token, for people; sums are checked in the token's smallest unit.
pub(crate) fn amount(wei: U256) -> String {
    let tenths = wei / U256::from(100_000_000_000u64);
    let (whole, tenth) = tenths.div_rem(U256::from(10));
    format!("{whole}.{tenth}µ")
}

/// Whose money an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Owner(Address),
    Disputes,
    Claims,
    Burn,
}

fn party(pool: &PoolView, (kind, key): (AccountKind, B256)) -> Party {
    match kind {
        AccountKind::Burn => Party::Burn,
        AccountKind::Case | AccountKind::Audit => Party::Disputes,
        AccountKind::Claim => Party::Claims,
        AccountKind::Seat => {
            // Seat ids are 64 bits wide.
            let seat = U256::from_be_bytes(key.0).saturating_to::<u64>();
            pool.owner_of(seat).map_or(Party::Disputes, Party::Owner)
        }
        _ => Party::Owner(Address::from_word(key)),
    }
}

/// Money that is bound: it leaves only after a window.
fn is_locked(kind: AccountKind) -> bool {
    kind != AccountKind::Free
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    start: U256,
    earned: U256,
    paid: U256,
    burnt: U256,
    slashed: U256,
}

impl Row {
    fn adds_up(&self, left: U256) -> bool {
        self.start + self.earned == left + self.paid + self.burnt + self.slashed
    }
}

/// Blocks within which the tally must have heard of every movement.
const MOST_TRIES: usize = 5;

/// The tally beside the accounts.
struct Ends {
    rows: BTreeMap<Party, Row>,
    /// What each holds, and how much of it is bound.
    ends: BTreeMap<Party, (U256, U256)>,
    flushed: U256,
    deposited: U256,
    conserved: bool,
}

impl Ends {
    fn is_exact(&self) -> bool {
        let end = |who| self.ends.get(who).copied().unwrap_or_default().0;
        self.rows.iter().all(|(who, row)| row.adds_up(left(*who, end(who), self.flushed)))
    }
}

/// What is left of a party's money: of what was burnt, also what has left the supply.
fn left(who: Party, end: U256, flushed: U256) -> U256 {
    if who == Party::Burn { end + flushed } else { end }
}

/// Follows every movement from its start on.
pub(crate) struct Tally {
    rows: Arc<Mutex<BTreeMap<Party, Row>>>,
    task: JoinHandle<()>,
    supply: U256,
}

impl Tally {
    /// Takes the accounts as they are. Nothing may move while it does.
    pub(crate) async fn start(network: &Arc<LocalNetwork>) -> Self {
        let mut changes = network.follower.subscribe();
        let mut rows: BTreeMap<Party, Row> = BTreeMap::new();
        if let Some(pool) = network.follower.read().await.pool(network.pool) {
            for (account, held) in &pool.accounts {
                rows.entry(party(pool, *account)).or_default().start += *held;
            }
        }
        let rows = Arc::new(Mutex::new(rows));
        let token = network.chain.deployment().token;
        let supply = network.chain.call(token, abi::AssayToken::totalSupplyCall {}).await.unwrap_or_default();
        let task = {
            let (rows, network) = (rows.clone(), network.clone());
            tokio::spawn(async move {
                while let Ok(change) = changes.recv().await {
                    let Change::Moved { from, to, amount, .. } = change else { continue };
                    let index = network.follower.read().await;
                    let Some(pool) = index.pool(network.pool) else { continue };
                    let (giver, taker) = (party(pool, from), party(pool, to));
                    if giver == taker {
                        continue;
                    }
                    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                    let row = rows.entry(giver).or_default();
                    match (from.0, taker) {
                        (_, Party::Burn) => row.burnt += amount,
                        (AccountKind::Seat, Party::Disputes) => row.slashed += amount,
                        _ => row.paid += amount,
                    }
                    rows.entry(taker).or_default().earned += amount;
                }
            })
        };
        Self { rows, task, supply }
    }

    async fn ends(&self, network: &LocalNetwork) -> Result<Ends> {
        let index = network.follower.read().await;
        let Some(pool) = index.pool(network.pool) else { bail!("the pool is gone") };
        let mut ends: BTreeMap<Party, (U256, U256)> = BTreeMap::new();
        for (account, held) in &pool.accounts {
            let end = ends.entry(party(pool, *account)).or_default();
            end.0 += *held;
            if is_locked(account.0) {
                end.1 += *held;
            }
        }
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Ends {
            rows,
            ends,
            flushed: pool.flushed,
            deposited: pool.deposited,
            conserved: pool.is_conserved(),
        })
    }

    /// Prints the table and says whether every sum is exact.
    pub(crate) async fn report(self, network: &LocalNetwork) -> Result<bool> {
        // Movements reach the tally after the index, through a channel. What is one block's delay ends; what is wrong stays.
        let mut blocks = network.follower.blocks();
        let mut tries = 0;
        let Ends { rows, ends, flushed, deposited, conserved } = loop {
            blocks.changed().await?;
            let end = self.ends(network).await?;
            tries += 1;
            if end.is_exact() || tries == MOST_TRIES {
                break end;
            }
        };
        self.task.abort();
        println!(
            "\n  {:<10}{:>16}{:>12}{:>12}{:>12}{:>12}{:>16}{:>16}",
            "account", "start", "earned", "paid", "burnt", "slashed", "locked", "end"
        );
        let mut exact = true;
        for (who, row) in &rows {
            let (end, locked) = ends.get(who).copied().unwrap_or_default();
            let name = match who {
                Party::Owner(account) => network.name_of(*account),
                Party::Disputes => "disputes".into(),
                Party::Claims => "claims".into(),
                Party::Burn => "burnt".into(),
            };
            let left = left(*who, end, flushed);
            println!(
                "  {name:<10}{:>16}{:>12}{:>12}{:>12}{:>12}{:>16}{:>16}",
                amount(row.start),
                amount(row.earned),
                amount(row.paid),
                amount(row.burnt),
                amount(row.slashed),
                amount(locked),
                amount(left),
            );
            exact &= row.adds_up(left);
        }
        let d = network.chain.deployment();
        let held = network.chain.call(d.token, abi::AssayToken::balanceOfCall { account: d.ledger }).await?;
        let total = network.chain.call(d.ledger, abi::Ledger::totalOfCall { token: d.token }).await?;
        let supply = network.chain.call(d.token, abi::AssayToken::totalSupplyCall {}).await?;
        let sum: U256 = ends.values().map(|(end, _)| *end).sum();
        println!("\n  conservation: deposited {deposited}");
        println!("              = accounts  {sum} + burnt {flushed}: {}", sum + flushed == deposited);
        println!("    tokens the Ledger holds {held} = its total {total}: {}", held == total && held == sum);
        println!("    supply fell by exactly what was burnt: {}", self.supply - supply == flushed);
        println!("    start + earned = end + paid + burnt + slashed, each account: {exact}");
        Ok(exact
            && conserved
            && sum + flushed == deposited
            && held == total
            && held == sum
            && self.supply - supply == flushed)
    }
}
