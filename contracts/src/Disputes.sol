// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { DisputePayouts } from "./DisputePayouts.sol";
import { IArbiter } from "./interfaces/IArbiter.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Clock, Clocks } from "./libraries/Clocks.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Evidence, InferenceRequest, InferenceResponse, Role } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Disputes: see IDisputes. Their course is here, who is paid in DisputePayouts.
contract Disputes is DisputePayouts {
    address public immutable POOLS;
    IChecks public immutable CHECKS;
    address public immutable AUDITS;

    struct Dispute {
        bytes32 record; // hash
        State state;
        uint40 until; // end of the publish window, or of the wait for disputes that come first
    }

    uint256 private _last;
    mapping(uint256 id => Dispute) private _disputes;
    mapping(bytes32 juror => bool) private _settled;

    constructor(Modules memory modules) DisputePayouts(modules.ledger, modules.staking, modules.lanes) {
        POOLS = modules.pools;
        CHECKS = IChecks(modules.checks);
        AUDITS = modules.audits;
    }

    // --------------------------------------------------------------------------------------------------- openings

    /// @inheritdoc IDisputes
    function open(Evidence calldata e) external returns (uint256) {
        IChecks.Checked memory c = CHECKS.verify(e);
        Record memory r = _recordOf(e.request, e.response, c);
        r.validator = STAKING.seatOf(r.pool, e.answer.seat).owner;
        r.validatorSeat = e.answer.seat;
        r.validatorCommitment = e.answer.commitment;
        require(
            msg.sender == r.user || msg.sender == r.server || msg.sender == r.validator, NotParty(msg.sender)
        );
        return _open(r, e.response, c.ticketTime);
    }

    /// @inheritdoc IDisputes
    function accuse(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external returns (uint256) {
        IChecks.Checked memory c = CHECKS.verifyResponse(request, response, signature);
        return _open(_recordOf(request, response, c), response, c.ticketTime);
    }

    /// @inheritdoc IDisputes
    function proveEquivocation(
        InferenceRequest calldata request,
        InferenceResponse calldata first,
        bytes calldata firstSignature,
        InferenceResponse calldata second,
        bytes calldata secondSignature
    ) external returns (uint256 id) {
        IChecks.Checked memory c = CHECKS.verifyResponse(request, first, firstSignature);
        IChecks.Checked memory d = CHECKS.verifyResponse(request, second, secondSignature);
        bytes32 other = d.responseHash;
        require(other != c.responseHash, NoEquivocation());
        Record memory r = _recordOf(request, first, c);
        require(!_isConvicted(r.pool, r.serverSeat), SeatConvicted(r.pool, r.serverSeat));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        // Both are as recent as what a stake answers for: a key that was replaced long ago, and may be in others' hands, has
        // no say for ever.
        uint256 provable = _min(c.ticketTime, d.ticketTime) + p.windows.unbonding;
        require(block.timestamp <= provable, TooLate(provable));
        id = ++_last;
        // Who could still open a dispute over what the server answered until now comes first.
        Clock memory clock = Clocks.read(p.basis.beacon);
        uint256 until = clock.timeOf(p.ticketRound(clock.knowable(p.windows.lag))) + p.windows.dispute;
        _disputes[id] = Dispute(keccak256(abi.encode(r)), State.Proven, uint40(until));
        STAKING.convict(r.pool, r.server);
        STAKING.freeze(r.pool, r.server, true);
        LANES.forfeit(r.pool, r.server);
        emit DisputeOpened(id, r.pool, r.response, r, first, until);
        emit EquivocationProven(id, r.pool, r.server, c.responseHash, other);
    }

    function _open(Record memory r, InferenceResponse calldata answer, uint256 ticketTime)
        private
        returns (uint256 id)
    {
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(block.timestamp <= ticketTime + p.windows.dispute, TooLate(ticketTime + p.windows.dispute));
        Case storage c = _cases[r.pool][r.response];
        bool published = c.published;
        if (published) {
            (IArbiter.Outcome outcome,,) = _outcomeOf(p, r.response);
            require(
                outcome == IArbiter.Outcome.Pending || outcome == IArbiter.Outcome.Decided,
                CaseOver(r.response)
            );
            if (outcome == IArbiter.Outcome.Pending) _requireNotConvicted(r);
        } else {
            _requireNotConvicted(r);
        }
        id = ++_last;
        // The first pays the jury and is paid for the find: who joins can't take that away, least of all after the verdict.
        if (c.open++ == 0 && !published) _setPayer(c, id, r);
        uint256 until = block.timestamp + p.windows.publish;
        _disputes[id] =
            Dispute(keccak256(abi.encode(r)), published ? State.Published : State.Opened, uint40(until));
        LEDGER.move(r.pool, AccountKind.Free, keyOf(r.opener), AccountKind.Case, bytes32(id), _bond(p));
        _accuse(r, true);
        emit DisputeOpened(id, r.pool, r.response, r, answer, until);
        if (published) emit DisputeJoined(id, r.pool, r.response);
    }

    // ----------------------------------------------------------------------------------------------------- course

    /// @inheritdoc IDisputes
    function publish(uint256 id, Record calldata r, bytes calldata input) external {
        Dispute storage d = _dispute(id, r);
        require(_stateOf(d, r) == State.Opened, WrongState(id, _stateOf(d, r)));
        _requireNotConvicted(r);
        require(block.timestamp <= d.until, TooLate(d.until));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(input.length <= p.limits.maxInputBytes, InputTooLarge(input.length, p.limits.maxInputBytes));
        bytes32 given = keccak256(input);
        require(given == r.inputHash, WrongInput(r.inputHash, given));
        d.state = State.Published;
        Case storage c = _cases[r.pool][r.response];
        if (c.first == 0) _setPayer(c, id, r);
        c.published = true;
        _move(r.pool, bytes32(uint256(c.first)), AccountKind.Case, r.response, p.juryBudget());
        emit InputPublished(id, r.pool, input);
        IArbiter(p.basis.arbiter).open(r.pool, subjectOf(r.response));
    }

    /// @inheritdoc IDisputes
    function dismiss(uint256 id, Record calldata r) external {
        Dispute storage d = _dispute(id, r);
        require(_stateOf(d, r) == State.Opened, WrongState(id, _stateOf(d, r)));
        _requireNotConvicted(r);
        require(block.timestamp > d.until, TooEarly(d.until));
        _payFrozen(PoolStore.load(POOLS, r.pool), id, r);
        _end(id, r, State.Dismissed, 0, false, false, 0);
    }

    /// @inheritdoc IDisputes
    function resolve(uint256 id, Record calldata r) external {
        Dispute storage d = _dispute(id, r);
        State state = _stateOf(d, r);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        if (state == State.Proven) return _resolveProven(p, id, r, d.until);
        require(state == State.Published, WrongState(id, state));
        (IArbiter.Outcome outcome, bytes32 digest, uint256 payees) = _outcomeOf(p, r.response);
        require(outcome == IArbiter.Outcome.Decided || outcome == IArbiter.Outcome.Void, StillPending(id));
        _settleCase(p, r, outcome, payees);
        if (outcome == IArbiter.Outcome.Void) {
            _returnBond(id, r);
            _end(id, r, State.Void, 0, false, false, 0);
            return;
        }
        bool serverWrong =
            r.serverCommitment != Hashes.commitment(Role.Server, r.server, r.serverSubject, digest);
        bool validatorWrong = r.validator != address(0)
            && r.validatorCommitment != Hashes.commitment(Role.Validator, r.validator, r.response, digest);
        if (serverWrong || validatorWrong) {
            _convict(p, id, r, digest, payees * p.prices.jurorPay, serverWrong, validatorWrong);
        } else {
            // The opener pays for what it froze, and for the jury if it called it.
            _payFrozen(p, id, r);
            _returnBond(id, r);
            _end(id, r, State.Rejected, digest, false, false, 0);
        }
    }

    /// @inheritdoc IDisputes
    function close(uint256 id, Record calldata r) external {
        Dispute storage d = _dispute(id, r);
        State state = _stateOf(d, r);
        require(state == State.Opened || state == State.Published, WrongState(id, state));
        require(
            _isConvicted(r.pool, r.serverSeat) || _isConvicted(r.pool, r.validatorSeat), NothingConvicted(id)
        );
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        _returnBond(id, r);
        if (state == State.Published) {
            require(_cases[r.pool][r.response].open == 1, CaseShared(r.response));
            // A verdict that is there ends the dispute by `resolve`.
            (IArbiter.Outcome outcome,,) = _outcomeOf(p, r.response);
            require(outcome == IArbiter.Outcome.Pending, WrongState(id, state));
            IArbiter(p.basis.arbiter).close(subjectOf(r.response));
            uint256 payees;
            (outcome,, payees) = _outcomeOf(p, r.response);
            _settleCase(p, r, outcome, payees);
            _repayFromReserve(r, id, payees * p.prices.jurorPay);
        }
        _end(id, r, State.Closed, 0, false, false, 0);
    }

    /// @inheritdoc IDisputes
    function settleJurors(bytes32 pool, bytes32 response, uint8 ballot, uint256[] calldata positions)
        external
    {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        require(_cases[pool][response].settled, JurorNotDue(response, ballot, 0));
        for (uint256 i; i < positions.length; ++i) {
            uint256 position = positions[i];
            bytes32 juror = keccak256(abi.encode(pool, response, ballot, position));
            require(!_settled[juror], JurorSettled(response, ballot, position));
            (uint64 seat, IArbiter.Standing standing) =
                IArbiter(p.basis.arbiter).standingOf(address(this), subjectOf(response), ballot, position);
            if (standing == IArbiter.Standing.Paid) {
                address owner = STAKING.seatOf(pool, seat).owner;
                _move(pool, response, AccountKind.Free, keyOf(owner), p.prices.jurorPay);
                emit JurorPaid(response, seat, ballot, position, p.prices.jurorPay);
            } else {
                require(standing == IArbiter.Standing.Fined, JurorNotDue(response, ballot, position));
                emit JurorFined(response, seat, ballot, position, STAKING.fine(pool, seat));
            }
            _settled[juror] = true;
        }
    }

    /// @inheritdoc IDisputes
    function setAside(bytes32 pool, uint64 seat, bytes32 from, uint256 left) external returns (uint256) {
        require(msg.sender == AUDITS, NotModule(msg.sender));
        return _setAside(PoolStore.load(POOLS, pool), pool, seat, from, left, 0);
    }

    // ----------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IDisputes
    function stateOf(uint256 id) external view returns (State) {
        return _disputes[id].state;
    }

    /// @inheritdoc IDisputes
    function caseOf(bytes32 pool, bytes32 response) external view returns (Case memory) {
        return _cases[pool][response];
    }

    /// @inheritdoc IDisputes
    function subjectOf(bytes32 response) public view returns (bytes32) {
        return Hashes.caseSubject(block.chainid, address(this), response);
    }

    // --------------------------------------------------------------------------------------------------- verdicts

    /// @dev Payouts in order of precedence; enforced condition 4 makes an intact stake cover them all, and a stake that
    /// penalties have eaten into pays the first ones. A seat that was convicted already has nothing more to give.
    function _convict(
        PoolParams memory p,
        uint256 id,
        Record calldata r,
        bytes32 digest,
        uint256 jurors,
        bool serverWrong,
        bool validatorWrong
    ) private {
        bool serverSlashed = serverWrong && !_isConvicted(r.pool, r.serverSeat);
        bool validatorSlashed = validatorWrong && !_isConvicted(r.pool, r.validatorSeat);
        _returnBond(id, r);
        uint256 slashed;
        if (serverSlashed) slashed += _slash(id, r.pool, r.serverSeat, r.server);
        if (validatorSlashed) slashed += _slash(id, r.pool, r.validatorSeat, r.validator);
        if (slashed > 0) {
            uint256 budget = p.juryBudget();
            uint256 repaid = _repay(r, id, jurors, slashed);
            uint256 left = slashed - repaid;
            address finder = serverSlashed ? _cases[r.pool][r.response].payer : r.opener;
            left -= _pay(r.pool, id, AccountKind.Free, finder, p.prices.gasAllowance, left);
            left = _compensate(p, id, r, finder, serverSlashed, left);
            // A claim says that a wrong answer was right, so this dispute's validator takes its place. Where nobody but the server
            // was accused it stays what it is.
            bool unpaid =
                serverWrong && r.validator != address(0) && CHECKS.replace(r.pool, r.user, r.response);
            if (!serverWrong) CHECKS.retract(r.pool, r.user, r.response, r.validatorSeat);
            if (unpaid && !validatorWrong) {
                left -= _pay(r.pool, id, AccountKind.Free, r.validator, p.checkPay(r.units), left);
            } else if (!serverWrong) {
                left -= _pay(r.pool, id, AccountKind.Free, r.server, p.checkPay(r.units), left);
            }
            // A stake pays the jury of its own case and those of others out of one jury's budget, which the conditions count.
            if (serverSlashed) {
                left -= _setAside(p, r.pool, r.serverSeat, bytes32(id), _min(left, budget - repaid), 1);
                repaid = 0;
            }
            if (validatorSlashed) {
                _setAside(p, r.pool, r.validatorSeat, bytes32(id), _min(left, budget - repaid), 1);
            }
        } else {
            // Convicted elsewhere: that conviction set the jury's cost aside.
            _repayFromReserve(r, id, jurors);
        }
        _end(id, r, State.Convicted, digest, serverWrong, validatorWrong, slashed);
    }

    /// @dev Two responses to one request, after what was owed first.
    function _resolveProven(PoolParams memory p, uint256 id, Record calldata r, uint256 until) private {
        require(block.timestamp > until, TooEarly(until));
        IStaking.Seat memory seat = STAKING.seatOf(r.pool, r.serverSeat);
        bool slashable = seat.status != IStaking.SeatStatus.Convicted;
        require(!slashable || seat.disputes == 0, DisputesOpen(r.serverSeat, seat.disputes));
        uint256 slashed;
        if (slashable) {
            slashed = _slash(id, r.pool, r.serverSeat, r.server);
            uint256 left =
                slashed - _pay(r.pool, id, AccountKind.Free, r.opener, p.prices.gasAllowance, slashed);
            _compensate(p, id, r, r.opener, true, left);
        }
        _disputes[id].state = slashable ? State.Convicted : State.Closed;
        STAKING.freeze(r.pool, r.server, false);
        uint256 burnt = _burnRest(r.pool, id);
        emit DisputeEnded(id, r.pool, _disputes[id].state, 0, slashable, false, slashed, burnt);
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _recordOf(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        IChecks.Checked memory c
    ) private view returns (Record memory r) {
        r.pool = request.pool;
        r.response = c.responseHash;
        r.inputHash = request.inputHash;
        r.opener = msg.sender;
        r.user = request.user;
        r.server = request.server;
        r.serverSeat = request.seat;
        r.serverSubject = Hashes.responseSubject(response);
        r.serverCommitment = response.commitment;
        r.lane = request.lane;
        r.sequence = request.sequence;
        r.units = uint32(c.units);
        r.outputTokens = response.outputTokens;
    }

    function _setPayer(Case storage c, uint256 id, Record memory r) private {
        (c.first, c.payer) = (uint32(id), r.opener);
    }

    function _accuse(Record memory r, bool opened) private {
        STAKING.accuse(r.pool, r.serverSeat, opened);
        if (r.validator != address(0)) STAKING.accuse(r.pool, r.validatorSeat, opened);
    }

    function _end(
        uint256 id,
        Record calldata r,
        State state,
        bytes32 digest,
        bool serverWrong,
        bool validatorWrong,
        uint256 slashed
    ) private {
        _disputes[id].state = state;
        Case storage c = _cases[r.pool][r.response];
        --c.open;
        if (c.first == id) c.first = 0;
        _accuse(r, false);
        uint256 burnt = _burnRest(r.pool, id);
        _sweep(r.pool, r.serverSeat);
        if (r.validator != address(0)) _sweep(r.pool, r.validatorSeat);
        emit DisputeEnded(id, r.pool, state, digest, serverWrong, validatorWrong, slashed, burnt);
    }

    function _dispute(uint256 id, Record calldata r) private view returns (Dispute storage d) {
        d = _disputes[id];
        require(d.record == keccak256(abi.encode(r)), WrongRecord(id));
    }

    /// @dev The input of a response is published once, for all its disputes.
    function _stateOf(Dispute storage d, Record calldata r) private view returns (State) {
        return d.state == State.Opened && _cases[r.pool][r.response].published ? State.Published : d.state;
    }

    function _outcomeOf(PoolParams memory p, bytes32 response)
        private
        view
        returns (IArbiter.Outcome, bytes32 digest, uint256 payees)
    {
        return IArbiter(p.basis.arbiter).outcomeOf(address(this), subjectOf(response));
    }

    function _requireNotConvicted(Record memory r) private view {
        require(!_isConvicted(r.pool, r.serverSeat), SeatConvicted(r.pool, r.serverSeat));
        require(!_isConvicted(r.pool, r.validatorSeat), SeatConvicted(r.pool, r.validatorSeat));
    }

    function _isConvicted(bytes32 pool, uint64 seat) private view returns (bool) {
        return STAKING.seatOf(pool, seat).status == IStaking.SeatStatus.Convicted;
    }
}
