// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ERC20Burnable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { Modules } from "./types/Modules.sol";

/// @title Ledger: see ILedger.
contract Ledger is ILedger, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    address public immutable POOLS;
    address public immutable STAKING;
    address public immutable LANES;
    address public immutable CHECKS;
    address public immutable DISPUTES;

    mapping(bytes32 account => uint256) private _balances;
    /// @inheritdoc ILedger
    mapping(address token => uint256) public totalOf;

    constructor(Modules memory modules) {
        require(
            modules.pools != address(0) && modules.staking != address(0) && modules.lanes != address(0)
                && modules.checks != address(0) && modules.disputes != address(0),
            ZeroAddress()
        );
        POOLS = modules.pools;
        STAKING = modules.staking;
        LANES = modules.lanes;
        CHECKS = modules.checks;
        DISPUTES = modules.disputes;
    }

    /// @inheritdoc ILedger
    function deposit(bytes32 pool, address to, uint256 amount) external nonReentrant {
        require(amount > 0, ZeroAmount());
        require(to != address(0), ZeroAddress());
        IERC20 token = IERC20(PoolStore.load(POOLS, pool).basis.token);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)) - before;
        require(arrived == amount, TokenMovedOtherAmount(address(token), amount, arrived));
        totalOf[address(token)] += amount;
        _balances[_id(pool, AccountKind.Free, keyOf(to))] += amount;
        emit Deposited(pool, to, msg.sender, amount);
    }

    /// @inheritdoc ILedger
    function withdraw(bytes32 pool, address to, uint256 amount) external nonReentrant {
        require(amount > 0, ZeroAmount());
        require(to != address(0), ZeroAddress());
        IERC20 token = IERC20(PoolStore.load(POOLS, pool).basis.token);
        _debit(pool, AccountKind.Free, keyOf(msg.sender), amount);
        totalOf[address(token)] -= amount;
        emit Withdrawn(pool, msg.sender, to, amount);
        uint256 before = token.balanceOf(address(this));
        token.safeTransfer(to, amount);
        uint256 left = before - token.balanceOf(address(this));
        require(left == amount, TokenMovedOtherAmount(address(token), amount, left));
    }

    /// @inheritdoc ILedger
    function flush(bytes32 pool) external nonReentrant {
        address token = PoolStore.load(POOLS, pool).basis.token;
        bytes32 id = _id(pool, AccountKind.Burn, 0);
        uint256 amount = _balances[id];
        require(amount > 0, ZeroAmount());
        _balances[id] = 0;
        totalOf[token] -= amount;
        emit Flushed(pool, amount);
        uint256 before = IERC20(token).balanceOf(address(this));
        ERC20Burnable(token).burn(amount);
        uint256 burnt = before - IERC20(token).balanceOf(address(this));
        require(burnt == amount, TokenMovedOtherAmount(token, amount, burnt));
    }

    /// @inheritdoc ILedger
    function move(
        bytes32 pool,
        AccountKind from,
        bytes32 fromKey,
        AccountKind to,
        bytes32 toKey,
        uint256 amount
    ) external {
        require(_mayMove(msg.sender, from, to), NotAllowed(msg.sender, from, to));
        if (amount == 0) return;
        _debit(pool, from, fromKey, amount);
        _balances[_id(pool, to, toKey)] += amount;
        emit Moved(pool, from, fromKey, to, toKey, amount);
    }

    /// @inheritdoc ILedger
    function balanceOf(bytes32 pool, AccountKind kind, bytes32 key) external view returns (uint256) {
        return _balances[_id(pool, kind, key)];
    }

    /// @dev The table in ILedger.
    function _mayMove(address module, AccountKind from, AccountKind to) private view returns (bool) {
        if (module == LANES) {
            return _in(
                from,
                _bit(AccountKind.Free) | _bit(AccountKind.Balance) | _bit(AccountKind.Bond)
                    | _bit(AccountKind.Check) | _bit(AccountKind.Vesting)
            )
                && _in(
                to,
                _bit(AccountKind.Free) | _bit(AccountKind.Balance) | _bit(AccountKind.Bond)
                    | _bit(AccountKind.Check) | _bit(AccountKind.Vesting) | _bit(AccountKind.Burn)
            );
        }
        if (module == CHECKS) {
            return _in(from, _bit(AccountKind.Check) | _bit(AccountKind.Bond) | _bit(AccountKind.Claim))
                && _in(
                to,
                _bit(AccountKind.Claim) | _bit(AccountKind.Check) | _bit(AccountKind.Free)
                    | _bit(AccountKind.Balance)
            );
        }
        if (module == STAKING) {
            return _in(from, _bit(AccountKind.Free) | _bit(AccountKind.Seat))
                && _in(
                to,
                _bit(AccountKind.Free) | _bit(AccountKind.Seat) | _bit(AccountKind.Case)
                    | _bit(AccountKind.Burn)
            );
        }
        if (module == DISPUTES) {
            return _in(from, _bit(AccountKind.Free) | _bit(AccountKind.Bond) | _bit(AccountKind.Case))
                && _in(
                to,
                _bit(AccountKind.Free) | _bit(AccountKind.Bond) | _bit(AccountKind.Case)
                    | _bit(AccountKind.Balance) | _bit(AccountKind.Burn)
            );
        }
        return false;
    }

    function _debit(bytes32 pool, AccountKind kind, bytes32 key, uint256 amount) private {
        bytes32 id = _id(pool, kind, key);
        uint256 available = _balances[id];
        require(available >= amount, Insufficient(pool, kind, key, amount, available));
        unchecked {
            _balances[id] = available - amount;
        }
    }

    function _id(bytes32 pool, AccountKind kind, bytes32 key) private pure returns (bytes32) {
        return keccak256(abi.encode(pool, kind, key));
    }

    function _bit(AccountKind kind) private pure returns (uint256) {
        return 1 << uint8(kind);
    }

    function _in(AccountKind kind, uint256 set) private pure returns (bool) {
        return _bit(kind) & set != 0;
    }
}
