// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { PanelState } from "../libraries/Panels.sol";
import { IArbiter } from "./IArbiter.sol";

/// @title An arbiter by juries of seats: commit, then one proposal that opens every equal commitment.
/// @notice A ballot: its jury is drawn from a round after the case was opened; each juror recomputes and commits; when the
/// commit window has closed, or everybody has committed, anyone proposes a digest, and the contract counts the commitments
/// that are to it. Two thirds of the jury make a verdict. A ballot without one goes to the second, larger jury; a second
/// one without makes the case void.
interface IJuryArbiter is IArbiter {
    event CaseOpened(address indexed client, bytes32 indexed subject, bytes32 indexed pool);
    event BallotOpened(
        address indexed client,
        bytes32 indexed subject,
        uint8 ballot,
        uint64 round,
        uint256 commitEnd,
        uint256 proposeEnd
    );
    event JuryDrawn(address indexed client, bytes32 indexed subject, uint8 ballot, uint64[] seats);
    event Committed(
        address indexed client, bytes32 indexed subject, uint8 ballot, uint256 position, bytes32 commitment
    );
    event Decided(
        address indexed client, bytes32 indexed subject, uint8 ballot, bytes32 digest, uint256 matching
    );
    event CaseVoid(address indexed client, bytes32 indexed subject);
    event CaseClosed(address indexed client, bytes32 indexed subject);

    error CaseExists(address client, bytes32 subject);
    error CaseNotPending(address client, bytes32 subject);
    /// @notice Too few commitments are to the proposed digest. What else a ballot refuses: Panels.
    error NoQuorum(uint256 matching, uint256 needed);

    /// @notice Draws the current ballot's jury, once its round's value is on-chain and while half of the commit window is left.
    /// Anyone may.
    function draw(address client, bytes32 subject) external;

    /// @notice Commits at the caller's positions of the current jury. The caller owns their seats or signs for the owner.
    /// @param commitment `Hashes.commitment(Juror, owner, ballot subject, digest)`.
    function commit(address client, bytes32 subject, uint256[] calldata positions, bytes32 commitment)
        external;

    /// @notice Decides the case for `digest` if two thirds of the jury committed to it. Anyone may.
    function propose(address client, bytes32 subject, bytes32 digest) external;

    /// @notice Ends a ballot that ran out without a verdict. Anyone may.
    function advance(address client, bytes32 subject) external;

    function ballotOf(address client, bytes32 subject, uint8 ballot) external view returns (PanelState memory);
    /// @notice Number of the current ballot, 1 or 2.
    function currentBallot(address client, bytes32 subject) external view returns (uint8);
    function seatOfJuror(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (uint64);
    function commitmentOf(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (bytes32);
}
