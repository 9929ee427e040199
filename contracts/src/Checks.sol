// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SignedMessages } from "./SignedMessages.sol";
import { IBeacon } from "./interfaces/IBeacon.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Evidence, Finish } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Checks: see IChecks.
contract Checks is IChecks, SignedMessages {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    address public immutable DISPUTES;

    mapping(bytes32 poolUserResponse => Claim) private _claims;
    /// @dev What claims took from a user's bond, by period of a voucher's lifetime.
    mapping(bytes32 pool => mapping(address user => mapping(uint256 period => uint256))) private _fromBond;

    constructor(Modules memory modules) SignedMessages(modules.ledger, modules.staking) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        DISPUTES = modules.disputes;
    }

    /// @inheritdoc IChecks
    function verify(Evidence calldata evidence) external view returns (Checked memory) {
        return _verify(PoolStore.load(POOLS, evidence.request.pool), evidence);
    }

    /// @inheritdoc IChecks
    function claim(Evidence calldata e) external {
        bytes32 pool = e.request.pool;
        PoolParams memory p = PoolStore.load(POOLS, pool);
        Checked memory c = _verify(p, e);
        Claim storage record = _claims[_claimId(pool, e.request.user, c.responseHash)];
        require(record.state == ClaimState.None, ClaimExists(c.responseHash));
        uint256 until = c.ticketTime + p.windows.claim;
        require(block.timestamp <= until, ClaimTooLate(until));
        address validator = STAKING.seatOf(pool, e.answer.seat).owner;
        uint256 freeAt = c.ticketTime + p.windows.dispute;
        (record.validator, record.units) = (validator, uint32(c.units));
        (record.freeAt, record.state) = (uint40(freeAt), ClaimState.Pending);

        // E-money first, then the bond.
        bytes32 user = keyOf(e.request.user);
        uint256 cost = p.check(c.units);
        uint256 held = LEDGER.balanceOf(pool, AccountKind.Check, user);
        if (held < cost) {
            uint256 left = _bondLeft(p, pool, e.request.user);
            require(held + left >= cost, CheckNotFunded(e.request.user, cost, held + left));
            _fromBond[pool][e.request.user][block.timestamp / p.windows.voucher] += cost - held;
            LEDGER.move(pool, AccountKind.Bond, user, AccountKind.Claim, keyOf(validator), cost - held);
            LEDGER.move(pool, AccountKind.Check, user, AccountKind.Claim, keyOf(validator), held);
        } else {
            LEDGER.move(pool, AccountKind.Check, user, AccountKind.Claim, keyOf(validator), cost);
        }
        emit Claimed(
            pool,
            c.responseHash,
            validator,
            e.request.user,
            p.checkPay(c.units),
            p.discountOf(c.units),
            freeAt
        );
    }

    /// @inheritdoc IChecks
    function settle(bytes32 pool, address user, bytes32 response) external {
        Claim storage record = _claims[_claimId(pool, user, response)];
        Claim memory c = record;
        require(c.state == ClaimState.Pending, ClaimNotPending(response));
        require(block.timestamp > c.freeAt, ClaimTooEarly(c.freeAt));
        IStaking.Server memory s = STAKING.serverOf(pool, c.validator);
        require(s.openDisputes == 0, Frozen(c.validator));
        PoolParams memory p = PoolStore.load(POOLS, pool);
        if (s.convicted) {
            record.state = ClaimState.Void;
            _giveBack(p, pool, user, c);
            emit ClaimVoid(pool, response, c.validator);
        } else {
            record.state = ClaimState.Paid;
            bytes32 from = keyOf(c.validator);
            LEDGER.move(pool, AccountKind.Claim, from, AccountKind.Free, from, p.checkPay(c.units));
            LEDGER.move(
                pool, AccountKind.Claim, from, AccountKind.Balance, keyOf(user), p.discountOf(c.units)
            );
            emit ClaimPaid(pool, response, c.validator);
        }
    }

    /// @inheritdoc IChecks
    function replace(bytes32 pool, address user, bytes32 response) external returns (bool unpaid) {
        require(msg.sender == DISPUTES, NotModule(msg.sender));
        Claim storage record = _claims[_claimId(pool, user, response)];
        Claim memory c = record;
        if (c.state == ClaimState.Pending) {
            _giveBack(PoolStore.load(POOLS, pool), pool, user, c);
            emit ClaimVoid(pool, response, c.validator);
        }
        unpaid = c.state != ClaimState.Paid;
        if (unpaid) record.state = ClaimState.Settled;
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

    function _verify(PoolParams memory p, Evidence calldata e) private view returns (Checked memory c) {
        _verifyMessages(p, e, c);
        _verifySignatures(p, e, c);
        _verifyDraw(p, e, c);
    }

    /// @dev The four messages belong together and are within the pool's limits.
    function _verifyMessages(PoolParams memory p, Evidence calldata e, Checked memory c) private view {
        c.requestHash = Hashes.request(e.request);
        require(e.response.request == c.requestHash, WrongRequest(c.requestHash, e.response.request));
        require(e.challenge.request == c.requestHash, WrongRequest(c.requestHash, e.challenge.request));
        c.responseHash = Hashes.response(e.response);
        require(e.challenge.response == c.responseHash, WrongResponse(c.responseHash, e.challenge.response));
        require(e.answer.response == c.responseHash, WrongResponse(c.responseHash, e.answer.response));
        require(
            keccak256(abi.encode(e.challenge.ticketNonce)) == e.request.ticketNonceHash, WrongTicketNonce()
        );
        require(
            e.response.finish != 0 && e.response.finish <= uint8(type(Finish).max),
            FinishInvalid(e.response.finish)
        );
        c.units = p.units(e.response.promptTokens, e.response.outputTokens);
        uint256 limit = e.request.maxUnits < p.limits.maxUnits ? e.request.maxUnits : p.limits.maxUnits;
        require(c.units <= limit, UnitsOverLimit(c.units, limit));
        require(
            e.request.round <= e.response.round && e.response.round <= e.challenge.round
                && e.challenge.round <= e.answer.round,
            RoundsOutOfOrder(e.request.round, e.response.round)
        );
        // A round to come would let its signer choose the epoch whose key counts.
        require(
            IBeacon(p.basis.beacon).timeOf(e.answer.round) <= block.timestamp, RoundFromFuture(e.answer.round)
        );
        uint256 answeredAt = IBeacon(p.basis.beacon).timeOf(e.response.round);
        require(answeredAt <= e.request.deadline, AnsweredAfterDeadline(e.request.deadline, answeredAt));
        IStaking.Seat memory seat = STAKING.seatOf(e.request.pool, e.request.seat);
        // Stake that may have left pays no jury.
        require(
            seat.owner == e.request.server && (seat.exitAt == 0 || block.timestamp < seat.exitAt),
            NotServersSeat(e.request.seat, e.request.server)
        );
        uint32 epoch = p.epochOf(answeredAt);
        require(STAKING.isOpen(e.request.pool, epoch), PoolTooSmall(e.request.pool, epoch));
    }

    function _verifySignatures(PoolParams memory p, Evidence calldata e, Checked memory c) private view {
        bytes32 pool = e.request.pool;
        _requireSigned(
            pool, e.request.server, _epoch(p, e.response.round), c.responseHash, e.responseSignature
        );
        _requireSigned(
            pool,
            e.request.user,
            _epoch(p, e.challenge.round),
            Hashes.challenge(e.challenge),
            e.challengeSignature
        );
        address validator = STAKING.seatOf(pool, e.answer.seat).owner;
        _requireSigned(pool, validator, _epoch(p, e.answer.round), Hashes.answer(e.answer), e.answerSignature);
    }

    /// @dev The ticket fell below the rate, and drew the validator's seat.
    function _verifyDraw(PoolParams memory p, Evidence calldata e, Checked memory c) private view {
        c.ticketRound = p.ticketRound(e.response.round);
        c.ticketTime = IBeacon(p.basis.beacon).timeOf(c.ticketRound);
        bytes32 randomness = IBeacon(p.basis.beacon).randomness(c.ticketRound);
        c.ticket = Hashes.ticket(randomness, c.responseHash, e.challenge.ticketNonce);
        uint256 rate = p.challengeRate(c.units);
        require(Hashes.isDrawn(c.ticket, rate), NotDrawn(c.ticket, rate));
        require(
            e.challenge.counter <= p.limits.redraws, CounterOverLimit(e.challenge.counter, p.limits.redraws)
        );
        uint32 epoch = p.epochOf(c.ticketTime);
        bytes32 pool = e.request.pool;
        uint64 drawn = STAKING.seatAt(
            pool,
            epoch,
            Hashes.draw(
                Hashes.DRAW_VALIDATOR,
                randomness,
                pool,
                c.ticket,
                e.challenge.counter,
                STAKING.seatCount(pool, epoch)
            )
        );
        require(drawn == e.challenge.seat, WrongValidator(drawn, e.challenge.seat));
        require(drawn == e.answer.seat, WrongValidator(drawn, e.answer.seat));
        address validator = STAKING.seatOf(pool, drawn).owner;
        require(validator != e.request.server, ValidatorIsServer(validator));
    }

    /// @dev What a void claim took goes back as e-money, also where part of it came from the bond: it stays bound to checks.
    function _giveBack(PoolParams memory p, bytes32 pool, address user, Claim memory c) private {
        LEDGER.move(
            pool, AccountKind.Claim, keyOf(c.validator), AccountKind.Check, keyOf(user), p.check(c.units)
        );
    }

    function _epoch(PoolParams memory p, uint64 round) private view returns (uint32) {
        return p.epochOf(IBeacon(p.basis.beacon).timeOf(round));
    }

    function _claimId(bytes32 pool, address user, bytes32 response) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, user, response));
    }
}
