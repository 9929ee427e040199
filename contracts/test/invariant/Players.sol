// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev Who plays, and what the invariants compare with.
abstract contract Players is AuditTest {
    uint256 internal constant USERS = 3;
    /// @dev The first servers, and the first user, follow the protocol whatever the others do.
    uint256 internal constant HONEST_SERVERS = 2;
    uint256 internal constant MOST_SEATS = 90;
    /// @dev Seats that stay, so that the pool stays open.
    uint256 internal constant LEAST_SEATS = 40;

    struct Pending {
        address user;
        address validator;
        bytes32 response;
        bool done;
    }

    struct Case {
        uint256 id;
        IDisputes.Record record;
        bool over;
        bool settled;
    }

    mapping(string move => uint256) public count;
    uint256 public flushed;
    uint256 public supplyAtStart;
    Pending[] internal claims;
    Case[] internal cases;
    uint64[] internal leaving;
    mapping(address server => uint32[]) internal epochsOf;
    mapping(uint256 user => mapping(address server => Voucher)) internal last;
    mapping(uint32 epoch => bytes32) internal tables;
    mapping(address server => uint256) internal indexOf;
    uint32 internal firstEpoch;
    uint64 internal seats;
    address[] internal users;
    /// @dev The user that the base set-up funds and nobody plays.
    address internal idle;
    uint256[] internal userKeys;
    mapping(uint64 seat => bool) internal _isSlashed;
    mapping(address who => bool) internal isHonest;
    /// @dev What a player brings in this move, less what it may lose by it.
    mapping(address who => int256) internal allowed;
    /// @dev Rewards that have begun to vest and are not released.
    mapping(address server => uint256) internal vests;
    /// @dev Rewards whose audits are not settled, without what guarantees those.
    mapping(address server => uint256) internal waits;
    mapping(uint64 round => bytes32) private _rounds;
    mapping(address key => uint256) internal _secretOf;
    uint256 internal _keys;
    uint64 internal _sequence;
    uint256 internal _clock;
    bool private immutable AUDITED;

    constructor(bool audited) {
        AUDITED = audited;
    }

    /// @dev Time goes on between moves, wherever the last one left it; tables are looked at before and after.
    modifier move(uint256 u) {
        vm.warp(_clock);
        (user, userKey) = (users[u % USERS], userKeys[u % USERS]);
        _look();
        _;
        _look();
        _keepWhole();
        _clock = vm.getBlockTimestamp();
    }

    function setUp() public virtual override {
        super.setUp();
        supplyAtStart = token.totalSupply();
        idle = user;
        for (uint256 i; i < USERS; ++i) {
            (address one, uint256 key) = makeAddrAndKey(string.concat("invariant user", vm.toString(i)));
            users.push(one);
            userKeys.push(key);
            ledger.deposit(pool, one, 2_400_000); // some for disputes
            vm.prank(one);
            lanes.fund(pool, 1_000_000, 1_000_000);
        }
        for (uint256 i; i < SERVERS; ++i) {
            indexOf[servers[i]] = i;
        }
        seats = 60;
        _clock = block.timestamp;
        firstEpoch = params.epochOf(block.timestamp);
    }

    /// @dev As many audits as positive burn allows, or none.
    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.rates.auditFixed = AUDITED ? (uint128(1) << 64) / 40 : 0;
        p.rates.auditUnit = AUDITED ? (uint128(1) << 64) / 5_000 : 0;
        // A redemption's reward carries its audits.
        (p.prices.rewardFixed, p.prices.rewardUnit) = AUDITED ? (uint96(608), uint96(5)) : (20, 3);
    }

    // ---------------------------------------------------------------------------------------------------- plumbing

    /// @dev A round that is on-chain never changes: what it drew is asked for again.
    function setRound(uint64 round, bytes32 value) internal override returns (bytes32) {
        if (_rounds[round] != 0) return _rounds[round];
        _rounds[round] = value;
        return super.setRound(round, value);
    }

    /// @dev Called after every move.
    function _keepWhole() internal virtual;

    function _now() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    /// @dev A fresh key for `owner`, which signs from the epoch after next.
    function _rotate(address owner) internal {
        (address key, uint256 secret) = makeAddrAndKey(string.concat("key", vm.toString(++_keys)));
        _secretOf[key] = secret;
        vm.prank(owner);
        staking.setKey(pool, key);
    }

    function _secretNow(address owner, uint256 own) private view returns (uint256) {
        uint256 secret = _secretOf[staking.keyAt(pool, owner, params.epochOf(_now()))];
        return secret == 0 ? own : secret;
    }

    function serverKey(uint256 server) internal view override returns (uint256) {
        return _secretNow(servers[server], serverKeys[server]);
    }

    function keyOfUser() internal view override returns (uint256) {
        return _secretNow(user, userKey);
    }

    function serverOfSeat(uint64 seat) internal view override returns (uint256) {
        return indexOf[staking.seatOf(pool, seat).owner];
    }

    /// @dev The first active seat of a server that stays; 0 if it has none.
    function seatOf(uint256 server) internal view override returns (uint64) {
        for (uint64 seat = 1; seat <= seats; ++seat) {
            IStaking.Seat memory s = staking.seatOf(pool, seat);
            if (s.owner == servers[server] && s.exitAt == 0 && staking.isActive(pool, seat)) return seat;
        }
        return 0;
    }

    function accepts(uint256 server, uint64 seat) internal view override returns (bool) {
        return serverOfSeat(seat) != server && staking.isActive(pool, seat);
    }

    /// @dev A server that can serve: convicted ones are replaced by newcomers with seats of their own.
    function _server(uint256 s) internal view returns (uint256 server, bool found) {
        for (uint256 i; i < servers.length; ++i) {
            server = (s % servers.length + i) % servers.length;
            if (staking.serverOf(pool, servers[server]).convicted) continue;
            if (seatOf(server) != 0) return (server, true);
        }
    }

    /// @dev Whether a response of `server` can draw a validator: the others may all have left or be convicted.
    function _isCheckable(uint256 server) internal view returns (bool) {
        uint32 epoch = params.epochOf(beacon.timeOf(params.ticketRound(nowRound())));
        for (uint256 i; i < staking.seatCount(pool, epoch); ++i) {
            if (accepts(server, staking.seatAt(pool, epoch, i))) return true;
        }
        return false;
    }

    function occupantsOf(uint32 epoch) public view returns (bytes32) {
        uint64[] memory places = new uint64[](staking.seatCount(pool, epoch));
        for (uint64 i; i < places.length; ++i) {
            places[i] = i;
        }
        return keccak256(abi.encode(staking.seatsAt(pool, epoch, places)));
    }

    /// @dev Remembers the tables that must not change any more.
    function _look() internal {
        uint32 epoch = params.epochOf(_now());
        if (tables[epoch] == 0) tables[epoch] = occupantsOf(epoch);
        if (tables[epoch + 1] == 0) tables[epoch + 1] = occupantsOf(epoch + 1);
    }

    /// @dev Servers that can serve: somebody must be left to check the others.
    function _serving() internal view returns (uint256 total) {
        for (uint256 i; i < servers.length; ++i) {
            if (!staking.serverOf(pool, servers[i]).convicted && seatOf(i) != 0) ++total;
        }
    }

    /// @dev Fuzzed numbers are often small: all their bits must count.
    function _mixed(uint256 dice) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(dice)));
    }

    /// @dev A call that must be refused, whatever the reason.
    function _refused(address target, bytes memory data, string memory why) internal {
        (bool done,) = target.call(data);
        assertFalse(done, why);
    }

    function _isOpen() internal view returns (bool) {
        return
            staking.isOpen(pool, params.epochOf(_now())) && staking.isOpen(pool, params.epochOf(_now()) + 1);
    }
}
