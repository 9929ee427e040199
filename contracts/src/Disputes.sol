// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "./interfaces/IArbiter.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Evidence, Role } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Disputes: see IDisputes.
contract Disputes is IDisputes {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    ILanes public immutable LANES;
    IChecks public immutable CHECKS;

    struct Dispute {
        bytes32 record; // hash
        State state;
        uint40 until; // end of the publish window
    }

    uint256 private _last;
    mapping(uint256 id => Dispute) private _disputes;
    /// @inheritdoc IDisputes
    mapping(bytes32 response => uint256) public disputeOf;
    mapping(bytes32 poolAndSeat => uint256) private _openAgainst;
    mapping(bytes32 poolAndSeat => bool) private _convicted;
    mapping(bytes32 juror => bool) private _settled;

    constructor(Modules memory modules) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        LANES = ILanes(modules.lanes);
        CHECKS = IChecks(modules.checks);
    }

    /// @inheritdoc IDisputes
    function open(Evidence calldata e) external returns (uint256 id) {
        IChecks.Checked memory c = CHECKS.verify(e);
        bytes32 pool = e.request.pool;
        PoolParams memory p = PoolStore.load(POOLS, pool);
        require(
            block.timestamp <= c.ticketTime + p.windows.dispute, TooLate(c.ticketTime + p.windows.dispute)
        );
        uint256 other = disputeOf[c.responseHash];
        require(other == 0, AlreadyDisputed(c.responseHash, other));
        Record memory r = _recordOf(e, c);
        require(
            msg.sender == r.user || msg.sender == r.server || msg.sender == r.validator, NotParty(msg.sender)
        );
        _requireNotConvicted(r);
        id = ++_last;
        LEDGER.move(
            pool,
            _bondKind(r),
            keyOf(r.opener),
            AccountKind.Case,
            bytes32(id),
            p.juryBudget() + p.prices.freezePrice
        );
        uint256 until = block.timestamp + p.windows.publish;
        _disputes[id] = Dispute(keccak256(abi.encode(r)), State.Opened, uint40(until));
        disputeOf[c.responseHash] = id;
        _accuse(r, true);
        emit DisputeOpened(id, pool, c.responseHash, r, until);
    }

    /// @inheritdoc IDisputes
    function publish(uint256 id, Record calldata r, bytes calldata input) external {
        Dispute storage d = _inState(id, r, State.Opened);
        require(block.timestamp <= d.until, TooLate(d.until));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(input.length <= p.limits.maxInputBytes, InputTooLarge(input.length, p.limits.maxInputBytes));
        bytes32 given = keccak256(input);
        require(given == r.inputHash, WrongInput(r.inputHash, given));
        d.state = State.Published;
        emit InputPublished(id, r.pool, input);
        IArbiter(p.basis.arbiter).open(r.pool, subjectOf(id));
    }

    /// @inheritdoc IDisputes
    function dismiss(uint256 id, Record calldata r) external {
        Dispute storage d = _inState(id, r, State.Opened);
        require(block.timestamp > d.until, TooEarly(d.until));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        delete disputeOf[r.response];
        _payFrozen(p, id, r);
        uint256 burnt = _burnRest(r.pool, id, 0);
        _end(id, r, State.Dismissed);
        emit DisputeEnded(id, r.pool, State.Dismissed, 0, false, false, 0, burnt);
    }

    /// @inheritdoc IDisputes
    function resolve(uint256 id, Record calldata r) external {
        _inState(id, r, State.Published);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        (IArbiter.Outcome outcome, bytes32 digest, uint256 payees) =
            IArbiter(p.basis.arbiter).outcomeOf(address(this), subjectOf(id));
        require(outcome == IArbiter.Outcome.Decided || outcome == IArbiter.Outcome.Void, StillPending(id));
        uint256 jurors = payees * p.prices.jurorPay;
        if (outcome == IArbiter.Outcome.Void) {
            _pay(r.pool, id, _bondKind(r), r.opener, p.prices.freezePrice);
            uint256 burnt = _burnRest(r.pool, id, jurors);
            _end(id, r, State.Void);
            emit DisputeEnded(id, r.pool, State.Void, 0, false, false, 0, burnt);
            return;
        }
        bool serverWrong =
            r.serverCommitment != Hashes.commitment(Role.Server, r.server, r.serverSubject, digest);
        bool validatorWrong =
            r.validatorCommitment != Hashes.commitment(Role.Validator, r.validator, r.response, digest);
        if (serverWrong || validatorWrong) _convict(p, id, r, digest, jurors, serverWrong, validatorWrong);
        else _reject(p, id, r, digest, jurors);
    }

    /// @inheritdoc IDisputes
    function close(uint256 id, Record calldata r) external {
        Dispute storage d = _disputes[id];
        require(d.record == keccak256(abi.encode(r)), WrongRecord(id));
        State state = d.state;
        require(state == State.Opened || state == State.Published, WrongState(id, state));
        bytes32 seat = _seatKey(r.pool, r.serverSeat);
        if (!_convicted[seat]) seat = _seatKey(r.pool, r.validatorSeat);
        require(_convicted[seat], NothingConvicted(id));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        uint256 jurors;
        if (state == State.Published) {
            IArbiter arbiter = IArbiter(p.basis.arbiter);
            (IArbiter.Outcome outcome,, uint256 payees) = arbiter.outcomeOf(address(this), subjectOf(id));
            if (outcome == IArbiter.Outcome.Pending) {
                arbiter.close(subjectOf(id));
                (,, payees) = arbiter.outcomeOf(address(this), subjectOf(id));
            }
            jurors = payees * p.prices.jurorPay;
        }
        // The conviction set one jury budget aside for each dispute it cuts short.
        uint256 reserve = _min(LEDGER.balanceOf(r.pool, AccountKind.Case, seat), p.juryBudget());
        LEDGER.move(r.pool, AccountKind.Case, seat, AccountKind.Case, bytes32(id), reserve);
        _returnBond(p, id, r, jurors, reserve);
        uint256 burnt = _burnRest(r.pool, id, jurors);
        _end(id, r, State.Closed);
        emit DisputeEnded(id, r.pool, State.Closed, 0, false, false, 0, burnt);
    }

    /// @inheritdoc IDisputes
    function settleJurors(uint256 id, Record calldata r, uint8 ballot, uint256[] calldata positions)
        external
    {
        Dispute storage d = _disputes[id];
        require(d.record == keccak256(abi.encode(r)), WrongRecord(id));
        require(d.state > State.Published, WrongState(id, d.state));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        for (uint256 i; i < positions.length; ++i) {
            uint256 position = positions[i];
            bytes32 juror = keccak256(abi.encode(id, ballot, position));
            require(!_settled[juror], JurorSettled(id, ballot, position));
            (uint64 seat, IArbiter.Standing standing) =
                IArbiter(p.basis.arbiter).standingOf(address(this), subjectOf(id), ballot, position);
            if (standing == IArbiter.Standing.Paid) {
                uint256 amount = _min(p.prices.jurorPay, _held(r.pool, id));
                _pay(r.pool, id, AccountKind.Free, STAKING.seatOf(r.pool, seat).owner, amount);
                emit JurorPaid(id, seat, ballot, position, amount);
            } else {
                require(standing == IArbiter.Standing.Fined, JurorNotDue(id, ballot, position));
                emit JurorFined(id, seat, ballot, position, STAKING.fine(r.pool, seat));
            }
            _settled[juror] = true;
        }
    }

    /// @inheritdoc IDisputes
    function stateOf(uint256 id) external view returns (State) {
        return _disputes[id].state;
    }

    /// @inheritdoc IDisputes
    function subjectOf(uint256 id) public view returns (bytes32) {
        return Hashes.caseSubject(block.chainid, address(this), id);
    }

    // --------------------------------------------------------------------------------------------------- verdicts

    /// @dev Payouts in order of precedence; enforced condition 4 makes an intact stake cover them all, and a stake that
    /// penalties have eaten into pays the first ones.
    function _convict(
        PoolParams memory p,
        uint256 id,
        Record calldata r,
        bytes32 digest,
        uint256 jurors,
        bool serverWrong,
        bool validatorWrong
    ) private {
        uint256 slashed;
        if (serverWrong) slashed += _slash(id, r.pool, r.serverSeat, r.server);
        if (validatorWrong) slashed += _slash(id, r.pool, r.validatorSeat, r.validator);
        _returnBond(p, id, r, jurors, slashed);
        bool unpaid = CHECKS.replace(r.pool, r.user, r.response);

        uint256 left = slashed > jurors ? slashed - jurors : 0;
        left -= _payUpTo(r.pool, id, AccountKind.Free, r.opener, p.prices.gasAllowance, left);
        uint256 compensation = p.prices.seatStake / 3;
        uint256 finder = r.opener == r.user ? 0 : compensation / 2;
        if (serverWrong) {
            bool paid = LANES.laneOf(r.pool, r.user, r.server, r.lane).sequence >= r.sequence;
            if (paid) left -= _payUpTo(r.pool, id, AccountKind.Balance, r.user, p.fee(r.units), left);
            compensation += p.baseFee(r.units);
        }
        left -= _payUpTo(r.pool, id, AccountKind.Free, r.user, compensation - finder, left);
        left -= _payUpTo(r.pool, id, AccountKind.Free, r.opener, finder, left);
        if (!validatorWrong && unpaid) {
            left -= _payUpTo(r.pool, id, AccountKind.Free, r.validator, p.checkPay(r.units), left);
        } else if (!serverWrong) {
            left -= _payUpTo(r.pool, id, AccountKind.Free, r.server, p.checkPay(r.units), left);
        }
        if (serverWrong) left -= _reserve(p, id, r.pool, r.serverSeat, left);
        if (validatorWrong) left -= _reserve(p, id, r.pool, r.validatorSeat, left);
        uint256 burnt = _burnRest(r.pool, id, jurors);
        _end(id, r, State.Convicted);
        emit DisputeEnded(id, r.pool, State.Convicted, digest, serverWrong, validatorWrong, slashed, burnt);
    }

    /// @dev Both were right: the opener pays for the jury and for what it froze.
    function _reject(PoolParams memory p, uint256 id, Record calldata r, bytes32 digest, uint256 jurors)
        private
    {
        _payFrozen(p, id, r);
        uint256 rest = _held(r.pool, id) - jurors;
        _pay(r.pool, id, _bondKind(r), r.opener, rest);
        _end(id, r, State.Rejected);
        emit DisputeEnded(id, r.pool, State.Rejected, digest, false, false, 0, 0);
    }

    function _slash(uint256 id, bytes32 pool, uint64 seat, address owner) private returns (uint256) {
        _convicted[_seatKey(pool, seat)] = true;
        LANES.forfeit(pool, owner);
        return STAKING.slash(pool, seat, id);
    }

    /// @dev Sets a jury budget aside for each other dispute that this conviction will close.
    function _reserve(PoolParams memory p, uint256 id, bytes32 pool, uint64 seat, uint256 left)
        private
        returns (uint256 amount)
    {
        bytes32 key = _seatKey(pool, seat);
        amount = _min((_openAgainst[key] - 1) * p.juryBudget(), left);
        LEDGER.move(pool, AccountKind.Case, bytes32(id), AccountKind.Case, key, amount);
    }

    /// @dev The bond less what `fund`, the convicted stake at hand, lacks to pay the jurors: they had no choice but to vote.
    function _returnBond(PoolParams memory p, uint256 id, Record calldata r, uint256 jurors, uint256 fund)
        private
    {
        uint256 lacking = jurors > fund ? jurors - fund : 0;
        _pay(r.pool, id, _bondKind(r), r.opener, p.juryBudget() + p.prices.freezePrice - lacking);
    }

    /// @dev The freeze price goes to the accused who did not open the dispute, in equal parts.
    function _payFrozen(PoolParams memory p, uint256 id, Record calldata r) private {
        if (r.opener == r.server) {
            _pay(r.pool, id, AccountKind.Free, r.validator, p.prices.freezePrice);
        } else if (r.opener == r.validator) {
            _pay(r.pool, id, AccountKind.Free, r.server, p.prices.freezePrice);
        } else {
            _pay(r.pool, id, AccountKind.Free, r.server, p.prices.freezePrice / 2);
            _pay(r.pool, id, AccountKind.Free, r.validator, p.prices.freezePrice - p.prices.freezePrice / 2);
        }
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _recordOf(Evidence calldata e, IChecks.Checked memory c) private view returns (Record memory r) {
        r.pool = e.request.pool;
        r.response = c.responseHash;
        r.inputHash = e.request.inputHash;
        r.opener = msg.sender;
        r.user = e.request.user;
        r.server = e.request.server;
        r.serverSeat = e.request.seat;
        r.serverSubject = Hashes.responseSubject(e.response);
        r.serverCommitment = e.response.commitment;
        r.validator = STAKING.seatOf(e.request.pool, e.answer.seat).owner;
        r.validatorSeat = e.answer.seat;
        r.validatorCommitment = e.answer.commitment;
        r.lane = e.request.lane;
        r.sequence = e.request.sequence;
        r.units = uint32(c.units);
        r.outputTokens = e.response.outputTokens;
    }

    function _accuse(Record memory r, bool opened) private {
        STAKING.accuse(r.pool, r.server, opened);
        STAKING.accuse(r.pool, r.validator, opened);
        bytes32 server = _seatKey(r.pool, r.serverSeat);
        bytes32 validator = _seatKey(r.pool, r.validatorSeat);
        if (opened) {
            ++_openAgainst[server];
            ++_openAgainst[validator];
        } else {
            --_openAgainst[server];
            --_openAgainst[validator];
        }
    }

    function _end(uint256 id, Record calldata r, State state) private {
        _disputes[id].state = state;
        _accuse(r, false);
        _sweep(r.pool, _seatKey(r.pool, r.serverSeat));
        _sweep(r.pool, _seatKey(r.pool, r.validatorSeat));
    }

    /// @dev Burns what a conviction set aside once no dispute is left that it could pay for.
    function _sweep(bytes32 pool, bytes32 seat) private {
        if (!_convicted[seat] || _openAgainst[seat] != 0) return;
        uint256 rest = LEDGER.balanceOf(pool, AccountKind.Case, seat);
        LEDGER.move(pool, AccountKind.Case, seat, AccountKind.Burn, 0, rest);
    }

    function _requireNotConvicted(Record memory r) private view {
        require(!_convicted[_seatKey(r.pool, r.serverSeat)], SeatConvicted(r.pool, r.serverSeat));
        require(!_convicted[_seatKey(r.pool, r.validatorSeat)], SeatConvicted(r.pool, r.validatorSeat));
    }

    function _inState(uint256 id, Record calldata r, State state) private view returns (Dispute storage d) {
        d = _disputes[id];
        require(d.state == state, WrongState(id, d.state));
        require(d.record == keccak256(abi.encode(r)), WrongRecord(id));
        _requireNotConvicted(r);
    }

    function _bondKind(Record memory r) private pure returns (AccountKind) {
        return r.opener == r.user ? AccountKind.Bond : AccountKind.Free;
    }

    function _held(bytes32 pool, uint256 id) private view returns (uint256) {
        return LEDGER.balanceOf(pool, AccountKind.Case, bytes32(id));
    }

    function _pay(bytes32 pool, uint256 id, AccountKind kind, address to, uint256 amount) private {
        LEDGER.move(pool, AccountKind.Case, bytes32(id), kind, keyOf(to), amount);
    }

    function _payUpTo(bytes32 pool, uint256 id, AccountKind kind, address to, uint256 amount, uint256 left)
        private
        returns (uint256 paid)
    {
        paid = _min(amount, left);
        _pay(pool, id, kind, to, paid);
    }

    /// @dev Burns all that the case holds but `keep`.
    function _burnRest(bytes32 pool, uint256 id, uint256 keep) private returns (uint256 burnt) {
        uint256 held = _held(pool, id);
        burnt = held > keep ? held - keep : 0;
        LEDGER.move(pool, AccountKind.Case, bytes32(id), AccountKind.Burn, 0, burnt);
    }

    function _seatKey(bytes32 pool, uint64 seat) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, seat));
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
