// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../interfaces/IArbiter.sol";
import { IBeacon } from "../interfaces/IBeacon.sol";
import { IJuryArbiter } from "../interfaces/IJuryArbiter.sol";
import { IStaking } from "../interfaces/IStaking.sol";
import { Conditions } from "../libraries/Conditions.sol";
import { Hashes } from "../libraries/Hashes.sol";
import { PoolStore } from "../libraries/PoolStore.sol";
import { Role } from "../types/Messages.sol";
import { PoolParams } from "../types/PoolParams.sol";

/// @title JuryArbiter: see IJuryArbiter.
contract JuryArbiter is IJuryArbiter {
    /// @dev Rounds between a ballot's opening and the one that draws its jury: its value can't exist yet.
    uint64 private constant DRAW_DELAY = 2;
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
    mapping(bytes32 key => mapping(uint8 ballot => Ballot)) private _ballots;
    /// @dev Jurors' places in the seat table of their round's epoch, eight 32-bit words a slot.
    mapping(bytes32 key => mapping(uint8 ballot => mapping(uint256 page => uint256))) private _places;
    mapping(bytes32 key => mapping(uint8 ballot => mapping(uint256 position => bytes32))) private
        _commitments;

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
        Ballot storage b = _ballots[key][ballot];
        require(b.size == 0, AlreadyDrawn(ballot));
        // Who is drawn is fined for silence, so nobody may hold the draw back until there is no time left to vote.
        uint256 until = b.commitEnd - p.windows.commit / 2;
        require(block.timestamp <= until, CommitClosed(until));
        uint32[] memory places =
            _drawPlaces(p, c.pool, b.round, Hashes.ballotSubject(subject, ballot), ballot);
        b.size = uint8(places.length);
        uint64[] memory seats = new uint64[](places.length);
        uint32 epoch = _epoch(p, b.round);
        uint256 word;
        for (uint256 i; i < places.length; ++i) {
            seats[i] = STAKING.seatAt(c.pool, epoch, places[i]);
            word |= uint256(places[i]) << (32 * (i % 8));
            if (i % 8 == 7 || i + 1 == places.length) {
                _places[key][ballot][i / 8] = word;
                word = 0;
            }
        }
        emit JuryDrawn(client, subject, ballot, seats);
    }

    /// @inheritdoc IJuryArbiter
    function commit(address client, bytes32 subject, uint256[] calldata positions, bytes32 commitment)
        external
    {
        (Case storage c, bytes32 key) = _pending(client, subject);
        require(commitment != 0, EmptyCommitment());
        PoolParams memory p = PoolStore.load(POOLS, c.pool);
        uint8 ballot = c.ballot;
        Ballot memory b = _ballots[key][ballot];
        require(b.size > 0, NotDrawnYet(ballot));
        require(block.timestamp <= b.commitEnd, CommitClosed(b.commitEnd));
        uint32 epoch = _epoch(p, b.round);
        for (uint256 i; i < positions.length; ++i) {
            uint256 position = positions[i];
            require(position < b.size, NotJuror(position, msg.sender));
            uint64 seat = STAKING.seatAt(c.pool, epoch, _placeAt(key, ballot, position));
            address owner = STAKING.seatOf(c.pool, seat).owner;
            require(
                msg.sender == owner || msg.sender == STAKING.keyAt(c.pool, owner, p.epochOf(block.timestamp)),
                NotJuror(position, msg.sender)
            );
            require(STAKING.isActive(c.pool, seat), SeatNotActive(seat));
            require(_commitments[key][ballot][position] == 0, AlreadyCommitted(position));
            _commitments[key][ballot][position] = commitment;
            emit Committed(client, subject, ballot, position, commitment);
        }
        _ballots[key][ballot].committed = b.committed + uint8(positions.length);
    }

    /// @inheritdoc IJuryArbiter
    function propose(address client, bytes32 subject, bytes32 digest) external {
        (Case storage c, bytes32 key) = _pending(client, subject);
        PoolParams memory p = PoolStore.load(POOLS, c.pool);
        uint8 ballot = c.ballot;
        Ballot memory b = _ballots[key][ballot];
        require(b.size > 0, NotDrawnYet(ballot));
        require(block.timestamp > b.commitEnd || b.committed == b.size, CommitOpen(b.commitEnd));
        require(block.timestamp <= b.proposeEnd, ProposeClosed(b.proposeEnd));
        uint256 matching;
        for (uint256 i; i < b.size; ++i) {
            if (_matches(p, c.pool, key, subject, ballot, b.round, i, digest)) ++matching;
        }
        uint256 needed = Conditions.quorum(b.size);
        require(matching >= needed, NoQuorum(matching, needed));
        _ballots[key][ballot].matching = uint8(matching);
        (c.outcome, c.digest) = (Outcome.Decided, digest);
        emit Decided(client, subject, ballot, digest, matching);
    }

    /// @inheritdoc IJuryArbiter
    function advance(address client, bytes32 subject) external {
        (Case storage c, bytes32 key) = _pending(client, subject);
        Ballot storage b = _ballots[key][c.ballot];
        // Without a jury there is nothing to propose.
        uint256 end = b.size == 0 ? b.commitEnd : b.proposeEnd;
        require(block.timestamp > end, BallotRunning(end));
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
            Ballot storage b = _ballots[key][ballot];
            payees += outcome == Outcome.Decided && ballot == c.ballot ? b.matching : b.committed;
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
        Ballot storage b = _ballots[key][ballot];
        if (position >= b.size) return (0, Standing.None);
        PoolParams memory p = PoolStore.load(POOLS, c.pool);
        seat = STAKING.seatAt(c.pool, _epoch(p, b.round), _placeAt(key, ballot, position));
        if (c.outcome == Outcome.Pending) return (seat, Standing.Pending);
        bool present = _commitments[key][ballot][position] != 0;
        if (c.outcome == Outcome.Decided && ballot == c.ballot) {
            present = _matches(p, c.pool, key, subject, ballot, b.round, position, c.digest);
        } else if (c.outcome == Outcome.Closed && ballot == c.ballot && !present) {
            // The case ended before this juror's time was up.
            return (seat, Standing.None);
        }
        standing = present ? Standing.Paid : Standing.Fined;
    }

    /// @inheritdoc IJuryArbiter
    function ballotOf(address client, bytes32 subject, uint8 ballot) external view returns (Ballot memory) {
        return _ballots[_key(client, subject)][ballot];
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
        bytes32 key = _key(client, subject);
        Ballot storage b = _ballots[key][ballot];
        require(position < b.size, NotJuror(position, msg.sender));
        bytes32 pool = _cases[key].pool;
        return
            STAKING.seatAt(
                pool, _epoch(PoolStore.load(POOLS, pool), b.round), _placeAt(key, ballot, position)
            );
    }

    /// @inheritdoc IJuryArbiter
    function commitmentOf(address client, bytes32 subject, uint8 ballot, uint256 position)
        external
        view
        returns (bytes32)
    {
        return _commitments[_key(client, subject)][ballot][position];
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _openBallot(PoolParams memory p, Case storage c, bytes32 key, address client, bytes32 subject)
        private
    {
        uint8 ballot = ++c.ballot;
        uint64 round = IBeacon(p.basis.beacon).roundAt(block.timestamp) + DRAW_DELAY;
        uint256 commitEnd = IBeacon(p.basis.beacon).timeOf(round) + p.windows.commit;
        uint256 proposeEnd = commitEnd + p.windows.propose;
        Ballot storage b = _ballots[key][ballot];
        (b.round, b.commitEnd, b.proposeEnd) = (round, uint40(commitEnd), uint40(proposeEnd));
        emit BallotOpened(client, subject, ballot, round, commitEnd, proposeEnd);
    }

    /// @dev Places in the seat table, drawn one after the other; one that was drawn already is passed over, so each jury is
    /// equally likely.
    function _drawPlaces(PoolParams memory p, bytes32 pool, uint64 round, bytes32 subject, uint8 ballot)
        private
        view
        returns (uint32[] memory places)
    {
        bytes32 randomness = IBeacon(p.basis.beacon).randomness(round);
        uint32 count = STAKING.seatCount(pool, _epoch(p, round));
        require(count > 0, PoolEmpty(pool));
        uint256 size = ballot == 1 ? p.limits.firstJury : p.limits.secondJury;
        if (size > count) size = count;
        places = new uint32[](size);
        uint256 filled;
        for (uint256 counter; filled < size; ++counter) {
            uint32 place = uint32(Hashes.draw(Hashes.DRAW_JURY, randomness, pool, subject, counter, count));
            uint256 i;
            while (i < filled && places[i] != place) ++i;
            if (i == filled) places[filled++] = place;
        }
    }

    function _matches(
        PoolParams memory p,
        bytes32 pool,
        bytes32 key,
        bytes32 subject,
        uint8 ballot,
        uint64 round,
        uint256 position,
        bytes32 digest
    ) private view returns (bool) {
        bytes32 commitment = _commitments[key][ballot][position];
        if (commitment == 0) return false;
        uint64 seat = STAKING.seatAt(pool, _epoch(p, round), _placeAt(key, ballot, position));
        address owner = STAKING.seatOf(pool, seat).owner;
        return
            commitment == Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), digest);
    }

    function _pending(address client, bytes32 subject) private view returns (Case storage c, bytes32 key) {
        key = _key(client, subject);
        c = _cases[key];
        require(c.outcome == Outcome.Pending, CaseNotPending(client, subject));
    }

    function _placeAt(bytes32 key, uint8 ballot, uint256 position) private view returns (uint256) {
        return uint32(_places[key][ballot][position / 8] >> (32 * (position % 8)));
    }

    function _epoch(PoolParams memory p, uint64 round) private view returns (uint32) {
        return p.epochOf(IBeacon(p.basis.beacon).timeOf(round));
    }

    function _key(address client, bytes32 subject) private pure returns (bytes32) {
        return keccak256(abi.encode(client, subject));
    }
}
