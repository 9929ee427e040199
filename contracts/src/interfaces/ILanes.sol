// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Voucher } from "../types/Messages.sol";

/// @title Paying: users' funds, vouchers, their redemption, and the vesting of rewards.
interface ILanes {
    struct Lane {
        uint64 sequence; // last one paid
        uint64 count; // responses paid
        uint64 units; // units paid
    }

    event FundsAdded(bytes32 indexed pool, address indexed user, uint256 balance, uint256 bond);
    event ExitRequested(bytes32 indexed pool, address indexed user, uint256 due);
    event ExitCancelled(bytes32 indexed pool, address indexed user);
    event Exited(bytes32 indexed pool, address indexed user, uint256 paidOut, uint256 burnt);
    event Redeemed(
        bytes32 indexed pool,
        address indexed server,
        address indexed user,
        uint64 lane,
        uint64 sequence,
        uint64 count,
        uint64 units,
        bytes32 root,
        uint256 reward,
        uint256 checkCredit,
        uint256 burnt
    );
    event VestingAdded(
        bytes32 indexed pool, address indexed server, uint32 epoch, uint256 amount, uint256 freeAt
    );
    event VestingReleased(bytes32 indexed pool, address indexed server, uint32 epoch, uint256 amount);
    event VestingForfeited(bytes32 indexed pool, address indexed server, uint256 amount);

    error NothingToRedeem(address user, uint64 lane);
    error LengthsDiffer(uint256 vouchers, uint256 signatures);
    error VoucherOfOther(bytes32 pool, address server);
    error VoucherExpired(address user, uint64 lane, uint256 expiredAt);
    error VoucherFromFuture(uint64 round);
    /// @notice More units than so many responses can have, or counts that fall.
    error VoucherInconsistent(address user, uint64 lane);
    error UserCannotPay(address user, uint256 needed, uint256 available);
    /// @notice The pool had too few seats for its requests to count when the voucher was signed.
    error PoolTooSmall(bytes32 pool, uint32 epoch);
    error NotBonded(bytes32 pool, address server, uint256 until);
    error NoExitRequested(address user);
    error ExitTooEarly(address user, uint256 due);
    error VestingClosed(bytes32 pool, address server, uint32 epoch, uint256 freeAt);
    error ServerFrozen(bytes32 pool, address server);
    error Convicted(bytes32 pool, address server);
    error NotModule(address caller);

    /// @notice Moves Free money of the caller into its balance and bond.
    function fund(bytes32 pool, uint256 balance, uint256 bond) external;

    /// @notice Starts the caller's exit: servers stop serving it, redemptions and claims go on for `exitWindow`.
    function requestExit(bytes32 pool) external;

    /// @notice Takes the request back.
    function cancelExit(bytes32 pool) external;

    /// @notice Frees the caller's balance and bond, and burns its check account.
    function exit(bytes32 pool) external;

    /// @notice Redeems the last voucher of each lane for `server`; all or none. Anyone may send it.
    function redeem(bytes32 pool, address server, Voucher[] calldata vouchers, bytes[] calldata signatures)
        external;

    /// @notice Frees rewards that were redeemed in `epochs` and have vested. Anyone may send it.
    function release(bytes32 pool, address server, uint32[] calldata epochs) external;

    /// @notice Disputes only: burns all that a convicted server has vesting.
    function forfeit(bytes32 pool, address server) external returns (uint256 amount);

    function laneOf(bytes32 pool, address user, address server, uint64 lane)
        external
        view
        returns (Lane memory);
    /// @notice When the user's exit is due; 0 if it asked for none.
    function exitAt(bytes32 pool, address user) external view returns (uint256);
    /// @notice Rewards of `server` redeemed in `epoch` and not released yet.
    function vestingOf(bytes32 pool, address server, uint32 epoch) external view returns (uint256);
}
