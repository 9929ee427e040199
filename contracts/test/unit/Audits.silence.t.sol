// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev A server that does not open an audit in time is convicted like a liar, by a seat that has something to lose.
contract AuditsSilenceTest is AuditTest {
    function _drawnJob(uint256 server, uint64 lane) private returns (Job memory job) {
        job = redeemEven(server, lane, 10, RIGHT);
        audit(job, 1, 0, 6);
    }

    function _expire(Job memory job) private {
        vm.warp(uint256(audits.progressOf(job.id).until) + 1);
    }

    function _notFull(uint64 seat) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAudits.SeatNotFull.selector, seat);
    }

    function _assertConvicted(Job memory job, uint64 seat) private view {
        assertTrue(staking.serverOf(pool, job.r.server).convicted);
        assertTrue(isConvicted(seat));
        assertEq(seatBalance(seat), params.prices.seatFloat);
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
        assertConserved();
    }

    /// @dev Fines a seat until less than a stake is left of it.
    function _suspend(uint64 seat) private {
        vm.startPrank(address(disputes));
        while (staking.isActive(pool, seat)) {
            staking.fine(pool, seat);
        }
        vm.stopPrank();
    }

    function test_ASilentServerLosesAStakeAndAllThatVests() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        uint256 burnt = burnBalance();
        uint256 held = stock();
        uint256 free = balanceOf(AccountKind.Free, user);
        _expire(job);
        vm.expectEmit(address(lanes));
        emit ILanes.VestingForfeited(pool, servers[0], job.r.reward);
        vm.expectEmit(address(audits));
        emit IAudits.AuditSilent(job.id, 0, seatOf(0), params.prices.seatStake);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, 0);
        vm.prank(user);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        assertEq(uint8(audits.auditStateOf(job.id, 0)), uint8(IAudits.AuditState.Silent));
        uint256 finding = params.prices.gasAllowance;
        assertEq(burnBalance(), burnt + params.prices.seatStake - finding + job.r.reward);
        assertEq(balanceOf(AccountKind.Free, user), free + finding, "who saw to it is paid");
        assertEq(stock(), held + params.auditBudget(), "what the audit did not cost");
        assertEq(reserveOf(job.id), 0);
        assertEq(dueOf(job.id, 0), 0);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), 0);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        _assertConvicted(job, seatOf(0));
    }

    /// @dev What guaranteed the audits goes to the stock for audits.
    function test_ASilentServersAdvanceIsLost() public {
        Job memory job = redeemEven(0, 7, 60, RIGHT);
        audit(job, 1, 0, 6);
        assertGt(audits.progressOf(job.id).advance, 0);
        _expire(job);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        assertEq(stock(), params.auditBudget());
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), 0);
        _assertConvicted(job, seatOf(0));
    }

    function test_RevertWhen_TheWindowIsOpenOrTheAuditIsNotThere() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Registered));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        audit(job, 1, 0, 6);
        uint256 until = audits.progressOf(job.id).until;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IAudits.TooEarly.selector, until));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NoSuchAudit.selector, job.id, 1));
        audits.convictSilent(job.id, 1, job.r, seatOf(0));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Settled));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Settled));
        audits.open(job.id, 0, job.r, job.spans, leafOf(job.parts[0], 6), 0, INPUT);
    }

    function test_RevertWhen_TheAuditWasOpened() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        openAt(job, 0, 0, 6);
        _expire(job);
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.WrongAuditState.selector, job.id, 0, IAudits.AuditState.Opened)
        );
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
    }

    /// @dev Silence about one audit burns the reward; about several it costs one stake.
    function test_SeveralAuditsOfOneRedemption() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 120, RIGHT);
        bytes32 randomness = audit(job, 3, 0, 60);
        IAudits.Audit memory a = openDrawn(job, 1, randomness);
        validated(job.id, 1, a);
        _expire(job);
        audits.convictSilent(job.id, 2, job.r, seatOf(0));
        uint256 burnt = burnBalance();
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.WrongAuditState.selector, job.id, 2, IAudits.AuditState.Silent)
        );
        audits.convictSilent(job.id, 2, job.r, seatOf(0));
        vm.expectEmit(address(audits));
        emit IAudits.AuditSilent(job.id, 0, 0, 0);
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        assertEq(burnBalance(), burnt);
        assertEq(audits.progressOf(job.id).over, 2);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1, "one audit still runs");
        audits.settle(job.id, 1, job.r, a);
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), 0, "right, but convicted");
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        settleAllValidators(job.id, 1, a);
        _assertConvicted(job, seatOf(0));
    }

    // ------------------------------------------------------------------------------------------------ choice of seat

    function test_RevertWhen_TheSeatIsAnothers() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        _expire(job);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotServersSeat.selector, seatOf(1), servers[0]));
        audits.convictSilent(job.id, 0, job.r, seatOf(1));
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotServersSeat.selector, 0, servers[0]));
        audits.convictSilent(job.id, 0, job.r, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotServersSeat.selector, 999, servers[0]));
        audits.convictSilent(job.id, 0, job.r, 999);
    }

    /// @dev Penalties have eaten into it: it must not stand in for a full one.
    function test_RevertWhen_TheSeatIsSuspended() public {
        fillStock();
        _suspend(seatOf(0));
        Job memory job = _drawnJob(0, 7);
        _expire(job);
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        skip(1_000);
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        _assertConvicted(job, seatOf(0) + 1);
    }

    /// @dev A friend of the server's would name the seat that left with its stake long ago, and all others were safe.
    function test_RevertWhen_TheSeatHasLeft() public {
        fillStock();
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0));
        skip(300);
        vm.prank(servers[0]);
        staking.withdraw(pool, seatOf(0));
        assertEq(seatBalance(seatOf(0)), 0);
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 6);
        _expire(job);
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        skip(1_000);
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        _assertConvicted(job, seatOf(0) + 1);
    }

    /// @dev A leaving seat's stake is there, and frozen.
    function test_ALeavingSeatAnswers() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0));
        _expire(job);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        _assertConvicted(job, seatOf(0));
    }

    /// @dev All seats leave, one is gone: half with each window is asked for, so that one that holds more can be named first.
    function test_AfterAllSeatsHaveLeftTheFullestComesFirst() public {
        fillStock();
        vm.startPrank(servers[0]);
        staking.unbond(pool, seatOf(0));
        skip(300);
        staking.withdraw(pool, seatOf(0));
        for (uint64 seat = seatOf(0) + 1; seat < seatOf(0) + SEATS; ++seat) {
            staking.unbond(pool, seat);
        }
        vm.stopPrank();
        Job memory job = _drawnJob(0, 7);
        assertEq(staking.serverOf(pool, servers[0]).seats, 0);
        uint256 until = audits.progressOf(job.id).until;
        // 500,000 needs 19 halvings to nothing.
        vm.warp(until + 19 * uint256(params.windows.audit));
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        uint256 snapshot = vm.snapshotState();
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        _assertConvicted(job, seatOf(0) + 1);
        vm.revertToState(snapshot);
        // Nobody did: the case must end all the same.
        skip(1);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertConserved();
    }

    /// @dev A liar that has its seats fined a little, so that none is full, and keeps an empty one to name: theirs come first.
    function test_FinedSeatsAnswerBeforeEmptyOnes() public {
        fillStock();
        vm.startPrank(servers[0]);
        staking.unbond(pool, seatOf(0));
        skip(300);
        staking.withdraw(pool, seatOf(0));
        vm.stopPrank();
        Job memory job = redeemEven(0, 7, 10, WRONG);
        vm.startPrank(servers[0]);
        for (uint64 seat = seatOf(0) + 1; seat < seatOf(0) + SEATS; ++seat) {
            staking.unbond(pool, seat);
        }
        vm.stopPrank();
        for (uint64 seat = seatOf(0) + 1; seat < seatOf(0) + SEATS; ++seat) {
            _suspend(seat);
        }
        audit(job, 1, 0, 6);
        vm.warp(uint256(audits.progressOf(job.id).until) + params.windows.audit);
        vm.expectRevert(_notFull(seatOf(0) + 1));
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        skip(1);
        vm.expectRevert(_notFull(seatOf(0)));
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        uint256 held = seatBalance(seatOf(0) + 1);
        assertLt(held, params.prices.seatStake);
        uint256 burnt = burnBalance();
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        assertEq(burnBalance(), burnt + held - params.prices.gasAllowance + job.r.reward);
    }

    /// @dev A server without a full seat loses what its redemption would have paid.
    function test_AServerWithoutAFullSeatLosesItsReward() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        vm.startPrank(address(disputes));
        for (uint64 seat = seatOf(0); seat < seatOf(0) + SEATS; ++seat) {
            while (seatBalance(seat) >= params.prices.seatStake) {
                staking.fine(pool, seat);
            }
        }
        vm.stopPrank();
        fillStock();
        audit(job, 1, 0, 6);
        _expire(job);
        skip(params.windows.audit);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertConserved();
    }

    // ----------------------------------------------------------------------------------------------------- disputes

    /// @dev Disputes over the seat that silence convicts close unjudged: a jury's pay is set aside for each.
    function test_DisputesOverTheSeatArePaidFor() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        (uint256 id, IDisputes.Record memory r) = disputed(drawn(0, 1, RIGHT, WRONG), user);
        disputes.publish(id, r, INPUT);
        drawJury(r.response);
        commitJurors(r.response, 0, 2, RIGHT);
        uint256 burnt = burnBalance();
        _expire(job);
        audits.convictSilent(job.id, 0, job.r, seatOf(0));
        uint256 budget = params.juryBudget();
        uint256 rest = params.prices.seatStake - params.prices.gasAllowance + job.r.reward;
        assertEq(burnBalance(), burnt + rest - budget);
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.close(id, r);
        uint256 back = budget + params.prices.freezePrice;
        assertEq(balanceOf(AccountKind.Free, user), held + back, "the opener pays nothing");
        uint256 due = 2 * uint256(params.prices.jurorPay);
        assertEq(burnBalance(), burnt + rest - due);
        disputes.settleJurors(pool, r.response, 1, upTo(2));
        assertConserved();
    }

    /// @dev Convicted elsewhere meanwhile: silence changes nothing any more, and the redemption ends.
    function test_AServerConvictedElsewhereIsNotSlashedAgain() public {
        fillStock();
        Job memory job = _drawnJob(0, 7);
        convicted(0, 1);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        uint256 burnt = burnBalance();
        _expire(job);
        audits.convictSilent(job.id, 0, job.r, seatOf(0) + 1);
        assertEq(seatBalance(seatOf(0) + 1), params.prices.seatStake + params.prices.seatFloat);
        assertEq(burnBalance(), burnt);
        assertEq(stock(), 4 * params.auditBudget());
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
    }
}
