// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { CaseTest } from "../utils/CaseTest.sol";
import { HostileArbiter } from "../utils/HostileArbiter.sol";

/// @dev A pool is at its arbiter's mercy; nothing outside it is.
contract DisputesHostileTest is CaseTest {
    HostileArbiter private hostile = new HostileArbiter();
    bytes32 private clean;
    uint256 private cleanTotal;

    function setUp() public override {
        super.setUp();
        PoolParams memory p = poolParams();
        p.basis.arbiter = address(arbiter);
        clean = pools.create(p, "", 0);
        cleanTotal = uint256(p.prices.seatStake) + p.prices.seatFloat;
        ledger.deposit(clean, servers[0], cleanTotal);
        vm.prank(servers[0]);
        staking.join(clean, 1);
    }

    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.basis.arbiter = address(hostile);
    }

    /// @dev The accounts of the clean pool are as they were. Its money is beside what `conserved` counts.
    function _untouched() private view {
        assertEq(ledger.balanceOf(clean, AccountKind.Seat, bytes32(uint256(1))), cleanTotal);
        assertFalse(staking.serverOf(clean, servers[0]).convicted);
        assertEq(staking.serverOf(clean, servers[0]).freezes, 0);
    }

    function _published() private returns (uint256 id, IDisputes.Record memory r) {
        (id, r) = accuse(answered(0, 7, 1, 100, RIGHT), stranger);
        disputes.publish(id, r, INPUT);
    }

    function test_AnInventedVerdictTakesTheStakeOfItsPoolAlone() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        hostile.set(IArbiter.Outcome.Decided, "whatever", 0);
        disputes.resolve(id, r);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertEq(seatBalance(1), params.prices.seatFloat);
        _untouched();
    }

    /// @dev More jurors than were put up for: the verdict can't be carried out, and no other account pays for them.
    function test_RevertWhen_TheArbiterOwesMoreThanTheBudget() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        uint256 most = uint256(params.limits.firstJury) + params.limits.secondJury;
        uint256[3] memory payees =
            [most + 1, type(uint256).max, type(uint256).max / params.prices.jurorPay + 2];
        for (uint256 i; i < payees.length; ++i) {
            hostile.set(IArbiter.Outcome.Decided, RIGHT, payees[i]);
            vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
            disputes.resolve(id, r);
        }
        hostile.set(IArbiter.Outcome.Decided, RIGHT, most);
        disputes.resolve(id, r);
        assertEq(juryBalance(r.response), params.juryBudget());
        assertEq(free(stranger), 1_000_000 - bondOf());
    }

    /// @dev A juror that never was is paid out of the case and never beyond it, and never out of another pool's.
    function test_InventedJurorsAreNotPaidBeyondTheirCase() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        hostile.set(IArbiter.Outcome.Decided, RIGHT, 1);
        disputes.resolve(id, r);
        hostile.setJuror(13, IArbiter.Standing.Paid);
        uint256[] memory positions = new uint256[](2);
        positions[1] = 999;
        uint256 pay = params.prices.jurorPay;
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.Insufficient.selector, pool, AccountKind.Case, r.response, pay, 0)
        );
        disputes.settleJurors(pool, r.response, 1, positions);
        // The response is settled, but not in that pool: there its own arbiter is asked, and its own accounts pay.
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, r.response, 1, 0));
        disputes.settleJurors(clean, r.response, 1, new uint256[](1));
        disputes.settleJurors(pool, r.response, 1, new uint256[](1));
        assertEq(juryBalance(r.response), 0);
        _untouched();
    }

    /// @dev In the middle of a publication the dispute is before the arbiter already: it can decide, not publish again.
    function test_AnArbiterThatCallsBackWhileACaseOpensFindsItPublished() public {
        (uint256 id, IDisputes.Record memory r) = accuse(answered(0, 7, 1, 100, RIGHT), stranger);
        hostile.callBack(address(disputes), abi.encodeCall(disputes.publish, (id, r, INPUT)));
        disputes.publish(id, r, INPUT);
        assertFalse(hostile.ok());
        assertEq(
            hostile.result(),
            abi.encodeWithSelector(IDisputes.WrongState.selector, id, IDisputes.State.Published)
        );
        (id, r) = accuse(answered(1, 7, 2, 100, RIGHT), stranger);
        hostile.set(IArbiter.Outcome.Decided, RIGHT, 0);
        hostile.callBack(address(disputes), abi.encodeCall(disputes.resolve, (id, r)));
        disputes.publish(id, r, INPUT);
        assertTrue(hostile.ok());
        isState(id, IDisputes.State.Rejected);
        assertEq(caseBalance(id) + juryBalance(r.response), 0);
        assertEq(staking.serverOf(pool, servers[1]).freezes, 0);
    }

    /// @dev Ended twice it would give back a freeze that another dispute holds.
    function test_RevertWhen_TheArbiterEndsADisputeWhileItCloses() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        Evidence memory other = answered(0, 7, 3, 100, WRONG);
        (uint256 a, IDisputes.Record memory ra) = accuse(other, servers[4]);
        disputes.publish(a, ra, INPUT);
        hostile.set(IArbiter.Outcome.Decided, RIGHT, 0);
        disputes.resolve(a, ra);
        hostile.set(IArbiter.Outcome.Pending, 0, 0);
        hostile.callBack(address(disputes), abi.encodeCall(disputes.close, (id, r)));
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        disputes.close(id, r);
        isState(id, IDisputes.State.Published);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1);
        // The arbiter behaves: the same call goes through.
        hostile.callBack(address(0), "");
        disputes.close(id, r);
        isState(id, IDisputes.State.Closed);
        _untouched();
    }

    /// @dev While it says neither, nothing moves; a dispute before it waits for ever, and only in its pool.
    function test_AnArbiterThatNeverDecidesFreezesItsPoolAlone() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        hostile.set(IArbiter.Outcome.None, 0, 0);
        skip(365 days);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.StillPending.selector, id));
        disputes.resolve(id, r);
        hostile.set(IArbiter.Outcome.Closed, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.StillPending.selector, id));
        disputes.resolve(id, r);
        _untouched();
    }
}
