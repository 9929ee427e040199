// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Role } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AuditTest } from "../utils/AuditTest.sol";
import { HostileArbiter } from "../utils/HostileArbiter.sol";

/// @dev What validators and the arbiter find, carried out to the last unit.
contract AuditsSettleTest is AuditTest {
    uint256 private constant PAY = 1_100;
    uint256 private constant JUROR = 1_500;

    struct Money {
        uint256 burnt;
        uint256 stock;
        uint256 userBalance;
        uint256 userFree;
    }

    function _money() private view returns (Money memory m) {
        m.burnt = burnBalance();
        m.stock = stock();
        m.userBalance = balanceOf(AccountKind.Balance, user);
        m.userFree = balanceOf(AccountKind.Free, user);
    }

    function _free(address owner) private view returns (uint256) {
        return balanceOf(AccountKind.Free, owner);
    }

    function _sumOfFree() private view returns (uint256 sum) {
        for (uint256 i; i < SERVERS; ++i) {
            sum += _free(servers[i]);
        }
    }

    /// @dev A redemption of ten responses that commit to `digest`, one of them audited and open.
    function _opened(bytes32 digest) private returns (Job memory job, IAudits.Audit memory a) {
        fillStock();
        job = redeemEven(0, 7, 10, digest);
        audit(job, 1, 0, 6);
        a = openAt(job, 0, 0, 6);
    }

    function _settle(Job memory job, IAudits.Audit memory a) private {
        audits.settle(job.id, 0, job.r, a);
    }

    function _vested(Job memory job) private view returns (uint256) {
        return lanes.vestingOf(pool, job.r.server, job.r.epoch);
    }

    function _assertionId(Job memory job) private view returns (bytes32) {
        return audits.assertionOf(job.id, 0);
    }

    function _escalate(Job memory job, IAudits.Audit memory a) private {
        vm.warp(uint256(sampling.panelOf(address(audits), _assertionId(job)).proposeEnd) + 1);
        sampling.advance(address(audits), _assertionId(job), assertionOf(a));
    }

    // ------------------------------------------------------------------------------------------------------ honest

    function test_AnHonestServersRewardVestsAndItsValidatorsArePaid() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        validated(job.id, 0, a);
        Money memory m = _money();
        uint256 free = _sumOfFree();
        vm.expectEmit(address(audits));
        emit IAudits.AuditSettled(job.id, 0, RIGHT, false, 0, 0);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, job.r.reward);
        _settle(job, a);
        assertEq(uint8(audits.auditStateOf(job.id, 0)), uint8(IAudits.AuditState.Settled));
        assertEq(_vested(job), job.r.reward);
        assertEq(dueOf(job.id, 0), 3 * PAY);
        assertEq(stock(), m.stock + params.auditBudget() - 3 * PAY);
        assertEq(burnBalance(), m.burnt);
        (address owner, uint64 seat) = validatorOf(job.id, 0, 0);
        vm.expectEmit(address(audits));
        emit IAudits.ValidatorPaid(job.id, 0, seat, PAY);
        uint256 before = _free(owner);
        audits.settleValidators(job.id, 0, a, one(0));
        assertEq(_free(owner), before + PAY);
        uint256[] memory rest = new uint256[](2);
        (rest[0], rest[1]) = (2, 1);
        audits.settleValidators(job.id, 0, a, rest);
        assertEq(_sumOfFree(), free + 3 * PAY);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    /// @dev The stock bears the cost before the reward that guaranteed it.
    function test_AnAdvanceComesBackInFullWhereTheStockCoversTheCost() public {
        Job memory job = redeemEven(0, 7, 60, RIGHT);
        uint256 held = stock();
        bytes32 randomness = audit(job, 1, 0, 0);
        uint256 advance = params.auditBudget() - held;
        assertEq(audits.progressOf(job.id).advance, advance);
        IAudits.Audit memory a = openDrawn(job, 0, randomness);
        validated(job.id, 0, a);
        _settle(job, a);
        assertEq(_vested(job), job.r.reward);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), job.r.reward);
        assertEq(stock(), held - 3 * PAY);
        settleAllValidators(job.id, 0, a);
        assertConserved();
    }

    /// @dev With an empty stock the reward pays its own audits.
    function test_AnAdvanceComesBackLessWhatTheAuditsCost() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 80, RIGHT);
        Job memory other = redeemEven(1, 7, 200, RIGHT);
        audit(other, 4, 0, 100);
        assertEq(stock(), 0);
        bytes32 randomness = audit(job, 1, 0, 40);
        assertEq(audits.progressOf(job.id).advance, params.auditBudget());
        IAudits.Audit memory a = openDrawn(job, 0, randomness);
        validated(job.id, 0, a);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, job.r.reward - 3 * PAY);
        _settle(job, a);
        assertEq(_vested(job), job.r.reward - 3 * PAY);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), job.r.reward - 3 * PAY);
        assertEq(stock(), 0);
        settleAllValidators(job.id, 0, a);
        assertConserved();
    }

    function test_SilentValidatorsAreFinedAndNotPaid() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, 1, RIGHT);
        vm.warp(uint256(sampling.panelOf(address(audits), _assertionId(job)).commitEnd) + 1);
        proposeAudit(job.id, 0, a, RIGHT);
        _settle(job, a);
        assertEq(dueOf(job.id, 0), PAY);
        (, uint64 seat) = validatorOf(job.id, 0, 1);
        uint256 held = seatBalance(seat);
        uint256 burnt = burnBalance();
        vm.expectEmit(address(audits));
        emit IAudits.ValidatorFined(job.id, 0, seat, params.prices.jurorPenalty);
        settleAllValidators(job.id, 0, a);
        assertEq(seatBalance(seat), held - params.prices.jurorPenalty);
        assertEq(burnBalance(), burnt + 2 * params.prices.jurorPenalty);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    /// @dev One validator lies: it loses a stake and all that vests; that pays the jury, and the rest is burnt.
    /// @dev With the audit's settlement, whoever asks for it: nothing waits until its stake has left.
    function test_ALyingValidatorIsSlashed() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawPanelWithout(address(audits), _assertionId(job), assertionOf(a), 0);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        judge(address(audits), _assertionId(job), RIGHT);
        Money memory m = _money();
        (address liar, uint64 seat) = validatorOf(job.id, 0, 2);
        vm.expectEmit(address(audits));
        emit IAudits.ValidatorSlashed(job.id, 0, seat, params.prices.seatStake);
        _settle(job, a);
        assertEq(_vested(job), job.r.reward);
        assertEq(dueOf(job.id, 0), 2 * PAY + 5 * JUROR);
        assertEq(stock(), m.stock + params.auditBudget() - 2 * PAY, "the liar paid its jury");
        assertEq(seatBalance(seat), params.prices.seatFloat);
        assertTrue(staking.serverOf(pool, liar).convicted);
        uint256 vesting = liar == servers[4] ? 60 * 243 + 3 * 60_000 : 0;
        assertEq(burnBalance(), m.burnt + params.prices.seatStake - 5 * JUROR + vesting);
        // It is paid nothing and loses nothing more.
        settleAllValidators(job.id, 0, a);
        settleJury(job.id, 0, a, 1);
        assertEq(seatBalance(seat), params.prices.seatFloat);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    /// @dev A stake is taken once: a seat that was convicted elsewhere meanwhile loses nothing more.
    function test_ALyingValidatorThatWasConvictedElsewhereIsNotSlashedAgain() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        judge(address(audits), _assertionId(job), RIGHT);
        (, uint64 seat) = validatorOf(job.id, 0, 2);
        vm.prank(address(disputes));
        staking.slash(pool, seat, "elsewhere");
        uint256 burnt = burnBalance();
        vm.expectEmit(address(audits));
        emit IAudits.ValidatorSlashed(job.id, 0, seat, 0);
        _settle(job, a);
        assertEq(seatBalance(seat), params.prices.seatFloat);
        assertEq(burnBalance(), burnt);
    }

    /// @dev A framing majority of the validators changes nothing: the arbiter decides.
    function test_AnHonestServerIsNotConvictedByItsValidators() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawPanelWithout(address(audits), _assertionId(job), assertionOf(a), 0);
        commitAudit(job.id, 0, a, 0, N, WRONG);
        proposeAudit(job.id, 0, a, WRONG);
        judge(address(audits), _assertionId(job), RIGHT);
        _settle(job, a);
        assertEq(_vested(job), job.r.reward);
        for (uint256 i; i < N; ++i) {
            (, uint64 seat) = validatorOf(job.id, 0, i);
            audits.settleValidators(job.id, 0, a, one(i));
            assertEq(seatBalance(seat), params.prices.seatFloat);
        }
        settleJury(job.id, 0, a, 1);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    function test_AVoidAuditLeavesTheServerAlone() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, 1, RIGHT);
        _escalate(job, a);
        voidCase(address(audits), _assertionId(job));
        vm.expectEmit(address(audits));
        emit IAudits.AuditSettled(job.id, 0, 0, false, 0, 0);
        _settle(job, a);
        assertEq(_vested(job), job.r.reward);
        assertEq(dueOf(job.id, 0), PAY, "who worked is paid");
        settleAllValidators(job.id, 0, a);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    /// @dev The dearest course of all: every validator and both juries.
    function test_AnAuditsBudgetCoversAllThatItCanCost() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, N, RIGHT);
        _escalate(job, a);
        bytes32 subject = sampling.subjectOf(address(audits), _assertionId(job));
        for (uint8 ballot = 1; ballot <= 2; ++ballot) {
            commitJury(subject, 0, drawJurors(subject), keccak256(abi.encode(ballot)));
            vm.warp(uint256(arbiter.ballotOf(address(sampling), subject, ballot).proposeEnd) + 1);
            arbiter.advance(address(sampling), subject);
        }
        assertEq(reserveOf(job.id), params.auditBudget());
        uint256 held = stock();
        _settle(job, a);
        assertEq(dueOf(job.id, 0), params.auditBudget());
        assertEq(stock(), held);
        settleAllValidators(job.id, 0, a);
        settleJury(job.id, 0, a, 1);
        settleJury(job.id, 0, a, 2);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    // ------------------------------------------------------------------------------------------------------- liars

    function test_ALyingServerIsConvictedAndItsUserCompensated() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        validated(job.id, 0, a);
        Money memory m = _money();
        uint256 stake = params.prices.seatStake;
        uint256 toBalance = params.fee(110);
        uint256 toFree = stake / 3 + params.baseFee(110);
        uint256 jurors = 5 * JUROR;
        uint256 burnt = stake - jurors - toBalance - toFree;
        vm.expectEmit(address(audits));
        emit IAudits.AuditSettled(job.id, 0, RIGHT, true, stake, burnt);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, 0);
        _settle(job, a);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertEq(seatBalance(seatOf(0)), params.prices.seatFloat);
        assertEq(balanceOf(AccountKind.Balance, user), m.userBalance + toBalance);
        assertEq(balanceOf(AccountKind.Free, user), m.userFree + toFree);
        assertEq(burnBalance(), m.burnt + burnt + job.r.reward);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertEq(_vested(job), 0);
        assertEq(dueOf(job.id, 0), 3 * PAY + jurors);
        assertEq(stock(), m.stock + params.auditBudget() - 3 * PAY, "the liar paid its jury");
        settleAllValidators(job.id, 0, a);
        settleJury(job.id, 0, a, 1);
        assertEq(dueOf(job.id, 0), 0);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        assertConserved();
    }

    /// @dev Penalties have eaten most of the stake: the jury comes first, then the user.
    function test_ASpentStakePaysInOrder() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, WRONG);
        audit(job, 1, 0, 6);
        IAudits.Audit memory a = openAt(job, 0, 0, 6);
        uint256[3] memory left = [uint256(4_000), 8_000, 10_000];
        uint256 snapshot = vm.snapshotState();
        for (uint256 i; i < 3; ++i) {
            vm.startPrank(address(disputes));
            while (seatBalance(seatOf(0)) > left[i]) {
                staking.fine(pool, seatOf(0));
            }
            vm.stopPrank();
            uint256 held = seatBalance(seatOf(0));
            validated(job.id, 0, a);
            Money memory m = _money();
            _settle(job, a);
            // A seat of too little stake can't vote.
            (,,, uint256 voted) = sampling.outcomeOf(address(audits), _assertionId(job));
            uint256 jurors = Math.min(held, voted * JUROR);
            held -= jurors;
            uint256 toBalance = Math.min(held, params.fee(110));
            held -= toBalance;
            assertEq(stock(), m.stock + params.auditBudget() - 3 * PAY - voted * JUROR + jurors);
            assertEq(balanceOf(AccountKind.Balance, user), m.userBalance + toBalance);
            assertEq(balanceOf(AccountKind.Free, user), m.userFree + held);
            assertEq(burnBalance(), m.burnt + job.r.reward, "nothing is left to burn");
            assertConserved();
            vm.revertToState(snapshot);
        }
    }

    /// @dev Two lies under one seat cost one stake, under two seats two.
    function test_EachSeatAnswersOnce() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 120, WRONG);
        for (uint256 i = 60; i < 120; ++i) {
            entries[i].request.seat = seatOf(0) + 1;
            entries[i].response.request = Hashes.request(entries[i].request);
            entries[i].response.commitment = Hashes.commitment(
                Role.Server, servers[0], Hashes.responseSubject(entries[i].response), WRONG
            );
        }
        Job memory job = redeemParts(0, partsOf(entries, 0, 120));
        bytes32 randomness = _hitBoth(job);
        IAudits.Audit[] memory open = new IAudits.Audit[](3);
        for (uint32 index; index < 3; ++index) {
            open[index] = openDrawn(job, index, randomness);
            validated(job.id, index, open[index]);
        }
        // Which seats the draw hits decides what is slashed.
        bool[2] memory hit;
        for (uint32 index; index < 3; ++index) {
            uint64 seat = open[index].seat;
            uint256 before = seatBalance(seat);
            audits.settle(job.id, index, job.r, open[index]);
            bool again = hit[seat - seatOf(0)];
            assertEq(before - seatBalance(seat), again ? 0 : uint256(params.prices.seatStake));
            hit[seat - seatOf(0)] = true;
        }
        assertTrue(hit[0] && hit[1]);
        for (uint32 index; index < 3; ++index) {
            settleAllValidators(job.id, index, open[index]);
            settleJury(job.id, index, open[index], 1);
        }
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
        assertConserved();
    }

    /// @dev Draws three audits, of responses of the first half and of the second.
    function _hitBoth(Job memory job) private returns (bytes32 randomness) {
        for (uint256 i;; ++i) {
            randomness = keccak256(abi.encode("both", i));
            if (auditsOf(job, randomness) != 3) continue;
            (, uint256 first) = hitOf(job, randomness, 0);
            (, uint256 second) = hitOf(job, randomness, 1);
            if (first < 60 != second < 60) break;
        }
        reach(job.r.round, randomness);
        audits.draw(job.id, job.r);
    }

    // --------------------------------------------------------------------------------------- convictions elsewhere

    /// @dev A dispute takes the stake first: the audit ends, pays who worked, and slashes nothing twice.
    function test_ADisputeConvictsTheServerDuringItsAudit() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, N, RIGHT);
        proposeAudit(job.id, 0, a, RIGHT);
        judge(address(audits), _assertionId(job), RIGHT);
        convicted(0, 1);
        Money memory m = _money();
        vm.expectEmit(address(audits));
        emit IAudits.AuditSettled(job.id, 0, RIGHT, true, 0, 0);
        _settle(job, a);
        assertEq(burnBalance(), m.burnt);
        assertEq(balanceOf(AccountKind.Free, user), m.userFree, "compensated once");
        assertEq(stock(), m.stock + params.auditBudget() - 3 * PAY - 5 * JUROR);
        assertEq(_vested(job), 0);
        settleAllValidators(job.id, 0, a);
        settleJury(job.id, 0, a, 1);
        assertEq(dueOf(job.id, 0), 0);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
    }

    /// @dev It was right here and convicted there: the reward is burnt, its advance goes to the stock.
    function test_AnAdvanceOfAServerConvictedElsewhereGoesToTheStock() public {
        Job memory job = redeemEven(0, 7, 60, RIGHT);
        uint256 held = stock();
        bytes32 randomness = audit(job, 1, 0, 0);
        IAudits.Audit memory a = openDrawn(job, 0, randomness);
        validated(job.id, 0, a);
        convicted(0, 1);
        assertEq(stock(), 0);
        _settle(job, a);
        assertEq(stock(), params.auditBudget() - 3 * PAY);
        assertGt(stock(), held);
        assertEq(_vested(job), 0);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
    }

    /// @dev Whoever comes first takes the stake; a proof of equivocation then finds none.
    function test_AnAuditSlashesBeforeAProvenEquivocation() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        Evidence memory first = answered(0, 9, 1, 100, RIGHT);
        Evidence memory second = answered(0, 9, 1, 100, WRONG);
        uint256 id = disputes.proveEquivocation(
            first.request, first.response, first.responseSignature, second.response, second.responseSignature
        );
        IDisputes.Record memory r;
        (r.pool, r.response, r.inputHash) = (pool, Hashes.response(first.response), first.request.inputHash);
        (r.opener, r.user, r.server, r.serverSeat) = (address(this), user, servers[0], seatOf(0));
        r.serverSubject = Hashes.responseSubject(first.response);
        r.serverCommitment = first.response.commitment;
        (r.lane, r.sequence, r.units, r.outputTokens) = (9, 1, 210, 100);
        // What is delivered in this second can be disputed until then.
        uint256 lastTicket = beacon.timeOf(params.ticketRound(knowableRound()));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0, "the reward is burnt at once");
        validated(job.id, 0, a);
        uint256 burnt = burnBalance();
        _settle(job, a);
        assertEq(seatBalance(seatOf(0)), params.prices.seatFloat);
        assertGt(burnBalance(), burnt);
        assertEq(_vested(job), 0);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1, "the proof still waits");
        vm.warp(lastTicket + params.windows.dispute + 1);
        disputes.resolve(id, r);
        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Closed));
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        settleAllValidators(job.id, 0, a);
        settleJury(job.id, 0, a, 1);
        assertConserved();
    }

    /// @dev Disputes that the conviction cuts short close at its cost.
    function test_AnAuditConvictsWhileDisputesAreOpenOverTheSeat() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        validated(job.id, 0, a);
        (uint256 x, IDisputes.Record memory rx) = disputed(drawn(0, 1, WRONG, RIGHT), user);
        (uint256 y, IDisputes.Record memory ry) = disputed(drawn(0, 2, WRONG, RIGHT), user);
        disputes.publish(x, rx, INPUT);
        drawJury(rx.response);
        commitJurors(rx.response, 0, 3, RIGHT);
        uint256 budget = params.juryBudget();
        uint256 burnt = burnBalance();
        _settle(job, a);
        uint256 stake = params.prices.seatStake;
        uint256 rest = stake - 5 * JUROR - params.fee(110) - stake / 3 - params.baseFee(110);
        // One budget pays its own jury and those of both disputes.
        assertEq(burnBalance(), burnt + rest - (budget - 5 * JUROR) + job.r.reward);
        assertEq(reserveBalance(seatOf(0)), budget - 5 * JUROR);
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.close(x, rx);
        disputes.close(y, ry);
        assertEq(balanceOf(AccountKind.Free, user), held + 2 * (budget + params.prices.freezePrice));
        assertEq(burnBalance(), burnt + rest - 3 * JUROR + job.r.reward, "what was left of it is burnt");
        disputes.settleJurors(pool, rx.response, 1, upTo(3));
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
        assertConserved();
    }

    /// @dev The same for the seat of a lying validator.
    function test_ALyingValidatorIsSlashedWhileADisputeIsOpenOverItsSeat() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        judge(address(audits), _assertionId(job), RIGHT);
        (address liar, uint64 seat) = validatorOf(job.id, 0, 2);
        // As a dispute over that seat would.
        vm.prank(address(disputes));
        staking.accuse(pool, seat, true);
        uint256 vesting = balanceOf(AccountKind.Vesting, liar);
        uint256 burnt = burnBalance();
        _settle(job, a);
        assertEq(burnBalance(), burnt + params.prices.seatStake + vesting - params.juryBudget());
        assertConserved();
    }

    /// @dev A convicted validator's own redemption never vests.
    function test_AValidatorsOwnRedemptionIsForfeitedWithItsStake() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        (address liar,) = validatorOf(job.id, 0, 2);
        uint256 server = liar == servers[1] ? 1 : liar == servers[2] ? 2 : liar == servers[3] ? 3 : 4;
        Job memory own = redeemEven(server, 70, 10, RIGHT);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        judge(address(audits), _assertionId(job), RIGHT);
        _settle(job, a);
        settleAllValidators(job.id, 0, a);
        assertEq(balanceOf(AccountKind.Vesting, liar), 0);
        audit(own, 0, 0, 0);
        assertEq(lanes.vestingOf(pool, liar, own.r.epoch), 0);
        assertEq(uint8(audits.progressOf(own.id).state), uint8(IAudits.State.Settled));
        assertConserved();
    }

    // ------------------------------------------------------------------------------------------------------ jurors

    function test_AbsentJurorsAreFinedAndBothBallotsPaid() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        drawAudit(job.id, 0, a);
        _escalate(job, a);
        bytes32 subject = sampling.subjectOf(address(audits), _assertionId(job));
        drawJurors(subject);
        commitJury(subject, 0, 2, RIGHT);
        vm.warp(uint256(arbiter.ballotOf(address(sampling), subject, 1).proposeEnd) + 1);
        arbiter.advance(address(sampling), subject);
        commitJury(subject, 0, drawJurors(subject), RIGHT);
        arbiter.propose(address(sampling), subject, RIGHT);
        _settle(job, a);
        assertEq(dueOf(job.id, 0), (2 + 9) * JUROR);
        uint64 absent = arbiter.seatOfJuror(address(sampling), subject, 1, 4);
        uint256 held = seatBalance(absent);
        vm.expectEmit(address(audits));
        emit IAudits.JurorFined(job.id, 0, absent, params.prices.jurorPenalty);
        settleJury(job.id, 0, a, 1);
        assertEq(seatBalance(absent), held - params.prices.jurorPenalty);
        uint64 present = arbiter.seatOfJuror(address(sampling), subject, 2, 0);
        vm.expectEmit(address(audits));
        emit IAudits.JurorPaid(job.id, 0, present, JUROR);
        settleJury(job.id, 0, a, 2);
        settleAllValidators(job.id, 0, a);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    // ---------------------------------------------------------------------------------------------------- refusals

    function test_RevertWhen_NothingIsDecidedYet() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        bytes memory pending = abi.encodeWithSelector(IAudits.StillPending.selector, job.id, 0);
        vm.expectRevert(pending);
        _settle(job, a);
        drawAudit(job.id, 0, a);
        commitAudit(job.id, 0, a, 0, N, RIGHT);
        proposeAudit(job.id, 0, a, RIGHT);
        vm.expectRevert(pending);
        _settle(job, a);
        bytes memory open =
            abi.encodeWithSelector(IAudits.WrongAuditState.selector, job.id, 0, IAudits.AuditState.Opened);
        vm.expectRevert(open);
        audits.settleValidators(job.id, 0, a, one(0));
        vm.expectRevert(open);
        audits.settleJurors(job.id, 0, a, 1, one(0));
    }

    function test_RevertWhen_SettledTwiceOrByAnotherRecord() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        validated(job.id, 0, a);
        a.units += 1;
        bytes memory record = abi.encodeWithSelector(IAudits.WrongRecord.selector, job.id);
        vm.expectRevert(record);
        _settle(job, a);
        a.units -= 1;
        job.r.reward += 1;
        vm.expectRevert(record);
        _settle(job, a);
        job.r.reward -= 1;
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.WrongAuditState.selector, job.id, 1, IAudits.AuditState.None)
        );
        audits.settle(job.id, 1, job.r, a);
        _settle(job, a);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Settled));
        _settle(job, a);
        a.user = address(this);
        vm.expectRevert(record);
        audits.settleValidators(job.id, 0, a, one(0));
        vm.expectRevert(record);
        audits.settleJurors(job.id, 0, a, 1, one(0));
    }

    function test_RevertWhen_APayeeIsSettledTwiceOrIsNone() public {
        (Job memory job, IAudits.Audit memory a) = _opened(WRONG);
        validated(job.id, 0, a);
        _settle(job, a);
        _refusedPayee(job, a, IAudits.NotDue.selector, N);
        audits.settleValidators(job.id, 0, a, one(1));
        _refusedPayee(job, a, IAudits.AlreadySettled.selector, 1);
        uint256[] memory twice = new uint256[](2);
        vm.expectRevert(abi.encodeWithSelector(IAudits.AlreadySettled.selector, job.id, 0, 0));
        audits.settleValidators(job.id, 0, a, twice);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotDue.selector, job.id, 0, 0));
        audits.settleJurors(job.id, 0, a, 0, one(0));
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotDue.selector, job.id, 0, 5));
        audits.settleJurors(job.id, 0, a, 1, one(5));
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotDue.selector, job.id, 0, 0));
        audits.settleJurors(job.id, 0, a, 2, one(0));
        audits.settleJurors(job.id, 0, a, 1, one(0));
        vm.expectRevert(abi.encodeWithSelector(IAudits.AlreadySettled.selector, job.id, 0, 0));
        audits.settleJurors(job.id, 0, a, 1, one(0));
    }

    function _refusedPayee(Job memory job, IAudits.Audit memory a, bytes4 reason, uint256 position) private {
        vm.expectRevert(abi.encodeWithSelector(reason, job.id, 0, position));
        audits.settleValidators(job.id, 0, a, one(position));
    }

    /// @dev Validators of an audit that agreed have no jury to settle.
    function test_AnAgreedAuditHasNoJury() public {
        (Job memory job, IAudits.Audit memory a) = _opened(RIGHT);
        validated(job.id, 0, a);
        (ISampling.Outcome outcome,,, uint256 jurors) = sampling.outcomeOf(address(audits), _assertionId(job));
        assertEq(uint8(outcome), uint8(ISampling.Outcome.Decided));
        assertEq(jurors, 0);
        _settle(job, a);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotDue.selector, job.id, 0, 0));
        audits.settleJurors(job.id, 0, a, 1, one(0));
    }
}

