//! What each user has had and not paid yet, and how much more it may have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, U256};
use assay_protocol::PoolParams;
use assay_protocol::wire::{ErrorCode, WireError};
use assay_store::{Store, StoreError};

use crate::lock;
use crate::records::Lane;

/// Responses and units that a lane has delivered beyond what was redeemed.
#[derive(Debug, Clone, Copy, Default)]
struct Exposure {
    count: u64,
    units: u64,
    /// Units of the response that waits for its voucher, and until when it may come (unix seconds). A user that never
    /// acknowledges has cost this server the answer; it does not lose its credit for good.
    pending: Option<(u64, u64)>,
}

impl Exposure {
    fn of(lane: &Lane) -> Self {
        Self {
            count: lane.accepted.count().saturating_sub(lane.redeemed_count),
            units: lane.accepted.units().saturating_sub(lane.redeemed_units),
            pending: lane.pending.as_ref().map(|p| (p.units, p.until)),
        }
    }

    fn cost(self, params: &PoolParams, now: u64) -> U256 {
        let pending = self.pending.filter(|(_, until)| now <= *until).map(|(units, _)| units);
        let count = self.count + u64::from(pending.is_some());
        let units = self.units + pending.unwrap_or(0);
        let prices = &params.prices;
        (U256::from(prices.rewardFixed) + U256::from(prices.feeFixed)) * U256::from(count)
            + (U256::from(prices.rewardUnit) + U256::from(prices.feeUnit)) * U256::from(units)
    }
}

#[derive(Debug, Default)]
struct Account {
    lanes: HashMap<u64, Exposure>,
    /// Reserved for answers that are being computed.
    running: U256,
}

/// The exposure to every user, kept in step with the lanes in the store.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<HashMap<Address, Account>>);

/// The place of a running answer in its user's credit; dropped when the answer is stored or given up.
#[derive(Debug)]
pub(crate) struct Reservation {
    book: Arc<Book>,
    user: Address,
    amount: U256,
}

impl Book {
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        let book = Self::default();
        for lane in store.all::<Lane>()? {
            book.update(&lane);
        }
        Ok(book)
    }

    /// Takes in a lane's new state.
    pub(crate) fn update(&self, lane: &Lane) {
        lock(&self.0).entry(lane.user).or_default().lanes.insert(lane.lane, Exposure::of(lane));
    }

    /// Reserves room for an answer of at most `max_units`, if `limit` allows it.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        params: &PoolParams,
        user: Address,
        max_units: u64,
        limit: U256,
        now: u64,
    ) -> Result<Reservation, WireError> {
        let mut book = lock(&self.0);
        let account = book.entry(user).or_default();
        let owed: U256 = account.lanes.values().map(|e| e.cost(params, now)).sum::<U256>() + account.running;
        let amount = params.fee(max_units);
        if owed + amount > limit {
            return Err(WireError::new(
                ErrorCode::NoCredit,
                format!("{owed} unredeemed and {amount} asked for, the bond covers {limit}"),
            ));
        }
        account.running += amount;
        drop(book);
        Ok(Reservation { book: self.clone(), user, amount })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(account) = lock(&self.book.0).get_mut(&self.user) {
            account.running = account.running.saturating_sub(self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Pending;
    use alloy_primitives::B256;
    use assay_protocol::{AcceptedRange, Prices};

    fn params() -> PoolParams {
        let n = alloy_primitives::Uint::<96, 2>::from;
        let prices = Prices {
            rewardFixed: n(20),
            rewardUnit: n(3),
            feeFixed: n(20),
            feeUnit: n(4),
            ..Prices::default()
        };
        PoolParams { prices, ..PoolParams::default() }
    }

    fn lane(accepted: u64, pending: bool, redeemed: u64) -> Lane {
        let mut range = AcceptedRange::default();
        (0..accepted).for_each(|_| range.push(B256::ZERO, 100));
        Lane {
            user: Address::ZERO,
            lane: 1,
            last_sequence: accepted,
            accepted: range,
            pending: pending.then_some(Pending {
                response: B256::ZERO,
                sequence: accepted + 1,
                units: 100,
                until: 60,
            }),
            voucher: None,
            redeemed_count: redeemed,
            redeemed_units: 100 * redeemed,
        }
    }

    /// A response of 100 units costs 740.
    #[test]
    fn credit_counts_what_is_running_unacknowledged_and_unredeemed() {
        let (book, params) = (Arc::new(Book::default()), params());
        let limit = U256::from(3 * 740);
        let first = book.reserve(&params, Address::ZERO, 100, limit, 50).unwrap();
        let second = book.reserve(&params, Address::ZERO, 100, limit, 50).unwrap();
        book.update(&lane(0, true, 0));
        let refused = book.reserve(&params, Address::ZERO, 100, limit, 50).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoCredit);
        drop(first);
        drop(second);
        book.update(&lane(2, false, 0));
        let third = book.reserve(&params, Address::ZERO, 100, limit, 50).unwrap();
        assert!(book.reserve(&params, Address::ZERO, 100, limit, 50).is_err());
        drop(third);
        book.update(&lane(2, false, 2));
        let all: Vec<_> =
            (0..3).map(|_| book.reserve(&params, Address::ZERO, 100, limit, 50).unwrap()).collect();
        assert_eq!(all.len(), 3);
        drop(all);
        // An answer that was never acknowledged counts until its time is over.
        book.update(&lane(4, true, 2));
        assert!(book.reserve(&params, Address::ZERO, 100, limit, 60).is_err());
        book.reserve(&params, Address::ZERO, 100, limit, 61).unwrap();
        // Another user has a credit of its own.
        book.reserve(&params, Address::repeat_byte(1), 100, limit, 50).unwrap();
    }
}
