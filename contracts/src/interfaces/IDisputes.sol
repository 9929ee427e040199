// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Evidence } from "../types/Messages.sol";

/// @title Disputes: a server and a validator committed to different digests; an arbiter says which is right.
/// @notice None -> Opened -> Published -> Convicted | Rejected | Void; Opened -> Dismissed; Opened, Published -> Closed.
interface IDisputes {
    enum State {
        None,
        Opened, // waits for the input
        Published, // before the arbiter
        Convicted, // at least one of the two was wrong
        Rejected, // both were right
        Void, // the arbiter could not decide
        Dismissed, // the input was not published in time
        Closed // an accused seat was convicted elsewhere
    }

    /// @notice A dispute's facts. Emitted when it opens and given back with each later call; storage holds its hash.
    struct Record {
        bytes32 pool;
        bytes32 response;
        bytes32 inputHash;
        address opener;
        address user;
        address server;
        uint64 serverSeat;
        bytes32 serverSubject;
        bytes32 serverCommitment;
        address validator;
        uint64 validatorSeat;
        bytes32 validatorCommitment;
        uint64 lane;
        uint64 sequence;
        uint32 units;
        uint32 outputTokens; // the right digest is f's at this count
    }

    event DisputeOpened(
        uint256 indexed id, bytes32 indexed pool, bytes32 indexed response, Record record, uint256 until
    );
    event InputPublished(uint256 indexed id, bytes32 indexed pool, bytes input);
    event DisputeEnded(
        uint256 indexed id,
        bytes32 indexed pool,
        State state,
        bytes32 digest,
        bool serverWrong,
        bool validatorWrong,
        uint256 slashed,
        uint256 burnt
    );
    event JurorPaid(uint256 indexed id, uint64 indexed seat, uint8 ballot, uint256 position, uint256 amount);
    event JurorFined(uint256 indexed id, uint64 indexed seat, uint8 ballot, uint256 position, uint256 amount);

    error TooLate(uint256 until);
    error TooEarly(uint256 until);
    error NotParty(address caller);
    error AlreadyDisputed(bytes32 response, uint256 id);
    error WrongState(uint256 id, State state);
    error WrongRecord(uint256 id);
    error WrongInput(bytes32 expected, bytes32 given);
    error InputTooLarge(uint256 size, uint256 limit);
    error StillPending(uint256 id);
    error NothingConvicted(uint256 id);
    /// @notice An accused seat was convicted: no dispute opens over it, and an open one can only be closed.
    error SeatConvicted(bytes32 pool, uint64 seat);
    error JurorSettled(uint256 id, uint8 ballot, uint256 position);
    error JurorNotDue(uint256 id, uint8 ballot, uint256 position);

    /// @notice Opens a dispute; the caller is the response's user, server or validator and puts up the bond `J` + the freeze
    /// price, a user from its Bond account, the others from their Free account.
    function open(Evidence calldata evidence) external returns (uint256 id);

    /// @notice Publishes the input, which takes the case to the arbiter. Anyone may.
    function publish(uint256 id, Record calldata record, bytes calldata input) external;

    /// @notice Ends a dispute whose input was not published in time. The response may be disputed again.
    function dismiss(uint256 id, Record calldata record) external;

    /// @notice Carries out the arbiter's verdict. Anyone may.
    function resolve(uint256 id, Record calldata record) external;

    /// @notice Ends a dispute unjudged because an accused seat was convicted in another. The opener's bond makes up for what
    /// the convicted stake lacks to pay jurors that had voted.
    function close(uint256 id, Record calldata record) external;

    /// @notice Pays or fines jurors of an ended dispute. Anyone may.
    function settleJurors(uint256 id, Record calldata record, uint8 ballot, uint256[] calldata positions)
        external;

    function stateOf(uint256 id) external view returns (State);
    /// @notice The dispute that is open or decided over a response; 0 if none.
    function disputeOf(bytes32 response) external view returns (uint256);
    /// @notice Subject under which a dispute's case lies before the arbiter.
    function subjectOf(uint256 id) external view returns (bytes32);
}