/// @dev An arbiter that decides without a jury, as a referee would: nobody is paid for it, and who was wrong is slashed all the same.
contract AuditsRefereeTest is AuditTest {
    HostileArbiter private referee = new HostileArbiter();

    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.basis.arbiter = address(referee);
    }

    function test_AnArbiterWithoutAJuryConvictsLyingValidatorsToo() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 6);
        IAudits.Audit memory a = openAt(job, 0, 0, 6);
        drawPanelWithout(address(audits), audits.assertionOf(job.id, 0), assertionOf(a), 0);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        referee.set(IArbiter.Outcome.Decided, RIGHT, 0);
        (, uint64 seat) = validatorOf(job.id, 0, 2);
        vm.expectEmit(address(audits));
        emit IAudits.ValidatorSlashed(job.id, 0, seat, params.prices.seatStake);
        audits.settle(job.id, 0, job.r, a);
        assertEq(seatBalance(seat), params.prices.seatFloat);
        settleAllValidators(job.id, 0, a);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }

    /// @dev Where it can't decide, nobody was wrong.
    function test_AVoidVerdictSlashesNobody() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 6);
        IAudits.Audit memory a = openAt(job, 0, 0, 6);
        drawPanelWithout(address(audits), audits.assertionOf(job.id, 0), assertionOf(a), 0);
        commitAudit(job.id, 0, a, 0, 2, RIGHT);
        commitAudit(job.id, 0, a, 2, 3, WRONG);
        proposeAudit(job.id, 0, a, RIGHT);
        referee.set(IArbiter.Outcome.Void, 0, 0);
        (, uint64 seat) = validatorOf(job.id, 0, 2);
        uint256 held = seatBalance(seat);
        audits.settle(job.id, 0, job.r, a);
        settleAllValidators(job.id, 0, a);
        assertEq(seatBalance(seat), held);
        assertEq(dueOf(job.id, 0), 0);
        assertConserved();
    }
}
