//! Tickets and draws: what the beacon decides.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// What is drawn; each kind has a domain of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// The servers of a user for an epoch, from the epoch's first round. Subject: the user; counter: the slot.
    Set,
    /// The validator of a response. Subject: its ticket; counter: how many drawn before were passed over.
    Validator,
    /// A jury. Subject: the ballot's; counter: draws before, repeated ones included.
    Jury,
}

impl Draw {
    fn domain(self) -> B256 {
        keccak256(match self {
            Self::Set => b"assay.draw.set.v1".as_slice(),
            Self::Validator => b"assay.draw.validator.v1",
            Self::Jury => b"assay.draw.jury.v1",
        })
    }

    /// A place below `seat_count`, uniform up to 2^-224; `None` from an empty table.
    pub fn place(
        self,
        randomness: B256,
        pool: B256,
        subject: B256,
        counter: u64,
        seat_count: u32,
    ) -> Option<u32> {
        if seat_count == 0 {
            return None;
        }
        let hash = keccak256((self.domain(), randomness, pool, subject, U256::from(counter)).abi_encode());
        let place = U256::from_be_bytes(hash.0) % U256::from(seat_count);
        Some(place.to::<u32>())
    }
}

/// Subject of a user's set.
pub fn set_subject(user: Address) -> B256 {
    user.into_word()
}

/// Places of a jury in the seat table, in the order of their positions: drawn one after the other, repeated ones passed
/// over. A table smaller than `size` makes a smaller jury.
pub fn jury_places(
    randomness: B256,
    pool: B256,
    ballot_subject: B256,
    size: u8,
    seat_count: u32,
) -> Vec<u32> {
    let size = u32::from(size).min(seat_count) as usize;
    let mut places: Vec<u32> = Vec::with_capacity(size);
    let mut counter = 0;
    while places.len() < size {
        let Some(place) = Draw::Jury.place(randomness, pool, ballot_subject, counter, seat_count) else {
            break;
        };
        if !places.contains(&place) {
            places.push(place);
        }
        counter += 1;
    }
    places
}

/// Decides whether a response is challenged, and seeds the draw of its validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub B256);

impl Ticket {
    /// `keccak(domain, randomness, responseHash, ticketNonce)`.
    pub fn new(randomness: B256, response: B256, nonce: B256) -> Self {
        Self(keccak256((keccak256(b"assay.ticket.v1"), randomness, response, nonce).abi_encode()))
    }

    /// Whether it falls below a rate (a fraction of 2^64).
    pub fn is_drawn(self, rate: U256) -> bool {
        (U256::from_be_bytes(self.0.0) >> 192) < rate
    }
}

/// The round whose value decides the ticket of a response signed in `round`: the first multiple of the stride that is at
/// least `round + 2`. `None` where that overflows or the stride is 0.
pub fn ticket_round(round: u64, stride: u16) -> Option<u64> {
    round.checked_add(2)?.checked_next_multiple_of(u64::from(stride))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_rounds_are_multiples_at_least_two_later() {
        for stride in 1..20u16 {
            for round in 0..100 {
                let ticket = ticket_round(round, stride).unwrap();
                assert_eq!(ticket % u64::from(stride), 0);
                assert!(ticket >= round + 2 && ticket < round + 2 + u64::from(stride));
            }
        }
        assert_eq!(ticket_round(u64::MAX - 1, 7), None);
        assert_eq!(ticket_round(5, 0), None);
    }

    #[test]
    fn juries_repeat_nobody_and_may_be_the_whole_pool() {
        let places = jury_places(B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3), 31, 33);
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((places.len(), sorted.len()), (31, 31));
        let mut all = jury_places(B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3), 9, 5);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert!(jury_places(B256::ZERO, B256::ZERO, B256::ZERO, 5, 0).is_empty());
    }
}
