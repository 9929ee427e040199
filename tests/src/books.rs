//! What was accepted, held against what the chain paid: to the last unit of the token.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use assay_chain::{AccountKind, PoolView};
use eyre::{Result, ensure, eyre};

use crate::{Network, until};

/// How long redemptions and claims may take: a claim can be settled only after the dispute window.
const SETTLED: Duration = Duration::from_secs(60);

/// An answer that a user accepted.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Under which the gateway knows it.
    pub id: String,
    /// Who answered.
    pub server: Address,
    /// Hash of the signed response.
    pub response: B256,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the output.
    pub output_tokens: u32,
}

/// What the user and all servers held, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// The user's balance: fees are taken from it, discounts go to it.
    pub balance: U256,
    /// The user's balance, bond and check account, and what was burnt of them.
    pub user: U256,
    /// Free money, vesting and seats of all servers.
    pub servers: U256,
    /// Claims that can't be settled yet.
    pub claims: U256,
}

impl Holdings {
    fn of(pool: &PoolView, user: Address) -> Self {
        let sum = |wanted: &dyn Fn(AccountKind, B256) -> bool| {
            pool.accounts
                .iter()
                .filter(|((kind, key), _)| wanted(*kind, *key))
                .map(|(_, held)| *held)
                .sum::<U256>()
        };
        let own = user.into_word();
        Self {
            balance: pool.balance_of(AccountKind::Balance, user),
            user: sum(&|kind, key| match kind {
                AccountKind::Balance | AccountKind::Bond | AccountKind::Check => key == own,
                kind => kind == AccountKind::Burn,
            }) + pool.flushed,
            servers: sum(&|kind, key| match kind {
                AccountKind::Free | AccountKind::Vesting => key != own,
                kind => kind == AccountKind::Seat,
            }),
            claims: sum(&|kind, _| kind == AccountKind::Claim),
        }
    }

    /// As of now.
    ///
    /// # Errors
    /// The pool is not in the index.
    pub async fn now(network: &Network) -> Result<Self> {
        let index = network.follower.read().await;
        let pool = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?;
        Ok(Self::of(pool, network.user))
    }
}

/// Answers since a start.
#[derive(Debug)]
pub struct Books {
    start: Holdings,
    answers: Vec<Answer>,
}

impl Books {
    /// Begins with the accounts as they are; nothing may have been redeemed yet.
    ///
    /// # Errors
    /// The pool is not in the index.
    pub async fn open(network: &Network) -> Result<Self> {
        Ok(Self { start: Holdings::now(network).await?, answers: Vec::new() })
    }

    /// Enters an accepted answer.
    pub fn enter(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Accepted answers so far.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing was accepted.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Accepted answers of a server so far.
    pub fn of(&self, server: Address) -> u64 {
        self.answers.iter().filter(|a| a.server == server).count() as u64
    }

    /// Responses and units that a server has been paid for, by server.
    ///
    /// # Errors
    /// The pool is not in the index.
    pub async fn paid(network: &Network) -> Result<BTreeMap<Address, (u64, u64)>> {
        let index = network.follower.read().await;
        let pool = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?;
        let mut paid: BTreeMap<Address, (u64, u64)> = BTreeMap::new();
        for ((_, server, _), lane) in &pool.lanes {
            let entry = paid.entry(*server).or_default();
            entry.0 += lane.count;
            entry.1 += lane.units;
        }
        Ok(paid)
    }

    /// Waits until every accepted answer is redeemed and, if `checks`, every claim settled; then every sum must be exact: each
    /// server was paid for what it delivered and for nothing else, the user paid what that costs and got the discounts of its
    /// checks, and no token appeared or vanished. Returns the number of checks that were paid.
    ///
    /// # Errors
    /// Something is not paid in time, or a sum is wrong.
    pub async fn close(&self, network: &Network, checks: bool) -> Result<usize> {
        let params = {
            let index = network.follower.read().await;
            index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?.params.clone()
        };
        let units = |a: &Answer| params.units(a.prompt_tokens, a.output_tokens);
        let mut owed: BTreeMap<Address, (u64, u64)> = BTreeMap::new();
        for answer in &self.answers {
            let entry = owed.entry(answer.server).or_default();
            entry.0 += 1;
            entry.1 += units(answer);
        }
        let settled = async || {
            let paid = Self::paid(network).await?;
            for (server, (count, sum)) in &paid {
                let (most, most_units) = owed.get(server).copied().unwrap_or_default();
                ensure!(
                    *count <= most && *sum <= most_units,
                    "{server} was paid for {count} answers of {sum} units, it delivered {most} of {most_units}"
                );
            }
            let index = network.follower.read().await;
            let claims_over = index.pool(network.pool).is_some_and(|p| p.claims.values().all(|c| c.over));
            Ok((paid == owed && (claims_over || !checks)).then_some(()))
        };
        if let Err(error) = until("redemptions and claims", SETTLED, settled).await {
            return Err(eyre!("{error}; owed {owed:?}, paid {:?}", Self::paid(network).await?));
        }

        let index = network.follower.read().await;
        let pool = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?;
        let (mut fees, mut rewards) = (U256::ZERO, U256::ZERO);
        for answer in &self.answers {
            fees += params.fee(units(answer));
            rewards += params.pay(units(answer));
        }
        let (mut discounts, mut pay, mut claims) = (U256::ZERO, U256::ZERO, U256::ZERO);
        for (response, claim) in &pool.claims {
            let checked = self.answers.iter().find(|a| a.response == *response);
            let checked =
                checked.ok_or_else(|| eyre!("a check of {response}, which was not accepted, was paid"))?;
            if claim.over {
                discounts += params.discount_of(units(checked));
                pay += params.check_pay(units(checked));
            } else {
                claims += params.check(units(checked));
            }
        }
        let expected = Holdings {
            balance: self.start.balance - fees + discounts,
            user: self.start.user - rewards - pay - claims,
            servers: self.start.servers + rewards + pay,
            claims,
        };
        let found = Holdings::of(pool, network.user);
        ensure!(found == expected, "accounts hold {found:?}, they should hold {expected:?}");
        ensure!(pool.is_conserved(), "tokens appeared or vanished");
        ensure!(index.disputes.is_empty(), "there was a dispute among honest servers");
        Ok(pool.claims.values().filter(|c| c.over).count())
    }
}
