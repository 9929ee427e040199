// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../interfaces/IBeacon.sol";
import { IStaking } from "../interfaces/IStaking.sol";
import { PoolParams } from "../types/PoolParams.sol";
import { Role } from "../types/Messages.sol";
import { Clock } from "./Clocks.sol";
import { Hashes } from "./Hashes.sol";

using Panels for Panel global;

/// @notice Where a panel stands.
struct PanelState {
    uint64 round; // draws its members
    uint40 commitEnd; // unix seconds
    uint40 proposeEnd;
    uint8 size; // 0 until drawn
    uint8 committed;
    uint8 matching; // commitments to what was decided
}

/// @notice Seats that say what the one right digest is.
struct Panel {
    PanelState state;
    mapping(uint256 page => uint256) seats; // four a word
    mapping(uint256 position => bytes32) commitments;
}

/// @title Commit and reveal at once: seats are drawn from a later round, each commits to the digest it found, and one proposal
/// of a digest counts every commitment that is to it. Nobody opens a commitment.
library Panels {
    error AlreadyDrawn();
    error NotDrawnYet();
    error PoolEmpty(bytes32 pool);
    error CommitClosed(uint256 endedAt);
    error CommitOpen(uint256 until);
    error ProposeClosed(uint256 endedAt);
    error PanelRunning(uint256 until);
    error NotMember(uint256 position, address caller);
    error SeatNotActive(uint64 seat);
    error AlreadyCommitted(uint256 position);
    error EmptyCommitment();

    function open(Panel storage self, PoolParams memory p, Clock memory clock) internal {
        uint64 round = clock.drawing(p.windows.lag);
        uint256 commitEnd = clock.timeOf(round) + p.windows.commit;
        PanelState storage s = self.state;
        (s.round, s.commitEnd, s.proposeEnd) =
        (round, uint40(commitEnd), uint40(commitEnd + p.windows.propose));
    }

    /// @notice Draws `size` members, or the whole pool if it has fewer seats: one after the other, passing over who was drawn
    /// already, so that each panel is equally likely.
    function draw(
        Panel storage self,
        PoolParams memory p,
        IStaking staking,
        bytes32 pool,
        bytes32 domain,
        bytes32 subject,
        uint256 size
    ) internal returns (uint64[] memory seats) {
        PanelState storage s = self.state;
        require(s.size == 0, AlreadyDrawn());
        // Who is drawn is fined for silence, so nobody may hold the draw back until there is no time left to vote.
        uint256 until = s.commitEnd - p.windows.commit / 2;
        require(block.timestamp <= until, CommitClosed(until));
        bytes32 randomness = IBeacon(p.basis.beacon).randomness(s.round);
        uint32 epoch = p.epochOf(uint256(s.commitEnd) - p.windows.commit);
        uint32 total = staking.seatCount(pool, epoch);
        require(total > 0, PoolEmpty(pool));
        if (size > total) size = total;
        seats = _places(randomness, domain, pool, subject, size, total);
        seats = staking.seatsAt(pool, epoch, seats);
        for (uint256 i; i < size; i += 4) {
            uint256 word;
            for (uint256 j; j < 4 && i + j < size; ++j) {
                word |= uint256(seats[i + j]) << (64 * j);
            }
            self.seats[i / 4] = word;
        }
        s.size = uint8(size);
    }

    /// @notice Commits at positions that the caller owns, or signs for now.
    function commit(
        Panel storage self,
        PoolParams memory p,
        IStaking staking,
        bytes32 pool,
        uint256[] calldata positions,
        bytes32 commitment
    ) internal {
        PanelState memory s = self.state;
        require(commitment != 0, EmptyCommitment());
        require(s.size > 0, NotDrawnYet());
        require(block.timestamp <= s.commitEnd, CommitClosed(s.commitEnd));
        for (uint256 i; i < positions.length; ++i) {
            uint256 position = positions[i];
            require(position < s.size, NotMember(position, msg.sender));
            uint64 seat = self.seatAt(position);
            (address owner, bool active) = staking.standingOf(pool, seat);
            require(
                msg.sender == owner || msg.sender == staking.keyAt(pool, owner, p.epochOf(block.timestamp)),
                NotMember(position, msg.sender)
            );
            require(active, SeatNotActive(seat));
            require(self.commitments[position] == 0, AlreadyCommitted(position));
            self.commitments[position] = commitment;
        }
        self.state.committed = s.committed + uint8(positions.length);
    }

    /// @notice Reverts unless a digest may be proposed now: all have committed, or their time is up.
    function requireProposable(Panel storage self) internal view {
        PanelState memory s = self.state;
        require(s.size > 0, NotDrawnYet());
        require(block.timestamp > s.commitEnd || s.committed == s.size, CommitOpen(s.commitEnd));
        require(block.timestamp <= s.proposeEnd, ProposeClosed(s.proposeEnd));
    }

    /// @notice Reverts unless the panel's time is up; without members there is nothing to propose.
    function requireOver(Panel storage self) internal view {
        PanelState memory s = self.state;
        uint256 end = s.size == 0 ? s.commitEnd : s.proposeEnd;
        require(block.timestamp > end, PanelRunning(end));
    }

    /// @notice Number of commitments that are to `digest`.
    function count(
        Panel storage self,
        IStaking staking,
        bytes32 pool,
        Role role,
        bytes32 subject,
        bytes32 digest
    ) internal view returns (uint8 matching) {
        uint256 size = self.state.size;
        address[] memory owners = staking.ownersOf(pool, self.members(size));
        for (uint256 i; i < size; ++i) {
            if (self.commitments[i] == Hashes.commitment(role, owners[i], subject, digest)) ++matching;
        }
    }

    /// @notice Whether the member at `position` committed to `digest`.
    function matches(
        Panel storage self,
        IStaking staking,
        bytes32 pool,
        Role role,
        bytes32 subject,
        uint256 position,
        bytes32 digest
    ) internal view returns (bool) {
        address owner = staking.seatOf(pool, self.seatAt(position)).owner;
        return self.commitments[position] == Hashes.commitment(role, owner, subject, digest);
    }

    function seatAt(Panel storage self, uint256 position) internal view returns (uint64) {
        return uint64(self.seats[position / 4] >> (64 * (position % 4)));
    }

    function members(Panel storage self, uint256 size) internal view returns (uint64[] memory seats) {
        seats = new uint64[](size);
        for (uint256 i; i < size; i += 4) {
            uint256 word = self.seats[i / 4];
            for (uint256 j; j < 4 && i + j < size; ++j) {
                seats[i + j] = uint64(word >> (64 * j));
            }
        }
    }

    /// @dev Distinct places below `total`, in the order drawn. A table of hashed places finds repeats in constant time.
    function _places(
        bytes32 randomness,
        bytes32 domain,
        bytes32 pool,
        bytes32 subject,
        uint256 size,
        uint256 total
    ) private pure returns (uint64[] memory places) {
        places = new uint64[](size);
        uint256 mask = 7;
        while (mask < 2 * size) mask = 2 * mask + 1;
        uint256[] memory table = new uint256[](mask + 1);
        uint256 filled;
        for (uint256 counter; filled < size; ++counter) {
            uint256 place = Hashes.draw(domain, randomness, pool, subject, counter, total);
            uint256 slot = place & mask;
            while (table[slot] != 0 && table[slot] != place + 1) slot = (slot + 1) & mask;
            if (table[slot] != 0) continue;
            table[slot] = place + 1;
            places[filled++] = uint64(place);
        }
    }
}
