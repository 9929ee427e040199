// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev What evidence must show: each part broken on its own.
contract ChecksVerifyTest is AssayTest {
    Evidence private e;

    function setUp() public override {
        super.setUp();
        _store(drawn(0, 1, RIGHT, RIGHT));
    }

    function _store(Evidence memory given) private {
        e = given;
    }

    function _refused(bytes memory reason) private {
        Evidence memory given = e;
        vm.expectRevert(reason);
        checks.verify(given);
    }

    /// @dev Signs the challenge and the answer anew, as whoever they name.
    function _resign() private {
        e.challengeSignature = signed(userKey, Hashes.challenge(e.challenge));
        e.answerSignature = signed(serverKeys[serverOfSeat(e.answer.seat)], Hashes.answer(e.answer));
    }

    function test_CompleteEvidenceIsAccepted() public view {
        IChecks.Checked memory c = checks.verify(e);
        assertEq(c.requestHash, Hashes.request(e.request));
        assertEq(c.responseHash, Hashes.response(e.response));
        assertEq(c.units, 210);
        assertEq(c.ticketRound, e.response.round + 2);
        assertEq(c.ticketTime, beacon.timeOf(c.ticketRound));
        bytes32 randomness = beacon.randomness(c.ticketRound);
        assertEq(c.ticket, Hashes.ticket(randomness, c.responseHash, e.challenge.ticketNonce));
    }

    function test_RevertWhen_MessagesDoNotBelongTogether() public {
        bytes32 request = e.response.request;
        bytes32 response = e.challenge.response;
        e.challenge.request = "other";
        _refused(abi.encodeWithSelector(IChecks.WrongRequest.selector, request, bytes32("other")));
        e.challenge.request = request;
        e.response.request = "other";
        _refused(abi.encodeWithSelector(IChecks.WrongRequest.selector, request, bytes32("other")));
        e.response.request = request;
        e.challenge.response = "other";
        _refused(abi.encodeWithSelector(IChecks.WrongResponse.selector, response, bytes32("other")));
        e.challenge.response = response;
        e.answer.response = "other";
        _refused(abi.encodeWithSelector(IChecks.WrongResponse.selector, response, bytes32("other")));
    }

    function test_RevertWhen_TheNonceIsNotTheRequests() public {
        e.challenge.ticketNonce = "other";
        _refused(abi.encodeWithSelector(IChecks.WrongTicketNonce.selector));
    }

    /// @dev Keeps the four messages together after a change of request or response; signatures are checked later.
    function _relink() private {
        e.response.request = Hashes.request(e.request);
        e.challenge.request = e.response.request;
        e.challenge.response = Hashes.response(e.response);
        e.answer.response = e.challenge.response;
    }

    function test_RevertWhen_TheFinishIsUnknown() public {
        e.response.finish = 0;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.FinishInvalid.selector, 0));
        e.response.finish = 4;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.FinishInvalid.selector, 4));
    }

    function test_RevertWhen_TheResponseIsLongerThanTheRequestOrThePoolAllows() public {
        e.request.maxUnits = 209;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.UnitsOverLimit.selector, 210, 209));
        e.request.maxUnits = 5_000;
        e.response.outputTokens = 496;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.UnitsOverLimit.selector, 1_002, 1_000));
    }

    function test_RevertWhen_TheResponseWeighsNothing() public {
        (e.response.promptTokens, e.response.outputTokens) = (0, 0);
        _relink();
        _refused(abi.encodeWithSelector(IChecks.NoUnits.selector, Hashes.response(e.response)));
    }

    function test_RevertWhen_RoundsGoBack() public {
        uint64 round = e.response.round;
        bytes memory reason = abi.encodeWithSelector(IChecks.RoundsOutOfOrder.selector, round, round);
        e.challenge.round = round - 1;
        _refused(reason);
        e.challenge.round = e.answer.round + 1;
        _refused(reason);
        e.challenge.round = round + 1;
        e.request.round = round + 1;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.RoundsOutOfOrder.selector, round + 1, round));
    }

    /// @dev Without a bound a signer could name any epoch and so revive a key that was replaced.
    function test_RevertWhen_AnAnswerIsFromTheFuture() public {
        e.answer.round = nowRound() + 1;
        _resign();
        _refused(abi.encodeWithSelector(IChecks.RoundFromFuture.selector, nowRound() + 1));
        e.answer.round = nowRound();
        _resign();
        checks.verify(e);
    }

    /// @dev Epochs are 32 bits wide: a round so far ahead that its epoch wraps into the past is from the future, too.
    function test_RevertWhen_AReplacedKeySignsForAWrappedEpoch() public {
        uint64 wrapped =
            uint64((uint256(1) << 32) * params.windows.epoch / beacon.period()) + e.challenge.round;
        assertEq(params.epochOf(beacon.timeOf(wrapped)), params.epochOf(beacon.timeOf(e.challenge.round)));
        (e.challenge.round, e.answer.round) = (wrapped, wrapped);
        _resign();
        _refused(abi.encodeWithSelector(IChecks.RoundFromFuture.selector, wrapped));
    }

    function test_RevertWhen_AnsweredAfterTheDeadline() public {
        uint256 time = beacon.timeOf(e.response.round);
        e.request.deadline = uint64(time - 1);
        _relink();
        _refused(abi.encodeWithSelector(IChecks.AnsweredAfterDeadline.selector, time - 1, time));
    }

    function test_RevertWhen_TheSeatIsNotTheServers() public {
        e.request.seat = seatOf(1);
        _relink();
        _refused(abi.encodeWithSelector(IChecks.NotServersSeat.selector, seatOf(1), servers[0]));
        e.request.seat = 99;
        _relink();
        _refused(abi.encodeWithSelector(IChecks.NotServersSeat.selector, 99, servers[0]));
    }

    function test_RevertWhen_ASignatureIsSomebodyElses() public {
        address validator = servers[serverOfSeat(e.answer.seat)];
        bytes memory good = e.responseSignature;
        e.responseSignature = signed(userKey, Hashes.response(e.response));
        _refused(abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], servers[0], user));
        e.responseSignature = good;
        good = e.challengeSignature;
        e.challengeSignature = signed(serverKeys[0], Hashes.challenge(e.challenge));
        _refused(abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[0]));
        e.challengeSignature = good;
        e.answerSignature = signed(userKey, Hashes.answer(e.answer));
        _refused(abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, validator, validator, user));
    }

    function test_RevertWhen_TheTicketsRoundIsNotOnChain() public {
        Evidence memory next = answered(0, 7, 2, 100, RIGHT);
        next.request.ticketNonceHash = keccak256(abi.encode(bytes32("nonce")));
        respond(next, 0, 100, RIGHT);
        skip(2);
        challenge(next, "nonce", 0, seatOf(1), RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, next.response.round + 2));
        checks.verify(next);
    }

    /// @dev A response whose ticket falls above the rate or draws a seat of the server itself, as asked.
    function _undue(bool above) private returns (bytes32 ticket, uint64 seat) {
        Evidence memory x = answered(0, 7, 2, 100, RIGHT);
        uint64 round = params.ticketRound(x.response.round);
        bytes32 randomness = keccak256(abi.encode("round", round));
        beacon.set(round, randomness);
        uint32 epoch = params.epochOf(beacon.timeOf(round));
        bytes32 nonce;
        for (uint256 i;; ++i) {
            nonce = keccak256(abi.encode(i));
            x.request.ticketNonceHash = keccak256(abi.encode(nonce));
            respond(x, 0, 100, RIGHT);
            ticket = Hashes.ticket(randomness, Hashes.response(x.response), nonce);
            uint256 place = Hashes.draw(
                Hashes.DRAW_VALIDATOR, randomness, pool, ticket, 0, staking.seatCount(pool, epoch)
            );
            seat = staking.seatAt(pool, epoch, place);
            bool below = Hashes.isDrawn(ticket, params.challengeRate(210));
            if (above ? !below : below && serverOfSeat(seat) == 0) break;
        }
        vm.warp(beacon.timeOf(round));
        challenge(x, nonce, 0, seat, RIGHT);
        _store(x);
    }

    function test_RevertWhen_TheTicketIsNotBelowTheRate() public {
        (bytes32 ticket,) = _undue(true);
        _refused(abi.encodeWithSelector(IChecks.NotDrawn.selector, ticket, params.challengeRate(210)));
    }

    function test_RevertWhen_TheDrawHitsTheServerItself() public {
        _undue(false);
        _refused(abi.encodeWithSelector(IChecks.ValidatorIsServer.selector, servers[0]));
    }

    function test_RevertWhen_TheCounterExceedsTheRedraws() public {
        e.challenge.counter = params.limits.redraws + 1;
        _resign();
        _refused(abi.encodeWithSelector(IChecks.CounterOverLimit.selector, 4, 3));
    }

    function test_RevertWhen_AnotherSeatWasDrawn() public {
        uint64 seat = e.challenge.seat;
        uint64 other = seat % 60 + 1;
        e.challenge.seat = other;
        _resign();
        _refused(abi.encodeWithSelector(IChecks.WrongValidator.selector, seat, other));
        e.challenge.seat = seat;
        e.answer.seat = other;
        _resign();
        _refused(abi.encodeWithSelector(IChecks.WrongValidator.selector, seat, other));
    }

    function test_RevertWhen_ThePoolIsTooSmall() public {
        for (uint256 server = 2; server < SERVERS; ++server) {
            vm.startPrank(servers[server]);
            for (uint64 i; i < SEATS; ++i) {
                staking.unbond(pool, seatOf(server) + i);
            }
            vm.stopPrank();
        }
        skip(20);
        _store(drawn(0, 2, RIGHT, RIGHT));
        uint32 epoch = params.epochOf(beacon.timeOf(e.response.round));
        _refused(abi.encodeWithSelector(IChecks.PoolTooSmall.selector, pool, epoch));
    }

    /// @dev For every counter: the seat that Hashes draws is accepted, and no other.
    function testFuzz_TheDrawnSeatIsTheOneThatHashesGives(uint64 sequence, uint8 counter, uint64 other)
        public
    {
        counter = uint8(bound(counter, 0, params.limits.redraws));
        _store(drawn(0, sequence % 1e18 + 2, RIGHT, RIGHT));
        IChecks.Checked memory c = checks.verify(e);
        uint32 epoch = params.epochOf(c.ticketTime);
        uint256 place = Hashes.draw(
            Hashes.DRAW_VALIDATOR,
            beacon.randomness(c.ticketRound),
            pool,
            c.ticket,
            counter,
            staking.seatCount(pool, epoch)
        );
        uint64 seat = staking.seatAt(pool, epoch, place);
        (e.challenge.counter, e.challenge.seat, e.answer.seat) = (counter, seat, seat);
        _resign();
        if (serverOfSeat(seat) == 0) {
            _refused(abi.encodeWithSelector(IChecks.ValidatorIsServer.selector, servers[0]));
        } else {
            checks.verify(e);
        }
        other = uint64(bound(other, 1, 60));
        vm.assume(other != seat);
        (e.challenge.seat, e.answer.seat) = (other, other);
        _resign();
        _refused(
            serverOfSeat(other) == 0
                ? abi.encodeWithSelector(IChecks.ValidatorIsServer.selector, servers[0])
                : abi.encodeWithSelector(IChecks.WrongValidator.selector, seat, other)
        );
    }
}
