// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract LanesReleaseTest is AssayTest {
    uint32 private epoch;
    uint256 private reward;
    uint256 private freeAt;
    uint32[] private epochs;

    function setUp() public override {
        super.setUp();
        redeem(0, voucher(0, 9, 1, 1, 100));
        epoch = params.epochOf(block.timestamp);
        reward = params.pay(100);
        freeAt = (uint256(epoch) + 1) * params.windows.epoch + params.windows.vesting;
        epochs.push(epoch);
    }

    function test_RewardsLeaveWhenTheyHaveVestedAndNotASecondEarlier() public {
        vm.warp(freeAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ILanes.VestingClosed.selector, pool, servers[0], epoch, freeAt)
        );
        lanes.release(pool, servers[0], epochs);
        vm.warp(freeAt);
        uint256 free = balanceOf(AccountKind.Free, servers[0]);
        vm.expectEmit(address(lanes));
        emit ILanes.VestingReleased(pool, servers[0], epoch, reward);
        lanes.release(pool, servers[0], epochs);
        assertEq(balanceOf(AccountKind.Free, servers[0]), free + reward);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
    }

    function test_AnEpochIsReleasedOnce() public {
        skip(10);
        redeem(0, voucher(0, 9, 2, 2, 200));
        vm.warp(freeAt);
        epochs.push(epoch); // named twice
        epochs.push(epoch - 1); // nothing was redeemed in it
        uint256 free = balanceOf(AccountKind.Free, servers[0]);
        lanes.release(pool, servers[0], epochs);
        lanes.release(pool, servers[0], epochs);
        assertEq(balanceOf(AccountKind.Free, servers[0]), free + reward);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), reward, "the next epoch's stays");
    }

    /// @dev Invariant 6: a dispute that was opened in time holds the vesting back for as long as it takes.
    function test_RevertWhen_TheServerIsAccused() public {
        vm.warp(freeAt - 2);
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        vm.warp(freeAt);
        vm.expectRevert(abi.encodeWithSelector(ILanes.ServerFrozen.selector, pool, servers[0]));
        lanes.release(pool, servers[0], epochs);
        skip(11);
        disputes.dismiss(id, r);
        lanes.release(pool, servers[0], epochs);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
    }

    function test_AConvictedServerForfeitsAllThatVests() public {
        uint256 burnt = burnBalance();
        vm.warp(freeAt - 2);
        (uint256 id, IDisputes.Record memory r) = disputed(drawn(0, 1, WRONG, RIGHT), user);
        judged(id, r, RIGHT);
        vm.expectEmit(address(lanes));
        emit ILanes.VestingForfeited(pool, servers[0], reward);
        disputes.resolve(id, r);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertGe(burnBalance(), burnt + reward);
        vm.warp(freeAt);
        vm.expectRevert(abi.encodeWithSelector(ILanes.Convicted.selector, pool, servers[0]));
        lanes.release(pool, servers[0], epochs);
    }

    function test_RevertWhen_NoModuleForfeits() public {
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotModule.selector, address(this)));
        lanes.forfeit(pool, servers[0]);
    }
}
