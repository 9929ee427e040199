// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

using { pay, baseFee, fee, checkPay, discountOf, check, challengeRate, units, juryBudget, checkCredit, epochOf, ticketRound }
    for PoolParams global;

/// @notice The immutable parameters of a pool; its id is `keccak256(abi.encode(params))`. Amounts are in the token's
/// smallest unit, windows in seconds, `m` is a response's size in units. Rates are fractions of 2^64.
struct PoolParams {
    address token; // ERC-20 with `burn`
    address beacon;
    address arbiter;
    bytes32 modelRoot;
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
    uint128 rateFixed; // p0
    uint128 rateUnit; // p1
    uint128 auditRateFixed;
    uint128 auditRateUnit;
    uint32 maxUnits;
    uint32 maxInputBytes;
    uint32 maxPending; // answers a seat may have given before a freeze; matters only where g exceeds the honest margin
    uint32 promptWeight; // units a prompt token weighs
    uint32 outputWeight; // units an output token weighs
    uint16 collusion; // r, thousandths
    uint16 discount; // d, thousandths
    uint16 stride; // ticket rounds are multiples of it
    uint8 redraws;
    uint8 setSize; // k
    uint8 auditSize; // n
    uint8 firstJury;
    uint8 secondJury;
    uint32 epochLength;
    uint32 requestWindow;
    uint32 answerWindow;
    uint32 claimWindow;
    uint32 disputeWindow;
    uint32 publishWindow;
    uint32 commitWindow;
    uint32 proposeWindow;
    uint32 auditWindow;
    uint32 vestingWindow;
    uint32 unbondingWindow;
    uint32 voucherWindow;
    uint32 exitWindow;
}

/// @dev Denominator of `collusion` and `discount`.
uint256 constant THOUSAND = 1000;
/// @dev A rate of one.
uint256 constant RATE_ONE = 1 << 64;

/// @dev Reward of a response: `R0 + R·m`.
function pay(PoolParams memory p, uint256 m) pure returns (uint256) {
    return uint256(p.rewardFixed) + uint256(p.rewardUnit) * m;
}

/// @dev Base fee of a response: `u0 + u·m`.
function baseFee(PoolParams memory p, uint256 m) pure returns (uint256) {
    return uint256(p.feeFixed) + uint256(p.feeUnit) * m;
}

/// @dev What a response costs its user: reward and base fee.
function fee(PoolParams memory p, uint256 m) pure returns (uint256) {
    return pay(p, m) + baseFee(p, m);
}

/// @dev What a check pays the validator: `R·m + c0`.
function checkPay(PoolParams memory p, uint256 m) pure returns (uint256) {
    return uint256(p.rewardUnit) * m + p.checkFixed;
}

/// @dev What a check gives back to its user: `d·u·m`.
function discountOf(PoolParams memory p, uint256 m) pure returns (uint256) {
    return uint256(p.feeUnit) * m * p.discount / THOUSAND;
}

/// @dev What a check takes from the user's check account.
function check(PoolParams memory p, uint256 m) pure returns (uint256) {
    return checkPay(p, m) + discountOf(p, m);
}

/// @dev Chance that a response of `m` units is challenged, as a fraction of 2^64.
function challengeRate(PoolParams memory p, uint256 m) pure returns (uint256) {
    return uint256(p.rateFixed) + uint256(p.rateUnit) * m;
}

/// @dev Size of a response in units.
function units(PoolParams memory p, uint256 promptTokens, uint256 outputTokens) pure returns (uint256) {
    return uint256(p.promptWeight) * promptTokens + uint256(p.outputWeight) * outputTokens;
}

/// @dev J: pay of both juries.
function juryBudget(PoolParams memory p) pure returns (uint256) {
    return uint256(p.jurorPay) * (uint256(p.firstJury) + p.secondJury);
}

/// @dev E-money that a redemption of `count` responses and `m` units puts into the user's check account: the expected
/// cost of checking them, at the rate of the largest request.
function checkCredit(PoolParams memory p, uint256 count, uint256 m) pure returns (uint256) {
    uint256 cost = uint256(p.checkFixed) * count + uint256(p.rewardUnit) * m + discountOf(p, m);
    return (challengeRate(p, p.maxUnits) * cost) >> 64;
}

/// @dev Epoch of a moment.
function epochOf(PoolParams memory p, uint256 time) pure returns (uint32) {
    return uint32(time / p.epochLength);
}

/// @dev The round whose value decides the ticket of a response signed in `round`: the first multiple of the stride that is
/// at least `round + 2`.
function ticketRound(PoolParams memory p, uint64 round) pure returns (uint64) {
    uint64 earliest = round + 2;
    return (earliest + p.stride - 1) / p.stride * p.stride;
}
