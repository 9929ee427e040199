// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "./interfaces/IArbiter.sol";
import { IAudits } from "./interfaces/IAudits.sol";
import { IBeacon } from "./interfaces/IBeacon.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { ISampling } from "./interfaces/ISampling.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { AuditDraws } from "./libraries/AuditDraws.sol";
import { Clocks } from "./libraries/Clocks.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PanelState } from "./libraries/Panels.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Role } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";
import { Span } from "./types/Redemptions.sol";

/// @title Audits: see IAudits.
/// @dev Money in Case accounts: what a redemption's audits may cost under its own key, what is due for a settled one, and what
/// it slashed, under the audit's.
contract Audits is IAudits {
    /// @dev Unbonding periods after which a round that nobody has brought on-chain counts as one that never was.
    uint256 private constant LOST_AFTER = 4;

    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    ILanes public immutable LANES;
    IDisputes public immutable DISPUTES;
    ISampling public immutable SAMPLING;

    struct Stored {
        bytes32 record; // hash of the audit, once opened
        AuditState state;
    }

    uint256 private _last;
    mapping(uint256 id => Progress) private _redemptions;
    mapping(bytes32 assertion => Stored) private _audits;
    mapping(bytes32 member => bool) private _settled;

    constructor(Modules memory modules, address sampling) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        LANES = ILanes(modules.lanes);
        DISPUTES = IDisputes(modules.disputes);
        SAMPLING = ISampling(sampling);
    }

    // -------------------------------------------------------------------------------------------------- redemptions

    /// @inheritdoc IAudits
    function register(bytes32 pool, address server, uint32 epoch, uint256 reward, Span[] calldata spans)
        external
    {
        require(msg.sender == address(LANES), NotModule(msg.sender));
        PoolParams memory p = PoolStore.load(POOLS, pool);
        Redemption memory r;
        (r.pool, r.server, r.epoch, r.reward) = (pool, server, epoch, reward);
        r.round = Clocks.read(p.basis.beacon).drawing(p.windows.lag);
        for (uint256 i; i < spans.length; ++i) {
            r.count += spans[i].count - spans[i].countBefore;
            r.units += spans[i].units - spans[i].unitsBefore;
        }
        uint256 audits = p.auditRate(r.count, r.units) >> 64;
        require(audits < type(uint32).max, TooManyAudits(audits));
        r.spans = keccak256(abi.encode(spans));
        uint256 id = ++_last;
        Progress storage g = _redemptions[id];
        (g.record, g.state) = (keccak256(abi.encode(r)), State.Registered);
        // Until the audits are over, so that no stake or reward leaves before a draw that nobody makes.
        STAKING.freeze(pool, server, true);
        emit Registered(id, pool, server, r, spans);
    }

    /// @inheritdoc IAudits
    function draw(uint256 id, Redemption calldata r) external {
        Progress storage g = _inState(id, r, State.Registered);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        if (_isLost(p, r.round)) {
            emit RoundLost(id, r.round);
            return _finish(id, g, r);
        }
        (uint256 audits, uint256 cost, uint256 stock, uint256 reward) = _terms(p, id, r);
        if (audits == 0) {
            emit AuditsDrawn(id, r.pool, 0, block.timestamp);
            return _finish(id, g, r);
        }
        require(stock + reward >= cost, AuditsNotFunded(cost, stock + reward));
        uint256 until = block.timestamp + p.windows.audit;
        (g.state, g.audits, g.until) = (State.Drawn, uint32(audits), uint40(until));
        uint256 advance = cost - _min(stock, cost);
        g.advance = uint128(advance);
        LEDGER.move(r.pool, AccountKind.Vesting, keyOf(r.server), AccountKind.Case, _keyOf(id), advance);
        LEDGER.move(r.pool, AccountKind.Audit, 0, AccountKind.Case, _keyOf(id), cost - advance);
        emit AuditsDrawn(id, r.pool, audits, until);
    }

    // ------------------------------------------------------------------------------------------------------ audits

    /// @inheritdoc IAudits
    function open(
        uint256 id,
        uint32 index,
        Redemption calldata r,
        Span[] calldata spans,
        Leaf calldata leaf,
        uint64 standIn,
        bytes calldata input
    ) external {
        Progress storage g = _inState(id, r, State.Drawn);
        require(index < g.audits, NoSuchAudit(id, index));
        require(block.timestamp <= g.until, TooLate(g.until));
        bytes32 assertion = assertionOf(id, index);
        Stored storage stored = _audits[assertion];
        require(stored.state == AuditState.None, WrongAuditState(id, index, stored.state));
        require(keccak256(abi.encode(spans)) == r.spans, WrongSpans(id));
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        uint256 units = AuditDraws.requireDrawn(p, _seed(p, id, r.round), index, r, spans, leaf);
        require(input.length <= p.limits.maxInputBytes, InputTooLarge(input.length, p.limits.maxInputBytes));
        require(
            keccak256(input) == leaf.request.inputHash, WrongInput(leaf.request.inputHash, keccak256(input))
        );
        Audit memory a = Audit({
            pool: r.pool,
            server: r.server,
            seat: _answering(p, r, leaf.request.seat, standIn),
            user: leaf.request.user,
            units: uint32(units),
            outputTokens: leaf.response.outputTokens,
            inputHash: leaf.request.inputHash,
            subject: Hashes.responseSubject(leaf.response),
            commitment: leaf.response.commitment
        });
        (stored.record, stored.state) = (keccak256(abi.encode(a)), AuditState.Opened);
        emit AuditOpened(id, index, r.pool, a, leaf.response, input);
        SAMPLING.open(assertion, ISampling.Assertion(r.pool, r.server, a.subject, a.commitment));
    }

    /// @inheritdoc IAudits
    function convictSilent(uint256 id, uint32 index, Redemption calldata r, uint64 seat) external {
        Progress storage g = _inState(id, r, State.Drawn);
        require(index < g.audits, NoSuchAudit(id, index));
        require(block.timestamp > g.until, TooEarly(g.until));
        Stored storage stored = _audits[assertionOf(id, index)];
        require(stored.state == AuditState.None, WrongAuditState(id, index, stored.state));
        stored.state = AuditState.Silent;
        uint256 slashed;
        IStaking.Server memory server = STAKING.serverOf(r.pool, r.server);
        if (server.convicted) {
            seat = 0;
        } else {
            _requireAnswerable(r, g.until, seat, server.seats);
            bytes32 assertion = assertionOf(id, index);
            PoolParams memory p = PoolStore.load(POOLS, r.pool);
            slashed = _slash(assertion, r.pool, seat, r.server);
            // Else nobody would bring the round, draw, and come back for this but the server itself.
            uint256 finding = _min(p.prices.gasAllowance, slashed);
            _move(r.pool, assertion, AccountKind.Free, keyOf(msg.sender), finding);
            DISPUTES.setAside(r.pool, seat, assertion, _min(slashed - finding, p.juryBudget()));
            _burnRest(r.pool, assertion, 0);
        }
        emit AuditSilent(id, index, seat, slashed);
        _over(id, g, r);
    }

    /// @inheritdoc IAudits
    function settle(uint256 id, uint32 index, Redemption calldata r, Audit calldata a) external {
        Progress storage g = _inState(id, r, State.Drawn);
        bytes32 assertion = _opened(id, index, a, AuditState.Opened);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        (ISampling.Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors) =
            SAMPLING.outcomeOf(address(this), assertion);
        require(
            outcome == ISampling.Outcome.Decided || outcome == ISampling.Outcome.Void, StillPending(id, index)
        );
        _audits[assertion].state = AuditState.Settled;
        bool wrong = outcome == ISampling.Outcome.Decided
            && a.commitment != Hashes.commitment(Role.Server, a.server, a.subject, digest);
        uint256 due = validators * p.prices.auditPay + jurors * p.prices.jurorPay;
        _move(r.pool, _keyOf(id), AccountKind.Case, assertion, due);
        uint256 slashed;
        uint256 owed = jurors * p.prices.jurorPay;
        if (wrong && STAKING.seatOf(r.pool, a.seat).status != IStaking.SeatStatus.Convicted) {
            slashed = _slash(assertion, r.pool, a.seat, a.server);
            owed -= _payOut(p, id, assertion, a, slashed, owed);
        }
        uint256 burnt = _burnRest(r.pool, assertion, due);
        emit AuditSettled(id, index, digest, wrong, slashed, burnt);
        // Of those who committed, who is not due pay was wrong.
        PanelState memory panel = SAMPLING.panelOf(address(this), assertion);
        if (panel.committed > validators) _slashWrong(p, id, index, r.pool, panel.size, owed);
        _over(id, g, r);
    }

    /// @inheritdoc IAudits
    function settleValidators(uint256 id, uint32 index, Audit calldata a, uint256[] calldata positions)
        external
    {
        bytes32 assertion = _opened(id, index, a, AuditState.Settled);
        PoolParams memory p = PoolStore.load(POOLS, a.pool);
        for (uint256 i; i < positions.length; ++i) {
            _once(id, index, 0, positions[i]);
            (uint64 seat, ISampling.Standing standing) =
                SAMPLING.standingOf(address(this), assertion, positions[i]);
            require(standing > ISampling.Standing.Pending, NotDue(id, index, positions[i]));
            if (standing == ISampling.Standing.Paid) {
                _pay(a.pool, assertion, seat, p.prices.auditPay);
                emit ValidatorPaid(id, index, seat, p.prices.auditPay);
            } else if (standing == ISampling.Standing.Fined) {
                emit ValidatorFined(id, index, seat, STAKING.fine(a.pool, seat));
            }
        }
    }

    /// @inheritdoc IAudits
    function settleJurors(
        uint256 id,
        uint32 index,
        Audit calldata a,
        uint8 ballot,
        uint256[] calldata positions
    ) external {
        bytes32 assertion = _opened(id, index, a, AuditState.Settled);
        PoolParams memory p = PoolStore.load(POOLS, a.pool);
        bytes32 subject = SAMPLING.subjectOf(address(this), assertion);
        for (uint256 i; i < positions.length; ++i) {
            require(ballot > 0, NotDue(id, index, positions[i]));
            _once(id, index, ballot, positions[i]);
            (uint64 seat, IArbiter.Standing standing) =
                IArbiter(p.basis.arbiter).standingOf(address(SAMPLING), subject, ballot, positions[i]);
            require(standing > IArbiter.Standing.Pending, NotDue(id, index, positions[i]));
            if (standing == IArbiter.Standing.Paid) {
                _pay(a.pool, assertion, seat, p.prices.jurorPay);
                emit JurorPaid(id, index, seat, p.prices.jurorPay);
            } else {
                emit JurorFined(id, index, seat, STAKING.fine(a.pool, seat));
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IAudits
    function targetOf(uint256 id, uint32 index, Redemption calldata r) external view returns (bool, uint256) {
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        return AuditDraws.targetOf(p, _seed(p, id, r.round), index, r);
    }

    /// @inheritdoc IAudits
    function lackingOf(uint256 id, Redemption calldata r) external view returns (uint256) {
        _inState(id, r, State.Registered);
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        if (_isLost(p, r.round)) return 0;
        (, uint256 cost, uint256 stock, uint256 reward) = _terms(p, id, r);
        return cost - _min(stock + reward, cost);
    }

    /// @inheritdoc IAudits
    function progressOf(uint256 id) external view returns (Progress memory) {
        return _redemptions[id];
    }

    /// @inheritdoc IAudits
    function auditStateOf(uint256 id, uint32 index) external view returns (AuditState) {
        return _audits[assertionOf(id, index)].state;
    }

    /// @inheritdoc IAudits
    function assertionOf(uint256 id, uint32 index) public pure returns (bytes32) {
        return keccak256(abi.encode(id, index));
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @dev How many audits the redemption's round draws, what they may cost, and what guarantees that: the pool's stock first,
    /// then the reward, which gets back what is not spent.
    function _terms(PoolParams memory p, uint256 id, Redemption calldata r)
        private
        view
        returns (uint256 audits, uint256 cost, uint256 stock, uint256 reward)
    {
        uint256 rate = p.auditRate(r.count, r.units);
        // The number of audits is the rate, rounded up as often as its fraction says, so that small redemptions don't escape.
        audits = rate >> 64;
        if (uint64(uint256(_seed(p, id, r.round))) < uint64(rate)) ++audits;
        uint256 budget = p.auditBudget();
        stock = LEDGER.balanceOf(r.pool, AccountKind.Audit, 0);
        if (!STAKING.serverOf(r.pool, r.server).convicted) {
            reward = r.reward;
        } else if (audits > 1) {
            // A conviction has burnt the reward: as many as the stock pays alone, so that the redemption ends.
            audits = stock < 2 * budget ? 1 : _min(audits, stock / budget);
        }
        cost = audits * budget;
    }

    /// @dev Whether the round never came: then nothing can be drawn, and nobody's stake must wait for it.
    function _isLost(PoolParams memory p, uint64 round) private view returns (bool) {
        uint256 lostAt = Clocks.read(p.basis.beacon).timeOf(round) + LOST_AFTER * uint256(p.windows.unbonding);
        if (block.timestamp <= lostAt) return false;
        try IBeacon(p.basis.beacon).randomness(round) returns (bytes32) {
            return false;
        } catch (bytes memory reason) {
            // Any other failure, such as a call that was starved of gas, is none.
            bytes memory missing = abi.encodeWithSelector(IBeacon.RoundMissing.selector, round);
            require(keccak256(reason) == keccak256(missing), BeaconFailed(round));
            return true;
        }
    }

    /// @dev What a wrong server's stake pays: the jury, which goes back to the audits' reserve; what its user paid, and a third of the
    /// stake; the juries of disputes that this conviction cuts short.
    /// @return repaid Of what the jury cost.
    function _payOut(
        PoolParams memory p,
        uint256 id,
        bytes32 assertion,
        Audit calldata a,
        uint256 left,
        uint256 jurors
    ) private returns (uint256 repaid) {
        repaid = _min(jurors, left);
        _move(a.pool, assertion, AccountKind.Case, _keyOf(id), repaid);
        left -= repaid;
        uint256 part = _min(p.fee(a.units), left);
        _move(a.pool, assertion, AccountKind.Balance, keyOf(a.user), part);
        left -= part;
        part = _min(uint256(p.prices.seatStake) / 3 + p.baseFee(a.units), left);
        _move(a.pool, assertion, AccountKind.Free, keyOf(a.user), part);
        left -= part;
        DISPUTES.setAside(a.pool, a.seat, assertion, _min(left, p.juryBudget() - repaid));
    }

    function _slash(bytes32 assertion, bytes32 pool, uint64 seat, address owner) private returns (uint256) {
        LANES.forfeit(pool, owner);
        return STAKING.slash(pool, seat, assertion);
    }

    /// @dev Validators that were wrong lose their stake with the audit's settlement, not when somebody asks for it: by then it might
    /// have left. It pays what the jury cost as far as nobody else has; the rest is burnt, but for disputes over that seat which this
    /// cuts short.
    function _slashWrong(
        PoolParams memory p,
        uint256 id,
        uint32 index,
        bytes32 pool,
        uint256 size,
        uint256 owed
    ) private {
        bytes32 assertion = assertionOf(id, index);
        for (uint256 i; i < size; ++i) {
            (uint64 seat, ISampling.Standing standing) = SAMPLING.standingOf(address(this), assertion, i);
            if (standing != ISampling.Standing.Wrong) continue;
            IStaking.Seat memory s = STAKING.seatOf(pool, seat);
            uint256 slashed;
            if (s.status != IStaking.SeatStatus.Convicted) {
                slashed = _slash(assertion, pool, seat, s.owner);
                uint256 repaid = _min(owed, slashed);
                _move(pool, assertion, AccountKind.Case, _keyOf(id), repaid);
                owed -= repaid;
                uint256 left = slashed - repaid;
                left -= DISPUTES.setAside(pool, seat, assertion, _min(left, p.juryBudget() - repaid));
                _move(pool, assertion, AccountKind.Burn, 0, left);
            }
            emit ValidatorSlashed(id, index, seat, slashed);
        }
    }

    function _pay(bytes32 pool, bytes32 assertion, uint64 seat, uint256 amount) private {
        address owner = STAKING.seatOf(pool, seat).owner;
        _move(pool, assertion, AccountKind.Free, keyOf(owner), amount);
    }

    /// @dev Burns all that an audit's account holds but `keep`.
    function _burnRest(bytes32 pool, bytes32 assertion, uint256 keep) private returns (uint256 burnt) {
        burnt = LEDGER.balanceOf(pool, AccountKind.Case, assertion) - keep;
        _move(pool, assertion, AccountKind.Burn, 0, burnt);
    }

    // --------------------------------------------------------------------------------------------------- internals

    function _over(uint256 id, Progress storage g, Redemption calldata r) private {
        if (++g.over == g.audits) _finish(id, g, r);
    }

    /// @dev What the audits did not cost goes back, and the reward begins to vest unless a conviction has burnt it.
    function _finish(uint256 id, Progress storage g, Redemption calldata r) private {
        g.state = State.Settled;
        STAKING.freeze(r.pool, r.server, false);
        uint256 rest = LEDGER.balanceOf(r.pool, AccountKind.Case, _keyOf(id));
        uint256 vesting;
        if (!STAKING.serverOf(r.pool, r.server).convicted) {
            uint256 back = _min(g.advance, rest);
            _move(r.pool, _keyOf(id), AccountKind.Vesting, keyOf(r.server), back);
            (rest, vesting) = (rest - back, r.reward - g.advance + back);
            LANES.vest(r.pool, r.server, r.epoch, vesting);
        }
        _move(r.pool, _keyOf(id), AccountKind.Audit, 0, rest);
        emit RedemptionSettled(id, vesting);
    }

    /// @dev The seat whose stake answers: the one that gave the response; where its stake could have left before the redemption froze
    /// it, another of the server's. A user that signs late must not be able to trap its server.
    function _answering(PoolParams memory p, Redemption calldata r, uint64 seat, uint64 standIn)
        private
        view
        returns (uint64)
    {
        // The draw's round is later than the redemption by its delay: a little more than needed.
        uint256 frozenAt = Clocks.read(p.basis.beacon).timeOf(r.round);
        if (_isBonded(r, seat, frozenAt)) return seat;
        require(_isBonded(r, standIn, frozenAt), NotServersSeat(standIn, r.server));
        return standIn;
    }

    function _isBonded(Redemption calldata r, uint64 seat, uint256 time) private view returns (bool) {
        IStaking.Seat memory s = STAKING.seatOf(r.pool, seat);
        return s.owner == r.server && (s.exitAt == 0 || s.exitAt > time);
    }

    /// @dev The seat holds a stake: one whose stake is gone must not stand in for a full one. Where all have left or been fined,
    /// less and less will do, half with each further window, so that whoever names the one that holds most comes first and the
    /// redemption ends.
    function _requireAnswerable(Redemption calldata r, uint256 until, uint64 seat, uint256 seats)
        private
        view
    {
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        require(STAKING.seatOf(r.pool, seat).owner == r.server, NotServersSeat(seat, r.server));
        uint256 held = LEDGER.balanceOf(r.pool, AccountKind.Seat, bytes32(uint256(seat)));
        uint256 halvings = seats == 0 ? (block.timestamp - until - 1) / p.windows.audit : 0;
        require(held >= uint256(p.prices.seatStake) >> halvings, SeatNotFull(seat));
    }

    function _seed(PoolParams memory p, uint256 id, uint64 round) private view returns (bytes32) {
        bytes32 randomness = IBeacon(p.basis.beacon).randomness(round);
        return keccak256(abi.encode(Hashes.DRAW_AUDIT, randomness, address(this), id));
    }

    function _inState(uint256 id, Redemption calldata r, State state)
        private
        view
        returns (Progress storage g)
    {
        g = _redemptions[id];
        require(g.record == keccak256(abi.encode(r)), WrongRecord(id));
        require(g.state == state, WrongState(id, g.state));
    }

    function _opened(uint256 id, uint32 index, Audit calldata a, AuditState state)
        private
        view
        returns (bytes32 assertion)
    {
        assertion = assertionOf(id, index);
        Stored storage stored = _audits[assertion];
        require(stored.state == state, WrongAuditState(id, index, stored.state));
        require(stored.record == keccak256(abi.encode(a)), WrongRecord(id));
    }

    function _once(uint256 id, uint32 index, uint8 ballot, uint256 position) private {
        bytes32 member = keccak256(abi.encode(id, index, ballot, position));
        require(!_settled[member], AlreadySettled(id, index, position));
        _settled[member] = true;
    }

    function _keyOf(uint256 id) private pure returns (bytes32) {
        return keccak256(abi.encode("audits", id));
    }

    /// @dev Out of a Case account.
    function _move(bytes32 pool, bytes32 from, AccountKind kind, bytes32 to, uint256 amount) private {
        LEDGER.move(pool, AccountKind.Case, from, kind, to, amount);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
