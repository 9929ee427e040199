// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ERC20Burnable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { AccountKind, Posting, keyOf } from "./types/Accounts.sol";
import { Modules } from "./types/Modules.sol";

/// @title Ledger: see ILedger.
contract Ledger is ILedger, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    address public immutable POOLS;
    address public immutable STAKING;
    address public immutable LANES;
    address public immutable CHECKS;
    address public immutable DISPUTES;
    address public immutable AUDITS;

    uint256 private constant MAX_TOTAL = type(uint128).max;

    // Kinds as bits, in AccountKind's order: the table in ILedger.
    uint256 private constant FREE = 1 << 1;
    uint256 private constant BALANCE = 1 << 2;
    uint256 private constant CHECK = 1 << 3;
    uint256 private constant BOND = 1 << 4;
    uint256 private constant SEAT = 1 << 5;
    uint256 private constant VESTING = 1 << 6;
    uint256 private constant CLAIM = 1 << 7;
    uint256 private constant CASE = 1 << 8;
    uint256 private constant BURN = 1 << 9;
    uint256 private constant AUDIT = 1 << 10;

    /// @dev Two accounts of one key a slot, kinds 2n and 2n + 1, since a redemption writes both of a user's: Balance and Check.
    /// A token's total fits into half a slot, so every account does.
    mapping(bytes32 accounts => uint256) private _balances;
    /// @inheritdoc ILedger
    mapping(address token => uint256) public totalOf;

    constructor(Modules memory modules) {
        require(
            modules.pools != address(0) && modules.staking != address(0) && modules.lanes != address(0)
                && modules.checks != address(0) && modules.disputes != address(0)
                && modules.audits != address(0),
            ZeroAddress()
        );
        POOLS = modules.pools;
        STAKING = modules.staking;
        LANES = modules.lanes;
        CHECKS = modules.checks;
        DISPUTES = modules.disputes;
        AUDITS = modules.audits;
    }

    /// @inheritdoc ILedger
    function deposit(bytes32 pool, address to, uint256 amount) external nonReentrant {
        _deposit(PoolStore.load(POOLS, pool).basis.token, pool, to, amount);
    }

    /// @inheritdoc ILedger
    function depositWithPermit(
        bytes32 pool,
        address to,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        address token = PoolStore.load(POOLS, pool).basis.token;
        // Whoever saw the signature may have used it first: what counts is the allowance, which the transfer checks.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        _deposit(token, pool, to, amount);
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
        uint256 amount = _balanceOf(pool, AccountKind.Burn, 0);
        require(amount > 0, ZeroAmount());
        _debit(pool, AccountKind.Burn, 0, amount);
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
        (uint256 sources, uint256 targets) = _powers(msg.sender);
        require(_in(from, sources) && _in(to, targets), NotAllowed(msg.sender, from, to));
        if (amount == 0) return;
        _debit(pool, from, fromKey, amount);
        _credit(pool, to, toKey, amount);
        emit Moved(pool, from, fromKey, to, toKey, amount);
    }

    /// @inheritdoc ILedger
    function post(bytes32 pool, Posting[] calldata debits, Posting[] calldata credits) external {
        (uint256 sources, uint256 targets) = _powers(msg.sender);
        uint256 debited;
        for (uint256 i; i < debits.length; ++i) {
            Posting calldata d = debits[i];
            if (!_in(d.kind, sources)) revert NotAllowed(msg.sender, d.kind, AccountKind.None);
            _debit(pool, d.kind, d.key, d.amount);
            debited += d.amount;
        }
        uint256 credited;
        for (uint256 i; i < credits.length; ++i) {
            Posting calldata c = credits[i];
            if (!_in(c.kind, targets)) revert NotAllowed(msg.sender, AccountKind.None, c.kind);
            credited += c.amount;
            _credit(pool, c.kind, c.key, c.amount);
        }
        require(debited == credited, Unbalanced(debited, credited));
        emit Posted(pool, debits, credits);
    }

    /// @inheritdoc ILedger
    function balanceOf(bytes32 pool, AccountKind kind, bytes32 key) external view returns (uint256) {
        return _balanceOf(pool, kind, key);
    }

    /// @inheritdoc ILedger
    function balancesOf(bytes32 pool, bytes32 key, AccountKind a, AccountKind b)
        external
        view
        returns (uint256, uint256)
    {
        return (_balanceOf(pool, a, key), _balanceOf(pool, b, key));
    }

    /// @dev Out of which kinds of account a module may move money, and into which.
    function _powers(address module) private view returns (uint256 sources, uint256 targets) {
        if (module == LANES) {
            return (
                FREE | BALANCE | BOND | CHECK | VESTING,
                FREE | BALANCE | BOND | CHECK | VESTING | BURN | AUDIT
            );
        }
        if (module == CHECKS) return (CHECK | BOND | CLAIM, CLAIM | CHECK | FREE | BALANCE);
        if (module == STAKING) return (FREE | SEAT, FREE | SEAT | CASE | BURN);
        if (module == DISPUTES) return (FREE | CASE, FREE | CASE | BALANCE | BURN);
        if (module == AUDITS) {
            return (AUDIT | CASE | VESTING, AUDIT | CASE | VESTING | FREE | BALANCE | BURN);
        }
    }

    function _deposit(address token, bytes32 pool, address to, uint256 amount) private {
        require(amount > 0, ZeroAmount());
        require(to != address(0), ZeroAddress());
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = IERC20(token).balanceOf(address(this)) - before;
        require(arrived == amount, TokenMovedOtherAmount(token, amount, arrived));
        uint256 total = totalOf[token] + amount;
        require(total <= MAX_TOTAL, TotalTooLarge(token, total));
        totalOf[token] = total;
        _credit(pool, AccountKind.Free, keyOf(to), amount);
        emit Deposited(pool, to, msg.sender, amount);
    }

    function _debit(bytes32 pool, AccountKind kind, bytes32 key, uint256 amount) private {
        (bytes32 slot, uint256 shift) = _place(pool, kind, key);
        uint256 pair = _balances[slot];
        uint256 available = pair >> shift & MAX_TOTAL;
        if (available < amount) revert Insufficient(pool, kind, key, amount, available);
        unchecked {
            _balances[slot] = pair - (amount << shift);
        }
    }

    /// @dev What is credited was debited or deposited, so that it fits: callers revert where that turns out false.
    function _credit(bytes32 pool, AccountKind kind, bytes32 key, uint256 amount) private {
        (bytes32 slot, uint256 shift) = _place(pool, kind, key);
        unchecked {
            _balances[slot] += amount << shift;
        }
    }

    function _balanceOf(bytes32 pool, AccountKind kind, bytes32 key) private view returns (uint256) {
        (bytes32 slot, uint256 shift) = _place(pool, kind, key);
        return _balances[slot] >> shift & MAX_TOTAL;
    }

    /// @dev The slot of an account, and where in it the account begins.
    function _place(bytes32 pool, AccountKind kind, bytes32 key)
        private
        pure
        returns (bytes32 slot, uint256 shift)
    {
        uint256 number = uint256(kind);
        return (keccak256(abi.encode(pool, number >> 1, key)), (number & 1) << 7);
    }

    function _in(AccountKind kind, uint256 set) private pure returns (bool) {
        return 1 << uint8(kind) & set != 0;
    }
}
