// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract LanesExitTest is AssayTest {
    function test_FundMovesFreeMoney() public {
        vm.expectEmit(address(lanes));
        emit ILanes.FundsAdded(pool, user, 7, 9);
        vm.prank(user);
        lanes.fund(pool, 7, 9);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_007);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_009);
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 - 16);
    }

    function test_RevertWhen_FundingMoreThanIsFree() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(user), 1_000_001, 1_000_000
            )
        );
        vm.prank(user);
        lanes.fund(pool, 1_000_000, 1_000_001);
    }

    function test_MoneyLeavesAtTheEndOfTheWindowAndCheckMoneyIsBurnt() public {
        redeem(0, voucher(0, 7, 1, 1, 1_000));
        uint256 eMoney = balanceOf(AccountKind.Check, user);
        assertGt(eMoney, 0);
        uint256 funds = balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user);
        uint256 due = block.timestamp + params.windows.exit;
        vm.startPrank(user);
        vm.expectEmit(address(lanes));
        emit ILanes.ExitRequested(pool, user, due);
        lanes.requestExit(pool);
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(ILanes.ExitTooEarly.selector, user, due));
        lanes.exit(pool, user);
        vm.warp(due);
        uint256 burnt = burnBalance();
        vm.expectEmit(address(lanes));
        emit ILanes.Exited(pool, user, funds, eMoney);
        lanes.exit(pool, user);
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 + funds);
        assertEq(balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user), 0);
        assertEq(balanceOf(AccountKind.Check, user), 0);
        assertEq(burnBalance(), burnt + eMoney);
        assertEq(lanes.exitOf(pool, user).due, 0);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NoExitRequested.selector, user));
        lanes.exit(pool, user);
    }

    function test_RevertWhen_NoExitWasRequested() public {
        vm.startPrank(user);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NoExitRequested.selector, user));
        lanes.exit(pool, user);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NoExitRequested.selector, user));
        lanes.cancelExit(pool);
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        lanes.requestExit("none");
    }

    function test_ACancelledExitStartsAnew() public {
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        vm.expectEmit(address(lanes));
        emit ILanes.ExitCancelled(pool, user);
        lanes.cancelExit(pool);
        lanes.requestExit(pool);
        vm.expectRevert(
            abi.encodeWithSelector(ILanes.ExitTooEarly.selector, user, block.timestamp + params.windows.exit)
        );
        lanes.exit(pool, user);
    }

    /// @dev Invariant 6: every voucher signed before the request can still be redeemed.
    function test_AnExitingUserStillPaysVouchersAndChecks() public {
        vm.prank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit - 1);
        redeem(0, voucher(0, 7, 1, 1, 100));
        assertGt(balanceOf(AccountKind.Vesting, servers[0]), 0);
    }

    /// @dev A bond that lies in a dispute comes back into the Bond account and leaves with another exit.
    function test_ADisputesBondOutlivesTheExitOfItsUser() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        vm.prank(user);
        lanes.requestExit(pool);
        vm.warp(block.timestamp + 20);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        disputes.publish(id, r, INPUT);
        drawJury(r.response);
        commitJurors(r.response, 0, 5, RIGHT);
        // Judged in time, carried out after the exit.
        arbiter.propose(address(disputes), disputes.subjectOf(r.response), RIGHT);
        vm.warp(lanes.exitOf(pool, user).due);
        vm.prank(user);
        lanes.exit(pool, user);
        assertEq(balanceOf(AccountKind.Bond, user), 0);
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.resolve(id, r);
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        uint256 won = uint256(params.prices.seatStake) / 3 + params.baseFee(210) + params.prices.gasAllowance;
        assertEq(balanceOf(AccountKind.Free, user), held + bond + won);
    }
}
