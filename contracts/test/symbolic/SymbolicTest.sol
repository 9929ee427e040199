// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { PoolStore } from "../../src/libraries/PoolStore.sol";
import { Modules } from "../../src/types/Modules.sol";
import { PoolParams, Basis, Prices, Rates, Limits, Windows } from "../../src/types/PoolParams.sol";

/// @dev For `halmos`, which runs each `check_` with every value that its arguments can have. Modules under proof are the real
/// ones; their neighbours answer what the proof lets them.
abstract contract SymbolicTest is Test {
    bytes32 internal constant POOL = bytes32(uint256(1));
    address internal constant POOLS = address(0xb001);
    uint256 internal constant NOW = 1_800_000_000;
    uint64 internal constant GENESIS = 1_700_000_000;

    /// @dev Modules that are all `other`, but the registry, whose pool holds `p`.
    function world(address other, PoolParams memory p) internal returns (Modules memory m) {
        vm.warp(NOW);
        // What SSTORE2 writes.
        vm.etch(PoolStore.pointerOf(POOLS, POOL), bytes.concat(hex"00", abi.encode(p)));
        m = Modules(POOLS, other, other, other, other, other, other);
    }

    function poolParams(address other) internal pure returns (PoolParams memory p) {
        p.basis = Basis(other, other, other, keccak256("model"));
        p.prices = Prices({
            seatStake: 500_000,
            seatFloat: 2_000,
            rewardFixed: 20,
            rewardUnit: 3,
            feeFixed: 20,
            feeUnit: 4,
            costUnit: 1,
            checkFixed: 20,
            outsideGain: 20,
            gasAllowance: 100,
            freezePrice: 200,
            jurorPay: 1_500,
            jurorPenalty: 1_500,
            checkCap: 500_000,
            minBond: 200_000,
            auditPay: 0
        });
        p.rates = Rates({
            challengeFixed: uint128(1) << 63,
            challengeUnit: 0,
            auditFixed: 0,
            auditUnit: 0,
            collusion: 100,
            discount: 100
        });
        p.limits = Limits({
            maxUnits: 1_000,
            maxInputBytes: 16_384,
            promptWeight: 1,
            outputWeight: 2,
            stride: 1,
            redraws: 3,
            setSize: 3,
            auditSize: 0,
            firstJury: 5,
            secondJury: 9
        });
        p.windows = Windows({
            epoch: 10,
            request: 30,
            answer: 5,
            claim: 20,
            dispute: 30,
            publish: 10,
            commit: 10,
            propose: 10,
            audit: 0,
            vesting: 100,
            unbonding: 200,
            voucher: 100,
            exit: 150,
            lag: 0
        });
    }
}
