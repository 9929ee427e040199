// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { CheckAnswer, Evidence, InferenceRequest, InferenceResponse } from "../types/Messages.sol";
import { ISignedMessages } from "./ISignedMessages.sol";

/// @title Checks: whether a response was due to be checked and by whom, and the validator's pay.
interface IChecks is ISignedMessages {
    enum ClaimState {
        None,
        Pending, // the money waits in the Claim account until no dispute can be opened
        Paid,
        Void, // the validator was convicted; the money went back
        Settled // a dispute over the response paid instead
    }

    /// @notice What is known of a response, per pool and user.
    struct Claim {
        uint64 delivered; // latest round that was knowable to who brought it on-chain, or 0: its windows begin there
        uint64 seat; // the validator's
        uint32 units;
        uint40 freeAt;
        ClaimState state;
    }

    /// @notice What was found out about a response.
    struct Checked {
        bytes32 requestHash;
        bytes32 responseHash;
        bytes32 ticket; // where the evidence shows one
        uint256 units;
        uint64 ticketRound;
        uint256 ticketTime; // unix seconds
    }

    /// @notice Shows the answer and its signature: the user holds the rest of the evidence, and disputes an answer that is not a
    /// commitment to its digest.
    event Claimed(
        bytes32 indexed pool,
        bytes32 indexed response,
        address indexed validator,
        address user,
        uint256 pay,
        uint256 discount,
        uint256 freeAt,
        uint8 counter,
        CheckAnswer answer,
        bytes answerSignature
    );
    event ClaimPaid(bytes32 indexed pool, bytes32 indexed response, address indexed validator);
    event ClaimVoid(bytes32 indexed pool, bytes32 indexed response, address indexed validator);

    error WrongRequest(bytes32 expected, bytes32 given);
    error WrongResponse(bytes32 expected, bytes32 given);
    error WrongTicketNonce();
    /// @notice A response without a prompt and without an output.
    error NoUnits(bytes32 response);
    error UnitsOverLimit(uint256 units, uint256 limit);
    error FinishInvalid(uint8 finish);
    error RoundsOutOfOrder(uint64 requestRound, uint64 responseRound);
    error RoundFromFuture(uint64 round);
    error AnsweredAfterDeadline(uint256 deadline, uint256 time);
    /// @notice The seat is another owner's, or its unbonding is over.
    error NotServersSeat(uint64 seat, address server);
    error NotDrawn(bytes32 ticket, uint256 rate);
    error CounterOverLimit(uint8 counter, uint8 redraws);
    error WrongValidator(uint64 drawn, uint64 given);
    error ValidatorIsServer(address server);
    error PoolTooSmall(bytes32 pool, uint32 epoch);
    error AlreadyDelivered(bytes32 response);
    error NotDelivered(bytes32 response);
    error ClaimExists(bytes32 response);
    error ClaimNotPending(bytes32 response);
    error ClaimTooLate(uint256 until);
    error ClaimTooEarly(uint256 freeAt);
    error CheckNotFunded(address user, uint256 needed, uint256 available);
    error Frozen(address account);
    error ValidatorConvicted(address validator);
    error NotModule(address caller);

    /// @notice Reverts unless the response answers the request, within the pool's limits and its deadline, signed by a server
    /// that names a bonded seat of its own.
    function verifyResponse(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external view returns (Checked memory);

    /// @notice Lanes only: a response was brought on-chain in this block, where its windows begin.
    function deliver(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external returns (Checked memory);

    /// @notice Reverts unless the evidence is complete: every signature, the ticket below the rate, and the validator's draw.
    function verify(Evidence calldata evidence) external view returns (Checked memory);

    /// @notice Claims the pay of a check that found both digests equal; it is paid once no dispute can be opened any more.
    function claim(Evidence calldata evidence) external;

    /// @notice Pays a claim to the validator, and the discount to the user. Anyone may send it.
    function settle(bytes32 pool, address user, bytes32 response) external;

    /// @notice Disputes only: the server was wrong. Takes the claim on its response, if one is pending, back to the user, so that
    /// the check of this response is paid by the dispute alone.
    /// @return unpaid Whether the check has not been paid by a claim before.
    function replace(bytes32 pool, address user, bytes32 response) external returns (bool unpaid);

    /// @notice Disputes only: the server was right, and the validator at `seat` wrong. Takes its claim, if it is pending, back to
    /// the user. Another may claim, and another's claim stays.
    function retract(bytes32 pool, address user, bytes32 response, uint64 seat) external;

    /// @notice What claims may still take from the user's bond in the current period, where its check account is empty: at most
    /// ten of the largest checks in each period of a voucher's lifetime.
    function bondLeft(bytes32 pool, address user) external view returns (uint256);

    function claimOf(bytes32 pool, address user, bytes32 response) external view returns (Claim memory);
}
