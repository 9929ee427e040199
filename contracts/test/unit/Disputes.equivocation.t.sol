// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Delivery, Evidence, Finish, Role, Voucher } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Two responses to one request: proven by the two signatures, paid out of what other disputes leave.
contract DisputesEquivocationTest is CaseTest {
    struct Proof {
        uint256 id;
        IDisputes.Record r;
        uint256 until;
    }

    /// @dev Two responses of a server to one request, both signed.
    function _two(uint256 server, uint64 sequence)
        private
        view
        returns (Evidence memory a, Evidence memory b)
    {
        a = answered(server, 7, sequence, 100, RIGHT);
        b = copied(a);
        b.response.finish = uint8(Finish.Stop);
        _sign(b, server);
    }

    function _sign(Evidence memory e, uint256 server) private view {
        e.responseSignature = signed(serverKeys[server], Hashes.response(e.response));
    }

    function _prove(Evidence memory a, Evidence memory b, address finder) private returns (Proof memory p) {
        vm.prank(finder);
        p.id = disputes.proveEquivocation(
            a.request, a.response, a.responseSignature, b.response, b.responseSignature
        );
        p.r = accusationOf(a, finder);
        p.until = beacon.timeOf(params.ticketRound(knowableRound())) + params.windows.dispute;
    }

    function _proven(uint64 sequence, address finder) private returns (Proof memory) {
        (Evidence memory a, Evidence memory b) = _two(0, sequence);
        return _prove(a, b, finder);
    }

    function _refused(Evidence memory a, Evidence memory b, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(stranger);
        disputes.proveEquivocation(
            a.request, a.response, a.responseSignature, b.response, b.responseSignature
        );
    }

    function _resolve(Proof memory p) private {
        disputes.resolve(p.id, p.r);
    }

    function _tooEarly(Proof memory p) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooEarly.selector, p.until));
        disputes.resolve(p.id, p.r);
    }

    // ------------------------------------------------------------------------------------------------------- proof

    function test_AProofEndsTheServersServiceAtOnceAndTakesNoStakeYet() public {
        redeem(0, voucher(0, 9, 1, 1, 100));
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        uint256 burnt = burnBalance();
        (Evidence memory a, Evidence memory b) = _two(0, 1);
        uint256 until = beacon.timeOf(params.ticketRound(knowableRound())) + params.windows.dispute;
        IDisputes.Record memory r = accusationOf(a, stranger);
        vm.expectEmit(address(staking));
        emit IStaking.ServerConvicted(pool, servers[0]);
        vm.expectEmit(address(lanes));
        emit ILanes.VestingForfeited(pool, servers[0], vesting);
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeOpened(1, pool, r.response, r, a.response, until);
        vm.expectEmit(address(disputes));
        emit IDisputes.EquivocationProven(1, pool, servers[0], r.response, Hashes.response(b.response));
        Proof memory p = _prove(a, b, stranger);
        isState(p.id, IDisputes.State.Proven);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1);
        assertEq(staking.seatOf(pool, 1).disputes, 0, "it accuses no seat that has to be judged");
        assertFalse(isConvicted(1));
        assertEq(seatBalance(1), uint256(params.prices.seatStake) + params.prices.seatFloat);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertEq(burnBalance(), burnt + vesting);
        assertEq(free(stranger), 1_000_000, "a proof costs no bond, and pays nothing yet");
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(0, 9, 2, 2, 200));
        vm.expectPartialRevert(ILanes.NotBonded.selector);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        conserved();
    }

    function test_AProofPaysUserAndFinderWhenItsTimeHasCome() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        uint256 balance = balanceOf(AccountKind.Balance, user);
        Proof memory p = _proven(1, stranger);
        uint256 burnt = burnBalance();
        vm.warp(p.until);
        _tooEarly(p);
        skip(1);
        uint256 share = third() / 2;
        uint256 rest = uint256(params.prices.seatStake) - params.prices.gasAllowance - params.fee(210)
            - third() - params.baseFee(210);
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeEnded(
            p.id, pool, IDisputes.State.Convicted, 0, true, false, params.prices.seatStake, rest
        );
        _resolve(p);
        assertEq(free(stranger), 1_000_000 + share + params.prices.gasAllowance);
        assertEq(free(user), 2_000_000 + third() - share + params.baseFee(210));
        assertEq(balanceOf(AccountKind.Balance, user), balance + params.fee(210), "it had been redeemed");
        assertEq(burnBalance(), burnt + rest);
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertTrue(isConvicted(1));
        vm.expectRevert(
            abi.encodeWithSelector(IDisputes.WrongState.selector, p.id, IDisputes.State.Convicted)
        );
        _resolve(p);
        nothingWaits();
    }

    /// @dev A key that was replaced long ago may be in others' hands: what it signs convicts no longer than a stake answers for it.
    function test_RevertWhen_TheResponsesAreOlderThanTheUnbondingPeriod() public {
        (Evidence memory a, Evidence memory b) = _two(0, 1);
        uint256 until = beacon.timeOf(params.ticketRound(a.response.round)) + params.windows.unbonding;
        vm.warp(until + 1);
        _refused(a, b, abi.encodeWithSelector(IDisputes.TooLate.selector, until));
        _refused(b, a, abi.encodeWithSelector(IDisputes.TooLate.selector, until));
        vm.warp(until);
        _prove(a, b, stranger);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
    }

    function test_AUserThatProvesTakesTheWholeThird() public {
        Proof memory p = _proven(1, user);
        vm.warp(p.until + 1);
        _resolve(p);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000, "nothing was paid, so nothing is refunded");
        nothingWaits();
    }

    function test_NothingElseLeadsOnFromProven() public {
        Proof memory p = _proven(1, stranger);
        bytes memory reason =
            abi.encodeWithSelector(IDisputes.WrongState.selector, p.id, IDisputes.State.Proven);
        vm.expectRevert(reason);
        disputes.publish(p.id, p.r, INPUT);
        vm.expectRevert(reason);
        disputes.dismiss(p.id, p.r);
        vm.expectRevert(reason);
        disputes.close(p.id, p.r);
        p.r.opener = user;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongRecord.selector, p.id));
        disputes.resolve(p.id, p.r);
    }

    // ----------------------------------------------------------------------------------------- what is no proof

    function test_RevertWhen_BothResponsesAreTheSame() public {
        (Evidence memory a,) = _two(0, 1);
        _refused(a, a, abi.encodeWithSelector(IDisputes.NoEquivocation.selector));
    }

    function test_RevertWhen_TheResponsesAnswerTwoRequests() public {
        (Evidence memory a,) = _two(0, 1);
        (Evidence memory b,) = _two(0, 2);
        _refused(
            a,
            b,
            abi.encodeWithSelector(IChecks.WrongRequest.selector, a.response.request, b.response.request)
        );
    }

    /// @dev Each of the two must be one that could have been delivered and disputed.
    function test_RevertWhen_OneOfThemIsNoResponse() public {
        (Evidence memory a, Evidence memory b) = _two(0, 1);
        b.responseSignature = signed(userKey, Hashes.response(b.response));
        bytes memory reason =
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], servers[0], user);
        _refused(a, b, reason);
        _refused(b, a, reason);
        b.response.finish = 4;
        _sign(b, 0);
        _refused(a, b, abi.encodeWithSelector(IChecks.FinishInvalid.selector, 4));
        b.response.finish = 1;
        b.response.outputTokens = 1_000;
        _sign(b, 0);
        _refused(a, b, abi.encodeWithSelector(IChecks.UnitsOverLimit.selector, 2_010, 1_000));
        b.response.outputTokens = 100;
        b.response.round = nowRound() + 1;
        _sign(b, 0);
        _refused(a, b, abi.encodeWithSelector(IChecks.RoundFromFuture.selector, nowRound() + 1));
        skip(31);
        b.response.round = nowRound();
        _sign(b, 0);
        _refused(
            a,
            b,
            abi.encodeWithSelector(
                IChecks.AnsweredAfterDeadline.selector, a.request.deadline, block.timestamp
            )
        );
    }

    /// @dev A key that was replaced signs for its own time alone: a thief of the new key can't make up a past.
    function test_TheKeyOfTheRoundCounts() public {
        (Evidence memory a, Evidence memory b) = _two(0, 1);
        (address fresh, uint256 freshKey) = makeAddrAndKey("fresh");
        vm.prank(servers[0]);
        staking.setKey(pool, fresh);
        skip(2 * params.windows.epoch);
        bytes memory old = b.responseSignature;
        b.responseSignature = signed(freshKey, Hashes.response(b.response));
        _refused(
            a, b, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], servers[0], fresh)
        );
        b.responseSignature = old;
        _prove(a, b, stranger);
    }

    function test_RevertWhen_TheSeatIsConvictedOrFreeToLeave() public {
        (Evidence memory a, Evidence memory b) = _two(0, 5);
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        uint256 exitAt = staking.seatOf(pool, 1).exitAt;
        uint256 snapshot = vm.snapshotState();
        vm.warp(exitAt);
        _refused(a, b, abi.encodeWithSelector(IChecks.NotServersSeat.selector, 1, servers[0]));
        vm.revertToState(snapshot);
        convict(0, 1);
        _refused(a, b, abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1));
    }

    // ------------------------------------------------------------------------------------------ who comes first

    /// @dev Stake answers for wrong answers first, so showing two signatures saves no liar.
    function test_ADisputeThatConvictsFirstTakesTheStake() public {
        Evidence memory e = drawn(0, 9, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = dispute(e, user);
        Proof memory p = _proven(1, servers[0]);
        uint256 held = free(servers[0]);
        judge(id, r, RIGHT);
        vm.warp(p.until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DisputesOpen.selector, 1, 1));
        _resolve(p);
        disputes.resolve(id, r);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        uint256 burnt = burnBalance();
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeEnded(p.id, pool, IDisputes.State.Closed, 0, false, false, 0, 0);
        _resolve(p);
        isState(p.id, IDisputes.State.Closed);
        assertEq(free(servers[0]), held, "nothing is left for who proved it");
        assertEq(burnBalance(), burnt);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    /// @dev Whatever the server answered until the proof can be disputed after it, for the whole of its window.
    function test_DisputesOpenAfterTheProofForTheirWholeWindow() public {
        Evidence memory e = answered(0, 7, 9, 100, WRONG);
        Proof memory p = _proven(1, servers[0]);
        uint256 last = beacon.timeOf(params.ticketRound(e.response.round)) + params.windows.dispute;
        assertGe(p.until, last);
        vm.warp(last);
        _tooEarly(p);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        judge(id, r, RIGHT);
        assertGt(block.timestamp, p.until);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DisputesOpen.selector, 1, 1));
        _resolve(p);
        disputes.resolve(id, r);
        assertEq(free(stranger), 1_000_000 + third() / 2 + params.prices.gasAllowance);
        _resolve(p);
        isState(p.id, IDisputes.State.Closed);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    /// @dev What was delivered in the proof's block has the latest ticket of all.
    function test_DisputesOverADeliveredOutputComeBeforeTheProofToo() public {
        Delivery memory d;
        d.output = new bytes(400);
        (d.request, d.response) =
        (answered(0, 7, 9, 100, WRONG).request, answered(0, 7, 9, 100, WRONG).response);
        d.response.outputHash = keccak256(bytes.concat(Hashes.OUTPUT, d.output));
        d.response.commitment =
            Hashes.commitment(Role.Server, servers[0], Hashes.responseSubject(d.response), WRONG);
        d.requestSignature = signed(userKey, Hashes.request(d.request));
        d.responseSignature = signed(serverKeys[0], Hashes.response(d.response));
        vm.prank(servers[0]);
        lanes.deliver(d);
        Proof memory p = _proven(1, servers[0]);
        uint256 last = beacon.timeOf(params.ticketRound(knowableRound())) + params.windows.dispute;
        assertEq(p.until, last);
        vm.warp(last);
        _tooEarly(p);
        vm.prank(stranger);
        uint256 id = disputes.accuse(d.request, d.response, d.responseSignature);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.DisputesOpen.selector, 1, 1));
        _resolve(p);
        isState(id, IDisputes.State.Opened);
    }

    function test_AfterARejectedDisputeTheProofTakesTheStake() public {
        Evidence memory e = drawn(0, 9, RIGHT, RIGHT);
        (uint256 id, IDisputes.Record memory r) = dispute(e, user);
        Proof memory p = _proven(1, stranger);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        _tooEarly(p);
        vm.warp(p.until + 1);
        _resolve(p);
        isState(p.id, IDisputes.State.Convicted);
        assertEq(free(stranger), 1_000_000 + third() / 2 + params.prices.gasAllowance);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    /// @dev A thief that proves itself gets a finder's share of its own stake, and that not before others had their time.
    function test_AServerThatProvesItselfGetsNothingEarly() public {
        uint256 held = free(servers[0]);
        Proof memory p = _proven(1, servers[0]);
        _tooEarly(p);
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        assertEq(free(servers[0]), held);
        vm.warp(p.until + 1);
        _resolve(p);
        assertEq(free(servers[0]), held + third() / 2 + params.prices.gasAllowance);
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertEq(free(user), 2_000_000 + third() - third() / 2 + params.baseFee(210));
        nothingWaits();
    }

    /// @dev The first proof in time takes the stake of its seat; a second one ends without.
    function test_TwoProofsTakeOneStake() public {
        Proof memory p = _proven(1, stranger);
        skip(3);
        Proof memory q = _proven(2, user);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 2);
        vm.warp(p.until + 1);
        _tooEarly(q);
        _resolve(p);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1);
        uint256 held = free(user);
        vm.warp(q.until + 1);
        _resolve(q);
        isState(q.id, IDisputes.State.Closed);
        assertEq(free(user), held);
        nothingWaits();
    }

    function test_StakeWaitsForTheProof() public {
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        vm.warp(uint256(staking.seatOf(pool, 1).exitAt) - 1);
        Proof memory p = _proven(1, stranger);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 1));
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        vm.warp(p.until + 1);
        _resolve(p);
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(seatBalance(1), 0);
        assertEq(free(stranger), 1_000_000 + third() / 2 + params.prices.gasAllowance);
        nothingWaits();
    }

    /// @dev A stake that penalties have eaten pays its finder first, as far as it goes.
    function test_ASpentStakePaysTheFirst() public {
        vm.startPrank(address(disputes));
        while (seatBalance(1) >= params.prices.jurorPenalty) {
            staking.fine(pool, 1);
        }
        vm.stopPrank();
        uint256 left = seatBalance(1);
        assertGt(left, params.prices.gasAllowance);
        Proof memory p = _proven(1, stranger);
        vm.warp(p.until + 1);
        _resolve(p);
        assertEq(free(stranger), 1_000_000 + params.prices.gasAllowance);
        assertEq(free(user), 2_000_000 + left - params.prices.gasAllowance);
        assertEq(seatBalance(1), 0);
        nothingWaits();
    }

    /// @dev Only the seat that stood for the answer pays, but no seat of the server serves again.
    function test_OtherSeatsKeepTheirStakeAndStopServing() public {
        Proof memory p = _proven(1, stranger);
        assertFalse(staking.isActive(pool, 2));
        vm.expectRevert(abi.encodeWithSelector(IStaking.Convicted.selector, pool, servers[0]));
        vm.prank(servers[0]);
        staking.join(pool, 1);
        staking.evict(pool, 2);
        vm.warp(p.until + 1);
        _resolve(p);
        vm.warp(staking.seatOf(pool, 2).exitAt);
        uint256 held = free(servers[0]);
        vm.prank(servers[0]);
        staking.withdraw(pool, 2);
        assertEq(free(servers[0]), held + params.prices.seatStake + params.prices.seatFloat);
    }

    function test_RevertWhen_NoModuleConvictsFreezesOrSetsAside() public {
        bytes memory refused = abi.encodeWithSelector(IStaking.NotModule.selector, address(this));
        vm.expectRevert(refused);
        staking.convict(pool, servers[0]);
        vm.expectRevert(refused);
        staking.freeze(pool, servers[0], true);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotModule.selector, address(this)));
        disputes.setAside(pool, 1, "from", 1);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotModule.selector, address(this)));
        lanes.vest(pool, servers[0], 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotModule.selector, address(audits)));
        vm.prank(address(audits));
        staking.accuse(pool, 1, true);
    }
}
