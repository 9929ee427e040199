// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IJuryArbiter } from "../../src/interfaces/IJuryArbiter.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { Panels, PanelState } from "../../src/libraries/Panels.sol";
import { Role } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev The arbiter by itself: this contract is the client whose cases it decides.
contract JuryArbiterTest is AssayTest {
    bytes32 private constant SUBJECT = "subject";

    function setUp() public override {
        super.setUp();
        arbiter.open(pool, SUBJECT);
    }

    function _ballot() private view returns (PanelState memory) {
        return arbiter.ballotOf(address(this), SUBJECT, arbiter.currentBallot(address(this), SUBJECT));
    }

    function _draw() private {
        PanelState memory b = _ballot();
        beacon.set(b.round, keccak256(abi.encode("jury", b.round)));
        vm.warp(beacon.timeOf(b.round));
        arbiter.draw(address(this), SUBJECT);
    }

    function _owner(uint256 position) private view returns (address) {
        uint8 ballot = arbiter.currentBallot(address(this), SUBJECT);
        return servers[serverOfSeat(arbiter.seatOfJuror(address(this), SUBJECT, ballot, position))];
    }

    function _one(uint256 position) private pure returns (uint256[] memory positions) {
        positions = new uint256[](1);
        positions[0] = position;
    }

    function _commitment(uint256 position, bytes32 digest) private view returns (bytes32) {
        bytes32 subject = Hashes.ballotSubject(SUBJECT, arbiter.currentBallot(address(this), SUBJECT));
        return Hashes.commitment(Role.Juror, _owner(position), subject, digest);
    }

    function _commit(uint256 from, uint256 to, bytes32 digest) private {
        for (uint256 i = from; i < to; ++i) {
            bytes32 commitment = _commitment(i, digest);
            vm.prank(_owner(i));
            arbiter.commit(address(this), SUBJECT, _one(i), commitment);
        }
    }

    function _standing(uint8 ballot, uint256 position) private view returns (uint8) {
        (, IArbiter.Standing standing) = arbiter.standingOf(address(this), SUBJECT, ballot, position);
        return uint8(standing);
    }

    function _outcome() private view returns (uint8 outcome, bytes32 digest, uint256 payees) {
        IArbiter.Outcome o;
        (o, digest, payees) = arbiter.outcomeOf(address(this), SUBJECT);
        outcome = uint8(o);
    }

    // ------------------------------------------------------------------------------------------------------- cases

    function test_RevertWhen_ACaseIsOpenedTwiceButClientsDoNotShareSubjects() public {
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.CaseExists.selector, address(this), SUBJECT));
        arbiter.open(pool, SUBJECT);
        vm.prank(user);
        arbiter.open(pool, SUBJECT);
    }

    function test_RevertWhen_NoCaseIsPending() public {
        _draw();
        _commit(0, 5, RIGHT);
        arbiter.propose(address(this), SUBJECT, RIGHT);
        bytes memory reason =
            abi.encodeWithSelector(IJuryArbiter.CaseNotPending.selector, address(this), SUBJECT);
        vm.expectRevert(reason);
        arbiter.draw(address(this), SUBJECT);
        vm.expectRevert(reason);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
        vm.expectRevert(reason);
        arbiter.propose(address(this), SUBJECT, WRONG);
        vm.expectRevert(reason);
        arbiter.advance(address(this), SUBJECT);
        vm.expectRevert(reason);
        arbiter.close(SUBJECT);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.CaseNotPending.selector, user, SUBJECT));
        arbiter.draw(user, SUBJECT);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.CaseExists.selector, address(this), SUBJECT));
        arbiter.open(pool, SUBJECT);
    }

    function test_AnUnknownCaseHasNoOutcomeAndNoJurors() public view {
        (IArbiter.Outcome outcome,, uint256 payees) = arbiter.outcomeOf(user, SUBJECT);
        assertEq(uint8(outcome), uint8(IArbiter.Outcome.None));
        assertEq(payees, 0);
        (uint64 seat, IArbiter.Standing standing) = arbiter.standingOf(user, SUBJECT, 1, 0);
        assertEq(seat, 0);
        assertEq(uint8(standing), uint8(IArbiter.Standing.None));
    }

    // -------------------------------------------------------------------------------------------------------- draws

    /// @dev One seat after the other as Hashes draws them; a seat that was drawn before is passed over.
    function test_TheJuryIsWhatHashesDraws() public {
        _draw();
        PanelState memory b = _ballot();
        uint32 epoch = params.epochOf(beacon.timeOf(b.round));
        uint256 filled;
        bool[60] memory taken;
        for (uint256 counter; filled < 5; ++counter) {
            uint256 place = Hashes.draw(
                Hashes.DRAW_JURY,
                beacon.randomness(b.round),
                pool,
                Hashes.ballotSubject(SUBJECT, 1),
                counter,
                60
            );
            if (taken[place]) continue;
            taken[place] = true;
            assertEq(
                arbiter.seatOfJuror(address(this), SUBJECT, 1, filled++), staking.seatAt(pool, epoch, place)
            );
        }
        assertEq(b.size, 5);
    }

    function test_TheRoundOfTheDrawComesAfterTheOpening() public view {
        PanelState memory b = _ballot();
        assertEq(b.round, drawingRound());
        assertEq(b.commitEnd, beacon.timeOf(b.round) + params.windows.commit);
        assertEq(b.proposeEnd, b.commitEnd + params.windows.propose);
    }

    function test_RevertWhen_DrawnTwice() public {
        _draw();
        vm.expectRevert(Panels.AlreadyDrawn.selector);
        arbiter.draw(address(this), SUBJECT);
    }

    /// @dev A draw held back to the last second would have every juror fined for a vote that it had no time to cast.
    function test_RevertWhen_DrawnWithLessThanHalfOfTheCommitWindowLeft() public {
        PanelState memory b = _ballot();
        beacon.set(b.round, "value");
        uint256 until = b.commitEnd - params.windows.commit / 2;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitClosed.selector, until));
        arbiter.draw(address(this), SUBJECT);
        vm.warp(until);
        arbiter.draw(address(this), SUBJECT);
    }

    function test_RevertWhen_ThePoolIsEmpty() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 98;
        bytes32 other = pools.create(p, "", 0);
        arbiter.open(other, "other");
        uint64 round = arbiter.ballotOf(address(this), "other", 1).round;
        beacon.set(round, "value");
        vm.expectRevert(abi.encodeWithSelector(Panels.PoolEmpty.selector, other));
        arbiter.draw(address(this), "other");
    }

    function test_APoolSmallerThanTheJuryVotesAsAWhole() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 97;
        bytes32 other = pools.create(p, "", 0);
        ledger.deposit(other, user, 3 * 502_000);
        vm.prank(user);
        staking.join(other, 3);
        skip(20);
        arbiter.open(other, "other");
        uint64 round = arbiter.ballotOf(address(this), "other", 1).round;
        beacon.set(round, "value");
        arbiter.draw(address(this), "other");
        assertEq(arbiter.ballotOf(address(this), "other", 1).size, 3);
        uint256 sum;
        for (uint256 i; i < 3; ++i) {
            sum |= 1 << arbiter.seatOfJuror(address(this), "other", 1, i);
        }
        assertEq(sum, 1 << 1 | 1 << 2 | 1 << 3, "each seat once");
    }

    // ------------------------------------------------------------------------------------------------------ commits

    function test_RevertWhen_NotDrawnYet() public {
        vm.expectRevert(Panels.NotDrawnYet.selector);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
        vm.expectRevert(Panels.NotDrawnYet.selector);
        arbiter.propose(address(this), SUBJECT, RIGHT);
    }

    function test_RevertWhen_TheCallerIsNoJuror() public {
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, 0, address(this)));
        arbiter.seatOfJuror(address(this), SUBJECT, 1, 0);
        _draw();
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, 0, user));
        vm.prank(user);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
        address owner = _owner(0);
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, 5, owner));
        vm.prank(owner);
        arbiter.commit(address(this), SUBJECT, _one(5), "commitment");
    }

    function test_RevertWhen_TheCommitmentIsEmptyOrThePositionHasOne() public {
        _draw();
        address owner = _owner(0);
        vm.startPrank(owner);
        vm.expectRevert(Panels.EmptyCommitment.selector);
        arbiter.commit(address(this), SUBJECT, _one(0), 0);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
        vm.expectRevert(abi.encodeWithSelector(Panels.AlreadyCommitted.selector, 0));
        arbiter.commit(address(this), SUBJECT, _one(0), "another");
        assertEq(arbiter.commitmentOf(address(this), SUBJECT, 1, 0), "commitment");
    }

    /// @dev Counting one position twice would end the vote before everybody has committed.
    function test_RevertWhen_APositionIsNamedTwiceInOneCommit() public {
        _draw();
        uint256[] memory positions = new uint256[](2);
        address owner = _owner(0);
        vm.expectRevert(abi.encodeWithSelector(Panels.AlreadyCommitted.selector, 0));
        vm.prank(owner);
        arbiter.commit(address(this), SUBJECT, positions, "commitment");
        assertEq(_ballot().committed, 0);
    }

    function test_ACommitWithoutPositionsChangesNothing() public {
        _draw();
        vm.prank(user);
        arbiter.commit(address(this), SUBJECT, new uint256[](0), "commitment");
        assertEq(_ballot().committed, 0);
    }

    function test_RevertWhen_CommittedAfterTheWindow() public {
        _draw();
        uint40 end = _ballot().commitEnd;
        address owner = _owner(0);
        vm.warp(uint256(end) + 1);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitClosed.selector, end));
        vm.prank(owner);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
        vm.warp(end);
        vm.prank(owner);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
    }

    function test_RevertWhen_TheSeatIsSuspended() public {
        _draw();
        uint64 seat = arbiter.seatOfJuror(address(this), SUBJECT, 1, 0);
        vm.startPrank(address(disputes));
        staking.fine(pool, seat);
        staking.fine(pool, seat);
        vm.stopPrank();
        address owner = _owner(0);
        vm.expectRevert(abi.encodeWithSelector(Panels.SeatNotActive.selector, seat));
        vm.prank(owner);
        arbiter.commit(address(this), SUBJECT, _one(0), "commitment");
    }

    function test_AKeyCommitsForItsOwner() public {
        address key = makeAddr("key");
        for (uint256 i; i < SERVERS; ++i) {
            vm.prank(servers[i]);
            staking.setKey(pool, key);
        }
        skip(20);
        arbiter.advance(address(this), SUBJECT);
        _draw();
        vm.startPrank(key);
        for (uint256 i; i < 9; ++i) {
            arbiter.commit(address(this), SUBJECT, _one(i), _commitment(i, RIGHT));
        }
        arbiter.propose(address(this), SUBJECT, RIGHT);
    }

    // ----------------------------------------------------------------------------------------------------- verdicts

    function test_RevertWhen_ProposedWhileJurorsMayCommit() public {
        _draw();
        _commit(0, 4, RIGHT);
        uint40 end = _ballot().commitEnd;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitOpen.selector, end));
        arbiter.propose(address(this), SUBJECT, RIGHT);
        vm.warp(uint256(end) + 1);
        arbiter.propose(address(this), SUBJECT, RIGHT);
    }

    function test_RevertWhen_ProposedTooLate() public {
        _draw();
        _commit(0, 5, RIGHT);
        uint40 end = _ballot().proposeEnd;
        vm.warp(uint256(end) + 1);
        vm.expectRevert(abi.encodeWithSelector(Panels.ProposeClosed.selector, end));
        arbiter.propose(address(this), SUBJECT, RIGHT);
        vm.warp(end);
        arbiter.propose(address(this), SUBJECT, RIGHT);
    }

    function test_RevertWhen_FewerThanTwoThirdsAgree() public {
        _draw();
        _commit(0, 3, RIGHT);
        _commit(3, 5, WRONG);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.NoQuorum.selector, 3, 4));
        arbiter.propose(address(this), SUBJECT, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IJuryArbiter.NoQuorum.selector, 2, 4));
        arbiter.propose(address(this), SUBJECT, WRONG);
    }

    /// @dev Copied from another juror, or carried over from another ballot, a commitment is to nothing.
    function test_ACopiedCommitmentDoesNotCount() public {
        _draw();
        uint256 other;
        for (uint256 i = 1; i < 5; ++i) {
            if (_owner(i) != _owner(0)) other = i;
        }
        assertGt(other, 0);
        bytes32 copied = _commitment(0, RIGHT);
        for (uint256 i; i < 5; ++i) {
            bytes32 commitment = i == other ? copied : _commitment(i, RIGHT);
            vm.prank(_owner(i));
            arbiter.commit(address(this), SUBJECT, _one(i), commitment);
        }
        arbiter.propose(address(this), SUBJECT, RIGHT);
        (,, uint256 payees) = _outcome();
        assertEq(payees, 4);
        assertEq(_standing(1, other), uint8(IArbiter.Standing.Fined));
        assertEq(_standing(1, 0), uint8(IArbiter.Standing.Paid));
        assertEq(_standing(1, 5), uint8(IArbiter.Standing.None));
    }

    function test_ASecondJurysVerdictJudgesTheFirstJuryToo() public {
        _draw();
        _commit(0, 2, RIGHT);
        _commit(2, 4, WRONG);
        assertEq(_standing(1, 4), uint8(IArbiter.Standing.Pending));
        vm.warp(uint256(_ballot().proposeEnd) + 1);
        arbiter.advance(address(this), SUBJECT);
        _draw();
        assertEq(_ballot().size, 9);
        _commit(0, 6, RIGHT);
        _commit(6, 8, WRONG);
        vm.warp(uint256(_ballot().commitEnd) + 1);
        arbiter.propose(address(this), SUBJECT, RIGHT);
        (uint8 outcome, bytes32 digest, uint256 payees) = _outcome();
        assertEq(outcome, uint8(IArbiter.Outcome.Decided));
        assertEq(digest, RIGHT);
        assertEq(payees, 2 + 6);
        // Who blocked the first ballot is not paid for it.
        for (uint256 i; i < 5; ++i) {
            assertEq(_standing(1, i), uint8(i < 2 ? IArbiter.Standing.Paid : IArbiter.Standing.Fined));
        }
        for (uint256 i; i < 9; ++i) {
            assertEq(_standing(2, i), uint8(i < 6 ? IArbiter.Standing.Paid : IArbiter.Standing.Fined));
        }
    }

    function test_RevertWhen_ABallotStillRuns() public {
        uint40 end = _ballot().commitEnd;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(Panels.PanelRunning.selector, end));
        arbiter.advance(address(this), SUBJECT);
        vm.warp(uint256(end) + 1);
        arbiter.advance(address(this), SUBJECT);
        _draw();
        end = _ballot().proposeEnd;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(Panels.PanelRunning.selector, end));
        arbiter.advance(address(this), SUBJECT);
    }

    /// @dev Invariant 8: where no value of the beacon arrives, two advances end the case, and nobody is fined.
    function test_WithoutAnyDrawACaseIsVoidAfterTwoCommitWindows() public {
        uint256 start = block.timestamp;
        vm.warp(uint256(_ballot().commitEnd) + 1);
        arbiter.advance(address(this), SUBJECT);
        vm.warp(uint256(_ballot().commitEnd) + 1);
        arbiter.advance(address(this), SUBJECT);
        assertLe(block.timestamp, start + 2 * (params.windows.commit + params.windows.lag + 3));
        (uint8 outcome,, uint256 payees) = _outcome();
        assertEq(outcome, uint8(IArbiter.Outcome.Void));
        assertEq(payees, 0);
    }

    function test_AClosedCaseOwesThoseWhoVotedAndFinesOnlyTheFirstBallotsAbsent() public {
        _draw();
        _commit(0, 2, RIGHT);
        vm.warp(uint256(_ballot().proposeEnd) + 1);
        arbiter.advance(address(this), SUBJECT);
        _draw();
        _commit(0, 1, RIGHT);
        arbiter.close(SUBJECT);
        (uint8 outcome,, uint256 payees) = _outcome();
        assertEq(outcome, uint8(IArbiter.Outcome.Closed));
        assertEq(payees, 3);
        assertEq(_standing(1, 2), uint8(IArbiter.Standing.Fined));
        assertEq(_standing(2, 0), uint8(IArbiter.Standing.Paid));
        assertEq(_standing(2, 1), uint8(IArbiter.Standing.None), "its time was not up");
    }
}
