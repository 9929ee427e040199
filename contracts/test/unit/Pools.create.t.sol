// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SSTORE2 } from "solady/utils/SSTORE2.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { Condition, Conditions } from "../../src/libraries/Conditions.sol";
import { PoolStore } from "../../src/libraries/PoolStore.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev Stores parameters as the registry does, but any.
contract AnyStore {
    function store(PoolParams calldata p) external returns (bytes32 id) {
        bytes memory encoded = abi.encode(p);
        id = keccak256(encoded);
        SSTORE2.writeDeterministic(encoded, id);
    }
}

contract PoolsCreateTest is AssayTest {
    function test_APoolIsTheHashOfItsParameters() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 96;
        bytes32 id = keccak256(abi.encode(p));
        assertFalse(pools.exists(id));
        vm.expectEmit(address(pools));
        emit IPools.PoolCreated(id, p, "ipfs://other", bytes32(uint256(5)));
        assertEq(pools.create(p, "ipfs://other", bytes32(uint256(5))), id);
        assertTrue(pools.exists(id));
        assertEq(abi.encode(pools.get(id)), abi.encode(p));
    }

    function test_RevertWhen_ThePoolExists() public {
        PoolParams memory p = poolParams();
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolExists.selector, pool));
        pools.create(p, "elsewhere", 0);
    }

    function test_RevertWhen_ThePoolIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        pools.get("none");
    }

    function test_RevertWhen_AConditionIsBroken() public {
        PoolParams memory p = poolParams();
        p.prices.minBond = 1;
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, Condition.Bond));
        pools.create(p, "", 0);
    }

    function test_RevertWhen_TheBeaconIsNoContract() public {
        PoolParams memory p = poolParams();
        p.basis.beacon = address(0xBEAC0);
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, Condition.Domain));
        pools.create(p, "", 0);
    }

    function load(address store, bytes32 id) external view returns (PoolParams memory) {
        return PoolStore.load(store, id);
    }

    /// @dev Every field holds another value, so that two that were exchanged would show.
    function test_EveryFieldIsLoadedFromItsPlace() public {
        PoolParams memory p;
        uint256[50] memory words;
        for (uint256 i; i < 50; ++i) {
            words[i] = i + 101;
        }
        p = abi.decode(abi.encode(words), (PoolParams));
        AnyStore store = new AnyStore();
        bytes32 id = store.store(p);
        PoolParams memory q = this.load(address(store), id);
        assertEq(q.basis.token, address(101));
        assertEq(q.basis.beacon, address(102));
        assertEq(q.basis.arbiter, address(103));
        assertEq(q.basis.modelRoot, bytes32(uint256(104)));
        uint256[16] memory prices = [
            uint256(q.prices.seatStake),
            q.prices.seatFloat,
            q.prices.rewardFixed,
            q.prices.rewardUnit,
            q.prices.feeFixed,
            q.prices.feeUnit,
            q.prices.costUnit,
            q.prices.checkFixed,
            q.prices.outsideGain,
            q.prices.gasAllowance,
            q.prices.freezePrice,
            q.prices.jurorPay,
            q.prices.jurorPenalty,
            q.prices.checkCap,
            q.prices.minBond,
            q.prices.auditPay
        ];
        for (uint256 i; i < 16; ++i) {
            assertEq(prices[i], 105 + i);
        }
        assertEq(q.rates.challengeFixed, 121);
        assertEq(q.rates.challengeUnit, 122);
        assertEq(q.rates.auditFixed, 123);
        assertEq(q.rates.auditUnit, 124);
        assertEq(q.rates.collusion, 125);
        assertEq(q.rates.discount, 126);
        uint256[10] memory limits = [
            uint256(q.limits.maxUnits),
            q.limits.maxInputBytes,
            q.limits.promptWeight,
            q.limits.outputWeight,
            q.limits.stride,
            q.limits.redraws,
            q.limits.setSize,
            q.limits.auditSize,
            q.limits.firstJury,
            q.limits.secondJury
        ];
        for (uint256 i; i < 10; ++i) {
            assertEq(limits[i], 127 + i);
        }
        uint256[14] memory windows = [
            uint256(q.windows.epoch),
            q.windows.request,
            q.windows.answer,
            q.windows.claim,
            q.windows.dispute,
            q.windows.publish,
            q.windows.commit,
            q.windows.propose,
            q.windows.audit,
            q.windows.vesting,
            q.windows.unbonding,
            q.windows.voucher,
            q.windows.exit,
            q.windows.lag
        ];
        for (uint256 i; i < 14; ++i) {
            assertEq(windows[i], 137 + i);
        }
        assertEq(keccak256(abi.encode(q)), id);
    }
}
