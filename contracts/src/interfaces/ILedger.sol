// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { AccountKind, Posting } from "../types/Accounts.sol";

/// @title One double-entry ledger that holds every token.
/// @notice Money enters by `deposit`, leaves by `withdraw` and `flush`, and otherwise only moves between accounts. Accounts
/// are (pool, kind, key), so no money crosses pools. Who may move what:
///
/// | module   | from                          | to                              |
/// |----------|-------------------------------|---------------------------------|
/// | Staking  | Free, Seat                    | Free, Seat, Case, Burn          |
/// | Lanes    | Free, Balance, Bond, Check, Vesting | Free, Balance, Bond, Check, Vesting, Burn, Audit |
/// | Checks   | Check, Bond, Claim            | Claim, Check, Free, Balance     |
/// | Disputes | Free, Bond, Case              | Free, Bond, Case, Balance, Burn |
/// | Audits   | Audit, Case, Vesting          | Audit, Case, Vesting, Free, Balance, Burn |
interface ILedger {
    event Deposited(bytes32 indexed pool, address indexed to, address from, uint256 amount);
    event Withdrawn(bytes32 indexed pool, address indexed from, address to, uint256 amount);
    event Moved(
        bytes32 indexed pool, AccountKind from, bytes32 fromKey, AccountKind to, bytes32 toKey, uint256 amount
    );
    /// @notice An entry with several accounts on each side; both add up to the same.
    event Posted(bytes32 indexed pool, Posting[] debits, Posting[] credits);
    event Flushed(bytes32 indexed pool, uint256 amount);

    /// @notice The caller is no module, or not one that may move money between these kinds.
    error NotAllowed(address caller, AccountKind from, AccountKind to);
    error Insufficient(bytes32 pool, AccountKind kind, bytes32 key, uint256 needed, uint256 available);
    /// @notice The token moved another amount than asked: it takes a fee, rebases or lies.
    error TokenMovedOtherAmount(address token, uint256 asked, uint256 moved);
    /// @notice The two sides of an entry differ.
    error Unbalanced(uint256 debited, uint256 credited);
    /// @notice Accounts hold at most 2^128 - 1 of a token together.
    error TotalTooLarge(address token, uint256 total);
    error ZeroAmount();
    error ZeroAddress();

    /// @notice Takes `amount` of the pool's token from the caller into the Free account of `to`.
    function deposit(bytes32 pool, address to, uint256 amount) external;

    /// @notice As `deposit`, with the token's allowance set by the caller's ERC-2612 signature. A permit that somebody else has
    /// sent already does no harm.
    function depositWithPermit(
        bytes32 pool,
        address to,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Pays `amount` from the caller's Free account to `to`.
    function withdraw(bytes32 pool, address to, uint256 amount) external;

    /// @notice Burns what the pool's Burn account holds. Anyone may call it; a token that refuses blocks nothing else.
    function flush(bytes32 pool) external;

    /// @notice Modules only: moves `amount` between two accounts of a pool.
    function move(
        bytes32 pool,
        AccountKind from,
        bytes32 fromKey,
        AccountKind to,
        bytes32 toKey,
        uint256 amount
    ) external;

    /// @notice Modules only: one entry over several accounts of a pool.
    function post(bytes32 pool, Posting[] calldata debits, Posting[] calldata credits) external;

    /// @notice What an account holds.
    function balanceOf(bytes32 pool, AccountKind kind, bytes32 key) external view returns (uint256);

    /// @notice What an owner's accounts of two kinds hold.
    function balancesOf(bytes32 pool, bytes32 key, AccountKind a, AccountKind b)
        external
        view
        returns (uint256, uint256);

    /// @notice Sum of all accounts of all pools with this token.
    function totalOf(address token) external view returns (uint256);
}
