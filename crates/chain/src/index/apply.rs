//! One event at a time.

use alloy::rpc::types::Log;
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolEventInterface, SolValue};
use assay_protocol::PoolParams;

use super::pool::{Claim, Lane, PoolView, Seat, push};
use super::{AccountKind, Change, Index, Jury, OpenDispute};
use crate::abi::Ledger::Posting;
use crate::abi::{Checks, Disputes, DrandBeacon, JuryArbiter, Lanes, Ledger, Pools, Staking};
use crate::{ChainError, Deployment, convert};

type Changes = Vec<Change>;

fn low<T: TryFrom<U256> + Default>(value: U256) -> T {
    // Only counts, positions and times that the contracts themselves bound come through here.
    T::try_from(value).unwrap_or_default()
}

type Account = (AccountKind, B256);

fn unbalanced() -> ChainError {
    ChainError::Malformed("ledger events do not add up".into())
}

fn account(kind: u8, key: B256) -> Result<Account, ChainError> {
    Ok((AccountKind::from_number(kind).ok_or_else(unbalanced)?, key))
}

/// An entry with several accounts on each side, as movements from one account to one other: an owner's own accounts first, then
/// the rest in order.
fn pairs(debits: &[Posting], credits: &[Posting]) -> Result<Vec<(Account, Account, U256)>, ChainError> {
    let mut out = Vec::new();
    let mut debits = debits.to_vec();
    let mut credits = credits.to_vec();
    for same_owner in [true, false] {
        for debit in &mut debits {
            for credit in credits.iter_mut().filter(|c| !same_owner || c.key == debit.key) {
                let amount = debit.amount.min(credit.amount);
                if amount > U256::ZERO {
                    out.push((account(debit.kind, debit.key)?, account(credit.kind, credit.key)?, amount));
                    debit.amount -= amount;
                    credit.amount -= amount;
                }
            }
        }
    }
    let rest = debits.iter().chain(&credits).any(|posting| posting.amount > U256::ZERO);
    if rest { Err(unbalanced()) } else { Ok(out) }
}

impl Index {
    /// Takes in one log. Logs of other contracts are passed over; one that can't be decoded means that this client and the
    /// contracts disagree.
    pub(crate) fn apply(&mut self, d: &Deployment, log: &Log, out: &mut Changes) -> Result<(), ChainError> {
        let at = log.address();
        let raw = &log.inner;
        let bad = |e: alloy_sol_types::Error| ChainError::Malformed(format!("event of {at}: {e}"));
        if at == d.ledger {
            self.ledger(Ledger::LedgerEvents::decode_log(raw).map_err(bad)?.data, out)?;
        } else if at == d.staking {
            self.staking(Staking::StakingEvents::decode_log(raw).map_err(bad)?.data, out);
        } else if at == d.lanes {
            self.lanes(Lanes::LanesEvents::decode_log(raw).map_err(bad)?.data, out);
        } else if at == d.checks {
            self.checks(Checks::ChecksEvents::decode_log(raw).map_err(bad)?.data, out);
        } else if at == d.disputes {
            self.disputes(Disputes::DisputesEvents::decode_log(raw).map_err(bad)?.data, d, out);
        } else if at == d.arbiter {
            self.arbiter(JuryArbiter::JuryArbiterEvents::decode_log(raw).map_err(bad)?.data, d, out);
        } else if at == d.beacon {
            let DrandBeacon::DrandBeaconEvents::RoundSubmitted(e) =
                DrandBeacon::DrandBeaconEvents::decode_log(raw).map_err(bad)?.data;
            self.rounds.insert(e.round);
        } else if at == d.pools {
            let Pools::PoolsEvents::PoolCreated(e) = Pools::PoolsEvents::decode_log(raw).map_err(bad)?.data;
            let params = PoolParams::abi_decode(&e.params.abi_encode()).map_err(bad)?;
            self.pools.insert(e.pool, PoolView::new(e.pool, params, e.uri));
        }
        Ok(())
    }

