// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PanelState, Panels } from "../../src/libraries/Panels.sol";
import { Role } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev The core by itself, with this contract as its client.
contract SamplingTest is AuditTest {
    bytes32 private constant ID = "id";
    address private constant ASSERTER = address(0xa55e);

    function _assertion(bytes32 digest) private view returns (ISampling.Assertion memory) {
        return ISampling.Assertion(
            pool, ASSERTER, "subject", Hashes.commitment(Role.Server, ASSERTER, "subject", digest)
        );
    }

    function _open(bytes32 digest) private returns (ISampling.Assertion memory a) {
        a = _assertion(digest);
        sampling.open(ID, a);
    }

    function _drawn(bytes32 digest) private returns (ISampling.Assertion memory a) {
        a = _open(digest);
        drawPanel(address(this), ID, a);
    }

    function _commit(ISampling.Assertion memory a, uint256 from, uint256 to, bytes32 digest) private {
        commitPanel(address(this), ID, a, from, to, digest);
    }

    function _state() private view returns (PanelState memory) {
        return sampling.panelOf(address(this), ID);
    }

    function _assertOutcome(ISampling.Outcome expected, bytes32 expectedDigest, uint256 paid, uint256 jury)
        private
        view
    {
        (ISampling.Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors) =
            sampling.outcomeOf(address(this), ID);
        assertEq(uint8(outcome), uint8(expected), "outcome");
        assertEq(digest, expectedDigest, "digest");
        assertEq(validators, paid, "validators");
        assertEq(jurors, jury, "jurors");
    }

    function _assertStanding(uint256 position, ISampling.Standing expected) private view {
        (uint64 seat, ISampling.Standing standing) = sampling.standingOf(address(this), ID, position);
        assertEq(uint8(standing), uint8(expected), "standing");
        bool there = position < _state().size;
        assertEq(seat, there ? sampling.seatOfValidator(address(this), ID, position) : 0, "seat");
    }

    function _owner(uint256 position) private view returns (address) {
        return servers[serverOfSeat(sampling.seatOfValidator(address(this), ID, position))];
    }

    // ------------------------------------------------------------------------------------------------------ course

    function test_AnAssertionOpensWithAPanelOfALaterRound() public {
        ISampling.Assertion memory a = _assertion(RIGHT);
        PanelState memory s;
        s.round = drawingRound();
        s.commitEnd = uint40(beacon.timeOf(s.round) + params.windows.commit);
        s.proposeEnd = s.commitEnd + params.windows.propose;
        vm.expectEmit(address(sampling));
        emit ISampling.AssertionOpened(address(this), ID, pool, a, s);
        sampling.open(ID, a);
        assertEq(keccak256(abi.encode(_state())), keccak256(abi.encode(s)));
        _assertOutcome(ISampling.Outcome.Pending, 0, 0, 0);
    }

    function test_AllAgree() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        assertEq(_state().size, N);
        for (uint256 i; i < N; ++i) {
            _assertStanding(i, ISampling.Standing.Pending);
        }
        _commit(a, 0, N, RIGHT);
        // All have committed, so nobody waits for the end of the window.
        assertLe(block.timestamp, _state().commitEnd);
        vm.expectEmit(address(sampling));
        emit ISampling.Agreed(address(this), ID, RIGHT, N);
        sampling.propose(address(this), ID, a, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, N, 0);
        for (uint256 i; i < N; ++i) {
            _assertStanding(i, ISampling.Standing.Paid);
        }
        _assertStanding(N, ISampling.Standing.None);
    }

    /// @dev Silence must not let an assertion down, nor be free.
    function test_WhoCommittedDecidesAndTheSilentAreFined() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        _commit(a, 1, 2, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitOpen.selector, _state().commitEnd));
        sampling.propose(address(this), ID, a, RIGHT);
        vm.warp(uint256(_state().commitEnd) + 1);
        sampling.propose(address(this), ID, a, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, 1, 0);
        _assertStanding(0, ISampling.Standing.Fined);
        _assertStanding(1, ISampling.Standing.Paid);
        _assertStanding(2, ISampling.Standing.Fined);
    }

    function test_ALyingAsserterIsFoundOutByTheArbiter() public {
        ISampling.Assertion memory a = _drawn(WRONG);
        _commit(a, 0, N, RIGHT);
        vm.expectEmit(address(sampling));
        emit ISampling.Escalated(address(this), ID, sampling.subjectOf(address(this), ID));
        sampling.propose(address(this), ID, a, RIGHT);
        _assertOutcome(ISampling.Outcome.Pending, 0, 0, 0);
        _assertStanding(0, ISampling.Standing.Pending);
        judge(address(this), ID, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, N, params.limits.firstJury);
        _assertStanding(0, ISampling.Standing.Paid);
    }

    /// @dev Whoever proposes whichever digest: as soon as two differ it is the arbiter's.
    function test_ADifferingValidatorIsFoundOutByTheArbiter() public {
        for (uint256 i; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            ISampling.Assertion memory a = _drawn(RIGHT);
            _commit(a, 0, N - 1, RIGHT);
            _commit(a, N - 1, N, WRONG);
            sampling.propose(address(this), ID, a, i == 0 ? RIGHT : WRONG);
            judge(address(this), ID, RIGHT);
            _assertOutcome(ISampling.Outcome.Decided, RIGHT, N - 1, params.limits.firstJury);
            _assertStanding(0, ISampling.Standing.Paid);
            _assertStanding(N - 1, ISampling.Standing.Wrong);
            vm.revertToState(snapshot);
        }
    }

    /// @dev The asserter's word alone is none: without a validator the arbiter decides.
    function test_WithoutAnyValidatorTheArbiterDecides() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        vm.warp(uint256(_state().commitEnd) + 1);
        sampling.propose(address(this), ID, a, RIGHT);
        judge(address(this), ID, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, 0, params.limits.firstJury);
        _assertStanding(0, ISampling.Standing.Fined);
    }

    function test_AnAssertionThatNobodyDrewGoesToTheArbiter() public {
        ISampling.Assertion memory a = _open(RIGHT);
        vm.warp(_state().commitEnd);
        vm.expectRevert(abi.encodeWithSelector(Panels.PanelRunning.selector, _state().commitEnd));
        sampling.advance(address(this), ID, a);
        skip(1);
        sampling.advance(address(this), ID, a);
        judge(address(this), ID, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, 0, params.limits.firstJury);
        _assertStanding(0, ISampling.Standing.None);
    }

    function test_AnAssertionThatNobodyProposesForGoesToTheArbiter() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        _commit(a, 0, N, RIGHT);
        vm.warp(_state().proposeEnd);
        vm.expectRevert(abi.encodeWithSelector(Panels.PanelRunning.selector, _state().proposeEnd));
        sampling.advance(address(this), ID, a);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(Panels.ProposeClosed.selector, _state().proposeEnd));
        sampling.propose(address(this), ID, a, RIGHT);
        sampling.advance(address(this), ID, a);
        judge(address(this), ID, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, N, params.limits.firstJury);
    }

    function test_AVoidCasePaysAllWhoCommitted() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        _commit(a, 0, 1, RIGHT);
        _commit(a, 1, 2, WRONG);
        vm.warp(uint256(_state().commitEnd) + 1);
        sampling.propose(address(this), ID, a, RIGHT);
        voidCase(address(this), ID);
        _assertOutcome(ISampling.Outcome.Void, 0, 2, 0);
        _assertStanding(0, ISampling.Standing.Paid);
        _assertStanding(1, ISampling.Standing.Paid);
        _assertStanding(2, ISampling.Standing.Fined);
    }

    /// @dev Jurors who voted on a void case are owed their pay as well.
    function test_AVoidCaseOwesItsJurors() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        vm.warp(uint256(_state().proposeEnd) + 1);
        sampling.advance(address(this), ID, a);
        bytes32 subject = sampling.subjectOf(address(this), ID);
        drawJurors(subject);
        commitJury(subject, 0, 2, RIGHT);
        vm.warp(uint256(arbiter.ballotOf(address(sampling), subject, 1).proposeEnd) + 1);
        arbiter.advance(address(sampling), subject);
        drawJurors(subject);
        commitJury(subject, 0, 3, RIGHT);
        vm.warp(uint256(arbiter.ballotOf(address(sampling), subject, 2).proposeEnd) + 1);
        arbiter.advance(address(sampling), subject);
        _assertOutcome(ISampling.Outcome.Void, 0, 0, 5);
    }

    // ------------------------------------------------------------------------------------------------------- panel

    function test_ThePanelIsTheDrawOfItsRound() public {
        ISampling.Assertion memory a = _open(RIGHT);
        PanelState memory s = _state();
        bytes32 randomness = keccak256(abi.encode("panel", s.round));
        uint32 epoch = params.epochOf(beacon.timeOf(s.round));
        bytes32 subject = keccak256(
            abi.encode(
                keccak256("assay.subject.assertion.v1"), block.chainid, address(sampling), address(this), ID
            )
        );
        assertEq(sampling.subjectOf(address(this), ID), subject);
        drawPanel(address(this), ID, a);
        uint256 found;
        uint64[] memory seats = new uint64[](N);
        for (uint256 counter; found < N; ++counter) {
            uint256 place = uint256(
                keccak256(abi.encode(keccak256("assay.draw.panel.v1"), randomness, pool, subject, counter))
            ) % staking.seatCount(pool, epoch);
            uint64 seat = staking.seatAt(pool, epoch, place);
            bool again;
            for (uint256 i; i < found; ++i) {
                again = again || seats[i] == seat;
            }
            if (!again) seats[found++] = seat;
        }
        for (uint256 i; i < N; ++i) {
            assertEq(sampling.seatOfValidator(address(this), ID, i), seats[i]);
        }
    }

    /// @dev Nobody sits twice, whatever the beacon says.
    function testFuzz_SeatsOfAPanelAreDistinct(bytes32 randomness) public {
        vm.assume(randomness != 0);
        ISampling.Assertion memory a = _open(RIGHT);
        reach(_state().round, randomness);
        sampling.draw(address(this), ID, a);
        for (uint256 i; i < N; ++i) {
            for (uint256 j; j < i; ++j) {
                assertNotEq(
                    sampling.seatOfValidator(address(this), ID, i),
                    sampling.seatOfValidator(address(this), ID, j)
                );
            }
        }
    }

    function test_ASmallPoolIsDrawnWhole() public {
        PoolParams memory p = poolParams();
        p.basis.modelRoot = "another model";
        bytes32 small = pools.create(p, "", 0);
        ISampling.Assertion memory a = _assertion(RIGHT);
        a.pool = small;
        // Without any seat there is nobody to draw, and the arbiter is asked at the end of the window.
        sampling.open("empty", a);
        uint64 round = sampling.panelOf(address(this), "empty").round;
        reach(round, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(Panels.PoolEmpty.selector, small));
        sampling.draw(address(this), "empty", a);
        skip(params.windows.commit + 1);
        sampling.advance(address(this), "empty", a);
        voidCase(address(this), "empty");
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(this), "empty");
        assertEq(uint8(outcome), uint8(ISampling.Outcome.Void));

        ledger.deposit(small, servers[0], 2_000_000);
        vm.prank(servers[0]);
        staking.join(small, 2);
        skip(2 * params.windows.epoch);
        sampling.open(ID, a);
        drawPanel(address(this), ID, a);
        assertEq(_state().size, 2);
        assertEq(
            sampling.seatOfValidator(address(this), ID, 0) + sampling.seatOfValidator(address(this), ID, 1), 3
        );
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, 2, address(this)));
        sampling.seatOfValidator(address(this), ID, 2);
    }

    function test_AValidatorCommitsBySessionKeyAndAtSeveralPositionsAtOnce() public {
        // All seats are of one owner here.
        PoolParams memory p = poolParams();
        p.basis.modelRoot = "another model";
        bytes32 single = pools.create(p, "", 0);
        ledger.deposit(single, servers[0], 3_000_000);
        vm.startPrank(servers[0]);
        staking.join(single, 5);
        staking.setKey(single, address(0x5e55));
        vm.stopPrank();
        skip(2 * params.windows.epoch);
        ISampling.Assertion memory a = _assertion(RIGHT);
        a.pool = single;
        sampling.open(ID, a);
        drawPanel(address(this), ID, a);
        bytes32 commitment =
            Hashes.commitment(Role.Validator, servers[0], sampling.subjectOf(address(this), ID), RIGHT);
        vm.expectEmit(address(sampling));
        emit ISampling.Committed(address(this), ID, upTo(N), commitment);
        vm.prank(address(0x5e55));
        sampling.commit(address(this), ID, a, upTo(N), commitment);
        assertEq(_state().committed, N);
        sampling.propose(address(this), ID, a, RIGHT);
        _assertOutcome(ISampling.Outcome.Decided, RIGHT, N, 0);
    }

    /// @dev A commitment names its committer: another's is worth nothing.
    function test_ACopiedCommitmentDoesNotCount() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        uint256 other = _owner(0) != _owner(1) ? 1 : 2;
        assertNotEq(_owner(0), _owner(other));
        _commit(a, 0, 1, RIGHT);
        bytes32 copied =
            Hashes.commitment(Role.Validator, _owner(0), sampling.subjectOf(address(this), ID), RIGHT);
        vm.prank(_owner(other));
        sampling.commit(address(this), ID, a, one(other), copied);
        vm.warp(uint256(_state().commitEnd) + 1);
        sampling.propose(address(this), ID, a, RIGHT);
        judge(address(this), ID, RIGHT);
        _assertStanding(0, ISampling.Standing.Paid);
        _assertStanding(other, ISampling.Standing.Wrong);
    }

    // ---------------------------------------------------------------------------------------------------- refusals

    function test_RevertWhen_ThePoolIsUnknown() public {
        ISampling.Assertion memory a = _assertion(RIGHT);
        a.pool = "unknown";
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("unknown")));
        sampling.open(ID, a);
    }

    function test_RevertWhen_TheIdIsTaken() public {
        ISampling.Assertion memory a = _open(RIGHT);
        vm.expectRevert(abi.encodeWithSelector(ISampling.AssertionExists.selector, address(this), ID));
        sampling.open(ID, a);
        // Another client's ids are its own.
        vm.prank(ASSERTER);
        sampling.open(ID, a);
    }

    function test_RevertWhen_TheAssertionIsNotThatOne() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        a.asserter = address(this);
        bytes memory reason = abi.encodeWithSelector(ISampling.WrongAssertion.selector, address(this), ID);
        vm.expectRevert(reason);
        sampling.draw(address(this), ID, a);
        vm.expectRevert(reason);
        sampling.commit(address(this), ID, a, one(0), RIGHT);
        vm.expectRevert(reason);
        sampling.propose(address(this), ID, a, RIGHT);
        vm.expectRevert(reason);
        sampling.advance(address(this), ID, a);
    }

    function test_RevertWhen_TheAssertionIsUnknownOrOver() public {
        ISampling.Assertion memory a = _assertion(RIGHT);
        _refusedAsOver(a);
        _assertOutcome(ISampling.Outcome.None, 0, 0, 0);
        _assertStanding(0, ISampling.Standing.None);
        a = _drawn(RIGHT);
        _commit(a, 0, N, RIGHT);
        uint256 snapshot = vm.snapshotState();
        sampling.propose(address(this), ID, a, RIGHT);
        _refusedAsOver(a);
        vm.revertToState(snapshot);
        vm.warp(uint256(_state().proposeEnd) + 1);
        sampling.advance(address(this), ID, a);
        _refusedAsOver(a);
    }

    function _refusedAsOver(ISampling.Assertion memory a) private {
        bytes memory reason =
            abi.encodeWithSelector(ISampling.AssertionNotPending.selector, address(this), ID);
        vm.expectRevert(reason);
        sampling.draw(address(this), ID, a);
        vm.expectRevert(reason);
        sampling.commit(address(this), ID, a, one(0), RIGHT);
        vm.expectRevert(reason);
        sampling.propose(address(this), ID, a, RIGHT);
        vm.expectRevert(reason);
        sampling.advance(address(this), ID, a);
    }

    function test_RevertWhen_DrawnBeforeTheRoundOrTwiceOrTooLate() public {
        ISampling.Assertion memory a = _open(RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, _state().round));
        sampling.draw(address(this), ID, a);
        beacon.set(_state().round, RIGHT);
        uint256 until = _state().commitEnd - params.windows.commit / 2;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitClosed.selector, until));
        sampling.draw(address(this), ID, a);
        vm.warp(until);
        sampling.draw(address(this), ID, a);
        vm.expectRevert(Panels.AlreadyDrawn.selector);
        sampling.draw(address(this), ID, a);
    }

    function test_RevertWhen_ACommitmentIsNotDue() public {
        ISampling.Assertion memory a = _open(RIGHT);
        vm.expectRevert(Panels.NotDrawnYet.selector);
        sampling.commit(address(this), ID, a, one(0), RIGHT);
        vm.expectRevert(Panels.NotDrawnYet.selector);
        sampling.propose(address(this), ID, a, RIGHT);
        drawPanel(address(this), ID, a);
        vm.expectRevert(Panels.EmptyCommitment.selector);
        sampling.commit(address(this), ID, a, one(0), 0);
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, 0, address(this)));
        sampling.commit(address(this), ID, a, one(0), RIGHT);
        address owner = _owner(0);
        vm.expectRevert(abi.encodeWithSelector(Panels.NotMember.selector, N, owner));
        vm.prank(owner);
        sampling.commit(address(this), ID, a, one(N), RIGHT);
        uint256[] memory twice = new uint256[](2);
        vm.expectRevert(abi.encodeWithSelector(Panels.AlreadyCommitted.selector, 0));
        vm.prank(owner);
        sampling.commit(address(this), ID, a, twice, RIGHT);
        _commit(a, 0, 1, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(Panels.AlreadyCommitted.selector, 0));
        vm.prank(owner);
        sampling.commit(address(this), ID, a, one(0), WRONG);
        uint64 seat = sampling.seatOfValidator(address(this), ID, 1);
        uint256 snapshot = vm.snapshotState();
        vm.prank(address(disputes));
        staking.slash(pool, seat, 0);
        owner = _owner(1);
        vm.expectRevert(abi.encodeWithSelector(Panels.SeatNotActive.selector, seat));
        vm.prank(owner);
        sampling.commit(address(this), ID, a, one(1), RIGHT);
        vm.revertToState(snapshot);
        vm.warp(_state().commitEnd);
        _commit(a, 1, 2, RIGHT);
        skip(1);
        owner = _owner(2);
        vm.expectRevert(abi.encodeWithSelector(Panels.CommitClosed.selector, _state().commitEnd));
        vm.prank(owner);
        sampling.commit(address(this), ID, a, one(2), RIGHT);
    }

    /// @dev Else anyone could have every assertion judged, at its client's cost.
    function test_RevertWhen_NobodyCommittedToTheProposal() public {
        ISampling.Assertion memory a = _drawn(RIGHT);
        _commit(a, 0, N, RIGHT);
        vm.expectRevert(ISampling.NothingMatches.selector);
        sampling.propose(address(this), ID, a, "nobody's");
    }
}
