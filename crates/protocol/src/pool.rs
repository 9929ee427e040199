//! A pool's parameters and the prices they set.
#![allow(missing_docs, reason = "documented once, beside the Solidity struct")]

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::{SolValue, sol};

use crate::draw;

sol! {
    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Basis {
        address token;
        address beacon;
        address arbiter;
        bytes32 modelRoot;
    }

    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Prices {
        uint96 seatStake;
        uint96 seatFloat;
        uint96 rewardFixed;
        uint96 rewardUnit;
        uint96 feeFixed;
        uint96 feeUnit;
        uint96 costUnit;
        uint96 checkFixed;
        uint96 outsideGain;
        uint96 gasAllowance;
        uint96 freezePrice;
        uint96 jurorPay;
        uint96 jurorPenalty;
        uint96 checkCap;
        uint96 minBond;
        uint96 auditPay;
    }

    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Rates {
        uint128 challengeFixed;
        uint128 challengeUnit;
        uint128 auditFixed;
        uint128 auditUnit;
        uint16 collusion;
        uint16 discount;
    }

    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Limits {
        uint32 maxUnits;
        uint32 maxInputBytes;
        uint32 promptWeight;
        uint32 outputWeight;
        uint16 stride;
        uint8 redraws;
        uint8 setSize;
        uint8 auditSize;
        uint8 firstJury;
        uint8 secondJury;
    }

    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Windows {
        uint32 epoch;
        uint32 request;
        uint32 answer;
        uint32 claim;
        uint32 dispute;
        uint32 publish;
        uint32 commit;
        uint32 propose;
        uint32 audit;
        uint32 vesting;
        uint32 unbonding;
        uint32 voucher;
        uint32 exit;
        uint32 lag;
    }

    #[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct PoolParams {
        Basis basis;
        Prices prices;
        Rates rates;
        Limits limits;
        Windows windows;
    }
}

/// Size of a response in units: both token counts, weighed.
pub fn units_of(prompt_weight: u32, output_weight: u32, prompt_tokens: u32, output_tokens: u32) -> u64 {
    // Pools bound both weights by 2^16, so neither product nor the sum reaches 2^64.
    (u64::from(prompt_weight) * u64::from(prompt_tokens))
        .saturating_add(u64::from(output_weight) * u64::from(output_tokens))
}

impl PoolParams {
    /// The pool's id: hash of its encoded parameters.
    pub fn id(&self) -> B256 {
        keccak256(self.abi_encode())
    }

    /// Reward of a response of `m` units: `R0 + R·m`.
    pub fn pay(&self, m: u64) -> U256 {
        U256::from(self.prices.rewardFixed) + U256::from(self.prices.rewardUnit) * U256::from(m)
    }

    /// Base fee: `u0 + u·m`.
    pub fn base_fee(&self, m: u64) -> U256 {
        U256::from(self.prices.feeFixed) + U256::from(self.prices.feeUnit) * U256::from(m)
    }

    /// What a response costs its user.
    pub fn fee(&self, m: u64) -> U256 {
        self.pay(m) + self.base_fee(m)
    }

    /// What a check pays the validator: `R·m + c0`.
    pub fn check_pay(&self, m: u64) -> U256 {
        U256::from(self.prices.rewardUnit) * U256::from(m) + U256::from(self.prices.checkFixed)
    }

    /// What a check gives back to its user: `d·u·m`.
    pub fn discount_of(&self, m: u64) -> U256 {
        U256::from(self.prices.feeUnit) * U256::from(m) * U256::from(self.rates.discount) / U256::from(1000)
    }

    /// What a check takes from the user's check account.
    pub fn check(&self, m: u64) -> U256 {
        self.check_pay(m) + self.discount_of(m)
    }

    /// Chance that a response is challenged, as a fraction of 2^64.
    pub fn challenge_rate(&self, m: u64) -> U256 {
        U256::from(self.rates.challengeFixed) + U256::from(self.rates.challengeUnit) * U256::from(m)
    }

    /// E-money that a redemption of `count` responses and `m` units puts into the user's check account.
    pub fn check_credit(&self, count: u64, m: u64) -> U256 {
        let cost = U256::from(self.prices.checkFixed) * U256::from(count)
            + U256::from(self.prices.rewardUnit) * U256::from(m)
            + self.discount_of(m);
        (self.challenge_rate(u64::from(self.limits.maxUnits)) * cost) >> 64
    }

    /// J: pay of both juries.
    pub fn jury_budget(&self) -> U256 {
        U256::from(self.prices.jurorPay)
            * U256::from(u16::from(self.limits.firstJury) + u16::from(self.limits.secondJury))
    }

    /// What opening a dispute takes.
    pub fn dispute_bond(&self) -> U256 {
        self.jury_budget() + U256::from(self.prices.freezePrice)
    }

    /// Most that a server delivers to a user unredeemed: `(bond − minimum bond) / 2k`.
    pub fn credit(&self, bond: U256) -> U256 {
        bond.saturating_sub(U256::from(self.prices.minBond))
            / U256::from(2 * u16::from(self.limits.setSize).max(1))
    }

    /// Epoch of a moment (unix seconds).
    pub fn epoch_of(&self, time: u64) -> u32 {
        u32::try_from(time / u64::from(self.windows.epoch.max(1))).unwrap_or(u32::MAX)
    }

    /// Start of an epoch (unix seconds).
    pub fn epoch_start(&self, epoch: u32) -> u64 {
        u64::from(epoch) * u64::from(self.windows.epoch)
    }

    /// The round that decides the ticket of a response signed in `round`.
    pub fn ticket_round(&self, round: u64) -> Option<u64> {
        draw::ticket_round(round, self.limits.stride)
    }

    /// Size in units of a response with these token counts.
    pub fn units(&self, prompt_tokens: u32, output_tokens: u32) -> u64 {
        units_of(self.limits.promptWeight, self.limits.outputWeight, prompt_tokens, output_tokens)
    }

    /// Seats that the pool needs before its requests count.
    pub fn seats_needed(&self) -> u32 {
        3 * u32::from(self.limits.secondJury)
    }
}

/// Seats that a verdict needs: two thirds of the jury, rounded up.
pub fn quorum(jury_size: u8) -> u8 {
    // At most 170 for a jury of 255.
    (2 * u16::from(jury_size)).div_ceil(3) as u8
}
