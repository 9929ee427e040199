// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice What one redemption paid of one lane: responses `countBefore + 1` to `count`.
struct Span {
    address user;
    uint64 lane;
    uint64 countBefore;
    uint64 count;
    uint64 unitsBefore;
    uint64 units;
    bytes32 root; // the voucher's; the leaf itself for an output delivered on-chain
}