    fn ledger(&mut self, event: Ledger::LedgerEvents, out: &mut Changes) -> Result<(), ChainError> {
        use Ledger::LedgerEvents as E;
        match event {
            E::Deposited(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.deposited += e.amount;
                }
                self.transfer(e.pool, None, Some((AccountKind::Free, e.to.into_word())), e.amount)
            }
            E::Withdrawn(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.withdrawn += e.amount;
                }
                self.transfer(e.pool, Some((AccountKind::Free, e.from.into_word())), None, e.amount)
            }
            E::Flushed(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.flushed += e.amount;
                }
                self.transfer(e.pool, Some((AccountKind::Burn, B256::ZERO)), None, e.amount)
            }
            E::Moved(e) => {
                let (from, to) = (account(e.from, e.fromKey)?, account(e.to, e.toKey)?);
                out.push(Change::Moved { pool: e.pool, from, to, amount: e.amount });
                self.transfer(e.pool, Some(from), Some(to), e.amount)
            }
            E::Posted(e) => {
                for (from, to, amount) in pairs(&e.debits, &e.credits)? {
                    out.push(Change::Moved { pool: e.pool, from, to, amount });
                    self.transfer(e.pool, Some(from), Some(to), amount)?;
                }
                Ok(())
            }
        }
    }

    fn transfer(
        &mut self,
        pool: B256,
        from: Option<Account>,
        to: Option<Account>,
        amount: U256,
    ) -> Result<(), ChainError> {
        let Some(p) = self.pools.get_mut(&pool) else { return Ok(()) };
        if let Some(from) = from {
            let held = p.accounts.entry(from).or_default();
            *held = held.checked_sub(amount).ok_or_else(unbalanced)?;
        }
        if let Some(to) = to {
            *p.accounts.entry(to).or_default() += amount;
        }
        Ok(())
    }

    fn staking(&mut self, event: Staking::StakingEvents, out: &mut Changes) {
        use Staking::StakingEvents as E;
        match event {
            E::SeatJoined(e) => {
                let Some(p) = self.pools.get_mut(&e.pool) else { return };
                p.seats.insert(e.seat, Seat { owner: e.owner, exit_at: None, suspended: false });
                p.servers.entry(e.owner).or_default();
                let place = e.index as usize;
                if p.places.len() <= place {
                    p.places.resize_with(place + 1, Vec::new);
                }
                push(&mut p.places[place], e.epoch, e.seat);
                push(&mut p.counts, e.epoch, e.index + 1);
            }
            E::SeatLeft(e) => {
                let Some(p) = self.pools.get_mut(&e.pool) else { return };
                let last = p.counts.last().map_or(0, |c| c.1).saturating_sub(1);
                if e.movedSeat != e.seat
                    && let Some(place) = p.places.get_mut(e.index as usize)
                {
                    push(place, e.epoch, e.movedSeat);
                }
                push(&mut p.counts, e.epoch, last);
                if let Some(seat) = p.seats.get_mut(&e.seat) {
                    seat.exit_at = Some(e.exitAt.to::<u64>());
                }
            }
            E::SeatSuspended(e) => {
                if let Some(seat) = self.pools.get_mut(&e.pool).and_then(|p| p.seats.get_mut(&e.seat)) {
                    seat.suspended = true;
                }
            }
            E::ServerConvicted(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.servers.entry(e.server).or_default().convicted = true;
                }
                out.push(Change::ServerConvicted { server: e.server });
            }
            E::FrozenChanged(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.servers.entry(e.server).or_default().freezes = e.freezes;
                }
            }
            E::KeySet(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    push(p.keys.entry(e.owner).or_default(), e.fromEpoch, e.key);
                }
            }
            E::EndpointSet(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.servers.entry(e.server).or_default().endpoint = Some(e.url);
                }
            }
            E::SeatSlashed(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.convicted_seats.insert(e.seat);
                }
                out.push(Change::SeatSlashed { seat: e.seat, case: e.caseKey, amount: e.amount });
            }
            E::SeatFined(_) | E::SeatWithdrawn(_) => {}
        }
    }

    fn lanes(&mut self, event: Lanes::LanesEvents, out: &mut Changes) {
        use Lanes::LanesEvents as E;
        match event {
            E::ExitRequested(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.exits.insert(e.user, low(e.due));
                }
            }
            E::ExitCancelled(e) => self.end_exit(e.pool, e.user),
            E::Exited(e) => self.end_exit(e.pool, e.user),
            E::Redeemed(e) => {
                let Some(p) = self.pools.get_mut(&e.pool) else { return };
                let lane = Lane { sequence: e.sequence, count: e.count, units: e.units };
                p.lanes.insert((e.user, e.server, e.lane), lane);
                out.push(Change::Redeemed {
                    server: e.server,
                    user: e.user,
                    lane: e.lane,
                    count: e.count,
                    units: e.units,
                    reward: e.reward,
                    burnt: e.burnt,
                });
            }
            E::VestingAdded(e) => {
                let Some(p) = self.pools.get_mut(&e.pool) else { return };
                let entry = p.vesting.entry((e.server, e.epoch)).or_default();
                entry.0 += e.amount;
                entry.1 = low(e.freeAt);
            }
            E::VestingReleased(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.vesting.remove(&(e.server, e.epoch));
                }
            }
            E::VestingForfeited(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.vesting.retain(|(server, _), _| *server != e.server);
                }
                out.push(Change::VestingForfeited { server: e.server, amount: e.amount });
            }
            E::EquivocationProven(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    p.exits.insert(e.user, low(e.due));
                }
            }
            E::FundsAdded(_) | E::AuditsFunded(_) | E::Delivered(_) => {}
        }
    }

    fn end_exit(&mut self, pool: B256, user: Address) {
        if let Some(p) = self.pools.get_mut(&pool) {
            p.exits.remove(&user);
        }
    }

    fn checks(&mut self, event: Checks::ChecksEvents, out: &mut Changes) {
        use Checks::ChecksEvents as E;
        match event {
            E::Claimed(e) => {
                if let Some(p) = self.pools.get_mut(&e.pool) {
                    let claim = Claim {
                        validator: e.validator,
                        user: e.user,
                        free_at: low(e.freeAt),
                        counter: e.counter,
                        answer: convert(&e.answer),
                        signature: e.answerSignature,
                        over: false,
                    };
                    p.claims.insert(e.response, claim);
                }
                out.push(Change::Claimed { response: e.response, validator: e.validator, pay: e.pay });
            }
            E::ClaimPaid(e) => {
                self.end_claim(e.pool, e.response);
                out.push(Change::ClaimPaid { response: e.response, validator: e.validator });
            }
            E::ClaimVoid(e) => self.end_claim(e.pool, e.response),
        }
    }

    fn end_claim(&mut self, pool: B256, response: B256) {
        if let Some(claim) = self.pools.get_mut(&pool).and_then(|p| p.claims.get_mut(&response)) {
            claim.over = true;
        }
    }

    fn disputes(&mut self, event: Disputes::DisputesEvents, d: &Deployment, out: &mut Changes) {
        use Disputes::DisputesEvents as E;
        match event {
            E::DisputeOpened(e) => {
                // The input of a response is published once, for all its disputes.
                let published = self
                    .disputes
                    .values()
                    .filter(|known| known.record.response == e.response)
                    .find_map(|known| known.input.clone());
                let dispute = OpenDispute {
                    id: e.id,
                    record: e.record.clone(),
                    answer: convert(&e.answer),
                    publish_until: low(e.until),
                    input: published,
                    ended: None,
                };
                self.subjects.insert(e.id, assay_protocol::case_subject(d.chain_id, d.disputes, e.response));
                self.disputes.insert(e.id, dispute);
                out.push(Change::DisputeOpened { id: e.id, pool: e.pool, record: Box::new(e.record) });
            }
            E::InputPublished(e) => {
                out.push(Change::InputPublished { id: e.id, bytes: e.input.len() });
                let response = self.disputes.get(&e.id).map(|dispute| dispute.record.response);
                for dispute in self.disputes.values_mut().filter(|d| Some(d.record.response) == response) {
                    dispute.input = Some(e.input.clone());
                }
            }
            E::DisputeEnded(e) => {
                if let Some(dispute) = self.disputes.get_mut(&e.id) {
                    dispute.ended = Some(e.state);
                }
                out.push(Change::DisputeEnded {
                    id: e.id,
                    state: e.state,
                    server_wrong: e.serverWrong,
                    validator_wrong: e.validatorWrong,
                    slashed: e.slashed,
                    burnt: e.burnt,
                });
            }
            E::JurorPaid(e) => {
                self.settle_juror(d, e.response, e.ballot, low(e.position));
                out.push(Change::JurorPaid { response: e.response, seat: e.seat, amount: e.amount });
            }
            E::JurorFined(e) => {
                self.settle_juror(d, e.response, e.ballot, low(e.position));
                out.push(Change::JurorFined { response: e.response, seat: e.seat, amount: e.amount });
            }
            E::DisputeJoined(_) => {}
            E::EquivocationProven(e) => {
                out.push(Change::EquivocationProven { id: e.id, server: e.server });
            }
        }
    }

    fn settle_juror(&mut self, d: &Deployment, response: B256, ballot: u8, position: u64) {
        let subject = assay_protocol::case_subject(d.chain_id, d.disputes, response);
        if let Some(jury) = self.juries.get_mut(&(subject, ballot)) {
            jury.settled.insert(position);
        }
    }

    fn arbiter(&mut self, event: JuryArbiter::JuryArbiterEvents, d: &Deployment, out: &mut Changes) {
        use JuryArbiter::JuryArbiterEvents as E;
        // Anybody may open cases of their own; only those of the disputes matter here.
        match event {
            E::BallotOpened(e) if e.client == d.disputes => {
                let jury = Jury {
                    round: e.round,
                    commit_end: low(e.commitEnd),
                    propose_end: low(e.proposeEnd),
                    ..Jury::default()
                };
                self.juries.insert((e.subject, e.ballot), jury);
                out.push(Change::BallotOpened { subject: e.subject, ballot: e.ballot, round: e.round });
            }
            E::JuryDrawn(e) if e.client == d.disputes => {
                if let Some(jury) = self.juries.get_mut(&(e.subject, e.ballot)) {
                    jury.seats.clone_from(&e.seats);
                }
                out.push(Change::JuryDrawn { subject: e.subject, ballot: e.ballot, seats: e.seats });
            }
            E::Committed(e) if e.client == d.disputes => {
                let position = low(e.position);
                if let Some(jury) = self.juries.get_mut(&(e.subject, e.ballot)) {
                    jury.commitments.insert(position, e.commitment);
                }
                out.push(Change::Committed { subject: e.subject, ballot: e.ballot, position });
            }
            E::Decided(e) if e.client == d.disputes => {
                if let Some(jury) = self.juries.get_mut(&(e.subject, e.ballot)) {
                    jury.digest = Some(e.digest);
                }
                out.push(Change::Decided {
                    subject: e.subject,
                    ballot: e.ballot,
                    digest: e.digest,
                    matching: low(e.matching),
                });
            }
            E::CaseVoid(e) if e.client == d.disputes => out.push(Change::CaseVoid { subject: e.subject }),
            _ => {}
        }
    }
}
