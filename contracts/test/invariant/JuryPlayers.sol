// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IJuryArbiter } from "../../src/interfaces/IJuryArbiter.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PanelState } from "../../src/libraries/Panels.sol";
import { Role } from "../../src/types/Messages.sol";
import { Players } from "./Players.sol";

/// @dev Juries over disputes and over audits. Honest jurors commit to the right digest as soon as they are drawn; others are
/// absent, lie, or collude, short of a quorum.
abstract contract JuryPlayers is Players {
    mapping(bytes32 subject => mapping(uint8 ballot => uint256)) private _right;
    mapping(bytes32 subject => mapping(uint8 ballot => uint256)) private _wrong;
    mapping(bytes32 subject => mapping(uint8 ballot => bool)) private _hasVoted;

    /// @dev The next step of a ballot.
    function _vote(address client, bytes32 subject, uint256 dice) internal {
        uint8 ballot = arbiter.currentBallot(client, subject);
        PanelState memory b = arbiter.ballotOf(client, subject, ballot);
        if (b.size == 0) {
            _drawOrMiss(client, subject, ballot, b, dice);
        } else if (_now() <= b.commitEnd && !_hasVoted[subject][ballot] && dice % 16 != 0) {
            _hasVoted[subject][ballot] = true;
            for (uint256 i; i < b.size; ++i) {
                _voteOne(client, subject, ballot, i, uint256(keccak256(abi.encode(dice, i))) % 16, dice);
            }
            ++count["commit"];
        } else {
            _decide(client, subject, ballot, b);
        }
    }

    /// @dev Invariant 4 for jurors.
    function _requirePaidIfHonest(uint64 seat, IArbiter.Standing standing) internal view {
        bool honest = isHonest[staking.seatOf(pool, seat).owner];
        assertTrue(!honest || standing == IArbiter.Standing.Paid, "4: an honest juror");
    }

    function _drawOrMiss(address client, bytes32 subject, uint8 ballot, PanelState memory b, uint256 dice)
        private
    {
        if (dice % 8 == 0 || _now() > b.commitEnd - params.windows.commit / 2) {
            if (_now() <= b.commitEnd) vm.warp(uint256(b.commitEnd) + 1);
            arbiter.advance(client, subject);
            ++count["advance"];
            return;
        }
        reach(b.round, keccak256(abi.encode("jury", b.round)));
        arbiter.draw(client, subject);
        uint256 size = arbiter.ballotOf(client, subject, ballot).size;
        for (uint256 i; i < size; ++i) {
            (address owner, bool active) =
                staking.standingOf(pool, arbiter.seatOfJuror(client, subject, ballot, i));
            if (isHonest[owner] && active) _commit(client, subject, ballot, i, owner, RIGHT);
        }
        ++count["draw"];
    }

    function _voteOne(
        address client,
        bytes32 subject,
        uint8 ballot,
        uint256 position,
        uint256 chance,
        uint256 dice
    ) private {
        (address owner, bool active) =
            staking.standingOf(pool, arbiter.seatOfJuror(client, subject, ballot, position));
        if (isHonest[owner] || !active) return;
        bool collude = dice >> 32 & 3 == 0;
        uint256 quorum = Conditions.quorum(arbiter.ballotOf(client, subject, ballot).size);
        if (!collude && chance < 13 - dice / 16 % 4) {
            _commit(client, subject, ballot, position, owner, RIGHT);
        } else if ((collude || chance == 15) && _wrong[subject][ballot] + 1 < quorum) {
            _commit(client, subject, ballot, position, owner, WRONG);
        }
    }

    function _commit(
        address client,
        bytes32 subject,
        uint8 ballot,
        uint256 position,
        address owner,
        bytes32 digest
    ) private {
        bytes32 commitment =
            Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), digest);
        vm.prank(owner);
        arbiter.commit(client, subject, one(position), commitment);
        if (digest == RIGHT) ++_right[subject][ballot];
        else ++_wrong[subject][ballot];
    }

    /// @dev Only the right digest can have a quorum.
    function _decide(address client, bytes32 subject, uint8 ballot, PanelState memory b) private {
        if (_now() <= b.commitEnd && b.committed < b.size) vm.warp(uint256(b.commitEnd) + 1);
        if (_wrong[subject][ballot] > 0) {
            bytes memory lie = abi.encodeCall(IJuryArbiter.propose, (client, subject, WRONG));
            _refused(address(arbiter), lie, "4: a minority decided");
        }
        if (_now() <= b.proposeEnd && _right[subject][ballot] >= Conditions.quorum(b.size)) {
            arbiter.propose(client, subject, RIGHT);
            ++count["propose"];
        } else {
            if (_now() <= b.proposeEnd) vm.warp(uint256(b.proposeEnd) + 1);
            arbiter.advance(client, subject);
            ++count["advance"];
        }
    }
}
