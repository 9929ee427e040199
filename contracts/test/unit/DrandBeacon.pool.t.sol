// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Voucher } from "../../src/types/Messages.sol";
import { AuditTest } from "../utils/AuditTest.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";
import { Shipped } from "../utils/Shipped.sol";
import { TestBeacon } from "../utils/TestBeacon.sol";

/// @dev The modules in a pool whose beacon is the shipped one: every draw is of a round that the chain's key signed, and no
/// round can be had before its time.
contract DrandBeaconPoolTest is AuditTest {
    DrandVectors.Chain private chain;

    function setUp() public override {
        super.setUp();
        chain = DrandVectors.read("drand-devnet.json", 12);
        // Until the first round, seats come into the table.
        vm.warp(chain.genesis - 4 * params.windows.epoch);
        beacon = TestBeacon(
            Shipped.deploy("DrandBeacon", abi.encode(chain.publicKey, chain.genesis, chain.period))
        );
        params.basis.beacon = address(beacon);
        // Its rounds are three times as far apart.
        params.windows.vesting += 30;
        params.windows.unbonding += 30;
        pool = pools.create(params, "ipfs://model", bytes32(uint256(1)));
        uint256 price = seatsEach() * (uint256(params.prices.seatStake) + params.prices.seatFloat);
        for (uint256 i; i < SERVERS; ++i) {
            ledger.deposit(pool, servers[i], price + 1_000_000);
            vm.prank(servers[i]);
            staking.join(pool, seatsEach());
        }
        ledger.deposit(pool, user, 10_000_000);
        vm.prank(user);
        lanes.fund(pool, 4_000_000, 4_000_000);
        vm.warp(chain.genesis + 1);
    }

    /// @dev Seats of this pool were bought in order too.
    function setRound(uint64 round, bytes32) internal override returns (bytes32) {
        uint256 present = vm.getBlockTimestamp();
        IDrandBeacon drand = IDrandBeacon(address(beacon));
        if (present < drand.timeOf(round)) vm.warp(drand.timeOf(round));
        drand.submit(round, chain.signatures[round - 1]);
        vm.warp(present);
        return drand.randomness(round);
    }

    /// @dev Before the first round there is none that a message could be signed in.
    function test_RevertWhen_MessagesComeBeforeTheFirstRound() public {
        vm.warp(chain.genesis - 1);
        assertEq(nowRound(), 0);
        Evidence memory e = answered(0, 7, 1, 100, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(Clocks.RoundZero.selector));
        disputes.accuse(e.request, e.response, e.responseSignature);
        e.request.round = 1;
        _respondIn(e, 1);
        vm.expectRevert(abi.encodeWithSelector(IChecks.RoundFromFuture.selector, 1));
        disputes.accuse(e.request, e.response, e.responseSignature);
        Voucher memory v = voucher(0, 7, 1, 1, 210);
        for (uint64 round; round < 2; ++round) {
            v.round = round;
            (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
            vm.expectRevert(
                round == 0
                    ? abi.encodeWithSelector(Clocks.RoundZero.selector)
                    : abi.encodeWithSelector(ILanes.VoucherFromFuture.selector, 1)
            );
            vm.prank(servers[0]);
            lanes.redeem(pool, servers[0], vouchers, signatures);
        }
    }

    function _respondIn(Evidence memory e, uint64 round) private view {
        e.response.round = round;
        e.response.request = Hashes.request(e.request);
        e.responseSignature = signed(serverKeys[0], Hashes.response(e.response));
    }

    function test_AWrongAnswerIsConvictedByRealRounds() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        uint256 before = balanceOf(AccountKind.Free, user);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Convicted));
        assertFalse(staking.isActive(pool, r.serverSeat));
        assertGt(balanceOf(AccountKind.Free, user), before);
        settleAllJurors(r.response, 1);
        assertEq(caseBalance(id), 0);
        assertEq(juryBalance(r.response), 0);
    }

    function test_ARightAnswersCheckIsPaid() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        checks.claim(e);
        vm.warp(beacon.timeOf(params.ticketRound(e.response.round)) + params.windows.dispute + 1);
        address validator = servers[serverOfSeat(e.answer.seat)];
        uint256 before = balanceOf(AccountKind.Free, validator);
        checks.settle(pool, user, Hashes.response(e.response));
        assertEq(balanceOf(AccountKind.Free, validator), before + params.checkPay(units(e)));
    }

    function test_ARedemptionIsAuditedByRealRounds() public {
        // 0.8 audits by count and 0.88 by units: one or two.
        Job memory job = redeemEven(0, 7, 80, RIGHT);
        uint64 round = job.r.round;
        vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, round));
        audits.draw(job.id, job.r);
        vm.expectRevert(
            abi.encodeWithSelector(IDrandBeacon.RoundInFuture.selector, round, beacon.timeOf(round))
        );
        IDrandBeacon(address(beacon)).submit(round, chain.signatures[round - 1]);
        reach(round, 0);
        audits.draw(job.id, job.r);
        uint256 count = audits.progressOf(job.id).audits;
        bytes32 randomness = beacon.randomness(round);
        assertEq(count, auditsOf(job, randomness));
        assertGe(count, 1);
        for (uint32 i; i < count; ++i) {
            IAudits.Audit memory a = openDrawn(job, i, randomness);
            drawAudit(job.id, i, a);
            commitAudit(job.id, i, a, 0, N, RIGHT);
            proposeAudit(job.id, i, a, RIGHT);
            audits.settle(job.id, i, job.r, a);
            settleAllValidators(job.id, i, a);
        }
        assertEq(
            lanes.vestingOf(pool, job.r.server, job.r.epoch),
            balanceOf(AccountKind.Vesting, servers[0]),
            "the reward vests"
        );
        assertGt(balanceOf(AccountKind.Vesting, servers[0]), 0);
    }
}
