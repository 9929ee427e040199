// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

using {
    pay,
    payFor,
    baseFee,
    baseFeeFor,
    fee,
    checkPay,
    discountOf,
    check,
    challengeRate,
    units,
    juryBudget,
    isAudited,
    auditBudget,
    auditStock,
    auditRate,
    checkCredit,
    checkReserve,
    epochOf,
    ticketRound
} for PoolParams global;

/// @notice What a pool rests on.
struct Basis {
    address token; // ERC-20 with `burn`
    address beacon;
    address arbiter;
    bytes32 modelRoot;
}

/// @notice Amounts, in the token's smallest unit.
struct Prices {
    uint96 seatStake; // S
    uint96 seatFloat; // F, for penalties
    uint96 rewardFixed; // R0
    uint96 rewardUnit; // R
    uint96 feeFixed; // u0
    uint96 feeUnit; // u
    uint96 costUnit; // C, honest cost of a unit
    uint96 checkFixed; // c0
    uint96 outsideGain; // g
    uint96 gasAllowance; // to the opener of a dispute that convicts
    uint96 freezePrice; // part of a dispute's bond, to who was frozen for nothing
    uint96 jurorPay;
    uint96 jurorPenalty;
    uint96 checkCap; // most e-money a check account holds
    uint96 minBond;
    uint96 auditPay; // R_V
}

/// @notice Rates: the challenge and audit rates in fractions of 2^64, the shares in thousandths.
struct Rates {
    uint128 challengeFixed; // p0
    uint128 challengeUnit; // p1
    uint128 auditFixed;
    uint128 auditUnit;
    uint16 collusion; // r, thousandths
    uint16 discount; // d, thousandths
}

/// @notice Sizes and counts.
struct Limits {
    uint32 maxUnits;
    uint32 maxInputBytes;
    uint32 promptWeight; // units a prompt token weighs
    uint32 outputWeight; // units an output token weighs
    uint16 stride; // ticket rounds are multiples of it
    uint8 redraws;
    uint8 setSize; // k
    uint8 auditSize; // n
    uint8 firstJury;
    uint8 secondJury;
}

/// @notice Windows, in seconds.
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

/// @notice The immutable parameters of a pool; its id is `keccak256(abi.encode(params))`. `m` is a response's size in units.
struct PoolParams {
    Basis basis;
    Prices prices;
    Rates rates;
    Limits limits;
    Windows windows;
}

/// @dev Denominator of `collusion` and `discount`.
uint256 constant THOUSAND = 1000;
/// @dev A rate of one.
uint256 constant RATE_ONE = 1 << 64;

// None of these sums overflows: prices are below 2^96, rates at most 2^64 by the conditions, counts and units below 2^66.

/// @dev Reward of a response: `R0 + R·m`.
function pay(PoolParams memory p, uint256 m) pure returns (uint256) {
    return payFor(p, 1, m);
}

/// @dev Reward of `count` responses with `m` units in all.
function payFor(PoolParams memory p, uint256 count, uint256 m) pure returns (uint256) {
    unchecked {
        return uint256(p.prices.rewardFixed) * count + uint256(p.prices.rewardUnit) * m;
    }
}

/// @dev Base fee of a response: `u0 + u·m`.
function baseFee(PoolParams memory p, uint256 m) pure returns (uint256) {
    return baseFeeFor(p, 1, m);
}

/// @dev Base fee of `count` responses with `m` units in all.
function baseFeeFor(PoolParams memory p, uint256 count, uint256 m) pure returns (uint256) {
    unchecked {
        return uint256(p.prices.feeFixed) * count + uint256(p.prices.feeUnit) * m;
    }
}

/// @dev What a response costs its user: reward and base fee.
function fee(PoolParams memory p, uint256 m) pure returns (uint256) {
    return pay(p, m) + baseFee(p, m);
}

/// @dev What a check pays the validator: `R·m + c0`.
function checkPay(PoolParams memory p, uint256 m) pure returns (uint256) {
    unchecked {
        return uint256(p.prices.rewardUnit) * m + p.prices.checkFixed;
    }
}

/// @dev What a check gives back to its user: `d·u·m`.
function discountOf(PoolParams memory p, uint256 m) pure returns (uint256) {
    unchecked {
        return uint256(p.prices.feeUnit) * m * p.rates.discount / THOUSAND;
    }
}

/// @dev What a check takes from the user's check account.
function check(PoolParams memory p, uint256 m) pure returns (uint256) {
    return checkPay(p, m) + discountOf(p, m);
}

/// @dev Chance that a response of `m` units is challenged, as a fraction of 2^64.
function challengeRate(PoolParams memory p, uint256 m) pure returns (uint256) {
    unchecked {
        return uint256(p.rates.challengeFixed) + uint256(p.rates.challengeUnit) * m;
    }
}

/// @dev Size of a response in units.
function units(PoolParams memory p, uint256 promptTokens, uint256 outputTokens) pure returns (uint256) {
    return uint256(p.limits.promptWeight) * promptTokens + uint256(p.limits.outputWeight) * outputTokens;
}

/// @dev J: pay of both juries.
function juryBudget(PoolParams memory p) pure returns (uint256) {
    return uint256(p.prices.jurorPay) * (uint256(p.limits.firstJury) + p.limits.secondJury);
}

/// @dev Whether redemptions are audited.
function isAudited(PoolParams memory p) pure returns (bool) {
    return p.rates.auditFixed > 0 || p.rates.auditUnit > 0;
}

/// @dev Expected number of audits of `count` responses with `m` units in all, as a fraction of 2^64.
function auditRate(PoolParams memory p, uint256 count, uint256 m) pure returns (uint256) {
    return uint256(p.rates.auditFixed) * count + uint256(p.rates.auditUnit) * m;
}

/// @dev What an audit may cost: its validators and both juries.
function auditBudget(PoolParams memory p) pure returns (uint256) {
    return uint256(p.prices.auditPay) * p.limits.auditSize + p.juryBudget();
}

/// @dev What the Audit account is filled up to, out of what redemptions burn.
function auditStock(PoolParams memory p) pure returns (uint256) {
    return 4 * auditBudget(p);
}

/// @dev E-money that a redemption of `count` responses and `m` units puts into the user's check account: the expected
/// cost of checking them, at the rate of the largest request.
function checkCredit(PoolParams memory p, uint256 count, uint256 m) pure returns (uint256) {
    unchecked {
        uint256 cost =
            uint256(p.prices.checkFixed) * count + uint256(p.prices.rewardUnit) * m + discountOf(p, m);
        return (challengeRate(p, p.limits.maxUnits) * cost) >> 64;
    }
}

/// @dev Most that claims take from a user's bond within one period of a voucher's lifetime: ten of the largest checks. More
/// would let a user that checks itself empty the bond which its vouchers rest on.
function checkReserve(PoolParams memory p) pure returns (uint256) {
    return 10 * check(p, p.limits.maxUnits);
}

/// @dev Epoch of a moment.
function epochOf(PoolParams memory p, uint256 time) pure returns (uint32) {
    return uint32(time / p.windows.epoch);
}

/// @dev The round whose value decides the ticket of a response signed in `round`: the first multiple of the stride that is
/// at least `round + 2`.
function ticketRound(PoolParams memory p, uint64 round) pure returns (uint64) {
    uint64 earliest = round + 2;
    return (earliest + p.limits.stride - 1) / p.limits.stride * p.limits.stride;
}
