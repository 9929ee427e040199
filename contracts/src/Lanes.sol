// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SignedMessages } from "./SignedMessages.sol";
import { IAudits } from "./interfaces/IAudits.sol";
import { IChecks } from "./interfaces/IChecks.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Clock, Clocks } from "./libraries/Clocks.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, Posting, keyOf } from "./types/Accounts.sol";
import { Delivery, Finish, InferenceRequest, Voucher } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";
import { Span } from "./types/Redemptions.sol";

/// @title Lanes: see ILanes.
contract Lanes is SignedMessages, ILanes {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    IChecks public immutable CHECKS;
    address public immutable DISPUTES;
    IAudits public immutable AUDITS;

    mapping(bytes32 lane => Lane) private _lanes;
    mapping(bytes32 pool => mapping(address user => Exit)) private _exits;
    /// @inheritdoc ILanes
    mapping(bytes32 pool => mapping(address server => mapping(uint32 epoch => uint256))) public vestingOf;

    /// @dev One redemption in the making: what its accounts are to be debited and credited, and what it pays so far.
    struct Batch {
        bytes32 pool;
        address server;
        uint256 freeAt;
        Posting[] debits;
        Posting[] credits;
        uint256 debited; // postings so far
        uint256 credited;
        uint256 reward;
        uint256 burnt;
        // Of the user whose lanes are being redeemed:
        address user;
        uint256 balance;
        uint256 room; // e-money that still fits under the cap
        uint256 credit;
        uint256 cost;
        address key;
        uint256 keyEpoch;
        uint256 openEpoch; // an epoch in which the pool is known to be open
    }

    constructor(Modules memory modules) SignedMessages(modules.ledger, modules.staking) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        CHECKS = IChecks(modules.checks);
        DISPUTES = modules.disputes;
        AUDITS = IAudits(modules.audits);
    }

    // ----------------------------------------------------------------------------------------------------- users

    /// @inheritdoc ILanes
    function fund(bytes32 pool, uint256 balance, uint256 bond) external {
        bytes32 key = keyOf(msg.sender);
        LEDGER.move(pool, AccountKind.Free, key, AccountKind.Balance, key, balance);
        LEDGER.move(pool, AccountKind.Free, key, AccountKind.Bond, key, bond);
        emit FundsAdded(pool, msg.sender, balance, bond);
    }

    /// @inheritdoc ILanes
    function fundAudits(uint256 id, IAudits.Redemption calldata r, uint256 most) external {
        uint256 lacking = AUDITS.lackingOf(id, r);
        require(lacking <= most, AuditsCostMore(lacking, most));
        LEDGER.move(r.pool, AccountKind.Free, keyOf(msg.sender), AccountKind.Audit, 0, lacking);
        emit AuditsFunded(r.pool, msg.sender, id, lacking);
        // At once: others' draws would take what lies in the stock.
        AUDITS.draw(id, r);
    }

    /// @inheritdoc ILanes
    function requestExit(bytes32 pool) external {
        Exit storage e = _exits[pool][msg.sender];
        require(e.finder == address(0), Equivocated(msg.sender));
        uint256 due = block.timestamp + PoolStore.load(POOLS, pool).windows.exit;
        e.due = uint40(due);
        emit ExitRequested(pool, msg.sender, due);
    }

    /// @inheritdoc ILanes
    function cancelExit(bytes32 pool) external {
        Exit storage e = _exits[pool][msg.sender];
        require(e.due != 0, NoExitRequested(msg.sender));
        require(e.finder == address(0), Equivocated(msg.sender));
        e.due = 0;
        emit ExitCancelled(pool, msg.sender);
    }

    /// @inheritdoc ILanes
    function exit(bytes32 pool, address user) external {
        Exit memory e = _exits[pool][user];
        require(e.due != 0, NoExitRequested(user));
        require(msg.sender == user || e.finder != address(0), NotUser(msg.sender));
        require(block.timestamp >= e.due, ExitTooEarly(user, e.due));
        _exits[pool][user] = Exit({ due: 0, last: uint40(block.timestamp), finder: address(0) });
        bytes32 key = keyOf(user);
        (uint256 balance, uint256 bond) = LEDGER.balancesOf(pool, key, AccountKind.Balance, AccountKind.Bond);
        uint256 eMoney = LEDGER.balanceOf(pool, AccountKind.Check, key);
        uint256 lost;
        if (e.finder != address(0)) {
            uint256 share = bond / 3;
            lost = bond - share;
            LEDGER.move(pool, AccountKind.Bond, key, AccountKind.Free, keyOf(e.finder), share);
            LEDGER.move(pool, AccountKind.Bond, key, AccountKind.Burn, 0, lost);
            bond = 0;
        }
        LEDGER.move(pool, AccountKind.Balance, key, AccountKind.Free, key, balance);
        LEDGER.move(pool, AccountKind.Bond, key, AccountKind.Free, key, bond);
        // Fees that checking did not use are burnt, so skipping checks earns nothing.
        LEDGER.move(pool, AccountKind.Check, key, AccountKind.Burn, 0, eMoney);
        emit Exited(pool, user, balance + bond, eMoney + lost);
    }

    /// @inheritdoc ILanes
    function proveEquivocation(
        InferenceRequest calldata a,
        bytes calldata signatureA,
        InferenceRequest calldata b,
        bytes calldata signatureB
    ) external {
        require(
            a.pool == b.pool && a.user == b.user && a.server == b.server && a.lane == b.lane
                && a.sequence == b.sequence && Hashes.request(a) != Hashes.request(b),
            NoEquivocation()
        );
        PoolParams memory p = PoolStore.load(POOLS, a.pool);
        Clock memory clock = Clocks.read(p.basis.beacon);
        Exit storage e = _exits[a.pool][a.user];
        require(e.finder == address(0), Equivocated(a.user));
        uint256 last = e.last;
        _requireOrdered(p, clock, a, signatureA, last);
        _requireOrdered(p, clock, b, signatureB, last);
        // What the user owes is taken first, in the window that every exit has.
        uint256 due = block.timestamp + p.windows.exit;
        (e.due, e.finder) = (uint40(due), msg.sender);
        emit EquivocationProven(a.pool, a.user, msg.sender, a.lane, a.sequence, due);
    }

    // --------------------------------------------------------------------------------------------------- servers

    // `require` evaluates its error's arguments even where it holds: what runs once a voucher says `if` instead.

    /// @inheritdoc ILanes
    function redeem(bytes32 pool, address server, Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
    {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        require(vouchers.length == signatures.length, LengthsDiffer(vouchers.length, signatures.length));
        require(vouchers.length > 0, NothingToRedeem(address(0), 0));
        // A user that redeemed a later number for fewer units would void the server's voucher; and a server answers with its
        // stake for what it lets be audited.
        _requireServer(p, pool, server);
        Clock memory clock = Clocks.read(p.basis.beacon);
        Batch memory batch = _begin(p, pool, server, vouchers.length);
        Span[] memory spans = new Span[](p.isAudited() ? vouchers.length : 0);
        for (uint256 i; i < vouchers.length; ++i) {
            Voucher memory v = vouchers[i];
            _requireVoucher(p, clock, batch, v, signatures[i]);
            (uint64 count, uint64 units) = _advance(p, v);
            _pay(p, batch, v, v.count - count, v.units - units);
            if (spans.length != 0) {
                spans[i] = Span(v.user, v.lane, count, v.count, units, v.units, v.root);
            }
        }
        _finish(p, batch, spans);
    }

    /// @inheritdoc ILanes
    function deliver(Delivery calldata d) external {
        InferenceRequest calldata r = d.request;
        PoolParams memory p = PoolStore.load(POOLS, r.pool);
        // Somebody else could bring the last output of a lane before its vouchers, and so void them.
        _requireServer(p, r.pool, r.server);
        require(block.timestamp <= r.deadline, DeliveredTooLate(r.deadline));
        require(
            d.output.length == 4 * uint256(d.response.outputTokens)
                && Hashes.output(d.output) == d.response.outputHash,
            WrongOutput(d.response.outputHash)
        );
        Clock memory clock = Clocks.read(p.basis.beacon);
        _requireRequest(p, clock, r, d.requestSignature);
        if (d.response.finish == uint8(Finish.Cancelled)) _requireCancelled(p, clock, d);
        IChecks.Checked memory c = CHECKS.deliver(r, d.response, d.responseSignature);

        Batch memory batch = _begin(p, r.pool, r.server, 1);
        bytes32 id = _laneId(r.pool, r.user, r.server, r.lane);
        Lane memory old = _lanes[id];
        require(r.sequence > old.sequence, NothingToRedeem(r.user, r.lane));
        Voucher memory v = Voucher({
            pool: r.pool,
            user: r.user,
            server: r.server,
            lane: r.lane,
            sequence: r.sequence,
            count: old.count + 1,
            units: old.units + uint64(c.units),
            root: Hashes.acceptedLeaf(c.responseHash, old.count + 1, old.units + uint64(c.units)),
            round: d.response.round
        });
        _lanes[id] = Lane(v.sequence, v.count, v.units);
        _pay(p, batch, v, 1, c.units);
        emit Delivered(r.pool, c.responseHash, r.user, r, d.response, d.responseSignature, d.output);
        Span[] memory spans = new Span[](p.isAudited() ? 1 : 0);
        if (p.isAudited()) spans[0] = Span(v.user, v.lane, old.count, v.count, old.units, v.units, v.root);
        _finish(p, batch, spans);
    }

    /// @inheritdoc ILanes
    function release(bytes32 pool, address server, uint32[] calldata epochs) external {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        IStaking.Server memory s = STAKING.serverOf(pool, server);
        require(!s.convicted, Convicted(pool, server));
        require(s.freezes == 0, ServerFrozen(pool, server));
        for (uint256 i; i < epochs.length; ++i) {
            uint256 freeAt = _freeAt(p, epochs[i]);
            require(block.timestamp >= freeAt, VestingClosed(pool, server, epochs[i], freeAt));
            uint256 amount = vestingOf[pool][server][epochs[i]];
            delete vestingOf[pool][server][epochs[i]];
            LEDGER.move(pool, AccountKind.Vesting, keyOf(server), AccountKind.Free, keyOf(server), amount);
            emit VestingReleased(pool, server, epochs[i], amount);
        }
    }

    // --------------------------------------------------------------------------------------------------- modules

    /// @inheritdoc ILanes
    function vest(bytes32 pool, address server, uint32 epoch, uint256 amount) external {
        require(msg.sender == address(AUDITS), NotModule(msg.sender));
        _vest(PoolStore.load(POOLS, pool), pool, server, epoch, amount);
    }

    /// @inheritdoc ILanes
    function forfeit(bytes32 pool, address server) external returns (uint256 amount) {
        require(msg.sender == DISPUTES || msg.sender == address(AUDITS), NotModule(msg.sender));
        amount = LEDGER.balanceOf(pool, AccountKind.Vesting, keyOf(server));
        LEDGER.move(pool, AccountKind.Vesting, keyOf(server), AccountKind.Burn, 0, amount);
        emit VestingForfeited(pool, server, amount);
    }

    // ----------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ILanes
    function laneOf(bytes32 pool, address user, address server, uint64 lane)
        external
        view
        returns (Lane memory)
    {
        return _lanes[_laneId(pool, user, server, lane)];
    }

    /// @inheritdoc ILanes
    function exitOf(bytes32 pool, address user) external view returns (Exit memory) {
        return _exits[pool][user];
    }

    // -------------------------------------------------------------------------------------------------- messages

    /// @dev The user's signature under a request, by its key of the request's round.
    function _requireRequest(
        PoolParams memory p,
        Clock memory clock,
        InferenceRequest calldata r,
        bytes calldata signature
    ) private view {
        uint256 signedAt = clock.timeOf(r.round);
        require(signedAt <= block.timestamp, RoundFromFuture(r.round));
        _requireSignedByUser(
            r.user, _keyAt(r.pool, r.user, p.epochOf(signedAt)), Hashes.request(r), signature
        );
    }

    /// @dev A request signed after the user's last exit: what came before is settled.
    function _requireOrdered(
        PoolParams memory p,
        Clock memory clock,
        InferenceRequest calldata r,
        bytes calldata signature,
        uint256 lastExit
    ) private view {
        require(clock.timeOf(r.round) > lastExit, BeforeLastExit(r.user, lastExit));
        _requireRequest(p, clock, r, signature);
    }

    function _requireCancelled(PoolParams memory p, Clock memory clock, Delivery calldata d) private view {
        bytes32 cancel = Hashes.cancel(d.cancel);
        require(
            cancel == d.response.cancel && d.cancel.request == d.response.request,
            WrongCancel(d.response.cancel, cancel)
        );
        uint256 signedAt = clock.timeOf(d.cancel.round);
        require(signedAt <= block.timestamp, RoundFromFuture(d.cancel.round));
        address user = d.request.user;
        _requireSignedByUser(
            user, _keyAt(d.request.pool, user, p.epochOf(signedAt)), cancel, d.cancelSignature
        );
    }

    /// @dev The pool's size when the voucher was signed counts: later, others could shrink it and so keep a server from its
    /// pay.
    function _requireVoucher(
        PoolParams memory p,
        Clock memory clock,
        Batch memory batch,
        Voucher memory v,
        bytes calldata signature
    ) private view {
        if (v.pool != batch.pool || v.server != batch.server) {
            revert VoucherOfOther(v.pool, v.server);
        }
        uint256 signedAt = clock.timeOf(v.round);
        if (signedAt > block.timestamp) revert VoucherFromFuture(v.round);
        uint256 expiry = signedAt + p.windows.voucher;
        if (block.timestamp > expiry) revert VoucherExpired(v.user, v.lane, expiry);
        uint32 epoch = p.epochOf(signedAt);
        if (epoch != batch.openEpoch) {
            require(
                STAKING.seatCount(batch.pool, epoch) >= 3 * uint256(p.limits.secondJury),
                PoolTooSmall(batch.pool, epoch)
            );
            batch.openEpoch = epoch;
        }
        if (v.user != batch.user || epoch != batch.keyEpoch) {
            (batch.key, batch.keyEpoch) = (_keyAt(batch.pool, v.user, epoch), epoch);
        }
        _requireSignedByUser(v.user, batch.key, Hashes.voucher(v), signature);
    }

    function _requireServer(PoolParams memory p, bytes32 pool, address server) private view {
        require(
            msg.sender == server || msg.sender == _keyAt(pool, server, p.epochOf(block.timestamp)),
            NotServer(server, msg.sender)
        );
    }

    // -------------------------------------------------------------------------------------------------- payments

    /// @dev Takes a lane to its voucher and returns how many responses and units were paid before.
    function _advance(PoolParams memory p, Voucher memory v) private returns (uint64 count, uint64 units) {
        bytes32 id;
        // As `_laneId`: a voucher begins with what names its lane.
        assembly ("memory-safe") {
            id := keccak256(v, 0x80)
        }
        Lane memory old = _lanes[id];
        (count, units) = (old.count, old.units);
        if (v.count <= count) revert NothingToRedeem(v.user, v.lane);
        unchecked {
            uint256 more = v.count - count;
            if (
                v.sequence <= old.sequence || v.units < units || v.units - units > more * p.limits.maxUnits
                    || v.sequence - old.sequence < more
            ) revert VoucherInconsistent(v.user, v.lane);
        }
        _lanes[id] = Lane(v.sequence, v.count, v.units);
    }

    function _begin(PoolParams memory p, bytes32 pool, address server, uint256 lanes)
        private
        view
        returns (Batch memory batch)
    {
        (batch.pool, batch.server) = (pool, server);
        batch.freeAt = _freeAt(p, p.epochOf(block.timestamp));
        // A conviction must find stake for as long as it can take these rewards.
        require(STAKING.isBondedUntil(pool, server, batch.freeAt), NotBonded(pool, server, batch.freeAt));
        // A user's balance and bond; its check account, and then vesting, burn and audit.
        (batch.debits, batch.credits) = (_postings(2 * lanes), _postings(lanes + 3));
        (batch.keyEpoch, batch.openEpoch) = (type(uint256).max, type(uint256).max);
    }

    function _pay(PoolParams memory p, Batch memory batch, Voucher memory v, uint256 count, uint256 units)
        private
    {
        if (v.user != batch.user) {
            _charge(batch);
            // Each user's accounts are read once, so its lanes must come together.
            if (v.user < batch.user) revert VouchersUnsorted(batch.user, v.user);
            batch.user = v.user;
            uint256 held;
            (batch.balance, held) =
                LEDGER.balancesOf(batch.pool, keyOf(v.user), AccountKind.Balance, AccountKind.Check);
            batch.room = p.prices.checkCap > held ? p.prices.checkCap - held : 0;
            (batch.cost, batch.credit) = (0, 0);
        }
        uint256 reward = p.payFor(count, units);
        uint256 burnt = p.baseFeeFor(count, units);
        uint256 credit = p.checkCredit(count, units);
        if (credit > batch.room) credit = batch.room;
        // Less is credited than was charged, and a batch has fewer than 2^64 vouchers.
        unchecked {
            batch.cost += reward + burnt;
            burnt -= credit;
            batch.room -= credit;
            batch.credit += credit;
            batch.reward += reward;
            batch.burnt += burnt;
        }
        emit Redeemed(v.pool, v.server, v.user, v.lane, v.sequence, v.count, v.units, reward, credit, burnt);
    }

    /// @dev Charges the user whose lanes were just added up: its balance first, then its bond.
    function _charge(Batch memory batch) private view {
        if (batch.user == address(0)) return;
        bytes32 key = keyOf(batch.user);
        uint256 fromBalance = batch.cost;
        if (batch.balance < batch.cost) {
            uint256 bond = LEDGER.balanceOf(batch.pool, AccountKind.Bond, key);
            uint256 lacking = batch.cost - batch.balance;
            require(bond >= lacking, UserCannotPay(batch.user, batch.cost, batch.balance + bond));
            _debit(batch, AccountKind.Bond, key, lacking);
            fromBalance = batch.balance;
        }
        _debit(batch, AccountKind.Balance, key, fromBalance);
        _credit(batch, AccountKind.Check, key, batch.credit);
    }

    function _finish(PoolParams memory p, Batch memory batch, Span[] memory spans) private {
        _charge(batch);
        uint256 stocked = p.isAudited() ? _stock(p, batch) : 0;
        _credit(batch, AccountKind.Vesting, keyOf(batch.server), batch.reward);
        _credit(batch, AccountKind.Audit, 0, stocked);
        _credit(batch, AccountKind.Burn, 0, batch.burnt - stocked);
        (Posting[] memory debits, Posting[] memory credits) = (batch.debits, batch.credits);
        (uint256 debited, uint256 credited) = (batch.debited, batch.credited);
        // Both arrays were allocated at least this long.
        assembly ("memory-safe") {
            mstore(debits, debited)
            mstore(credits, credited)
        }
        LEDGER.post(batch.pool, debits, credits);
        uint32 epoch = p.epochOf(block.timestamp);
        if (p.isAudited()) AUDITS.register(batch.pool, batch.server, epoch, batch.reward, spans);
        else _vest(p, batch.pool, batch.server, epoch, batch.reward);
    }

    /// @dev Room for `count` postings, without an empty one in each place: what is not filled must be cut off.
    function _postings(uint256 count) private pure returns (Posting[] memory list) {
        uint256[] memory places = new uint256[](count);
        assembly ("memory-safe") {
            list := places
        }
    }

    function _debit(Batch memory batch, AccountKind kind, bytes32 key, uint256 amount) private pure {
        if (amount > 0) batch.debits[batch.debited++] = Posting(kind, key, amount);
    }

    function _credit(Batch memory batch, AccountKind kind, bytes32 key, uint256 amount) private pure {
        if (amount > 0) batch.credits[batch.credited++] = Posting(kind, key, amount);
    }

    /// @dev What of the burn goes to the account that pays audits, until it holds enough for some.
    function _stock(PoolParams memory p, Batch memory batch) private view returns (uint256) {
        uint256 held = LEDGER.balanceOf(batch.pool, AccountKind.Audit, 0);
        uint256 full = p.auditStock();
        uint256 room = full > held ? full - held : 0;
        return room < batch.burnt ? room : batch.burnt;
    }

    function _vest(PoolParams memory p, bytes32 pool, address server, uint32 epoch, uint256 amount) private {
        vestingOf[pool][server][epoch] += amount;
        emit VestingAdded(pool, server, epoch, amount, _freeAt(p, epoch));
    }

    /// @dev When rewards redeemed in `epoch` are free.
    function _freeAt(PoolParams memory p, uint32 epoch) private pure returns (uint256) {
        return (uint256(epoch) + 1) * p.windows.epoch + p.windows.vesting;
    }

    function _laneId(bytes32 pool, address user, address server, uint64 lane) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, user, server, lane));
    }
}
