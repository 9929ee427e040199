// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Evidence, InferenceRequest, InferenceResponse } from "../types/Messages.sol";

/// @title Disputes over a response: its server against a validator that committed to another digest, or against an accuser.
/// An arbiter says which digest is right; all disputes over one response share its verdict.
/// @notice None -> Opened -> Published -> Convicted | Rejected | Void; Opened -> Dismissed; Opened, Published -> Closed.
/// Two responses to one request need no arbiter: None -> Proven -> Convicted | Closed.
interface IDisputes {
    enum State {
        None,
        Opened, // waits for the input
        Published, // before the arbiter
        Convicted, // at least one of the accused was wrong
        Rejected, // all were right
        Void, // the arbiter could not decide
        Dismissed, // the input was not published in time
        Closed, // an accused seat was convicted elsewhere
        Proven // the server signed two responses; its stake answers for other disputes first
    }

    /// @notice A dispute's facts. Emitted when it opens and given back with each later call; storage holds their hash.
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
        address validator; // 0: an accusation of the server alone
        uint64 validatorSeat;
        bytes32 validatorCommitment;
        uint64 lane;
        uint64 sequence;
        uint32 units;
        uint32 outputTokens; // the right digest is f's at this count
    }

    /// @notice What the disputes over one response share: their case before the arbiter.
    struct Case {
        address payer; // opened the first dispute: puts up the jury's pay, and is paid for finding the server's lie
        bool published;
        bool settled; // the jury's pay is set aside, the rest of what was put up is gone back
        bool repaid; // a conviction gave the payer back what the jury costs
        uint32 open; // disputes over the response that have not ended
        uint32 first; // the payer's dispute, while it is open
    }

    /// @notice `answer` is the response itself: what it says of its output must be what `f` gives, or no digest is right for it.
    event DisputeOpened(
        uint256 indexed id,
        bytes32 indexed pool,
        bytes32 indexed response,
        Record record,
        InferenceResponse answer,
        uint256 until
    );
    /// @notice A dispute whose response is before the arbiter already, by another dispute.
    event DisputeJoined(uint256 indexed id, bytes32 indexed pool, bytes32 indexed response);
    event InputPublished(uint256 indexed id, bytes32 indexed pool, bytes input);
    event EquivocationProven(
        uint256 indexed id, bytes32 indexed pool, address indexed server, bytes32 first, bytes32 second
    );
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
    event JurorPaid(
        bytes32 indexed response, uint64 indexed seat, uint8 ballot, uint256 position, uint256 amount
    );
    event JurorFined(
        bytes32 indexed response, uint64 indexed seat, uint8 ballot, uint256 position, uint256 amount
    );

    error NotModule(address caller);
    error TooLate(uint256 until);
    error TooEarly(uint256 until);
    error NotParty(address caller);
    error WrongState(uint256 id, State state);
    error WrongRecord(uint256 id);
    error WrongInput(bytes32 expected, bytes32 given);
    error InputTooLarge(uint256 size, uint256 limit);
    error StillPending(uint256 id);
    error NothingConvicted(uint256 id);
    /// @notice The case is over without a verdict: nothing can be decided over this response any more.
    error CaseOver(bytes32 response);
    /// @notice Another dispute over the response waits for the same verdict, which will end this one too.
    error CaseShared(bytes32 response);
    /// @notice Both responses are the same, or not to one request.
    error NoEquivocation();
    /// @notice Disputes over this seat come first.
    error DisputesOpen(uint64 seat, uint256 disputes);
    /// @notice An accused seat was convicted: no dispute opens over it, and an open one is closed or shares a verdict.
    error SeatConvicted(bytes32 pool, uint64 seat);
    error JurorSettled(bytes32 response, uint8 ballot, uint256 position);
    error JurorNotDue(bytes32 response, uint8 ballot, uint256 position);

    /// @notice Opens a dispute; the caller is the response's user, server or validator and puts up the bond `J` + the freeze
    /// price from its Free account.
    function open(Evidence calldata evidence) external returns (uint256 id);

    /// @notice Accuses the server of a response alone. Anyone may, with the same bond, before the response's dispute window ends.
    function accuse(
        InferenceRequest calldata request,
        InferenceResponse calldata response,
        bytes calldata signature
    ) external returns (uint256 id);

    /// @notice Shows two different responses that a server signed to one request. It is convicted at once; `resolve` takes its
    /// stake after the dispute window, when no dispute over the seat is left that comes first.
    function proveEquivocation(
        InferenceRequest calldata request,
        InferenceResponse calldata first,
        bytes calldata firstSignature,
        InferenceResponse calldata second,
        bytes calldata secondSignature
    ) external returns (uint256 id);

    /// @notice Publishes the input, which takes the response to the arbiter. Anyone may.
    function publish(uint256 id, Record calldata record, bytes calldata input) external;

    /// @notice Ends a dispute whose input was not published in time. The response may be disputed again.
    function dismiss(uint256 id, Record calldata record) external;

    /// @notice Carries out the arbiter's verdict, or a proof of equivocation. Anyone may.
    function resolve(uint256 id, Record calldata record) external;

    /// @notice Ends a dispute unjudged because an accused seat was convicted elsewhere, unless a verdict is there or another
    /// dispute over the response waits for one. The payer of the jury makes up for what the convicted stake lacks to pay
    /// jurors that had voted.
    function close(uint256 id, Record calldata record) external;

    /// @notice Pays or fines jurors of the case over a response once it is settled. Anyone may.
    function settleJurors(bytes32 pool, bytes32 response, uint8 ballot, uint256[] calldata positions) external;

    /// @notice Audits only: sets a jury budget aside for each open dispute over a convicted seat, out of a Case account.
    /// @return amount What was set aside, at most `left`.
    function setAside(bytes32 pool, uint64 seat, bytes32 from, uint256 left) external returns (uint256 amount);

    function stateOf(uint256 id) external view returns (State);
    function caseOf(bytes32 pool, bytes32 response) external view returns (Case memory);
    /// @notice Subject under which a response's case lies before the arbiter.
    function subjectOf(bytes32 response) external view returns (bytes32);
}
