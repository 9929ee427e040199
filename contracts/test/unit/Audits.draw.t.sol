// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { Span } from "../../src/types/Redemptions.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev A redemption's registration, its draw, and what its audits are paid from.
contract AuditsDrawTest is AuditTest {
    function _freezes(uint256 server) private view returns (uint32) {
        return staking.serverOf(pool, servers[server]).freezes;
    }

    function _vesting(uint256 server) private view returns (uint256) {
        return balanceOf(AccountKind.Vesting, servers[server]);
    }

    function _free(uint256 server) private view returns (uint256) {
        return balanceOf(AccountKind.Free, servers[server]);
    }

    function _released(Job memory job) private view returns (uint256) {
        return lanes.vestingOf(pool, job.r.server, job.r.epoch);
    }

    function _warpToFree(Job memory job) private {
        vm.warp((uint256(job.r.epoch) + 1) * params.windows.epoch + params.windows.vesting);
    }

    function _release(uint256 server, uint32 epoch) private {
        uint32[] memory epochs = new uint32[](1);
        epochs[0] = epoch;
        lanes.release(pool, servers[server], epochs);
    }

    // ---------------------------------------------------------------------------------------------------- register

    function test_ARedemptionWaitsForItsAudits() public {
        Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
        Part[] memory parts = partsOf(entries, 0, 10);
        (Voucher[] memory vouchers, bytes[] memory signatures) = vouchersOf(0, parts);
        Span[] memory spans = new Span[](1);
        spans[0] = Span(user, 7, 0, 10, 0, 1_100, vouchers[0].root);
        IAudits.Redemption memory r = recordOf(0, spans);
        assertEq(r.count, 10);
        assertEq(r.units, 1_100);
        assertEq(r.reward, 10 * 243 + 1_100 * 3);
        vm.expectEmit(address(audits));
        emit IAudits.Registered(1, pool, servers[0], r, spans);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        assertEq(uint8(audits.progressOf(1).state), uint8(IAudits.State.Registered));
        assertEq(_vesting(0), r.reward, "the reward is there");
        assertEq(lanes.vestingOf(pool, servers[0], r.epoch), 0, "and does not vest");
        assertEq(_freezes(0), 1, "nothing leaves before the draw");
    }

    /// @dev The parts of a later redemption begin where the one before ended.
    function test_ALaterRedemptionIsOverWhatIsNew() public {
        Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
        redeemParts(0, partsOf(entries, 0, 4));
        Job memory job = redeemParts(0, partsOf(entries, 4, 10));
        assertEq(job.r.count, 6);
        assertEq(job.r.units, 660);
        assertEq(job.spans[0].countBefore, 4);
        assertEq(job.spans[0].unitsBefore, 440);
        Part[] memory parts = new Part[](2);
        parts[0] = Part(evenLane(0, 8, 3, RIGHT), 0, 3);
        parts[1] = Part(evenLane(0, 9, 2, RIGHT), 0, 2);
        job = redeemParts(0, parts);
        assertEq(job.r.count, 5);
    }

    function test_RevertWhen_AnybodyElseRegisters() public {
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotModule.selector, address(this)));
        audits.register(pool, servers[0], 0, 1, new Span[](0));
    }

    /// @dev A user could otherwise sign a root that the server never agreed to, redeem it and have it audited.
    function test_RevertWhen_AThirdPartyRedeemsInAnAuditedPool() public {
        (Voucher[] memory vouchers, bytes[] memory signatures) =
            vouchersOf(0, partsOf(evenLane(0, 7, 2, RIGHT), 0, 2));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotServer.selector, servers[0], user));
        vm.prank(user);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        // Its session key is the server.
        vm.prank(servers[0]);
        staking.setKey(pool, address(0x5e55));
        skip(2 * params.windows.epoch);
        vm.prank(address(0x5e55));
        lanes.redeem(pool, servers[0], vouchers, signatures);
        assertEq(uint8(audits.progressOf(1).state), uint8(IAudits.State.Registered));
    }

    // -------------------------------------------------------------------------------------------------------- draw

    function test_ARedemptionWithoutAuditsVestsAtOnce() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        bytes32 randomness = randomnessFor(job, 0, 0, 0);
        reach(job.r.round, randomness);
        vm.expectEmit(address(audits));
        emit IAudits.AuditsDrawn(job.id, pool, 0, block.timestamp);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, job.r.reward);
        audits.draw(job.id, job.r);
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
        assertEq(_released(job), job.r.reward);
        assertEq(_freezes(0), 0);
        _warpToFree(job);
        _release(0, job.r.epoch);
        assertEq(_vesting(0), 0);
        assertConserved();
    }

    function test_ADrawnRedemptionFreezesItsServer() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        bytes32 randomness = randomnessFor(job, 1, 0, 3);
        reach(job.r.round, randomness);
        uint256 until = block.timestamp + params.windows.audit;
        vm.expectEmit(address(audits));
        emit IAudits.AuditsDrawn(job.id, pool, 1, until);
        audits.draw(job.id, job.r);
        IAudits.Progress memory g = audits.progressOf(job.id);
        assertEq(uint8(g.state), uint8(IAudits.State.Drawn));
        assertEq(g.audits, 1);
        assertEq(g.over, 0);
        assertEq(g.until, until);
        assertEq(g.advance, 0);
        assertEq(_freezes(0), 1);
        assertEq(uint8(audits.auditStateOf(job.id, 0)), uint8(IAudits.AuditState.None));
        assertConserved();
    }

    /// @dev Neither the reward nor anything that vested before leaves while a conviction may still take it.
    function test_NothingLeavesWhileAuditsRun() public {
        fillStock();
        Job memory first = redeemEven(0, 7, 10, RIGHT);
        audit(first, 0, 0, 0);
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0) + 1);
        Job memory job = redeemEven(0, 8, 10, RIGHT);
        bytes32 randomness = audit(job, 1, 0, 0);
        IAudits.Audit memory a = openDrawn(job, 0, randomness);
        vm.warp(block.timestamp + 300);
        bytes memory frozen = abi.encodeWithSelector(ILanes.ServerFrozen.selector, pool, servers[0]);
        vm.expectRevert(frozen);
        _release(0, first.r.epoch);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 1));
        vm.prank(servers[0]);
        staking.withdraw(pool, seatOf(0) + 1);
        // Not drawn in time, so the arbiter decides.
        bytes32 assertion = audits.assertionOf(job.id, 0);
        sampling.advance(address(audits), assertion, assertionOf(a));
        judge(address(audits), assertion, RIGHT);
        audits.settle(job.id, 0, job.r, a);
        assertEq(_freezes(0), 0);
        _release(0, first.r.epoch);
        _release(0, job.r.epoch);
        assertEq(_free(0), 1_000_000 + first.r.reward + job.r.reward);
        vm.prank(servers[0]);
        staking.withdraw(pool, seatOf(0) + 1);
    }

    /// @dev An undrawn redemption vests never, however long it waits.
    function test_AnUnsettledRedemptionDoesNotVest() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        _warpToFree(job);
        vm.expectRevert(abi.encodeWithSelector(ILanes.ServerFrozen.selector, pool, servers[0]));
        _release(0, job.r.epoch);
        audit(job, 0, 0, 0);
        _release(0, job.r.epoch);
        assertEq(balanceOf(AccountKind.Free, servers[0]), 1_000_000 + job.r.reward);
    }

    function test_RevertWhen_DrawnTooEarlyOrTwiceOrByAnotherRecord() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, job.r.round));
        audits.draw(job.id, job.r);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongRecord.selector, job.id + 1));
        audits.draw(job.id + 1, job.r);
        IAudits.Redemption memory r = job.r;
        ++r.count;
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongRecord.selector, job.id));
        audits.draw(job.id, r);
        --r.count;
        audit(job, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Settled));
        audits.draw(job.id, job.r);
    }

    /// @dev The round is two after the one of the redemption's block: nobody can know it when it chooses what to redeem.
    function test_TheRoundIsFixedByTheRedemption() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        assertEq(job.r.round, drawingRound());
        assertGt(beacon.timeOf(job.r.round), block.timestamp + params.windows.lag);
        // A later draw looks at the same round.
        skip(50);
        bytes32 randomness = randomnessFor(job, 1, 0, 2);
        beacon.set(job.r.round, randomness);
        fillStock();
        audits.draw(job.id, job.r);
        (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
        (, uint256 entry) = hitOf(job, randomness, 0);
        assertEq(byUnit ? offset / 110 : offset, entry);
    }

    // ------------------------------------------------------------------------------------------------------- money

    function test_TheStockFillsOutOfBurnsUpToFourBudgets() public {
        uint256 budget = params.auditBudget();
        assertEq(budget, 3 * 1_100 + 21_000);
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        uint256 burnt = 10 * 100 + 4 * 1_100 - params.checkCredit(10, 1_100);
        assertEq(stock(), burnt, "all of it while there is room");
        assertEq(burnBalance(), 0);
        Voucher memory v = voucher(4, 1_000, 60, 60, 60_000);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        vm.prank(servers[4]);
        lanes.redeem(pool, servers[4], vouchers, signatures);
        ++redemptions;
        burnt += 60 * 100 + 4 * 60_000 - params.checkCredit(60, 60_000);
        assertEq(stock(), 4 * budget);
        assertEq(burnBalance(), burnt - 4 * budget);
        redeemEven(1, 7, 1, RIGHT);
        assertEq(stock(), 4 * budget, "full");
        assertGt(job.id, 0);
        assertConserved();
    }

    function test_AuditsArePaidFromTheStock() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 0);
        uint256 budget = params.auditBudget();
        assertEq(reserveOf(job.id), budget);
        assertEq(stock(), 3 * budget);
        assertEq(_vesting(0), job.r.reward);
    }

    /// @dev What the stock lacks the reward guarantees.
    function test_TheRewardGuaranteesWhatTheStockLacks() public {
        Job memory job = redeemEven(0, 7, 60, RIGHT);
        uint256 budget = params.auditBudget();
        uint256 held = stock();
        assertEq(held, 60 * 100 + 4 * 6_600 - params.checkCredit(60, 6_600));
        audit(job, 1, 0, 0);
        assertEq(audits.progressOf(job.id).advance, budget - held);
        assertEq(reserveOf(job.id), budget);
        assertEq(stock(), 0);
        assertEq(_vesting(0), job.r.reward - (budget - held));
        assertConserved();
    }

    /// @dev Small redemptions wait until others have filled the stock.
    function test_RevertWhen_NeitherStockNorRewardCoverTheAudits() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        bytes32 randomness = randomnessFor(job, 1, 0, 0);
        reach(job.r.round, randomness);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAudits.AuditsNotFunded.selector, params.auditBudget(), stock() + job.r.reward
            )
        );
        audits.draw(job.id, job.r);
        fillStock();
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, 1);
    }

    /// @dev Its reward is burnt, so the stock alone pays.
    function test_RevertWhen_AConvictedServersAuditsNeedItsReward() public {
        Job memory job = redeemEven(0, 7, 60, RIGHT);
        convicted(0, 1);
        assertEq(_vesting(0), 0);
        bytes32 randomness = randomnessFor(job, 1, 0, 0);
        reach(job.r.round, randomness);
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.AuditsNotFunded.selector, params.auditBudget(), stock())
        );
        audits.draw(job.id, job.r);
    }

    /// @dev Several audits of one large redemption.
    function test_ALargeRedemptionIsAuditedSeveralTimes() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 120, RIGHT);
        bytes32 randomness = audit(job, 3, 0, 60);
        assertEq(reserveOf(job.id), 3 * params.auditBudget());
        for (uint32 index; index < 3; ++index) {
            openDrawn(job, index, randomness);
        }
        assertEq(_freezes(0), 1, "once for all of them");
    }

    /// @dev Where nobody draws, neither stake nor earlier rewards leave: the draw still finds what it may take.
    function test_NothingLeavesBeforeALateDraw() public {
        Job memory first = redeemEven(0, 7, 10, RIGHT);
        audit(first, 0, 0, 0);
        Job memory job = redeemEven(0, 8, 10, WRONG);
        vm.startPrank(servers[0]);
        for (uint64 seat = seatOf(0); seat < seatOf(0) + SEATS; ++seat) {
            staking.unbond(pool, seat);
        }
        skip(1_000);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 1));
        staking.withdraw(pool, seatOf(0));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(ILanes.ServerFrozen.selector, pool, servers[0]));
        _release(0, first.r.epoch);
        fillStock();
        bytes32 randomness = audit(job, 1, 0, 0);
        IAudits.Audit memory a = openDrawn(job, 0, randomness);
        validated(job.id, 0, a);
        audits.settle(job.id, 0, job.r, a);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertEq(seatBalance(seatOf(0)), params.prices.seatFloat);
        assertEq(_vesting(0), 0, "the earlier reward too");
        assertConserved();
    }

    /// @dev Condition Audits: one budget in the stock and its own reward let any redemption be drawn, however large.
    function testFuzz_OneBudgetAndTheRewardCoverEveryRedemption(uint64 count, uint64 units, bytes32 seed)
        public
    {
        fillStock();
        count = uint64(bound(count, 1, 200));
        units = uint64(bound(units, count, uint256(count) * params.limits.maxUnits));
        vm.prank(address(audits));
        ledger.move(pool, AccountKind.Audit, 0, AccountKind.Free, keyOf(servers[4]), 3 * params.auditBudget());
        Span[] memory spans = new Span[](1);
        spans[0] = Span(user, 7, 0, count, 0, units, "root");
        Job memory job;
        (job.id, job.r) = (++redemptions, recordOf(0, spans));
        // As a redemption does; what it burns stays out of the stock.
        vm.startPrank(address(lanes));
        ledger.move(
            pool, AccountKind.Balance, keyOf(user), AccountKind.Vesting, keyOf(servers[0]), job.r.reward
        );
        audits.register(pool, servers[0], job.r.epoch, job.r.reward, spans);
        vm.stopPrank();
        seed = keccak256(abi.encode(seed)); // never 0, which no round has
        reach(job.r.round, seed);
        uint256 n = auditsOf(job, seed);
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, n);
        assertEq(reserveOf(job.id), n * params.auditBudget());
        assertConserved();
    }

    /// @dev Who does not want to wait for others' burns pays what the stock lacks, and draws with it: nobody else can.
    function test_AServerFillsTheStockItself() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        reach(job.r.round, randomnessFor(job, 1, 0, 0));
        uint256 lacking = params.auditBudget() - stock() - job.r.reward;
        assertEq(audits.lackingOf(job.id, job.r), lacking);
        vm.startPrank(servers[0]);
        vm.expectRevert(abi.encodeWithSelector(ILanes.AuditsCostMore.selector, lacking, lacking - 1));
        lanes.fundAudits(job.id, job.r, lacking - 1);
        vm.expectEmit(address(lanes));
        emit ILanes.AuditsFunded(pool, servers[0], job.id, lacking);
        lanes.fundAudits(job.id, job.r, lacking);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, job.id, IAudits.State.Drawn));
        lanes.fundAudits(job.id, job.r, lacking);
        vm.stopPrank();
        assertEq(audits.progressOf(job.id).audits, 1);
        assertEq(_free(0), 1_000_000 - lacking);
        assertConserved();
    }

    /// @dev What is there need not be paid again.
    function test_FundingWhatIsFundedCostsNothing() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        reach(job.r.round, randomnessFor(job, 1, 0, 0));
        assertEq(audits.lackingOf(job.id, job.r), 0);
        vm.prank(servers[0]);
        lanes.fundAudits(job.id, job.r, 0);
        assertEq(_free(0), 1_000_000);
        assertEq(audits.progressOf(job.id).audits, 1);
    }

    function test_RevertWhen_WhoFundsAnAuditHasTooLittle() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        reach(job.r.round, randomnessFor(job, 1, 0, 0));
        uint256 lacking = audits.lackingOf(job.id, job.r);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(address(this)), lacking, 0
            )
        );
        lanes.fundAudits(job.id, job.r, lacking);
    }

    function test_RevertWhen_SoManyAuditsCantBeCounted() public {
        Span[] memory spans = new Span[](1);
        spans[0] = Span(user, 7, 0, uint64((uint256(1) << 96) / params.rates.auditFixed), 0, 0, "root");
        uint256 count = params.auditRate(spans[0].count, 0) >> 64;
        assertEq(count, type(uint32).max);
        vm.startPrank(address(lanes));
        vm.expectRevert(abi.encodeWithSelector(IAudits.TooManyAudits.selector, count));
        audits.register(pool, servers[0], 0, 1, spans);
        spans[0].count -= 100;
        audits.register(pool, servers[0], 0, 1, spans);
    }

    // -------------------------------------------------------------------------------------------------- lost rounds

    /// @dev A beacon that stops must not keep stakes for ever; while it runs, anyone brings a round in time.
    function test_ARoundThatNeverCameEndsTheRedemption() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        uint256 lostAt = beacon.timeOf(job.r.round) + 4 * uint256(params.windows.unbonding);
        vm.warp(lostAt);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, job.r.round));
        audits.draw(job.id, job.r);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, job.r.round));
        audits.lackingOf(job.id, job.r);
        skip(1);
        assertEq(audits.lackingOf(job.id, job.r), 0);
        uint256 snapshot = vm.snapshotState();
        vm.expectEmit(address(audits));
        emit IAudits.RoundLost(job.id, job.r.round);
        vm.expectEmit(address(audits));
        emit IAudits.RedemptionSettled(job.id, job.r.reward);
        audits.draw(job.id, job.r);
        assertEq(_freezes(0), 0);
        _release(0, job.r.epoch);
        assertEq(_free(0), 1_000_000 + job.r.reward);
        assertConserved();
        // A round that came late counts.
        vm.revertToState(snapshot);
        fillStock();
        audit(job, 1, 0, 3);
        assertEq(_freezes(0), 1);
    }

    /// @dev A call that fails for another reason, as one that was starved of gas, is no missing round.
    function test_RevertWhen_TheBeaconFailsOtherwise() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        vm.warp(beacon.timeOf(job.r.round) + 4 * uint256(params.windows.unbonding) + 1);
        bytes memory call = abi.encodeCall(IBeacon.randomness, (job.r.round));
        bytes[3] memory reasons = [
            bytes(""),
            abi.encodeWithSelector(IBeacon.RoundMissing.selector, job.r.round + 1),
            abi.encodePacked(IBeacon.RoundMissing.selector)
        ];
        for (uint256 i; i < 3; ++i) {
            vm.mockCallRevert(address(beacon), call, reasons[i]);
            vm.expectRevert(abi.encodeWithSelector(IAudits.BeaconFailed.selector, job.r.round));
            audits.draw(job.id, job.r);
        }
    }

    // ---------------------------------------------------------------------------------------------------- convicted

    /// @dev Its reward is burnt, so it draws no more audits than the stock pays, and ends.
    function test_AConvictedServersLargeRedemptionEnds() public {
        Job memory job = redeemEven(0, 7, 600, RIGHT);
        (, IDisputes.Record memory r) = convicted(0, 1);
        settleAllJurors(r.response, 1);
        reach(job.r.round, RIGHT);
        assertGt(auditsOf(job, RIGHT), 4);
        uint256 snapshot = vm.snapshotState();
        // As soon as there is enough for one.
        uint256 spare = stock() - 2 * params.auditBudget() + 1;
        vm.prank(address(audits));
        ledger.move(pool, AccountKind.Audit, 0, AccountKind.Free, keyOf(servers[4]), spare);
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, 1);
        vm.revertToState(snapshot);
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, 4);
        assertEq(stock(), 0);
        skip(params.windows.audit + 1);
        for (uint32 index; index < 4; ++index) {
            audits.convictSilent(job.id, index, job.r, 0);
        }
        assertEq(uint8(audits.progressOf(job.id).state), uint8(IAudits.State.Settled));
        assertEq(stock(), 4 * params.auditBudget());
        assertEq(_freezes(0), 0);
        assertConserved();
    }
}
