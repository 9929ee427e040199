// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev What a conviction does to other disputes over the same seat.
contract DisputesCloseTest is AssayTest {
    uint64 private wanted;

    function accepts(uint256 server, uint64 seat) internal view override returns (bool) {
        return wanted == 0 ? super.accepts(server, seat) : seat == wanted;
    }

    function _open(uint64 sequence) private returns (uint256 id, IDisputes.Record memory r) {
        return disputed(drawn(0, sequence, WRONG, RIGHT), user);
    }

    /// @dev Fines a seat until less than one penalty is left of it.
    function _drain(uint64 seat) private {
        vm.startPrank(address(disputes));
        while (seatBalance(seat) >= params.prices.jurorPenalty) {
            staking.fine(pool, seat);
        }
        vm.stopPrank();
    }

    /// @dev Up to `most` jurors other than `seat`, which is suspended and can't vote, commit to the right digest.
    function _commitWithout(uint64 seat, bytes32 response, uint256 most) private returns (uint256 voted) {
        bytes32 subject = disputes.subjectOf(response);
        for (uint256 i; i < jurySize(response) && voted < most; ++i) {
            if (arbiter.seatOfJuror(address(disputes), subject, 1, i) == seat) continue;
            commitJurors(response, i, i + 1, RIGHT);
            ++voted;
        }
    }

    function _judgedWithout(uint64 seat, uint256 id, IDisputes.Record memory r)
        private
        returns (uint256 voted)
    {
        disputes.publish(id, r, INPUT);
        drawJury(r.response);
        voted = _commitWithout(seat, r.response, type(uint256).max);
        bytes32 subject = disputes.subjectOf(r.response);
        vm.warp(uint256(arbiter.ballotOf(address(disputes), subject, 1).commitEnd) + 1);
        arbiter.propose(address(disputes), subject, RIGHT);
    }

    function _bond() private view returns (uint256) {
        return params.juryBudget() + params.prices.freezePrice;
    }

    /// @dev Its stake is gone: a jury called now would be paid by nobody, and the opener's bond would come back in full.
    function test_RevertWhen_ADisputeOpensOverAConvictedSeat() public {
        Evidence memory e = drawn(0, 2, WRONG, RIGHT);
        convicted(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1));
        vm.prank(user);
        disputes.open(e);
        // Also where the convicted seat is the validator's.
        wanted = 1;
        e = drawn(1, 3, RIGHT, WRONG);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1));
        vm.prank(user);
        disputes.open(e);
    }

    function test_AnotherSeatOfAConvictedServerCanStillBeDisputed() public {
        wanted = 2;
        Evidence memory e = drawn(1, 3, RIGHT, WRONG);
        wanted = 0;
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        judged(id, r, RIGHT);
        convicted(0, 1);
        disputes.resolve(id, r);
        assertEq(seatBalance(2), params.prices.seatFloat, "each seat answers for what it said");
    }

    /// @dev A jury called over a slashed seat would find no stake. One that has decided is not called back.
    function test_RevertWhen_AnotherDisputeOverAConvictedSeatGoesOn() public {
        (uint256 a, IDisputes.Record memory ra) = _open(1);
        (uint256 b, IDisputes.Record memory rb) = _open(2);
        (uint256 c, IDisputes.Record memory rc) = _open(3);
        judged(b, rb, RIGHT);
        judged(a, ra, RIGHT);
        disputes.resolve(a, ra);
        bytes memory reason = abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, b, IDisputes.State.Published));
        disputes.close(b, rb);
        vm.expectRevert(reason);
        disputes.publish(c, rc, INPUT);
        skip(20);
        vm.expectRevert(reason);
        disputes.dismiss(c, rc);
        disputes.resolve(b, rb);
        assertEq(uint8(disputes.stateOf(b)), uint8(IDisputes.State.Convicted));
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.close(c, rc);
        assertEq(balanceOf(AccountKind.Free, user), held + _bond());
        settleAllJurors(rb.response, 1);
        assertEq(caseBalance(b) + caseBalance(c) + juryBalance(rb.response) + reserveBalance(1), 0);
    }

    function test_RevertWhen_ClosedTwiceOrBeforeItExists() public {
        (uint256 a, IDisputes.Record memory ra) = _open(1);
        (uint256 b, IDisputes.Record memory rb) = _open(2);
        judged(a, ra, RIGHT);
        disputes.resolve(a, ra);
        disputes.close(b, rb);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, b, IDisputes.State.Closed));
        disputes.close(b, rb);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, a, IDisputes.State.Convicted));
        disputes.close(a, ra);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongRecord.selector, 3));
        disputes.close(3, rb);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongRecord.selector, b));
        disputes.close(b, ra);
    }

    /// @dev Jurors can't refuse: what a seat eaten up by penalties can't pay comes out of the opener's bond.
    function test_TheOpenerMakesUpForJuryPayThatASpentStakeLacks() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        _drain(1);
        uint256 left = seatBalance(1);
        assertGt(left, 0);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        uint256 jurors = _judgedWithout(1, id, r) * params.prices.jurorPay;
        disputes.resolve(id, r);
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 - (jurors - left));
        assertEq(juryBalance(r.response), jurors);
        settleAllJurors(r.response, 1);
        assertEq(caseBalance(id) + juryBalance(r.response), 0);
    }

    function test_JurorsOfAClosedDisputeArePaidEvenWithoutStake() public {
        Evidence memory first = drawn(0, 1, WRONG, RIGHT);
        _drain(1);
        (uint256 a, IDisputes.Record memory ra) = disputed(first, user);
        (uint256 b, IDisputes.Record memory rb) = _open(2);
        disputes.publish(b, rb, INPUT);
        drawJury(rb.response);
        uint256 jurors = _commitWithout(1, rb.response, 2) * params.prices.jurorPay;
        _judgedWithout(1, a, ra);
        disputes.resolve(a, ra);
        uint256 free_ = balanceOf(AccountKind.Free, user);
        disputes.close(b, rb);
        assertEq(balanceOf(AccountKind.Free, user), free_ + _bond() - jurors);
        assertEq(juryBalance(rb.response), jurors);
        assertEq(caseBalance(b), 0);
    }

    /// @dev B accuses two seats that are convicted in A and in C; both set a jury's pay aside for it, and one is enough.
    function test_WhatAConvictionSetAsideIsBurntWithTheLastDisputeOfItsSeat() public {
        wanted = seatOf(1);
        Evidence memory eb = drawn(0, 2, WRONG, RIGHT);
        wanted = 0;
        Evidence memory ea = drawn(0, 1, WRONG, RIGHT);
        while (ea.answer.seat == seatOf(1)) {
            ea = drawn(0, 1, WRONG, RIGHT);
        }
        Evidence memory ec = drawn(1, 3, WRONG, RIGHT);
        (uint256 b, IDisputes.Record memory rb) = disputed(eb, user);
        (uint256 a, IDisputes.Record memory ra) = disputed(ea, user);
        (uint256 c, IDisputes.Record memory rc) = disputed(ec, user);
        judged(a, ra, RIGHT);
        judged(c, rc, RIGHT);
        disputes.resolve(a, ra);
        disputes.resolve(c, rc);
        bytes32 server = keccak256(abi.encode(pool, seatOf(0)));
        bytes32 validator = keccak256(abi.encode(pool, seatOf(1)));
        // What their own juries of five left of a budget.
        uint256 spare = params.juryBudget() - 5 * uint256(params.prices.jurorPay);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, server), spare);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, validator), spare);
        uint256 burnt = burnBalance();
        disputes.close(b, rb);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, server), 0);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, validator), 0);
        assertEq(burnBalance(), burnt + 2 * spare);
    }

    /// @dev One jury over two seats, both convicted elsewhere: what either conviction set aside pays it.
    function test_TheReservesOfBothSeatsPayTheJury() public {
        wanted = seatOf(1);
        Evidence memory eb = drawn(0, 2, WRONG, WRONG);
        wanted = 0;
        (uint256 b, IDisputes.Record memory rb) = disputed(eb, user);
        disputes.publish(b, rb, INPUT);
        drawJury(rb.response);
        commitJurors(rb.response, 0, jurySize(rb.response), RIGHT);
        convicted(1, 3);
        // The server's conviction finds nothing to set aside.
        vm.prank(address(disputes));
        staking.slash(pool, seatOf(0), "elsewhere");
        assertEq(reserveBalance(seatOf(0)), 0);
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.close(b, rb);
        assertEq(balanceOf(AccountKind.Free, user), held + _bond(), "the payer loses nothing");
        settleAllJurors(rb.response, 1);
        assertEq(reserveBalance(seatOf(0)) + reserveBalance(seatOf(1)), 0);
    }
}
