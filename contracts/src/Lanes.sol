// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SignedMessages } from "./SignedMessages.sol";
import { IBeacon } from "./interfaces/IBeacon.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Voucher } from "./types/Messages.sol";
import { Modules } from "./types/Modules.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Lanes: see ILanes.
contract Lanes is ILanes, SignedMessages {
    address public immutable POOLS;
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    address public immutable DISPUTES;

    mapping(bytes32 lane => Lane) private _lanes;
    /// @inheritdoc ILanes
    mapping(bytes32 pool => mapping(address user => uint256)) public exitAt;
    /// @inheritdoc ILanes
    mapping(bytes32 pool => mapping(address server => mapping(uint32 epoch => uint256))) public vestingOf;

    constructor(Modules memory modules) SignedMessages(modules.ledger, modules.staking) {
        POOLS = modules.pools;
        LEDGER = ILedger(modules.ledger);
        STAKING = IStaking(modules.staking);
        DISPUTES = modules.disputes;
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
    function requestExit(bytes32 pool) external {
        uint256 due = block.timestamp + PoolStore.load(POOLS, pool).windows.exit;
        exitAt[pool][msg.sender] = due;
        emit ExitRequested(pool, msg.sender, due);
    }

    /// @inheritdoc ILanes
    function cancelExit(bytes32 pool) external {
        require(exitAt[pool][msg.sender] != 0, NoExitRequested(msg.sender));
        delete exitAt[pool][msg.sender];
        emit ExitCancelled(pool, msg.sender);
    }

    /// @inheritdoc ILanes
    function exit(bytes32 pool) external {
        uint256 due = exitAt[pool][msg.sender];
        require(due != 0, NoExitRequested(msg.sender));
        require(block.timestamp >= due, ExitTooEarly(msg.sender, due));
        delete exitAt[pool][msg.sender];
        bytes32 key = keyOf(msg.sender);
        uint256 balance = LEDGER.balanceOf(pool, AccountKind.Balance, key);
        uint256 bond = LEDGER.balanceOf(pool, AccountKind.Bond, key);
        uint256 eMoney = LEDGER.balanceOf(pool, AccountKind.Check, key);
        LEDGER.move(pool, AccountKind.Balance, key, AccountKind.Free, key, balance);
        LEDGER.move(pool, AccountKind.Bond, key, AccountKind.Free, key, bond);
        // Fees that checking did not use are burnt, so skipping checks earns nothing.
        LEDGER.move(pool, AccountKind.Check, key, AccountKind.Burn, 0, eMoney);
        emit Exited(pool, msg.sender, balance + bond, eMoney);
    }

    // --------------------------------------------------------------------------------------------------- servers

    /// @inheritdoc ILanes
    function redeem(bytes32 pool, address server, Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
    {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        uint32 epoch = p.epochOf(block.timestamp);
        uint256 freeAt = (uint256(epoch) + 1) * p.windows.epoch + p.windows.vesting;
        // A conviction must find stake for as long as it can take these rewards.
        require(STAKING.isBondedUntil(pool, server, freeAt), NotBonded(pool, server, freeAt));
        require(vouchers.length == signatures.length, LengthsDiffer(vouchers.length, signatures.length));
        require(vouchers.length > 0, NothingToRedeem(address(0), 0));
        uint256 total;
        uint32 open = type(uint32).max;
        for (uint256 i; i < vouchers.length; ++i) {
            open = _requireOpen(p, pool, vouchers[i].round, open);
            total += _redeemOne(p, pool, server, vouchers[i], signatures[i]);
        }
        vestingOf[pool][server][epoch] += total;
        emit VestingAdded(pool, server, epoch, total, freeAt);
    }

    /// @inheritdoc ILanes
    function release(bytes32 pool, address server, uint32[] calldata epochs) external {
        PoolParams memory p = PoolStore.load(POOLS, pool);
        IStaking.Server memory s = STAKING.serverOf(pool, server);
        require(!s.convicted, Convicted(pool, server));
        require(s.openDisputes == 0, ServerFrozen(pool, server));
        for (uint256 i; i < epochs.length; ++i) {
            uint256 freeAt = (uint256(epochs[i]) + 1) * p.windows.epoch + p.windows.vesting;
            require(block.timestamp >= freeAt, VestingClosed(pool, server, epochs[i], freeAt));
            uint256 amount = vestingOf[pool][server][epochs[i]];
            delete vestingOf[pool][server][epochs[i]];
            LEDGER.move(pool, AccountKind.Vesting, keyOf(server), AccountKind.Free, keyOf(server), amount);
            emit VestingReleased(pool, server, epochs[i], amount);
        }
    }

    /// @inheritdoc ILanes
    function forfeit(bytes32 pool, address server) external returns (uint256 amount) {
        require(msg.sender == DISPUTES, NotModule(msg.sender));
        amount = LEDGER.balanceOf(pool, AccountKind.Vesting, keyOf(server));
        LEDGER.move(pool, AccountKind.Vesting, keyOf(server), AccountKind.Burn, 0, amount);
        emit VestingForfeited(pool, server, amount);
    }

    /// @inheritdoc ILanes
    function laneOf(bytes32 pool, address user, address server, uint64 lane)
        external
        view
        returns (Lane memory)
    {
        return _lanes[_laneId(pool, user, server, lane)];
    }

    // -------------------------------------------------------------------------------------------------- internals

    /// @dev The pool's size when the voucher was signed counts: later, others could shrink it and so keep a server from its
    /// pay. `known` is an epoch in which the pool was open, as most vouchers of a batch share theirs.
    function _requireOpen(PoolParams memory p, bytes32 pool, uint64 round, uint32 known)
        private
        view
        returns (uint32 epoch)
    {
        epoch = p.epochOf(IBeacon(p.basis.beacon).timeOf(round));
        require(epoch == known || STAKING.isOpen(pool, epoch), PoolTooSmall(pool, epoch));
    }

    function _redeemOne(
        PoolParams memory p,
        bytes32 pool,
        address server,
        Voucher calldata v,
        bytes calldata signature
    ) private returns (uint256 reward) {
        require(v.pool == pool && v.server == server, VoucherOfOther(v.pool, v.server));
        uint256 signedAt = IBeacon(p.basis.beacon).timeOf(v.round);
        require(signedAt <= block.timestamp, VoucherFromFuture(v.round));
        require(
            block.timestamp <= signedAt + p.windows.voucher,
            VoucherExpired(v.user, v.lane, signedAt + p.windows.voucher)
        );
        _requireSigned(pool, v.user, p.epochOf(signedAt), Hashes.voucher(v), signature);

        Lane storage lane = _lanes[_laneId(pool, v.user, server, v.lane)];
        Lane memory old = lane;
        require(v.count > old.count, NothingToRedeem(v.user, v.lane));
        require(v.sequence > old.sequence && v.units >= old.units, VoucherInconsistent(v.user, v.lane));
        uint256 count = v.count - old.count;
        uint256 units = v.units - old.units;
        require(
            units <= count * p.limits.maxUnits && count <= v.sequence - old.sequence,
            VoucherInconsistent(v.user, v.lane)
        );
        (lane.sequence, lane.count, lane.units) = (v.sequence, v.count, v.units);

        reward = uint256(p.prices.rewardFixed) * count + uint256(p.prices.rewardUnit) * units;
        uint256 base = uint256(p.prices.feeFixed) * count + uint256(p.prices.feeUnit) * units;
        uint256 credited = _checkRoom(p, pool, v.user, p.checkCredit(count, units));
        _charge(pool, v.user, server, reward, credited, base - credited);
        emit Redeemed(
            pool,
            server,
            v.user,
            v.lane,
            v.sequence,
            v.count,
            v.units,
            v.root,
            reward,
            credited,
            base - credited
        );
    }

    /// @dev Balance first, then bond.
    function _charge(
        bytes32 pool,
        address user,
        address server,
        uint256 reward,
        uint256 credited,
        uint256 burnt
    ) private {
        bytes32 key = keyOf(user);
        uint256 cost = reward + credited + burnt;
        uint256 balance = LEDGER.balanceOf(pool, AccountKind.Balance, key);
        if (balance < cost) {
            uint256 bond = LEDGER.balanceOf(pool, AccountKind.Bond, key);
            require(balance + bond >= cost, UserCannotPay(user, cost, balance + bond));
            LEDGER.move(pool, AccountKind.Bond, key, AccountKind.Balance, key, cost - balance);
        }
        LEDGER.move(pool, AccountKind.Balance, key, AccountKind.Vesting, keyOf(server), reward);
        LEDGER.move(pool, AccountKind.Balance, key, AccountKind.Check, key, credited);
        LEDGER.move(pool, AccountKind.Balance, key, AccountKind.Burn, 0, burnt);
    }

    /// @dev As much of `credit` as fits under the cap.
    function _checkRoom(PoolParams memory p, bytes32 pool, address user, uint256 credit)
        private
        view
        returns (uint256)
    {
        uint256 held = LEDGER.balanceOf(pool, AccountKind.Check, keyOf(user));
        uint256 room = p.prices.checkCap > held ? p.prices.checkCap - held : 0;
        return credit < room ? credit : room;
    }

    function _laneId(bytes32 pool, address user, address server, uint64 lane) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, user, server, lane));
    }
}
