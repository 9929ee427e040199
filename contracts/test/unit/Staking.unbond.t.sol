// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract StakingUnbondTest is AssayTest {
    uint256 private price;

    function setUp() public override {
        super.setUp();
        price = uint256(params.prices.seatStake) + params.prices.seatFloat;
    }

    function _epoch() private view returns (uint32) {
        return params.epochOf(block.timestamp);
    }

    function _unbond(uint256 server, uint64 seat) private {
        vm.prank(servers[server]);
        staking.unbond(pool, seat);
    }

    /// @dev As the disputes module does for an absent juror.
    function _fine(uint64 seat) private {
        vm.prank(address(disputes));
        staking.fine(pool, seat);
    }

    function test_TheLastSeatTakesTheLeavingOnesPlaceTwoEpochsLater() public {
        uint32 epoch = _epoch();
        uint40 exitAt = uint40((uint256(epoch) + 2) * params.windows.epoch + params.windows.unbonding);
        vm.expectEmit(address(staking));
        emit IStaking.SeatLeft(pool, 1, 0, 60, epoch + 2, exitAt);
        _unbond(0, 1);
        assertEq(staking.seatCount(pool, epoch + 1), 60);
        assertEq(staking.seatAt(pool, epoch + 1, 0), 1);
        assertEq(staking.seatCount(pool, epoch + 2), 59);
        assertEq(staking.seatAt(pool, epoch + 2, 0), 60);
        assertEq(staking.seatOf(pool, 60).index, 0);
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
        assertEq(staking.serverOf(pool, servers[0]).bondedUntil, exitAt);
        // The moved seat leaves from its new place.
        vm.expectEmit(address(staking));
        emit IStaking.SeatLeft(pool, 60, 0, 59, epoch + 2, exitAt);
        _unbond(4, 60);
        assertEq(staking.seatAt(pool, epoch + 2, 0), 59);
    }

    function test_ASeatThatLeavesBeforeItEnteredIsNeverInATable() public {
        ledger.deposit(pool, servers[0], price);
        vm.startPrank(servers[0]);
        uint64 seat = staking.join(pool, 1);
        staking.unbond(pool, seat);
        assertEq(staking.seatCount(pool, _epoch() + 2), 60);
        assertEq(staking.serverOf(pool, servers[0]).seats, 12);
    }

    function test_StakeLeavesAtTheEndOfUnbondingAndNotASecondEarlier() public {
        _unbond(0, 1);
        uint256 exitAt = staking.seatOf(pool, 1).exitAt;
        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StillBonded.selector, pool, 1, exitAt));
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        vm.warp(exitAt);
        uint256 free = balanceOf(AccountKind.Free, servers[0]);
        vm.expectEmit(address(staking));
        emit IStaking.SeatWithdrawn(pool, 1, price);
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(balanceOf(AccountKind.Free, servers[0]), free + price);
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(balanceOf(AccountKind.Free, servers[0]), free + price, "a second withdrawal finds nothing");
    }

    function test_RevertWhen_UnbondingTwiceOrAnothersSeat() public {
        _unbond(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.AlreadyLeaving.selector, pool, 1));
        _unbond(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.AlreadyLeaving.selector, pool, 1));
        staking.evict(pool, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotOwner.selector, pool, 2, servers[1]));
        _unbond(1, 2);
        vm.expectRevert(abi.encodeWithSelector(IStaking.SeatUnknown.selector, pool, 61));
        _unbond(1, 61);
    }

    function test_RevertWhen_WithdrawingASeatThatStays() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotLeaving.selector, pool, 1));
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotOwner.selector, pool, 1, servers[1]));
        vm.prank(servers[1]);
        staking.withdraw(pool, 1);
    }

    /// @dev Invariant 6: the stake waits for the dispute, however long after the unbonding that ends.
    function test_RevertWhen_WithdrawingUnderADispute() public {
        _unbond(0, 2);
        vm.warp(staking.seatOf(pool, 2).exitAt);
        (, IDisputes.Record memory r) = disputed(drawn(0, 1, WRONG, RIGHT), user);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 1));
        vm.prank(servers[0]);
        staking.withdraw(pool, 2);
        assertEq(staking.serverOf(pool, r.validator).freezes, 1, "the validator is accused as well");
    }

    function test_RevertWhen_EvictingAnActiveSeat() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotOwner.selector, pool, 1, address(this)));
        staking.evict(pool, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.SeatUnknown.selector, pool, 61));
        staking.evict(pool, 61);
    }

    function test_AFineTakesTheFloatFirstAndThenSuspends() public {
        _fine(1);
        assertTrue(staking.isActive(pool, 1), "the float covers one penalty");
        uint256 burnt = burnBalance();
        vm.expectEmit(address(staking));
        emit IStaking.SeatFined(pool, 1, params.prices.jurorPenalty);
        vm.expectEmit(address(staking));
        emit IStaking.SeatSuspended(pool, 1);
        _fine(1);
        assertEq(burnBalance(), burnt + params.prices.jurorPenalty);
        assertFalse(staking.isActive(pool, 1));
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
        // Suspended once is enough: the count of bonded seats stays right.
        _fine(1);
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
    }

    function test_AnybodyEvictsASuspendedSeatAndTheCountStaysRight() public {
        _fine(1);
        _fine(1);
        staking.evict(pool, 1);
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
        assertEq(staking.serverOf(pool, servers[0]).bondedUntil, 0, "a suspended seat bonds nothing");
        assertEq(staking.seatCount(pool, _epoch() + 2), 59);
        vm.warp(staking.seatOf(pool, 1).exitAt);
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(seatBalance(1), 0);
    }

    function test_ASeatFinedWhileLeavingIsCountedOnce() public {
        _unbond(0, 1);
        _fine(1);
        _fine(1);
        assertTrue(isSuspended(1));
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
    }

    function test_AFineTakesNoMoreThanThereIs() public {
        uint256 held = seatBalance(1);
        vm.startPrank(address(disputes));
        while (seatBalance(1) > 0) {
            staking.fine(pool, 1);
        }
        assertEq(burnBalance(), held);
        assertEq(staking.fine(pool, 1), 0);
    }

    function test_AllSeatsOfAConvictedServerMayBeEvicted() public {
        convicted(0, 1);
        assertEq(staking.serverOf(pool, servers[0]).seats, 11);
        for (uint64 seat = 1; seat <= 12; ++seat) {
            assertFalse(staking.isActive(pool, seat));
            staking.evict(pool, seat);
        }
        assertEq(staking.serverOf(pool, servers[0]).seats, 0);
        assertEq(staking.seatCount(pool, _epoch() + 2), 48);
        for (uint256 i; i < 48; ++i) {
            assertGt(staking.seatAt(pool, _epoch() + 2, i), 12);
        }
    }

    function test_ASlashTakesTheStakeAndLeavesTheFloat() public {
        (uint256 id,) = convicted(0, 1);
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertEq(id, 1);
        vm.prank(address(disputes));
        assertEq(staking.slash(pool, 1, "case"), params.prices.seatFloat, "no more than there is");
    }

    function test_ServersAreBondedAsLongAsASeatOfTheirsIs() public {
        assertTrue(staking.isBondedUntil(pool, servers[0], type(uint40).max));
        for (uint64 seat = 1; seat <= 12; ++seat) {
            _unbond(0, seat);
        }
        uint256 exitAt = staking.seatOf(pool, 12).exitAt;
        assertTrue(staking.isBondedUntil(pool, servers[0], exitAt));
        assertFalse(staking.isBondedUntil(pool, servers[0], exitAt + 1));
        assertFalse(staking.isBondedUntil(pool, user, block.timestamp));
    }

    /// @dev A withdrawn seat has no stake to pay a jury from: evidence that names it counts no longer.
    function test_RevertWhen_ADisputeNamesASeatWhoseUnbondingIsOver() public {
        _unbond(0, 1);
        vm.warp(staking.seatOf(pool, 1).exitAt - 3);
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        checks.verify(e);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IChecks.NotServersSeat.selector, 1, servers[0]));
        vm.prank(user);
        disputes.open(e);
    }
}
