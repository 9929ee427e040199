// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { InferenceRequest, InferenceResponse } from "../types/Messages.sol";
import { Span } from "../types/Redemptions.sol";

/// @title Audits: proof of sampling over what was redeemed, which needs no user.
/// @notice A later round draws from a redemption's responses, by their number and by their units. For each audit the server opens the
/// response under the root that its user signed, and publishes the input; Sampling has validators recompute it. Who stays silent or was
/// wrong is convicted. A redemption vests when its audits are settled.
/// @notice Redemption: None -> Registered -> Drawn -> Settled. Audit: None -> Opened -> Settled; None -> Silent.
interface IAudits {
    enum State {
        None,
        Registered, // waits for its round
        Drawn, // audits are running
        Settled
    }

    enum AuditState {
        None, // drawn, not opened yet
        Opened, // before the validators
        Settled,
        Silent // not opened in time
    }

    /// @notice A redemption's facts. Emitted and given back with each later call; storage holds their hash.
    struct Redemption {
        bytes32 pool;
        address server;
        uint32 epoch;
        uint64 round; // draws the audits
        uint256 count; // responses that it paid
        uint256 units; // their units
        uint256 reward;
        bytes32 spans; // hash of the lanes' parts
    }

    /// @notice What storage holds of a redemption.
    struct Progress {
        bytes32 record; // hash of the redemption
        State state;
        uint32 audits; // drawn
        uint32 over; // of them
        uint40 until; // end of the audit window
        uint128 advance; // of the reward, that guarantees the audits' cost
    }

    /// @notice A redeemed response, and its place under the voucher's root.
    struct Leaf {
        InferenceRequest request;
        InferenceResponse response;
        uint64 count; // the lane's totals after it
        uint64 units;
        bytes32[] siblings;
        bytes32[] peaks;
    }

    /// @notice An opened audit's facts. Emitted and given back with each later call; storage holds their hash.
    struct Audit {
        bytes32 pool;
        address server;
        uint64 seat;
        address user;
        uint32 units;
        uint32 outputTokens; // the right digest is f's at this count
        bytes32 inputHash;
        bytes32 subject; // of the server's commitment
        bytes32 commitment;
    }

    event Registered(
        uint256 indexed id, bytes32 indexed pool, address indexed server, Redemption redemption, Span[] spans
    );
    event AuditsDrawn(uint256 indexed id, bytes32 indexed pool, uint256 audits, uint256 until);
    /// @notice The redemption's round never came on-chain: it ends without audits.
    event RoundLost(uint256 indexed id, uint64 round);
    /// @notice `answer` is the response itself: what it says of its output must be what `f` gives, or no digest is right for it.
    event AuditOpened(
        uint256 indexed id,
        uint32 indexed index,
        bytes32 indexed pool,
        Audit audit,
        InferenceResponse answer,
        bytes input
    );
    event AuditSettled(
        uint256 indexed id,
        uint32 indexed index,
        bytes32 digest,
        bool serverWrong,
        uint256 slashed,
        uint256 burnt
    );
    event AuditSilent(uint256 indexed id, uint32 indexed index, uint64 seat, uint256 slashed);
    event RedemptionSettled(uint256 indexed id, uint256 vesting);
    event ValidatorPaid(uint256 indexed id, uint32 indexed index, uint64 indexed seat, uint256 amount);
    event ValidatorFined(uint256 indexed id, uint32 indexed index, uint64 indexed seat, uint256 amount);
    event ValidatorSlashed(uint256 indexed id, uint32 indexed index, uint64 indexed seat, uint256 amount);
    event JurorPaid(uint256 indexed id, uint32 indexed index, uint64 indexed seat, uint256 amount);
    event JurorFined(uint256 indexed id, uint32 indexed index, uint64 indexed seat, uint256 amount);

