// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Delivery, InferenceRequest, InferenceResponse, Voucher } from "../types/Messages.sol";
import { IAudits } from "./IAudits.sol";
import { ISignedMessages } from "./ISignedMessages.sol";

/// @title Paying: users' funds, vouchers, their redemption, outputs delivered on-chain, and the vesting of rewards.
interface ILanes is ISignedMessages {
    struct Lane {
        uint64 sequence; // last one paid
        uint64 count; // responses paid
        uint64 units; // units paid
    }

    /// @notice A user's way out, in unix seconds.
    struct Exit {
        uint40 due; // 0: none was asked for
        uint40 last; // when it left last
        address finder; // who proved its equivocation, or 0
    }

    event FundsAdded(bytes32 indexed pool, address indexed user, uint256 balance, uint256 bond);
    event AuditsFunded(
        bytes32 indexed pool, address indexed from, uint256 indexed redemption, uint256 amount
    );
    event ExitRequested(bytes32 indexed pool, address indexed user, uint256 due);
    event ExitCancelled(bytes32 indexed pool, address indexed user);
    event Exited(bytes32 indexed pool, address indexed user, uint256 paidOut, uint256 burnt);
    event EquivocationProven(
        bytes32 indexed pool,
        address indexed user,
        address indexed finder,
        uint64 lane,
        uint64 sequence,
        uint256 due
    );
    event Delivered(
        bytes32 indexed pool,
        bytes32 indexed responseHash,
        address indexed user,
        InferenceRequest request,
        InferenceResponse response,
        bytes signature,
        bytes output
    );
    event Redeemed(
        bytes32 indexed pool,
        address indexed server,
        address indexed user,
        uint64 lane,
        uint64 sequence,
        uint64 count,
        uint64 units,
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
    /// @notice Vouchers of one user must come together, users in rising order.
    error VouchersUnsorted(address before, address user);
    error RoundFromFuture(uint64 round);
    /// @notice The two requests are not for the same place of one lane, or are the same.
    error NoEquivocation();
    /// @notice The user's exit is already decided by a proof of its equivocation.
    error Equivocated(address user);
    error BeforeLastExit(address user, uint256 lastExit);
    error DeliveredTooLate(uint256 deadline);
    error WrongOutput(bytes32 outputHash);
    error WrongCancel(bytes32 expected, bytes32 given);
    error NotServer(address server, address caller);
    error NotUser(address caller);
    error NoExitRequested(address user);
    error ExitTooEarly(address user, uint256 due);
    error VestingClosed(bytes32 pool, address server, uint32 epoch, uint256 freeAt);
    error ServerFrozen(bytes32 pool, address server);
    error Convicted(bytes32 pool, address server);
    error AuditsCostMore(uint256 lacking, uint256 most);
    error NotModule(address caller);

    /// @notice Moves Free money of the caller into its balance and bond.
    function fund(bytes32 pool, uint256 balance, uint256 bond) external;

    /// @notice Gives what the stock and the reward lack of a redemption's audits to the stock, for good, out of the caller's Free
    /// money, and draws them: who does not want to wait for the stock to fill.
    /// @param most More is refused.
    function fundAudits(uint256 id, IAudits.Redemption calldata r, uint256 most) external;

    /// @notice Starts the caller's exit: servers stop serving it, redemptions and claims go on for `exitWindow`.
    function requestExit(bytes32 pool) external;

    /// @notice Takes the request back.
    function cancelExit(bytes32 pool) external;

    /// @notice Frees the user's balance and bond when its exit is due, and burns its check account. Where its equivocation was
    /// proven, a third of what is left of the bond goes to who proved it and the rest is burnt, and anyone may call.
    function exit(bytes32 pool, address user) external;

    /// @notice Shows two different requests that a user signed for one place of a lane. It leaves, whether it wants or not: its
    /// servers redeem and its validators claim for `exitWindow`, then `exit` takes its bond.
    function proveEquivocation(
        InferenceRequest calldata a,
        bytes calldata signatureA,
        InferenceRequest calldata b,
        bytes calldata signatureB
    ) external;

    /// @notice Redeems the last voucher of each lane for `server`, vouchers of one user together and users in rising order; all
    /// or none. Its server or the server's key of now sends it.
    function redeem(bytes32 pool, address server, Voucher[] calldata vouchers, bytes[] calldata signatures)
        external;

    /// @notice Brings an output on-chain that its user did not acknowledge, before the request's deadline: the server is paid its
    /// fee, and the response's windows begin with this block. Redeem the lane's last voucher first: the lane goes on after this.
    function deliver(Delivery calldata delivery) external;

    /// @notice Frees rewards that were redeemed in `epochs` and have vested. Anyone may send it.
    function release(bytes32 pool, address server, uint32[] calldata epochs) external;

    /// @notice Audits only: the reward of a redemption in `epoch` whose audits are settled begins to vest.
    function vest(bytes32 pool, address server, uint32 epoch, uint256 amount) external;

    /// @notice Disputes and Audits only: burns all that a convicted server has vesting.
    function forfeit(bytes32 pool, address server) external returns (uint256 amount);

    function laneOf(bytes32 pool, address user, address server, uint64 lane)
        external
        view
        returns (Lane memory);
    function exitOf(bytes32 pool, address user) external view returns (Exit memory);
    /// @notice Rewards of `server` redeemed in `epoch` and not released yet.
    function vestingOf(bytes32 pool, address server, uint32 epoch) external view returns (uint256);
}
