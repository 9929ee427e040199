// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev Every edge that must not exist, from every state; and what verdicts pay.
contract DisputesStatesTest is AssayTest {
    uint256 private id;
    IDisputes.Record private r;

    function _open(bytes32 server, bytes32 validator) private {
        (uint256 id_, IDisputes.Record memory r_) = disputed(drawn(0, 1, server, validator), user);
        (id, r) = (id_, r_);
    }

    function _wrong(IDisputes.State state) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, id, state));
    }

    /// @dev In a state where a dispute has ended nothing leads on.
    function _ended(IDisputes.State state) private {
        assertEq(uint8(disputes.stateOf(id)), uint8(state));
        IDisputes.Record memory given = r;
        _wrong(state);
        disputes.publish(id, given, INPUT);
        _wrong(state);
        disputes.dismiss(id, given);
        _wrong(state);
        disputes.resolve(id, given);
        _wrong(state);
        disputes.close(id, given);
    }

    function test_NothingLeadsOnFromNone() public {
        _open(WRONG, RIGHT);
        IDisputes.Record memory given = r;
        bytes memory reason = abi.encodeWithSelector(IDisputes.WrongRecord.selector, 9);
        vm.expectRevert(reason);
        disputes.publish(9, given, INPUT);
        vm.expectRevert(reason);
        disputes.dismiss(9, given);
        vm.expectRevert(reason);
        disputes.resolve(9, given);
        vm.expectRevert(reason);
        disputes.close(9, given);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, bytes32("none"), 1, 0));
        disputes.settleJurors(pool, "none", 1, new uint256[](0));
    }

    function test_AnOpenedDisputeIsNotResolvedNorSettled() public {
        _open(WRONG, RIGHT);
        IDisputes.Record memory given = r;
        _wrong(IDisputes.State.Opened);
        disputes.resolve(id, given);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, given.response, 1, 0));
        disputes.settleJurors(pool, given.response, 1, new uint256[](0));
    }

    function test_APublishedDisputeIsNotPublishedDismissedNorSettled() public {
        _open(WRONG, RIGHT);
        IDisputes.Record memory given = r;
        disputes.publish(id, given, INPUT);
        skip(params.windows.publish + 1);
        _wrong(IDisputes.State.Published);
        disputes.publish(id, given, INPUT);
        _wrong(IDisputes.State.Published);
        disputes.dismiss(id, given);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, given.response, 1, 0));
        disputes.settleJurors(pool, given.response, 1, new uint256[](0));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.StillPending.selector, id));
        disputes.resolve(id, given);
    }

    function test_NothingLeadsOnFromConvicted() public {
        _open(WRONG, RIGHT);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        IDisputes.Record memory given = r;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, id, IDisputes.State.Convicted));
        disputes.resolve(id, given);
        _ended(IDisputes.State.Convicted);
    }

    function test_NothingLeadsOnFromRejected() public {
        _open(RIGHT, RIGHT);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        _ended(IDisputes.State.Rejected);
        assertTrue(
            disputes.caseOf(pool, r.response).settled, "a response that was judged is not judged again"
        );
    }

    function test_NothingLeadsOnFromDismissed() public {
        _open(WRONG, RIGHT);
        skip(params.windows.publish + 1);
        disputes.dismiss(id, r);
        _ended(IDisputes.State.Dismissed);
    }

    function test_NothingLeadsOnFromVoid() public {
        _open(WRONG, RIGHT);
        disputes.publish(id, r, INPUT);
        skipBallot();
        arbiter.advance(address(disputes), disputes.subjectOf(r.response));
        skipBallot();
        arbiter.advance(address(disputes), disputes.subjectOf(r.response));
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeEnded(id, pool, IDisputes.State.Void, 0, false, false, 0, 0);
        disputes.resolve(id, r);
        _ended(IDisputes.State.Void);
        assertEq(juryBalance(r.response), 0);
        assertEq(caseBalance(id), 0);
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 - params.juryBudget(), "the jury part is spent");
    }

    function test_RevertWhen_TheInputIsNotTheRequests() public {
        _open(WRONG, RIGHT);
        IDisputes.Record memory given = r;
        vm.expectRevert(
            abi.encodeWithSelector(IDisputes.WrongInput.selector, keccak256(INPUT), keccak256("other"))
        );
        disputes.publish(id, given, "other");
        bytes memory large = new bytes(params.limits.maxInputBytes + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDisputes.InputTooLarge.selector, large.length, params.limits.maxInputBytes
            )
        );
        disputes.publish(id, given, large);
    }

    function test_TheInputCanBePublishedUntilItsWindowEnds() public {
        _open(WRONG, RIGHT);
        IDisputes.Record memory given = r;
        uint256 until = block.timestamp + params.windows.publish;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooEarly.selector, until));
        disputes.dismiss(id, given);
        disputes.publish(id, given, INPUT);
    }

    function test_RevertWhen_AJurorIsSettledTwiceOrWasNone() public {
        _open(WRONG, RIGHT);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        settleAllJurors(r.response, 1);
        IDisputes.Record memory given = r;
        uint256[] memory positions = new uint256[](1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorSettled.selector, r.response, 1, 0));
        disputes.settleJurors(pool, given.response, 1, positions);
        positions[0] = 5;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, r.response, 1, 5));
        disputes.settleJurors(pool, given.response, 1, positions);
        positions[0] = 0;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, r.response, 2, 0));
        disputes.settleJurors(pool, given.response, 2, positions);
    }

    function test_AbsentAndMinorityJurorsAreFined() public {
        _open(WRONG, RIGHT);
        disputes.publish(id, r, INPUT);
        drawJury(r.response);
        commitJurors(r.response, 0, 4, RIGHT);
        skip(11);
        arbiter.propose(address(disputes), disputes.subjectOf(r.response), RIGHT);
        disputes.resolve(id, r);
        (uint64 present,) = arbiter.standingOf(address(disputes), disputes.subjectOf(r.response), 1, 0);
        (uint64 absent,) = arbiter.standingOf(address(disputes), disputes.subjectOf(r.response), 1, 4);
        uint256 held = seatBalance(absent);
        vm.expectEmit(address(disputes));
        emit IDisputes.JurorPaid(r.response, present, 1, 0, params.prices.jurorPay);
        settleAllJurors(r.response, 1);
        assertEq(seatBalance(absent), held - params.prices.jurorPenalty);
        assertEq(juryBalance(r.response), 0, "four were paid");
    }

    /// @dev Invariant 5, with all payouts at their largest: both accused wrong, the fee refunded, a full response.
    function test_AConvictionPaysOutLessThanTheStakeAndBurnsTwoJuries() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        _open(WRONG, RIGHT);
        judged(id, r, RIGHT);
        uint256 burnt = burnBalance();
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        disputes.resolve(id, r);
        assertGe(burnBalance() - burnt - vesting, 2 * params.juryBudget());
    }

    /// @dev A fee that was never redeemed is not refunded: nothing was taken.
    function test_AnUnpaidFeeIsNotRefunded() public {
        _open(WRONG, RIGHT);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000);
    }
}