    error NotModule(address caller);
    error WrongRecord(uint256 id);
    error WrongState(uint256 id, State state);
    error WrongAuditState(uint256 id, uint32 index, AuditState state);
    error WrongSpans(uint256 id);
    error NoSuchAudit(uint256 id, uint32 index);
    /// @notice Neither the pool's stock for audits nor the reward covers them yet: the stock fills with every redemption.
    error AuditsNotFunded(uint256 needed, uint256 available);
    /// @notice One redemption may be drawn so many audits that they can't be counted.
    error TooManyAudits(uint256 audits);
    error BeaconFailed(uint64 round);
    error TooLate(uint256 until);
    error TooEarly(uint256 until);
    error WrongLeaf(bytes32 root);
    /// @notice The response is not the one that was drawn.
    error NotDrawn(uint64 count, uint64 units);
    error WrongRequest(bytes32 expected, bytes32 given);
    /// @notice More than the request allowed, or the pool allows any.
    error UnitsOverLimit(uint256 units, uint256 limit);
    error WrongInput(bytes32 expected, bytes32 given);
    error InputTooLarge(uint256 size, uint256 limit);
    error NotServersSeat(uint64 seat, address server);
    /// @notice The seat holds less than a stake; one that holds it is to answer for the server's silence.
    error SeatNotFull(uint64 seat);
    error StillPending(uint256 id, uint32 index);
    error NotDue(uint256 id, uint32 index, uint256 position);
    error AlreadySettled(uint256 id, uint32 index, uint256 position);

    /// @notice Lanes only: a redemption whose reward waits for its audits.
    function register(bytes32 pool, address server, uint32 epoch, uint256 reward, Span[] calldata spans)
        external;

    /// @notice Draws a redemption's audits, once its round is on-chain and their cost is there. Anyone may. A round that never came in four
    /// unbonding periods ends the redemption without audits.
    function draw(uint256 id, Redemption calldata redemption) external;

    /// @notice Opens an audit: shows the response that was drawn and publishes its input. Anyone may.
    /// @param standIn A seat of the server's that answers in place of one that could have left before the redemption; else unused.
    function open(
        uint256 id,
        uint32 index,
        Redemption calldata redemption,
        Span[] calldata spans,
        Leaf calldata leaf,
        uint64 standIn,
        bytes calldata input
    ) external;

    /// @notice Convicts a server that did not open an audit in time, by one of its seats that holds a stake. If all its seats are
    /// leaving or suspended, one that holds half will do after another audit window, and so on. Anyone may.
    function convictSilent(uint256 id, uint32 index, Redemption calldata redemption, uint64 seat) external;

    /// @notice Carries out what the validators or the arbiter found; slashes validators that were wrong. Anyone may.
    function settle(uint256 id, uint32 index, Redemption calldata redemption, Audit calldata audit) external;

    /// @notice Pays or fines validators of a settled audit. Anyone may.
    function settleValidators(uint256 id, uint32 index, Audit calldata audit, uint256[] calldata positions)
        external;

    /// @notice Pays or fines jurors of a settled audit's case. Anyone may.
    function settleJurors(
        uint256 id,
        uint32 index,
        Audit calldata audit,
        uint8 ballot,
        uint256[] calldata positions
    ) external;

    /// @notice Which response of a redemption an audit is over: by number or by unit, counted over its spans.
    /// @return byUnit Whether `offset` counts units.
    /// @return offset From 0.
    function targetOf(uint256 id, uint32 index, Redemption calldata redemption)
        external
        view
        returns (bool byUnit, uint256 offset);

    /// @notice What stock and reward lack of what a redemption's audits may cost; its round is on-chain.
    function lackingOf(uint256 id, Redemption calldata redemption) external view returns (uint256);

    function progressOf(uint256 id) external view returns (Progress memory);
    function auditStateOf(uint256 id, uint32 index) external view returns (AuditState);
    /// @notice The id under which Sampling knows an audit.
    function assertionOf(uint256 id, uint32 index) external pure returns (bytes32);
}
