// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { History } from "./libraries/Histories.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Staking: see IStaking.
contract Staking is IStaking {
    /// @dev Epochs until a change of the table or of a key holds.
    uint32 private constant DELAY = 2;
    uint256 private constant MAX_ENDPOINT = 256;
    /// @dev Bounds one purchase's gas.
    uint32 private constant MAX_JOIN = 64;

    address public immutable POOLS;
    ILedger public immutable LEDGER;
    address public immutable DISPUTES;
    address public immutable AUDITS;

    struct Table {
        uint64 lastSeat;
        History count; // epoch => number of seats
        mapping(uint256 index => History) occupant; // epoch => seat
    }

    mapping(bytes32 pool => Table) private _tables;
    mapping(bytes32 pool => mapping(uint64 seat => Seat)) private _seats;
    mapping(bytes32 pool => mapping(address server => Server)) private _servers;
    mapping(bytes32 pool => mapping(address owner => History)) private _keys; // epoch => key

    modifier onlyJudges() {
        require(msg.sender == DISPUTES || msg.sender == AUDITS, NotModule(msg.sender));
        _;
    }

    constructor(Modules memory modules) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        DISPUTES = modules.disputes;
        AUDITS = modules.audits;
    }

    // ---------------------------------------------------------------------------------------------------- owners

    /// @inheritdoc IStaking
    function join(bytes32 pool, uint32 count) external returns (uint64 first) {
        require(count > 0 && count <= MAX_JOIN, InvalidCount());
        PoolParams memory p = PoolStore.load(POOLS, pool);
        Server storage server = _servers[pool][msg.sender];
        require(!server.convicted, Convicted(pool, msg.sender));
        Table storage table = _tables[pool];
        uint32 epoch = p.epochOf(block.timestamp) + DELAY;
        uint32 index = uint32(table.count.latest());
        require(uint256(index) + count <= type(uint24).max, InvalidCount());
        first = table.lastSeat + 1;
        table.lastSeat += count;
        server.seats += count;
        table.count.push(epoch, index + count);
        uint256 price = uint256(p.prices.seatStake) + p.prices.seatFloat;
        for (uint32 i; i < count; ++i) {
            uint64 seat = first + i;
            Seat storage s = _seats[pool][seat];
            (s.owner, s.index) = (msg.sender, uint24(index + i));
            table.occupant[index + i].push(epoch, seat);
            LEDGER.move(pool, AccountKind.Free, keyOf(msg.sender), AccountKind.Seat, _keyOf(seat), price);
            emit SeatJoined(pool, seat, msg.sender, index + i, epoch);
        }
    }

    /// @inheritdoc IStaking
    function unbond(bytes32 pool, uint64 seat) external {
        require(_owned(pool, seat).exitAt == 0, AlreadyLeaving(pool, seat));
        _remove(pool, seat);
    }

    /// @inheritdoc IStaking
    function evict(bytes32 pool, uint64 seat) external {
        Seat storage s = _existing(pool, seat);
        require(s.exitAt == 0, AlreadyLeaving(pool, seat));
        require(
            s.status != SeatStatus.Active || _servers[pool][s.owner].convicted,
            NotOwner(pool, seat, msg.sender)
        );
        _remove(pool, seat);
    }

    /// @inheritdoc IStaking
    function withdraw(bytes32 pool, uint64 seat) external {
        Seat storage s = _owned(pool, seat);
        require(s.exitAt != 0, NotLeaving(pool, seat));
        require(block.timestamp >= s.exitAt, StillBonded(pool, seat, s.exitAt));
        uint32 freezes = _servers[pool][msg.sender].freezes;
        require(freezes == 0, ServerFrozen(pool, msg.sender, freezes));
        uint256 amount = LEDGER.balanceOf(pool, AccountKind.Seat, _keyOf(seat));
        LEDGER.move(pool, AccountKind.Seat, _keyOf(seat), AccountKind.Free, keyOf(msg.sender), amount);
        emit SeatWithdrawn(pool, seat, amount);
    }

    /// @inheritdoc IStaking
    function topUp(bytes32 pool, uint64 seat, uint256 amount) external {
        _owned(pool, seat);
        LEDGER.move(pool, AccountKind.Free, keyOf(msg.sender), AccountKind.Seat, _keyOf(seat), amount);
    }

    /// @inheritdoc IStaking
    function setKey(bytes32 pool, address key) external {
        require(key != address(0), ZeroKey());
        uint32 epoch = PoolStore.load(POOLS, pool).epochOf(block.timestamp) + DELAY;
        _keys[pool][msg.sender].push(epoch, uint160(key));
        emit KeySet(pool, msg.sender, key, epoch);
    }

    /// @inheritdoc IStaking
    function setEndpoint(bytes32 pool, string calldata url) external {
        require(bytes(url).length <= MAX_ENDPOINT, EndpointTooLong(bytes(url).length));
        require(PoolStore.exists(POOLS, pool), SeatUnknown(pool, 0));
        emit EndpointSet(pool, msg.sender, url);
    }

    // -------------------------------------------------------------------------------------------------- disputes

    /// @inheritdoc IStaking
    function accuse(bytes32 pool, uint64 seat, bool opened) external {
        require(msg.sender == DISPUTES, NotModule(msg.sender));
        Seat storage s = _existing(pool, seat);
        if (opened) ++s.disputes;
        else --s.disputes;
        _freeze(pool, s.owner, opened);
    }

    /// @inheritdoc IStaking
    function freeze(bytes32 pool, address server, bool frozen) external onlyJudges {
        _freeze(pool, server, frozen);
    }

    /// @inheritdoc IStaking
    function convict(bytes32 pool, address server) external onlyJudges {
        _convict(pool, server);
    }

    /// @inheritdoc IStaking
    function slash(bytes32 pool, uint64 seat, bytes32 caseKey) external onlyJudges returns (uint256 amount) {
        Seat storage s = _existing(pool, seat);
        uint256 held = LEDGER.balanceOf(pool, AccountKind.Seat, _keyOf(seat));
        uint256 stake = PoolStore.load(POOLS, pool).prices.seatStake;
        amount = held < stake ? held : stake;
        LEDGER.move(pool, AccountKind.Seat, _keyOf(seat), AccountKind.Case, caseKey, amount);
        emit SeatSlashed(pool, seat, caseKey, amount);
        _suspend(pool, seat, s, SeatStatus.Convicted);
        _convict(pool, s.owner);
    }

    /// @inheritdoc IStaking
    function fine(bytes32 pool, uint64 seat) external onlyJudges returns (uint256 amount) {
        Seat storage s = _existing(pool, seat);
        PoolParams memory p = PoolStore.load(POOLS, pool);
        uint256 held = LEDGER.balanceOf(pool, AccountKind.Seat, _keyOf(seat));
        amount = held < p.prices.jurorPenalty ? held : p.prices.jurorPenalty;
        LEDGER.move(pool, AccountKind.Seat, _keyOf(seat), AccountKind.Burn, 0, amount);
        emit SeatFined(pool, seat, amount);
        if (held - amount < p.prices.seatStake) _suspend(pool, seat, s, SeatStatus.Suspended);
    }

    // ----------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStaking
    function seatCount(bytes32 pool, uint32 epoch) public view returns (uint32) {
        return uint32(_tables[pool].count.valueAt(epoch));
    }

    /// @inheritdoc IStaking
    function seatAt(bytes32 pool, uint32 epoch, uint256 index) external view returns (uint64) {
        require(index < seatCount(pool, epoch), IndexOutOfRange(pool, epoch, index));
        return uint64(_tables[pool].occupant[index].valueAt(epoch));
    }

    /// @inheritdoc IStaking
    function seatsAt(bytes32 pool, uint32 epoch, uint64[] calldata places)
        external
        view
        returns (uint64[] memory seats)
    {
        uint32 count = seatCount(pool, epoch);
        seats = new uint64[](places.length);
        for (uint256 i; i < places.length; ++i) {
            require(places[i] < count, IndexOutOfRange(pool, epoch, places[i]));
            seats[i] = uint64(_tables[pool].occupant[places[i]].valueAt(epoch));
        }
    }

    /// @inheritdoc IStaking
    function ownersOf(bytes32 pool, uint64[] calldata seats) external view returns (address[] memory owners) {
        owners = new address[](seats.length);
        for (uint256 i; i < seats.length; ++i) {
            owners[i] = _seats[pool][seats[i]].owner;
        }
    }

    /// @inheritdoc IStaking
    function standingOf(bytes32 pool, uint64 seat) public view returns (address owner, bool active) {
        Seat storage s = _seats[pool][seat];
        owner = s.owner;
        active = owner != address(0) && s.status == SeatStatus.Active && !_servers[pool][owner].convicted;
    }

    /// @inheritdoc IStaking
    function isOpen(bytes32 pool, uint32 epoch) external view returns (bool) {
        return seatCount(pool, epoch) >= 3 * uint256(PoolStore.load(POOLS, pool).limits.secondJury);
    }

    /// @inheritdoc IStaking
    function seatOf(bytes32 pool, uint64 seat) external view returns (Seat memory) {
        return _seats[pool][seat];
    }

    /// @inheritdoc IStaking
    function serverOf(bytes32 pool, address server) external view returns (Server memory) {
        return _servers[pool][server];
    }

    /// @inheritdoc IStaking
    function isActive(bytes32 pool, uint64 seat) external view returns (bool active) {
        (, active) = standingOf(pool, seat);
    }

    /// @inheritdoc IStaking
    function isBonded(bytes32 pool, uint64 seat, address server) external view returns (bool) {
        Seat storage s = _seats[pool][seat];
        return s.owner == server && server != address(0) && (s.exitAt == 0 || block.timestamp < s.exitAt);
    }

    /// @inheritdoc IStaking
    function isBondedUntil(bytes32 pool, address server, uint256 time) external view returns (bool) {
        Server storage s = _servers[pool][server];
        return !s.convicted && (s.seats > 0 || s.bondedUntil >= time);
    }

    /// @inheritdoc IStaking
    function keyAt(bytes32 pool, address owner, uint32 epoch) external view returns (address) {
        uint160 key = _keys[pool][owner].valueAt(epoch);
        return key == 0 ? owner : address(key);
    }

    // -------------------------------------------------------------------------------------------------- internals

    /// @dev The last seat of the table takes the leaving one's place, so both writes and reads stay small.
    function _remove(bytes32 pool, uint64 seat) private {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        Table storage table = _tables[pool];
        Seat storage s = _seats[pool][seat];
        uint32 epoch = p.epochOf(block.timestamp) + DELAY;
        uint32 last = uint32(table.count.latest()) - 1;
        uint64 moved = uint64(table.occupant[last].latest());
        uint24 index = s.index;
        if (moved != seat) {
            table.occupant[index].push(epoch, moved);
            _seats[pool][moved].index = index;
        }
        table.count.push(epoch, last);
        uint40 exitAt = uint40(uint256(epoch) * p.windows.epoch + p.windows.unbonding);
        s.exitAt = exitAt;
        Server storage server = _servers[pool][s.owner];
        if (s.status == SeatStatus.Active) {
            --server.seats;
            if (exitAt > server.bondedUntil) server.bondedUntil = exitAt;
        }
        emit SeatLeft(pool, seat, index, moved, epoch, exitAt);
    }

    function _freeze(bytes32 pool, address owner, bool frozen) private {
        Server storage server = _servers[pool][owner];
        if (frozen) ++server.freezes;
        else --server.freezes;
        emit FrozenChanged(pool, owner, server.freezes);
    }

    function _convict(bytes32 pool, address owner) private {
        Server storage server = _servers[pool][owner];
        if (server.convicted) return;
        server.convicted = true;
        emit ServerConvicted(pool, owner);
    }

    function _suspend(bytes32 pool, uint64 seat, Seat storage s, SeatStatus status) private {
        SeatStatus before = s.status;
        if (status <= before) return;
        s.status = status;
        if (before != SeatStatus.Active) return;
        if (s.exitAt == 0) --_servers[pool][s.owner].seats;
        emit SeatSuspended(pool, seat);
    }

    function _existing(bytes32 pool, uint64 seat) private view returns (Seat storage s) {
        s = _seats[pool][seat];
        require(s.owner != address(0), SeatUnknown(pool, seat));
    }

    function _owned(bytes32 pool, uint64 seat) private view returns (Seat storage s) {
        s = _existing(pool, seat);
        require(s.owner == msg.sender, NotOwner(pool, seat, msg.sender));
    }

    function _keyOf(uint64 seat) private pure returns (bytes32) {
        return bytes32(uint256(seat));
    }
}
