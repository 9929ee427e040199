// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "./interfaces/IArbiter.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Clock, Clocks } from "./libraries/Clocks.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Evidence, InferenceRequest, InferenceResponse, Role } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Disputes: see IDisputes.
/// @dev Money in Case accounts: a dispute's bond and slash under its id; what a response's jury is paid from under the
/// response's hash; what a conviction set aside for a seat's other disputes under that seat.
contract Disputes is IDisputes {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    ILanes public immutable LANES;
    IChecks public immutable CHECKS;
    address public immutable AUDITS;

    struct Dispute {
        bytes32 record; // hash
        State state;
        uint40 until; // end of the publish window, or of the wait for disputes that come first
    }

    uint256 private _last;
    mapping(uint256 id => Dispute) private _disputes;
    mapping(bytes32 response => Case) private _cases;
    mapping(bytes32 juror => bool) private _settled;

    constructor(Modules memory modules) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        LANES = ILanes(modules.lanes);
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
        return _open(r, c.ticketTime);
    }

    /// @inheritdoc IDisputes
    function accuse(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external returns (uint256) {
        IChecks.Checked memory c = CHECKS.verifyResponse(request, response, signature);
        return _open(_recordOf(request, response, c), c.ticketTime);
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
        bytes32 other = CHECKS.verifyResponse(request, second, secondSignature).responseHash;
        require(other != c.responseHash, NoEquivocation());
        Record memory r = _recordOf(request, first, c);
        require(!_isConvicted(r.pool, r.serverSeat), SeatConvicted(r.pool, r.serverSeat));
        id = ++_last;
        // Who could still open a dispute over what the server answered until now comes first.
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        Clock memory clock = Clocks.read(p.basis.beacon);
        uint256 until = clock.timeOf(p.ticketRound(clock.current())) + p.windows.dispute;
        _disputes[id] = Dispute(keccak256(abi.encode(r)), State.Proven, uint40(until));
        STAKING.convict(r.pool, r.server);
        STAKING.freeze(r.pool, r.server, true);
        LANES.forfeit(r.pool, r.server);
        emit DisputeOpened(id, r.pool, r.response, r, until);
        emit EquivocationProven(id, r.pool, r.server, c.responseHash, other);
    }

    function _open(Record memory r, uint256 ticketTime) private returns (uint256 id) {
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(block.timestamp <= ticketTime + p.windows.dispute, TooLate(ticketTime + p.windows.dispute));
        Case storage c = _cases[r.response];
        bool published = c.published;
        if (published) {
            IArbiter.Outcome outcome = _outcomeOf(p, r.response);
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
        LEDGER.move(r.pool, _bondKind(r), keyOf(r.opener), AccountKind.Case, bytes32(id), _bond(p));
        _accuse(r, true);
        emit DisputeOpened(id, r.pool, r.response, r, until);
        if (published) emit DisputeJoined(id, r.pool, r.response);
    }

    // ----------------------------------------------------------------------------------------------------- course

    /// @inheritdoc IDisputes
    function publish(uint256 id, Record calldata r, bytes calldata input) external {
        Dispute storage d = _dispute(id, r);
        require(_stateOf(d, r.response) == State.Opened, WrongState(id, _stateOf(d, r.response)));
        _requireNotConvicted(r);
        require(block.timestamp <= d.until, TooLate(d.until));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(input.length <= p.limits.maxInputBytes, InputTooLarge(input.length, p.limits.maxInputBytes));
        bytes32 given = keccak256(input);
        require(given == r.inputHash, WrongInput(r.inputHash, given));
        d.state = State.Published;
        Case storage c = _cases[r.response];
        if (c.first == 0) _setPayer(c, id, r);
        c.published = true;
        _move(r.pool, bytes32(uint256(c.first)), AccountKind.Case, r.response, p.juryBudget());
        emit InputPublished(id, r.pool, input);
        IArbiter(p.basis.arbiter).open(r.pool, subjectOf(r.response));
    }

    /// @inheritdoc IDisputes
    function dismiss(uint256 id, Record calldata r) external {
        Dispute storage d = _dispute(id, r);
        require(_stateOf(d, r.response) == State.Opened, WrongState(id, _stateOf(d, r.response)));
        _requireNotConvicted(r);
        require(block.timestamp > d.until, TooEarly(d.until));
        _payFrozen(PoolStore.load(POOLS, r.pool), id, r);
        _end(id, r, State.Dismissed, 0, false, false, 0);
    }

    /// @inheritdoc IDisputes
    function resolve(uint256 id, Record calldata r) external {
        Dispute storage d = _dispute(id, r);
        State state = _stateOf(d, r.response);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        if (state == State.Proven) return _resolveProven(p, id, r, d.until);
        require(state == State.Published, WrongState(id, state));
        (IArbiter.Outcome outcome, bytes32 digest, uint256 payees) =
            IArbiter(p.basis.arbiter).outcomeOf(address(this), subjectOf(r.response));
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
        State state = _stateOf(d, r.response);
        require(state == State.Opened || state == State.Published, WrongState(id, state));
        uint64 seat = _isConvicted(r.pool, r.serverSeat) ? r.serverSeat : r.validatorSeat;
        require(_isConvicted(r.pool, seat), NothingConvicted(id));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        _returnBond(id, r);
        if (state == State.Published) {
            require(_cases[r.response].open == 1, CaseShared(r.response));
            IArbiter arbiter = IArbiter(p.basis.arbiter);
            bytes32 subject = subjectOf(r.response);
            // A verdict that is there ends the dispute by `resolve`.
            require(_outcomeOf(p, r.response) == IArbiter.Outcome.Pending, WrongState(id, state));
            arbiter.close(subject);
            (IArbiter.Outcome outcome,, uint256 payees) = arbiter.outcomeOf(address(this), subject);
            _settleCase(p, r, outcome, payees);
            _repayFromReserve(r, id, seat, payees * p.prices.jurorPay);
        }
        _end(id, r, State.Closed, 0, false, false, 0);
    }

    /// @inheritdoc IDisputes
    function settleJurors(bytes32 pool, bytes32 response, uint8 ballot, uint256[] calldata positions)
        external
    {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        require(_cases[response].settled, JurorNotDue(response, ballot, 0));
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
    function caseOf(bytes32 response) external view returns (Case memory) {
        return _cases[response];
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
            uint256 left = slashed - _repay(r, id, jurors, slashed);
            address finder = serverSlashed ? _cases[r.response].payer : r.opener;
            left -= _pay(r.pool, id, AccountKind.Free, finder, p.prices.gasAllowance, left);
            left = _compensate(p, id, r, finder, serverSlashed, left);
            // Where nobody but the server was accused, a claim on its check stays what it is.
            bool unpaid = r.validator != address(0) && CHECKS.replace(r.pool, r.user, r.response);
            if (unpaid && !validatorWrong) {
                left -= _pay(r.pool, id, AccountKind.Free, r.validator, p.checkPay(r.units), left);
            } else if (!serverWrong) {
                left -= _pay(r.pool, id, AccountKind.Free, r.server, p.checkPay(r.units), left);
            }
            if (serverSlashed) left -= _setAside(p, r.pool, r.serverSeat, bytes32(id), left, 1);
            if (validatorSlashed) _setAside(p, r.pool, r.validatorSeat, bytes32(id), left, 1);
        } else {
            // Convicted elsewhere: that conviction set the jury's cost aside.
            _repayFromReserve(r, id, serverWrong ? r.serverSeat : r.validatorSeat, jurors);
        }
        _end(id, r, State.Convicted, digest, serverWrong, validatorWrong, slashed);
    }

    /// @dev Two responses to one request, after what was owed first.
    function _resolveProven(PoolParams memory p, uint256 id, Record calldata r, uint256 until) private {
        require(block.timestamp > until, TooEarly(until));
        IStaking.Seat memory seat = STAKING.seatOf(r.pool, r.serverSeat);
        bool slashable = !seat.convicted;
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

    /// @dev A third of the stake to the user, half of it to who found the lie, and what the user paid for a wrong answer.
    function _compensate(
        PoolParams memory p,
        uint256 id,
        Record calldata r,
        address finder,
        bool byServer,
        uint256 left
    ) private returns (uint256) {
        uint256 compensation = p.prices.seatStake / 3;
        uint256 share = finder == r.user ? 0 : compensation / 2;
        if (byServer) {
            bool paid = LANES.laneOf(r.pool, r.user, r.server, r.lane).sequence >= r.sequence;
            if (paid) left -= _pay(r.pool, id, AccountKind.Balance, r.user, p.fee(r.units), left);
            compensation += p.baseFee(r.units);
        }
        left -= _pay(r.pool, id, AccountKind.Free, r.user, compensation - share, left);
        return left - _pay(r.pool, id, AccountKind.Free, finder, share, left);
    }

    function _slash(uint256 id, bytes32 pool, uint64 seat, address owner) private returns (uint256) {
        LANES.forfeit(pool, owner);
        return STAKING.slash(pool, seat, bytes32(id));
    }

    /// @dev Keeps of the jury's budget what its jurors are due, once, and gives the payer the rest; after a void ballot it is
    /// spent.
    function _settleCase(PoolParams memory p, Record calldata r, IArbiter.Outcome outcome, uint256 payees)
        private
    {
        Case storage c = _cases[r.response];
        if (c.settled) return;
        c.settled = true;
        uint256 rest = p.juryBudget() - payees * p.prices.jurorPay;
        if (outcome == IArbiter.Outcome.Void) {
            _move(r.pool, r.response, AccountKind.Burn, 0, rest);
        } else {
            _move(r.pool, r.response, c.fromBond ? AccountKind.Bond : AccountKind.Free, keyOf(c.payer), rest);
        }
    }

    /// @dev Gives the payer back what its jury costs, out of a convicted stake, once.
    function _repay(Record calldata r, uint256 id, uint256 jurors, uint256 left) private returns (uint256) {
        Case storage c = _cases[r.response];
        if (c.repaid || left == 0) return 0;
        c.repaid = true;
        return _pay(r.pool, id, c.fromBond ? AccountKind.Bond : AccountKind.Free, c.payer, jurors, left);
    }

    function _repayFromReserve(Record calldata r, uint256 id, uint64 seat, uint256 jurors) private {
        // The rest of the reserve is for other cases.
        if (_cases[r.response].repaid) return;
        bytes32 key = _seatKey(r.pool, seat);
        uint256 reserve = _min(LEDGER.balanceOf(r.pool, AccountKind.Case, key), jurors);
        _move(r.pool, key, AccountKind.Case, bytes32(id), reserve);
        _repay(r, id, jurors, reserve);
    }

    /// @dev A jury budget for each open dispute over a convicted seat but `but`, as far as `left` goes.
    function _setAside(
        PoolParams memory p,
        bytes32 pool,
        uint64 seat,
        bytes32 from,
        uint256 left,
        uint256 but
    ) private returns (uint256 amount) {
        amount = _min((STAKING.seatOf(pool, seat).disputes - but) * p.juryBudget(), left);
        _move(pool, from, AccountKind.Case, _seatKey(pool, seat), amount);
    }

    /// @dev What is left of the bond goes back to where it came from. Comes before a slash brings other money to the account.
    function _returnBond(uint256 id, Record calldata r) private {
        uint256 rest = LEDGER.balanceOf(r.pool, AccountKind.Case, bytes32(id));
        _move(r.pool, bytes32(id), _bondKind(r), keyOf(r.opener), rest);
    }

    /// @dev The freeze price goes to the accused who did not open the dispute, in equal parts.
    function _payFrozen(PoolParams memory p, uint256 id, Record calldata r) private {
        uint256 price = p.prices.freezePrice;
        uint256 toServer = r.validator == address(0) || r.opener == r.validator ? price : price / 2;
        if (r.opener == r.server && r.validator != address(0)) toServer = 0;
        _pay(r.pool, id, AccountKind.Free, r.server, toServer, price);
        _pay(r.pool, id, AccountKind.Free, r.validator, price - toServer, price);
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
        (c.first, c.payer, c.fromBond) = (uint32(id), r.opener, _bondKind(r) == AccountKind.Bond);
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
        Case storage c = _cases[r.response];
        --c.open;
        if (c.first == id) c.first = 0;
        _accuse(r, false);
        uint256 burnt = _burnRest(r.pool, id);
        _sweep(r.pool, r.serverSeat);
        if (r.validator != address(0)) _sweep(r.pool, r.validatorSeat);
        emit DisputeEnded(id, r.pool, state, digest, serverWrong, validatorWrong, slashed, burnt);
    }

    /// @dev Burns what a conviction set aside once no dispute is left that it could pay for.
    function _sweep(bytes32 pool, uint64 seat) private {
        IStaking.Seat memory s = STAKING.seatOf(pool, seat);
        if (!s.convicted || s.disputes != 0) return;
        bytes32 key = _seatKey(pool, seat);
        uint256 rest = LEDGER.balanceOf(pool, AccountKind.Case, key);
        _move(pool, key, AccountKind.Burn, 0, rest);
    }

    function _burnRest(bytes32 pool, uint256 id) private returns (uint256 rest) {
        rest = LEDGER.balanceOf(pool, AccountKind.Case, bytes32(id));
        _move(pool, bytes32(id), AccountKind.Burn, 0, rest);
    }

    function _dispute(uint256 id, Record calldata r) private view returns (Dispute storage d) {
        d = _disputes[id];
        require(d.record == keccak256(abi.encode(r)), WrongRecord(id));
    }

    /// @dev The input of a response is published once, for all its disputes.
    function _stateOf(Dispute storage d, bytes32 response) private view returns (State) {
        return d.state == State.Opened && _cases[response].published ? State.Published : d.state;
    }

    function _outcomeOf(PoolParams memory p, bytes32 response)
        private
        view
        returns (IArbiter.Outcome outcome)
    {
        (outcome,,) = IArbiter(p.basis.arbiter).outcomeOf(address(this), subjectOf(response));
    }

    function _requireNotConvicted(Record memory r) private view {
        require(!_isConvicted(r.pool, r.serverSeat), SeatConvicted(r.pool, r.serverSeat));
        require(!_isConvicted(r.pool, r.validatorSeat), SeatConvicted(r.pool, r.validatorSeat));
    }

    function _isConvicted(bytes32 pool, uint64 seat) private view returns (bool) {
        return STAKING.seatOf(pool, seat).convicted;
    }

    /// @dev A dispute's bond: what the jury may cost, and the price of a freeze.
    function _bond(PoolParams memory p) private pure returns (uint256) {
        return p.juryBudget() + p.prices.freezePrice;
    }

    function _bondKind(Record memory r) private pure returns (AccountKind) {
        return r.opener == r.user ? AccountKind.Bond : AccountKind.Free;
    }

    /// @dev Pays out of a dispute's account what `left` allows.
    function _pay(bytes32 pool, uint256 id, AccountKind kind, address to, uint256 amount, uint256 left)
        private
        returns (uint256 paid)
    {
        paid = _min(amount, left);
        _move(pool, bytes32(id), kind, keyOf(to), paid);
    }

    function _seatKey(bytes32 pool, uint64 seat) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, seat));
    }

    /// @dev Out of a Case account.
    function _move(bytes32 pool, bytes32 from, AccountKind kind, bytes32 to, uint256 amount) private {
        LEDGER.move(pool, AccountKind.Case, from, kind, to, amount);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
