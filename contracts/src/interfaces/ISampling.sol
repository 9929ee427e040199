// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { PanelState } from "../libraries/Panels.sol";

/// @title Proof of sampling for any deterministic function: somebody asserts `f(x)`, seats drawn from a pool recompute it.
/// @notice A client contract opens an assertion once `x` is public, with a commitment of the asserter's to `f(x)`. A later round draws
/// `auditSize` seats of the pool; each commits to what it found. A proposal that opens the asserter's and every validator's
/// commitment ends it; any other outcome goes to the pool's arbiter, whose verdict holds. This contract knows neither `f`, nor
/// money, nor when to ask: it returns facts, and its client pays, slashes and fines by them.
interface ISampling {
    enum Outcome {
        None,
        Pending,
        Decided, // by validators who all agree with the asserter, or by the arbiter
        Void // the arbiter could not decide
    }

    /// @notice What a validator's commitment has come to.
    enum Standing {
        None,
        Pending,
        Paid,
        Fined, // silent
        Wrong // committed to another digest
    }

    /// @notice A digest that somebody committed to. Emitted when it is opened and given back with each later call.
    struct Assertion {
        bytes32 pool; // whose seats recompute it
        address asserter;
        bytes32 subject; // of the asserter's commitment
        bytes32 commitment; // Hashes.commitment(Server, asserter, subject, digest)
    }

    event AssertionOpened(
        address indexed client,
        bytes32 indexed id,
        bytes32 indexed pool,
        Assertion assertion,
        PanelState panel
    );
    event ValidatorsDrawn(address indexed client, bytes32 indexed id, uint64[] seats);
    event Committed(address indexed client, bytes32 indexed id, uint256[] positions, bytes32 commitment);
    event Agreed(address indexed client, bytes32 indexed id, bytes32 digest, uint256 matching);
    event Escalated(address indexed client, bytes32 indexed id, bytes32 subject);

    error AssertionExists(address client, bytes32 id);
    error WrongAssertion(address client, bytes32 id);
    error AssertionNotPending(address client, bytes32 id);
    /// @notice The proposed digest is neither the asserter's nor any validator's.
    error NothingMatches();

    /// @notice Opens an assertion of the caller's. Its `x` is public.
    function open(bytes32 id, Assertion calldata assertion) external;

    /// @notice Draws the validators, once the panel's round is on-chain. Anyone may.
    function draw(address client, bytes32 id, Assertion calldata assertion) external;

    /// @notice Commits at the caller's positions.
    /// @param commitment `Hashes.commitment(Validator, owner, subjectOf(client, id), digest)`.
    function commit(
        address client,
        bytes32 id,
        Assertion calldata assertion,
        uint256[] calldata positions,
        bytes32 commitment
    ) external;

    /// @notice Ends the assertion if the asserter and every validator that committed, one at least, did so to `digest`; if only
    /// some did, the arbiter decides. Anyone may.
    function propose(address client, bytes32 id, Assertion calldata assertion, bytes32 digest) external;

    /// @notice Takes an assertion whose time is up to the arbiter. Anyone may.
    function advance(address client, bytes32 id, Assertion calldata assertion) external;

    /// @return outcome State of the assertion.
    /// @return digest The right one, if decided.
    /// @return validators Number of validators to be paid.
    /// @return jurors Number of juror's pays that the arbiter's case owes.
    function outcomeOf(address client, bytes32 id)
        external
        view
        returns (Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors);

    function standingOf(address client, bytes32 id, uint256 position)
        external
        view
        returns (uint64 seat, Standing standing);

    function panelOf(address client, bytes32 id) external view returns (PanelState memory);
    function seatOfValidator(address client, bytes32 id, uint256 position) external view returns (uint64);

    /// @notice Subject of the validators' commitments, and of the case before the arbiter.
    function subjectOf(address client, bytes32 id) external view returns (bytes32);
}
