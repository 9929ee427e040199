// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Cancel, Delivery, Evidence, Finish, Role, Voucher } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Outputs that a server brings on-chain because their user does not acknowledge them.
contract LanesDeliverTest is CaseTest {
    bytes32 private constant NONCE = keccak256("nonce");

    function _delivery(uint64 sequence, uint32 tokens) private view returns (Delivery memory d) {
        d.request = answered(0, 7, sequence, tokens, RIGHT).request;
        d.request.ticketNonceHash = keccak256(abi.encode(NONCE));
        d.response = answered(0, 7, sequence, tokens, RIGHT).response;
        _sign(d, new bytes(4 * uint256(tokens)), RIGHT);
    }

    function _sign(Delivery memory d, bytes memory output, bytes32 digest) private view {
        d.output = output;
        d.response.outputHash = keccak256(bytes.concat(Hashes.OUTPUT, output));
        d.response.request = Hashes.request(d.request);
        d.response.commitment =
            Hashes.commitment(Role.Server, servers[0], Hashes.responseSubject(d.response), digest);
        d.requestSignature = signed(userKey, Hashes.request(d.request));
        d.responseSignature = signed(serverKeys[0], Hashes.response(d.response));
    }

    function _deliver(Delivery memory d) private {
        vm.prank(servers[0]);
        lanes.deliver(d);
    }

    function _refused(Delivery memory d, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(servers[0]);
        lanes.deliver(d);
    }

    function _hash(Delivery memory d) private pure returns (bytes32) {
        return Hashes.response(d.response);
    }

    // --------------------------------------------------------------------------------------------------------- pay

    function test_ADeliveredOutputIsPaidItsFee() public {
        Delivery memory d = _delivery(5, 100);
        uint256 credit = params.checkCredit(1, 210);
        vm.expectEmit(address(lanes));
        emit ILanes.Redeemed(
            pool, servers[0], user, 7, 5, 1, 210, params.pay(210), credit, params.baseFee(210) - credit
        );
        vm.expectEmit(address(lanes));
        emit ILanes.Delivered(pool, _hash(d), user, d.request, d.response, d.responseSignature, d.output);
        _deliver(d);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 - params.fee(210));
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
        assertEq(lanes.vestingOf(pool, servers[0], params.epochOf(block.timestamp)), params.pay(210));
        assertEq(balanceOf(AccountKind.Check, user), credit);
        assertEq(burnBalance(), params.baseFee(210) - credit);
        ILanes.Lane memory lane = lanes.laneOf(pool, user, servers[0], 7);
        assertEq(lane.sequence, 5);
        assertEq(lane.count, 1);
        assertEq(lane.units, 210);
        assertEq(checks.claimOf(pool, user, _hash(d)).delivered, knowableRound());
        conserved();
    }

    /// @dev Invariant 3: once, whoever brings it in whatever form.
    function test_RevertWhen_AResponseIsDeliveredTwice() public {
        Delivery memory d = _delivery(5, 100);
        _deliver(d);
        _refused(d, abi.encodeWithSelector(IChecks.AlreadyDelivered.selector, _hash(d)));
        // Another response in the same place, which would be an equivocation, is not paid either.
        d.response.finish = uint8(Finish.Stop);
        _sign(d, d.output, RIGHT);
        _refused(d, abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 7));
    }

    function test_RevertWhen_AVoucherHasPaidForIt() public {
        Delivery memory d = _delivery(5, 100);
        redeem(0, voucher(0, 7, 5, 1, 210));
        _refused(d, abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 7));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
    }

    function test_AVoucherThatComesAfterTheDeliveryPaysOnlyWhatIsNew() public {
        _deliver(_delivery(5, 100));
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(0, 7, 5, 1, 210));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 7));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        redeem(0, voucher(0, 7, 6, 2, 310));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210) + params.pay(100));
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 - params.fee(210) - params.fee(100));
        conserved();
    }

    /// @dev Out of order a server can only lose: a response before the lane's vouchers may void them, and none pays twice.
    function test_ADeliveryBeforeItsVouchersNeverPaysMoreThanBothAreWorth() public {
        // A voucher over three responses of 70 units each, under the numbers 1, 2 and 3.
        Voucher memory v = voucher(0, 7, 3, 3, 210);
        uint256 snapshot = vm.snapshotState();
        for (uint64 sequence = 1; sequence <= 4; ++sequence) {
            _deliver(_delivery(sequence, 30));
            (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
            vm.prank(servers[0]);
            try lanes.redeem(pool, servers[0], vouchers, signatures) { } catch { }
            uint256 paid = balanceOf(AccountKind.Vesting, servers[0]);
            uint256 all = sequence == 4 ? 4 * params.pay(70) : 3 * params.pay(70);
            assertLe(paid, all);
            assertEq(paid, sequence == 1 ? all : params.pay(70), "in order, or alone");
            conserved();
            vm.revertToState(snapshot);
        }
        // The other way round everything is paid.
        redeem(0, v);
        _deliver(_delivery(4, 30));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 4 * params.pay(70));
    }

    function test_TheBondPaysWhatTheBalanceCannotAndNotMore() public {
        redeem(0, voucher(0, 9, 999, 999, 565_000));
        uint256 held = balanceOf(AccountKind.Balance, user);
        Delivery memory d = _delivery(5, 495);
        assertLt(held, params.fee(1_000));
        _deliver(d);
        assertEq(balanceOf(AccountKind.Balance, user), 0);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000 + held - params.fee(1_000));
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        vm.stopPrank();
        d = _delivery(6, 100);
        _refused(d, abi.encodeWithSelector(ILanes.UserCannotPay.selector, user, params.fee(210), 0));
        assertEq(checks.claimOf(pool, user, _hash(d)).delivered, 0);
        conserved();
    }

    function test_AUserOnItsWayOutStillPays() public {
        vm.prank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit - 1);
        _deliver(_delivery(5, 100));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
    }

    // --------------------------------------------------------------------------------------------------- who, when

    /// @dev Somebody else could bring a lane's last output before its vouchers, and so void them.
    function test_RevertWhen_SomebodyElseDelivers() public {
        Delivery memory d = _delivery(5, 100);
        address[3] memory callers = [user, stranger, servers[1]];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILanes.NotServer.selector, servers[0], callers[i]));
            vm.prank(callers[i]);
            lanes.deliver(d);
        }
    }

    function test_TheKeyOfNowDelivers() public {
        address key = makeAddr("key");
        vm.prank(servers[0]);
        staking.setKey(pool, key);
        Delivery memory d = _delivery(5, 100);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotServer.selector, servers[0], key));
        vm.prank(key);
        lanes.deliver(d);
        skip(2 * params.windows.epoch);
        vm.prank(key);
        lanes.deliver(d);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
    }

    function test_AnOutputIsDeliveredUntilItsDeadline() public {
        Delivery memory d = _delivery(5, 100);
        vm.warp(d.request.deadline + 1);
        _refused(d, abi.encodeWithSelector(ILanes.DeliveredTooLate.selector, d.request.deadline));
        vm.warp(d.request.deadline);
        _deliver(d);
    }

    function test_RevertWhen_TheServerIsNotBonded() public {
        convict(0, 1);
        uint256 freeAt = (block.timestamp / 10 + 1) * 10 + params.windows.vesting;
        _refused(
            _delivery(5, 100), abi.encodeWithSelector(ILanes.NotBonded.selector, pool, servers[0], freeAt)
        );
    }

    function test_RevertWhen_NoModuleMarksAResponseAsDelivered() public {
        Delivery memory d = _delivery(5, 100);
        vm.expectRevert(abi.encodeWithSelector(IChecks.NotModule.selector, servers[0]));
        vm.prank(servers[0]);
        checks.deliver(d.request, d.response, d.responseSignature);
    }

    // ------------------------------------------------------------------------------------------------------- output

    function test_RevertWhen_TheOutputIsNotTheResponses() public {
        Delivery memory d = _delivery(5, 100);
        bytes memory reason = abi.encodeWithSelector(ILanes.WrongOutput.selector, d.response.outputHash);
        d.output[399] = 0x01;
        _refused(d, reason);
        d.output = new bytes(399);
        _refused(d, reason);
        d.output = "";
        _refused(d, reason);
    }

    /// @dev More or fewer tokens than the response counts, though the hash is theirs.
    function test_RevertWhen_TheOutputHasAnotherLength() public {
        Delivery memory d = _delivery(5, 100);
        uint256[4] memory lengths = [uint256(404), 396, 401, 0];
        for (uint256 i; i < lengths.length; ++i) {
            _sign(d, new bytes(lengths[i]), RIGHT);
            _refused(d, abi.encodeWithSelector(ILanes.WrongOutput.selector, d.response.outputHash));
        }
        _sign(d, new bytes(400), RIGHT);
        _deliver(d);
    }

    function test_AnEmptyOutputIsDelivered() public {
        _deliver(_delivery(5, 0));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(10));
    }

    // ----------------------------------------------------------------------------------------------------- messages

    function test_RevertWhen_TheUserDidNotSignTheRequest() public {
        Delivery memory d = _delivery(5, 100);
        d.requestSignature = signed(serverKeys[0], Hashes.request(d.request));
        _refused(d, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[0]));
        d = _delivery(5, 100);
        d.responseSignature = signed(userKey, _hash(d));
        _refused(
            d, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], servers[0], user)
        );
        d.request.round = nowRound() + 1;
        _sign(d, d.output, RIGHT);
        _refused(d, abi.encodeWithSelector(ILanes.RoundFromFuture.selector, nowRound() + 1));
        d.request.round = 0;
        _sign(d, d.output, RIGHT);
        _refused(d, abi.encodeWithSelector(Clocks.RoundZero.selector));
    }

    /// @dev A server that ends an output early by itself and says that the user wanted it is not paid.
    function test_RevertWhen_ACancelledOutputHasNoCancelOfItsUser() public {
        Delivery memory d = _delivery(5, 100);
        d.response.finish = uint8(Finish.Cancelled);
        d.response.cancel = "made up";
        _sign(d, d.output, RIGHT);
        _refused(
            d,
            abi.encodeWithSelector(ILanes.WrongCancel.selector, bytes32("made up"), Hashes.cancel(d.cancel))
        );
        // Not the user's.
        d.cancel = Cancel(Hashes.request(d.request), nowRound());
        d.response.cancel = Hashes.cancel(d.cancel);
        _sign(d, d.output, RIGHT);
        d.cancelSignature = signed(serverKeys[0], d.response.cancel);
        _refused(d, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[0]));
        // The user's, of another request.
        d.cancel.request = "other";
        d.response.cancel = Hashes.cancel(d.cancel);
        _sign(d, d.output, RIGHT);
        d.cancelSignature = signed(userKey, d.response.cancel);
        _refused(d, abi.encodeWithSelector(ILanes.WrongCancel.selector, d.response.cancel, d.response.cancel));
        // From the future, where another key may count.
        d.cancel = Cancel(Hashes.request(d.request), nowRound() + 1);
        d.response.cancel = Hashes.cancel(d.cancel);
        _sign(d, d.output, RIGHT);
        d.cancelSignature = signed(userKey, d.response.cancel);
        _refused(d, abi.encodeWithSelector(ILanes.RoundFromFuture.selector, nowRound() + 1));
        d.cancel.round = 0;
        d.response.cancel = Hashes.cancel(d.cancel);
        _sign(d, d.output, RIGHT);
        d.cancelSignature = signed(userKey, d.response.cancel);
        _refused(d, abi.encodeWithSelector(Clocks.RoundZero.selector));
    }

    function test_ACancelledOutputIsDeliveredWithTheUsersCancel() public {
        Delivery memory d = _delivery(5, 100);
        d.response.finish = uint8(Finish.Cancelled);
        d.cancel = Cancel(Hashes.request(d.request), nowRound());
        d.response.cancel = Hashes.cancel(d.cancel);
        _sign(d, d.output, RIGHT);
        d.cancelSignature = signed(userKey, d.response.cancel);
        _deliver(d);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
    }

    // ------------------------------------------------------------------------------------------------------ windows

    /// @dev Chooses the value of the ticket round that follows `round` so that the response is drawn, and its evidence.
    function _evidence(Delivery memory d, uint64 round, bytes32 digest) private returns (Evidence memory e) {
        (e.request, e.response, e.responseSignature) = (d.request, d.response, d.responseSignature);
        uint64 ticketRound = params.ticketRound(round);
        uint64 seat;
        for (uint256 i; seat == 0 || serverOfSeat(seat) == 0; ++i) {
            bytes32 randomness = keccak256(abi.encode(round, i));
            bytes32 ticket = Hashes.ticket(randomness, _hash(d), NONCE);
            if (!Hashes.isDrawn(ticket, params.challengeRate(units(e)))) continue;
            uint32 epoch = params.epochOf(beacon.timeOf(ticketRound));
            uint256 count = staking.seatCount(pool, epoch);
            seat = staking.seatAt(
                pool, epoch, Hashes.draw(Hashes.DRAW_VALIDATOR, randomness, pool, ticket, 0, count)
            );
            beacon.set(ticketRound, randomness);
        }
        if (block.timestamp < beacon.timeOf(ticketRound)) vm.warp(beacon.timeOf(ticketRound));
        challenge(e, NONCE, 0, seat, digest);
        e.delivered = round != d.response.round;
    }

    function test_TheWindowsOfADeliveredResponseBeginWithItsBlock() public {
        Delivery memory d = _delivery(5, 100);
        vm.warp(d.request.deadline);
        _deliver(d);
        uint64 round = knowableRound();
        assertEq(checks.verifyResponse(d.request, d.response, d.responseSignature).ticketRound, round + 2);
        Evidence memory e = _evidence(d, round, RIGHT);
        IChecks.Checked memory c = checks.verify(e);
        assertEq(c.ticketRound, round + 2);
        assertEq(c.ticketTime, beacon.timeOf(round + 2));
        vm.warp(c.ticketTime + params.windows.claim);
        checks.claim(e);
        IChecks.Claim memory claim = checks.claimOf(pool, user, c.responseHash);
        assertEq(claim.freeAt, c.ticketTime + params.windows.dispute);
        assertEq(claim.delivered, round, "a claim keeps what is known of the delivery");
        vm.warp(c.ticketTime + params.windows.dispute + 1);
        bytes memory reason =
            abi.encodeWithSelector(IDisputes.TooLate.selector, c.ticketTime + params.windows.dispute);
        vm.expectRevert(reason);
        vm.prank(user);
        disputes.open(e);
        vm.expectRevert(reason);
        vm.prank(stranger);
        disputes.accuse(d.request, d.response, d.responseSignature);
        checks.settle(pool, user, c.responseHash);
        conserved();
    }

    function test_ADeliveredResponseIsAccusedUntilItsLaterWindowEnds() public {
        Delivery memory d = _delivery(5, 100);
        uint256 first = beacon.timeOf(params.ticketRound(d.response.round)) + params.windows.dispute;
        vm.warp(d.request.deadline);
        _deliver(d);
        uint256 last = beacon.timeOf(params.ticketRound(knowableRound())) + params.windows.dispute;
        assertGt(last, first);
        vm.warp(last);
        vm.prank(stranger);
        disputes.accuse(d.request, d.response, d.responseSignature);
    }

    /// @dev A liar that was drawn can't change its ticket by a late delivery: the first one counts as well.
    function test_ALateDeliveryDoesNotSaveALiarFromItsTicket() public {
        Delivery memory d = _delivery(5, 100);
        _sign(d, d.output, WRONG);
        Evidence memory e = _evidence(d, d.response.round, RIGHT);
        assertFalse(e.delivered);
        _deliver(d);
        // By the ticket of the delivery it is not drawn.
        uint64 later = params.ticketRound(knowableRound());
        for (uint256 i;; ++i) {
            bytes32 randomness = keccak256(abi.encode("not drawn", i));
            bytes32 ticket = Hashes.ticket(randomness, _hash(d), NONCE);
            if (Hashes.isDrawn(ticket, params.challengeRate(210))) continue;
            beacon.set(later, randomness);
            break;
        }
        skip(2);
        e.delivered = true;
        vm.expectPartialRevert(IChecks.NotDrawn.selector);
        vm.prank(user);
        disputes.open(e);
        e.delivered = false;
        (uint256 id, IDisputes.Record memory r) = dispute(e, user);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000, "the delivered fee is refunded");
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    /// @dev Both tickets stand, each for its own window; one check is paid.
    function test_TheFirstTicketLastsForItsOwnWindow() public {
        Delivery memory d = _delivery(5, 100);
        Evidence memory first = _evidence(d, d.response.round, RIGHT);
        uint256 until = beacon.timeOf(params.ticketRound(d.response.round)) + params.windows.dispute;
        vm.warp(d.request.deadline);
        _deliver(d);
        Evidence memory second = _evidence(d, knowableRound(), RIGHT);
        uint256 later = beacon.timeOf(drawingRound());
        vm.warp(later > until ? later : until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooLate.selector, until));
        vm.prank(user);
        disputes.open(first);
        checks.claim(second);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimExists.selector, _hash(d)));
        checks.claim(first);
    }

    function test_RevertWhen_EvidenceSaysDeliveredOfWhatWasNot() public {
        Delivery memory d = _delivery(5, 100);
        Evidence memory e = _evidence(d, d.response.round, RIGHT);
        e.delivered = true;
        vm.expectRevert(abi.encodeWithSelector(IChecks.NotDelivered.selector, _hash(d)));
        checks.verify(e);
    }

    /// @dev The check of a response that is claimed already runs in its own window, which a delivery would stretch.
    function test_RevertWhen_ItsCheckWasClaimed() public {
        Delivery memory d = _delivery(5, 100);
        checks.claim(_evidence(d, d.response.round, RIGHT));
        _refused(d, abi.encodeWithSelector(IChecks.ClaimExists.selector, _hash(d)));
    }
}
