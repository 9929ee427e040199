// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../interfaces/IArbiter.sol";
import { IJuryArbiter } from "../interfaces/IJuryArbiter.sol";
import { IStaking } from "../interfaces/IStaking.sol";
import { Clocks } from "../libraries/Clocks.sol";
import { Conditions } from "../libraries/Conditions.sol";
import { Hashes } from "../libraries/Hashes.sol";
import { Panel, PanelState, Panels } from "../libraries/Panels.sol";
import { PoolStore } from "../libraries/PoolStore.sol";
import { Role } from "../types/Messages.sol";
import { PoolParams } from "../types/PoolParams.sol";

/// @title JuryArbiter: see IJuryArbiter.
contract JuryArbiter is IJuryArbiter {
    uint8 private constant BALLOTS = 2;

    address public immutable POOLS;
    IStaking public immutable STAKING;

    struct Case {
        bytes32 pool;
        bytes32 digest;
        Outcome outcome;
        uint8 ballot;
    }

    mapping(bytes32 key => Case) private _cases;
    mapping(bytes32 key => mapping(uint8 ballot => Panel)) private _ballots;

    constructor(address pools, address staking) {
        POOLS = pools;
        STAKING = IStaking(staking);
    }

    // --------------------------------------------------------------------------------------------------- clients

    /// @inheritdoc IArbiter
    function open(bytes32 pool, bytes32 subject) external {
        bytes32 key = _key(msg.sender, subject);
        Case storage c = _cases[key];
        require(c.outcome == Outcome.None, CaseExists(msg.sender, subject));
        (c.pool, c.outcome) = (pool, Outcome.Pending);
        emit CaseOpened(msg.sender, subject, pool);
        _openBallot(PoolStore.load(POOLS, pool), c, key, msg.sender, subject);
    }

    /// @inheritdoc IArbiter
    function close(bytes32 subject) external {
        (Case storage c,) = _pending(msg.sender, subject);
        c.outcome = Outcome.Closed;
        emit CaseClosed(msg.sender, subject);
    }

    // ---------------------------------------------------------------------------------------------------- jurors

    /// @inheritdoc IJuryArbiter
    function draw(address client, bytes32 subject) external {
        (Case storage c, bytes32 key) = _pending(client, subject);
        PoolParams memory p = PoolStore.load(POOLS, c.pool);
        uint8 ballot = c.ballot;
        uint64[] memory seats = _ballots[key][ballot].draw(
            p,
            STAKING,
            c.pool,
            Hashes.DRAW_JURY,
            Hashes.ballotSubject(subject, ballot),
            ballot == 1 ? p.limits.firstJury : p.limits.secondJury
        );
        emit JuryDrawn(client, subject, ballot, seats);
    }

    /// @inheritdoc IJuryArbiter
    function commit(address client, bytes32 subject, uint256[] calldata positions, bytes32 commitment)
        external
    {
        (Case storage c, bytes32 key) = _pending(client, subject);
        uint8 ballot = c.ballot;
        _ballots[key][ballot].commit(PoolStore.load(POOLS, c.pool), STAKING, c.pool, positions, commitment);
        for (uint256 i; i < positions.length; ++i) {
            emit Committed(client, subject, ballot, positions[i], commitment);
        }
    }

    /// @inheritdoc IJuryArbiter
    function propose(address client, bytes32 subject, bytes32 digest) external {
        (Case storage c, bytes32 key) = _pending(client, subject);
        uint8 ballot = c.ballot;
        Panel storage panel = _ballots[key][ballot];
        panel.requireProposable();
        uint8 matching =
            panel.count(STAKING, c.pool, Role.Juror, Hashes.ballotSubject(subject, ballot), digest);
        uint256 needed = Conditions.quorum(panel.state.size);
        require(matching >= needed, NoQuorum(matching, needed));
        panel.state.matching = matching;
        (c.outcome, c.digest) = (Outcome.Decided, digest);
        // A jury that did not agree is judged by the verdict too, or blocking one would be paid.
        for (uint8 earlier = 1; earlier < ballot; ++earlier) {
            Panel storage before = _ballots[key][earlier];
            before.state.matching =
                before.count(STAKING, c.pool, Role.Juror, Hashes.ballotSubject(subject, earlier), digest);
        }
        emit Decided(client, subject, ballot, digest, matching);
    }

    /// @inheritdoc IJuryArbiter
    function advance(address client, bytes32 subject) external {
        (Case storage c, bytes32 key) = _pending(client, subject);
        _ballots[key][c.ballot].requireOver();
        if (c.ballot == BALLOTS) {
            c.outcome = Outcome.Void;
            emit CaseVoid(client, subject);
        } else {
            _openBallot(PoolStore.load(POOLS, c.pool), c, key, client, subject);
        }
    }

    // ----------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IArbiter
    function outcomeOf(address client, bytes32 subject)
        external
        view
        returns (Outcome outcome, bytes32 digest, uint256 payees)
    {
        bytes32 key = _key(client, subject);
        Case storage c = _cases[key];
        (outcome, digest) = (c.outcome, c.digest);
        if (outcome == Outcome.None || outcome == Outcome.Pending) return (outcome, 0, 0);
        for (uint8 ballot = 1; ballot <= c.ballot; ++ballot) {
            PanelState memory s = _ballots[key][ballot].state;
            payees += outcome == Outcome.Decided ? s.matching : s.committed;
        }
    }

    /// @inheritdoc IArbiter
    function standingOf(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (uint64 seat, Standing standing)
    {
        bytes32 key = _key(client, subject);
        Case storage c = _cases[key];
        Panel storage panel = _ballots[key][ballot];
        if (position >= panel.state.size) return (0, Standing.None);
        seat = panel.seatAt(position);
        if (c.outcome == Outcome.Pending) return (seat, Standing.Pending);
        bool present = panel.commitments[position] != 0;
        if (c.outcome == Outcome.Decided) {
            bytes32 subject_ = Hashes.ballotSubject(subject, ballot);
            present = panel.matches(STAKING, c.pool, Role.Juror, subject_, position, c.digest);
        } else if (c.outcome == Outcome.Closed && ballot == c.ballot && !present) {
            // The case ended before this juror's time was up.
            return (seat, Standing.None);
        }
        standing = present ? Standing.Paid : Standing.Fined;
    }

    /// @inheritdoc IJuryArbiter
    function ballotOf(address client, bytes32 subject, uint8 ballot)
        external
        view
        returns (PanelState memory)
    {
        return _ballots[_key(client, subject)][ballot].state;
    }

    /// @inheritdoc IJuryArbiter
    function currentBallot(address client, bytes32 subject) external view returns (uint8) {
        return _cases[_key(client, subject)].ballot;
    }

    /// @inheritdoc IJuryArbiter
    function seatOfJuror(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (uint64)
    {
        Panel storage panel = _ballots[_key(client, subject)][ballot];
        require(position < panel.state.size, Panels.NotMember(position, msg.sender));
        return panel.seatAt(position);
    }

    /// @inheritdoc IJuryArbiter
    function commitmentOf(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (bytes32)
    {
        return _ballots[_key(client, subject)][ballot].commitments[position];
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _openBallot(PoolParams memory p, Case storage c, bytes32 key, address client, bytes32 subject)
        private
    {
        uint8 ballot = ++c.ballot;
        Panel storage panel = _ballots[key][ballot];
        panel.open(p, Clocks.read(p.basis.beacon));
        PanelState memory s = panel.state;
        emit BallotOpened(client, subject, ballot, s.round, s.commitEnd, s.proposeEnd);
    }

    function _pending(address client, bytes32 subject) private view returns (Case storage c, bytes32 key) {
        key = _key(client, subject);
        c = _cases[key];
        require(c.outcome == Outcome.Pending, CaseNotPending(client, subject));
    }

    function _key(address client, bytes32 subject) private pure returns (bytes32) {
        return keccak256(abi.encode(client, subject));
    }
}
