// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SignedMessages } from "./SignedMessages.sol";
import { IBeacon } from "./interfaces/IBeacon.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { Clock, Clocks } from "./libraries/Clocks.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Evidence, Finish, InferenceRequest, InferenceResponse } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Checks: see IChecks.
contract Checks is SignedMessages, IChecks {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    address public immutable LANES;
    address public immutable DISPUTES;

    mapping(bytes32 poolUserResponse => Claim) private _claims;
    /// @dev What claims took from a user's bond, by period of a voucher's lifetime.
    mapping(bytes32 pool => mapping(address user => mapping(uint256 period => uint256))) private _fromBond;

    constructor(Modules memory modules) SignedMessages(modules.ledger, modules.staking) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        LANES = modules.lanes;
        DISPUTES = modules.disputes;
    }

    /// @inheritdoc IChecks
    function verify(Evidence calldata evidence) external view returns (Checked memory) {
        PoolParams memory p = PoolStore.load(POOLS, evidence.request.pool);
        return _verify(p, Clocks.read(p.basis.beacon), evidence);
    }

    /// @inheritdoc IChecks
    function verifyResponse(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external view returns (Checked memory c) {
        PoolParams memory p = PoolStore.load(POOLS, request.pool);
        Clock memory clock = Clocks.read(p.basis.beacon);
        c = _verifyResponse(p, clock, request, response, signature);
        uint64 delivered = _delivered(request, c);
        if (delivered != 0) _setTicket(p, clock, c, delivered);
    }

    /// @inheritdoc IChecks
    function deliver(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external returns (Checked memory c) {
        require(msg.sender == LANES, NotModule(msg.sender));
        PoolParams memory p = PoolStore.load(POOLS, request.pool);
        Clock memory clock = Clocks.read(p.basis.beacon);
        c = _verifyResponse(p, clock, request, response, signature);
        Claim storage record = _claims[_claimId(request.pool, request.user, c.responseHash)];
        require(record.delivered == 0, AlreadyDelivered(c.responseHash));
        require(record.state == ClaimState.None, ClaimExists(c.responseHash));
        record.delivered = clock.knowable(p.windows.lag);
    }

    /// @inheritdoc IChecks
    function claim(Evidence calldata e) external {
        bytes32 pool = e.request.pool;
        PoolParams memory p = PoolStore.load(POOLS, pool);
        Checked memory c = _verify(p, Clocks.read(p.basis.beacon), e);
        Claim storage record = _claims[_claimId(pool, e.request.user, c.responseHash)];
        Claim memory old = record;
        require(old.state == ClaimState.None, ClaimExists(c.responseHash));
        require(
            block.timestamp <= c.ticketTime + p.windows.claim, ClaimTooLate(c.ticketTime + p.windows.claim)
        );
        address validator = STAKING.seatOf(pool, e.answer.seat).owner;
        require(!STAKING.serverOf(pool, validator).convicted, ValidatorConvicted(validator));
        uint256 freeAt = c.ticketTime + p.windows.dispute;
        (old.seat, old.units) = (e.answer.seat, uint32(c.units));
        (old.freeAt, old.state) = (uint40(freeAt), ClaimState.Pending);
        _claims[_claimId(pool, e.request.user, c.responseHash)] = old;
        _take(p, pool, e.request.user, p.check(c.units));
        emit Claimed(
            pool,
            c.responseHash,
            validator,
            e.request.user,
            p.checkPay(c.units),
            p.discountOf(c.units),
            freeAt,
            e.challenge.counter,
            e.answer,
            e.answerSignature
        );
    }

    /// @inheritdoc IChecks
    function settle(bytes32 pool, address user, bytes32 response) external {
        Claim storage record = _claims[_claimId(pool, user, response)];
        Claim memory c = record;
        require(c.state == ClaimState.Pending, ClaimNotPending(response));
        require(block.timestamp > c.freeAt, ClaimTooEarly(c.freeAt));
        address validator = STAKING.seatOf(pool, c.seat).owner;
        IStaking.Server memory s = STAKING.serverOf(pool, validator);
        // A convicted validator's claim is void whatever else comes.
        require(s.convicted || s.freezes == 0, Frozen(validator));
        PoolParams memory p = PoolStore.load(POOLS, pool);
        if (s.convicted) {
            record.state = ClaimState.Void;
            _giveBack(p, pool, user, c);
            emit ClaimVoid(pool, response, validator);
        } else {
            record.state = ClaimState.Paid;
            LEDGER.move(pool, AccountKind.Claim, 0, AccountKind.Free, keyOf(validator), p.checkPay(c.units));
            LEDGER.move(pool, AccountKind.Claim, 0, AccountKind.Balance, keyOf(user), p.discountOf(c.units));
            emit ClaimPaid(pool, response, validator);
        }
    }

    /// @inheritdoc IChecks
    function replace(bytes32 pool, address user, bytes32 response) external returns (bool unpaid) {
        require(msg.sender == DISPUTES, NotModule(msg.sender));
        Claim storage record = _claims[_claimId(pool, user, response)];
        Claim memory c = record;
        if (c.state == ClaimState.Pending) {
            _giveBack(PoolStore.load(POOLS, pool), pool, user, c);
            emit ClaimVoid(pool, response, STAKING.seatOf(pool, c.seat).owner);
        }
        unpaid = c.state != ClaimState.Paid;
        if (unpaid) record.state = ClaimState.Settled;
    }

    /// @inheritdoc IChecks
    function retract(bytes32 pool, address user, bytes32 response, uint64 seat) external {
        require(msg.sender == DISPUTES, NotModule(msg.sender));
        Claim storage record = _claims[_claimId(pool, user, response)];
        Claim memory c = record;
        if (c.state != ClaimState.Pending || c.seat != seat) return;
        record.state = ClaimState.None;
        _giveBack(PoolStore.load(POOLS, pool), pool, user, c);
        emit ClaimVoid(pool, response, STAKING.seatOf(pool, seat).owner);
    }

    /// @inheritdoc IChecks
    function claimOf(bytes32 pool, address user, bytes32 response) external view returns (Claim memory) {
        return _claims[_claimId(pool, user, response)];
    }

    /// @inheritdoc IChecks
    function bondLeft(bytes32 pool, address user) external view returns (uint256) {
        return _bondLeft(PoolStore.load(POOLS, pool), pool, user);
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _bondLeft(PoolParams memory p, bytes32 pool, address user) private view returns (uint256) {
        uint256 bond = LEDGER.balanceOf(pool, AccountKind.Bond, keyOf(user));
        uint256 left = p.checkReserve() - _fromBond[pool][user][block.timestamp / p.windows.voucher];
        return bond < left ? bond : left;
    }

    /// @dev E-money first, then the bond.
    function _take(PoolParams memory p, bytes32 pool, address user, uint256 cost) private {
        uint256 held = LEDGER.balanceOf(pool, AccountKind.Check, keyOf(user));
        if (held < cost) {
            uint256 left = _bondLeft(p, pool, user);
            require(held + left >= cost, CheckNotFunded(user, cost, held + left));
            _fromBond[pool][user][block.timestamp / p.windows.voucher] += cost - held;
            LEDGER.move(pool, AccountKind.Bond, keyOf(user), AccountKind.Claim, 0, cost - held);
            cost = held;
        }
        LEDGER.move(pool, AccountKind.Check, keyOf(user), AccountKind.Claim, 0, cost);
    }

    function _verifyResponse(
        PoolParams memory p,
        Clock memory clock,
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) private view returns (Checked memory c) {
        c.requestHash = Hashes.request(request);
        require(response.request == c.requestHash, WrongRequest(c.requestHash, response.request));
        c.responseHash = Hashes.response(response);
        require(
            response.finish != 0 && response.finish <= uint8(type(Finish).max), FinishInvalid(response.finish)
        );
        c.units = p.units(response.promptTokens, response.outputTokens);
        uint256 limit = request.maxUnits < p.limits.maxUnits ? request.maxUnits : p.limits.maxUnits;
        // What weighs nothing is never drawn where only size is.
        require(c.units > 0, NoUnits(c.responseHash));
        require(c.units <= limit, UnitsOverLimit(c.units, limit));
        require(request.round <= response.round, RoundsOutOfOrder(request.round, response.round));
        uint256 answeredAt = clock.timeOf(response.round);
        // A round to come would let its signer choose the epoch whose key counts.
        require(answeredAt <= block.timestamp, RoundFromFuture(response.round));
        require(answeredAt <= request.deadline, AnsweredAfterDeadline(request.deadline, answeredAt));
        // Stake that may have left pays no jury.
        require(
            STAKING.isBonded(request.pool, request.seat, request.server),
            NotServersSeat(request.seat, request.server)
        );
        uint32 epoch = p.epochOf(answeredAt);
        require(
            STAKING.seatCount(request.pool, epoch) >= 3 * uint256(p.limits.secondJury),
            PoolTooSmall(request.pool, epoch)
        );
        _requireSigned(request.pool, request.server, epoch, c.responseHash, signature);
        _setTicket(p, clock, c, response.round);
    }

    function _setTicket(PoolParams memory p, Clock memory clock, Checked memory c, uint64 round)
        private
        pure
    {
        c.ticketRound = p.ticketRound(round);
        c.ticketTime = clock.timeOf(c.ticketRound);
    }

    function _delivered(InferenceRequest calldata request, Checked memory c) private view returns (uint64) {
        return _claims[_claimId(request.pool, request.user, c.responseHash)].delivered;
    }

    function _verify(PoolParams memory p, Clock memory clock, Evidence calldata e)
        private
        view
        returns (Checked memory c)
    {
        c = _verifyResponse(p, clock, e.request, e.response, e.responseSignature);
        if (e.delivered) {
            // Its first ticket counts as well: else a liar that was drawn could change its ticket by a late delivery.
            uint64 delivered = _delivered(e.request, c);
            require(delivered != 0, NotDelivered(c.responseHash));
            _setTicket(p, clock, c, delivered);
        }
        _verifyCheck(p, clock, e, c);
        _verifyDraw(p, e, c);
    }

    /// @dev Challenge and answer are about this response, and signed.
    function _verifyCheck(PoolParams memory p, Clock memory clock, Evidence calldata e, Checked memory c)
        private
        view
    {
        require(e.challenge.request == c.requestHash, WrongRequest(c.requestHash, e.challenge.request));
        require(e.challenge.response == c.responseHash, WrongResponse(c.responseHash, e.challenge.response));
        require(e.answer.response == c.responseHash, WrongResponse(c.responseHash, e.answer.response));
        require(
            keccak256(abi.encode(e.challenge.ticketNonce)) == e.request.ticketNonceHash, WrongTicketNonce()
        );
        require(
            e.response.round <= e.challenge.round && e.challenge.round <= e.answer.round,
            RoundsOutOfOrder(e.request.round, e.response.round)
        );
        uint256 answeredAt = clock.timeOf(e.answer.round);
        require(answeredAt <= block.timestamp, RoundFromFuture(e.answer.round));
        bytes32 pool = e.request.pool;
        _requireSignedByUser(
            e.request.user,
            _keyAt(pool, e.request.user, p.epochOf(clock.timeOf(e.challenge.round))),
            Hashes.challenge(e.challenge),
            e.challengeSignature
        );
        address validator = STAKING.seatOf(pool, e.answer.seat).owner;
        require(validator != e.request.server, ValidatorIsServer(validator));
        _requireSigned(pool, validator, p.epochOf(answeredAt), Hashes.answer(e.answer), e.answerSignature);
    }

    /// @dev The ticket fell below the rate, and drew the validator's seat.
    function _verifyDraw(PoolParams memory p, Evidence calldata e, Checked memory c) private view {
        bytes32 randomness = IBeacon(p.basis.beacon).randomness(c.ticketRound);
        c.ticket = Hashes.ticket(randomness, c.responseHash, e.challenge.ticketNonce);
        uint256 rate = p.challengeRate(c.units);
        require(Hashes.isDrawn(c.ticket, rate), NotDrawn(c.ticket, rate));
        require(
            e.challenge.counter <= p.limits.redraws, CounterOverLimit(e.challenge.counter, p.limits.redraws)
        );
        uint32 epoch = p.epochOf(c.ticketTime);
        bytes32 pool = e.request.pool;
        uint256 place = Hashes.draw(
            Hashes.DRAW_VALIDATOR,
            randomness,
            pool,
            c.ticket,
            e.challenge.counter,
            STAKING.seatCount(pool, epoch)
        );
        uint64 drawn = STAKING.seatAt(pool, epoch, place);
        require(drawn == e.challenge.seat, WrongValidator(drawn, e.challenge.seat));
        require(drawn == e.answer.seat, WrongValidator(drawn, e.answer.seat));
    }

    /// @dev What a void claim took goes back as e-money, also where part of it came from the bond: it stays bound to checks.
    function _giveBack(PoolParams memory p, bytes32 pool, address user, Claim memory c) private {
        LEDGER.move(pool, AccountKind.Claim, 0, AccountKind.Check, keyOf(user), p.check(c.units));
    }

    function _claimId(bytes32 pool, address user, bytes32 response) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, user, response));
    }
}
