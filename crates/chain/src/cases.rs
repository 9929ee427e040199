//! Moving a dispute's case on: what anybody may do, done by who needs it.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, U256};
use assay_beacon::Client;
use assay_protocol::{Digest, Role, ballot_subject, commitment, quorum};

use crate::{Chain, ChainError, Follower, Index, Jury, OpenDispute, PoolView, abi, submit_rounds};

const BALLOTS: u8 = 2;

/// An open dispute before its arbiter, as the index had it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The dispute.
    pub dispute: OpenDispute,
    /// Under which it lies before the arbiter.
    pub subject: B256,
    /// Number of the current ballot, from 1.
    pub ballot: u8,
    /// The current ballot.
    pub jury: Jury,
    /// The arbiter's contract.
    pub arbiter: Address,
    /// Seconds that jurors have to commit.
    pub commit_window: u64,
    /// An accused seat was convicted in another dispute: this one closes unjudged.
    pub moot: bool,
}

impl Case {
    /// The cases of all published disputes of a pool that have not ended; one of several disputes over a response.
    pub fn pending(index: &Index, pool: &PoolView) -> Vec<Self> {
        let published = index.open_disputes().filter(|d| d.record.pool == pool.id && d.input.is_some());
        let mut seen = HashSet::new();
        published.filter_map(|d| Self::of(index, pool, d)).filter(|case| seen.insert(case.subject)).collect()
    }

    /// The case of a dispute, once its input is published.
    pub fn of(index: &Index, pool: &PoolView, dispute: &OpenDispute) -> Option<Self> {
        let subject = *index.subjects.get(&dispute.id)?;
        let (ballot, jury) =
            (1..=BALLOTS).rev().find_map(|b| Some((b, index.juries.get(&(subject, b))?.clone())))?;
        Some(Self {
            dispute: dispute.clone(),
            subject,
            ballot,
            jury,
            arbiter: pool.params.basis.arbiter,
            commit_window: pool.params.windows.commit.into(),
            moot: index.is_moot(pool, dispute),
        })
    }

    /// Positions of the active seats that `owner` holds in the current jury.
    pub fn positions_of(&self, pool: &PoolView, owner: Address) -> Vec<u64> {
        (0u64..)
            .zip(&self.jury.seats)
            .filter(|(_, seat)| pool.owner_of(**seat) == Some(owner) && pool.is_active(**seat))
            .map(|(position, _)| position)
            .collect()
    }

    /// A juror's commitment in the current ballot.
    pub fn commitment(&self, juror: Address, digest: Digest) -> B256 {
        commitment(Role::Juror, juror, ballot_subject(self.subject, self.ballot), digest)
    }

    /// Whether a proposal of `digest` would find a quorum of equal commitments.
    fn has_quorum(&self, pool: &PoolView, digest: Digest) -> bool {
        let matching = self.jury.commitments.iter().filter(|(position, found)| {
            let seat = usize::try_from(**position).ok().and_then(|p| self.jury.seats.get(p));
            seat.and_then(|s| pool.owner_of(*s))
                .is_some_and(|owner| self.commitment(owner, digest) == **found)
        });
        let size = u8::try_from(self.jury.seats.len()).unwrap_or(u8::MAX);
        matching.count() >= usize::from(quorum(size))
    }

    /// Takes the next step that is due, if there is one: bring the round, draw, propose one of `digests`, end a ballot that ran
    /// out, carry out the verdict. `patience` (seconds) is what this caller leaves to others before it acts.
    pub async fn step(
        &self,
        chain: &Chain,
        follower: &Follower,
        beacon: &Client,
        digests: &[Digest],
        patience: u64,
        time: u64,
    ) -> Result<(), ChainError> {
        let (client, subject, jury) = (chain.deployment().disputes, self.subject, &self.jury);
        if self.moot && jury.digest.is_none() {
            if patience == 0 || time > jury.commit_end + patience {
                close(chain, &self.dispute).await?;
            }
            return Ok(());
        }
        if jury.digest.is_some() {
            if patience == 0 || time > jury.commit_end + patience {
                let (id, r) = (self.dispute.id, self.dispute.record.clone());
                chain.send(client, abi::Disputes::resolveCall { id, r }).await?;
            }
            return Ok(());
        }
        let last = if jury.seats.is_empty() { jury.commit_end } else { jury.propose_end };
        if time > last + patience {
            match chain.send(self.arbiter, abi::JuryArbiter::advanceCall { client, subject }).await {
                Ok(_) => {}
                // The last ballot was ended by somebody else.
                Err(error) if error.is_revert("CaseNotPending") && self.ballot == BALLOTS => {}
                Err(error) => return Err(error),
            }
            if self.ballot == BALLOTS {
                let (id, r) = (self.dispute.id, self.dispute.record.clone());
                chain.send(client, abi::Disputes::resolveCall { id, r }).await?;
            }
        } else if jury.seats.is_empty() {
            let drawn_at = beacon.chain().time_of(jury.round).unwrap_or(u64::MAX);
            // Later the contract refuses: jurors would have no time.
            let draw_end = jury.commit_end.saturating_sub(self.commit_window.div_ceil(2));
            if time >= drawn_at + patience && time <= draw_end {
                let known = follower.read().await.rounds.contains(&jury.round);
                if !known {
                    let pool = self.dispute.record.pool;
                    let contract = follower.read().await.pool(pool).map(|p| p.params.basis.beacon);
                    submit_rounds(chain, contract.unwrap_or_default(), beacon, &[jury.round]).await?;
                }
                chain.send(self.arbiter, abi::JuryArbiter::drawCall { client, subject }).await?;
            }
        } else if jury.commitments.len() == jury.seats.len() || time > jury.commit_end + patience {
            let digest = {
                let index = follower.read().await;
                let pool = index.pool(self.dispute.record.pool);
                digests.iter().copied().find(|d| pool.is_some_and(|pool| self.has_quorum(pool, *d)))
            };
            if let Some(digest) = digest {
                let call = abi::JuryArbiter::proposeCall { client, subject, digest: digest.0 };
                chain.send(self.arbiter, call).await?;
            }
        }
        Ok(())
    }

    /// The dispute's id.
    pub fn id(&self) -> U256 {
        self.dispute.id
    }
}

/// Ends a dispute unjudged because an accused seat was convicted in another.
pub async fn close(chain: &Chain, dispute: &OpenDispute) -> Result<(), ChainError> {
    let call = abi::Disputes::closeCall { id: dispute.id, r: dispute.record.clone() };
    chain.send(chain.deployment().disputes, call).await.map(drop)
}
