// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Decides what the one right digest of a published input is. Returns facts and holds nothing.
/// @notice Cases are keyed by (client, subject): the contract that opened one and the subject it chose.
interface IArbiter {
    enum Outcome {
        None,
        Pending,
        Decided,
        Void, // no decision can be had
        Closed // the client withdrew the case
    }

    /// @notice What a juror's vote has come to.
    enum Standing {
        None,
        Pending,
        Paid,
        Fined
    }

    /// @notice Opens a case of the caller. The input has been published.
    function open(bytes32 pool, bytes32 subject) external;

    /// @notice Withdraws a case of the caller: nothing is decided, and who voted so far is owed its pay.
    function close(bytes32 subject) external;

    /// @return outcome State of the case.
    /// @return digest The right digest, if decided.
    /// @return payees Number of juror's pays that the case owes, once it is over.
    function outcomeOf(address client, bytes32 subject)
        external
        view
        returns (Outcome outcome, bytes32 digest, uint256 payees);

    /// @notice What is due to the juror at a position of a ballot (the first is 1).
    function standingOf(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (uint64 seat, Standing standing);
}
