// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev An audit's course with any votes of its validators: it ends, everybody gets what is due, and no money is made or lost.
contract AuditsCourseTest is AuditTest {
    enum Vote {
        Silent,
        Right,
        Wrong
    }

    struct Slim {
        uint256 id;
        IAudits.Redemption r;
    }

    Slim private job;
    IAudits.Audit private a;
    bytes32 private assertion;
    Vote[N] private votes;

    function _begin(bool lies) private {
        fillStock();
        Job memory made = redeemEven(0, 7, 10, lies ? WRONG : RIGHT);
        audit(made, 1, 0, 6);
        a = openAt(made, 0, 0, 6);
        (job.id, job.r) = (made.id, made.r);
        assertion = audits.assertionOf(job.id, 0);
        drawPanelWithout(address(audits), assertion, assertionOf(a), 0);
    }

    function _vote(uint256 seed) private returns (uint256 rights, uint256 wrongs) {
        for (uint256 i; i < N; ++i) {
            votes[i] = Vote((seed >> (8 * i)) % 3);
            if (votes[i] == Vote.Silent) continue;
            bool right = votes[i] == Vote.Right;
            commitAudit(job.id, 0, a, i, i + 1, right ? RIGHT : WRONG);
            if (right) ++rights;
            else ++wrongs;
        }
        vm.warp(uint256(sampling.panelOf(address(audits), assertion).commitEnd) + 1);
    }

    /// @dev Proposes one of the digests, if anybody committed to it, or nothing; brings the assertion to its end.
    function _decide(uint256 proposal, bool voided) private {
        bytes32 digest = proposal == 0 ? RIGHT : WRONG;
        bool proposed;
        if (proposal < 2) {
            try sampling.propose(address(audits), assertion, assertionOf(a), digest) {
                proposed = true;
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), ISampling.NothingMatches.selector);
            }
        }
        if (!proposed) {
            vm.warp(uint256(sampling.panelOf(address(audits), assertion).proposeEnd) + 1);
            sampling.advance(address(audits), assertion, assertionOf(a));
        }
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), assertion);
        if (outcome == ISampling.Outcome.Decided) return;
        if (voided) voidCase(address(audits), assertion);
        else judge(address(audits), assertion, RIGHT);
    }

    /// @dev Silence costs a penalty, another digest than the right one a stake, and nothing else anything.
    function _settleValidators(bool decided, bytes32 digest) private {
        settleAllValidators(job.id, 0, a);
        for (uint256 i; i < N; ++i) {
            (, uint64 seat) = validatorOf(job.id, 0, i);
            uint256 lost = uint256(params.prices.seatStake) + params.prices.seatFloat - seatBalance(seat);
            bool differs = decided && votes[i] != Vote.Silent && (votes[i] == Vote.Right) != (digest == RIGHT);
            if (votes[i] == Vote.Silent) assertEq(lost, params.prices.jurorPenalty);
            else assertEq(lost, differs ? uint256(params.prices.seatStake) : 0);
        }
    }

    function testFuzz_AnyCourseEndsAndPaysWhatIsDue(bool lies, uint24 seed, uint8 proposal, bool voided)
        public
    {
        _begin(lies);
        (uint256 rights, uint256 wrongs) = _vote(seed);
        _decide(proposal % 3, voided);
        (ISampling.Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors) =
            sampling.outcomeOf(address(audits), assertion);
        bool decided = outcome == ISampling.Outcome.Decided;
        if (decided && digest == WRONG) {
            // Only where all who came colluded with the server.
            assertTrue(lies && rights == 0 && wrongs > 0);
        }
        audits.settle(job.id, 0, job.r, a);
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        assertEq(reserveOf(job.id), 0);
        assertEq(dueOf(job.id, 0), validators * 1_100 + jurors * 1_500);
        bool convicted_ = staking.serverOf(pool, servers[0]).convicted;
        assertEq(convicted_, lies && decided && digest == RIGHT, "only a liar, and each that was found");
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), convicted_ ? 0 : job.r.reward);
        _settleValidators(decided, digest);
        if (jurors > 0) settleJury(job.id, 0, a, 1);
        assertEq(dueOf(job.id, 0), 0, "nobody is left unpaid, and nothing is left over");
        assertConserved();
    }
}
