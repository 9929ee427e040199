// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Condition, Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PoolStore } from "../../src/libraries/PoolStore.sol";
import { Evidence, Role, Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev No transaction that others can lengthen needs more than 2^24 gas, the most that one may have since Fusaka (EIP-7825).
/// Counted as a transaction is: its own cost, its data with the floor of EIP-7623, and the call from cold storage.
abstract contract Bounds is AuditTest {
    uint256 internal constant LIMIT = 1 << 24;

    /// @dev Sends one call as a transaction of its own and returns its gas.
    function _gasOf(address from, address target, bytes memory data) internal returns (uint256) {
        _cool();
        vm.prank(from);
        (bool done, bytes memory reason) = target.call(data);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        assertTrue(done, vm.toString(reason));
        uint256 tokens;
        for (uint256 i; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        uint256 execution = 21_000 + 4 * tokens + used;
        uint256 floor = 21_000 + 10 * tokens;
        return execution > floor ? execution : floor;
    }

    function _fits(address target, bytes memory data, uint256 most) internal {
        _fits(address(this), target, data, most);
    }

    function _fits(address from, address target, bytes memory data, uint256 most) internal {
        assertLe(most, LIMIT);
        uint256 used = _gasOf(from, target, data);
        assertLe(used, most, "more gas than was recorded");
        // A figure far above what is used says nothing.
        assertGt(used, most / 2, "much less gas than was recorded");
    }

    function _cool() private {
        vm.cool(address(ledger));
        vm.cool(address(staking));
        vm.cool(address(lanes));
        vm.cool(address(checks));
        vm.cool(address(disputes));
        vm.cool(address(audits));
        vm.cool(address(sampling));
        vm.cool(address(arbiter));
        vm.cool(address(beacon));
        vm.cool(address(token));
        vm.cool(PoolStore.pointerOf(address(pools), pool));
    }
}

/// @dev Juries of 31, in a pool of 765 seats, large enough for the largest jury too.
contract JuryBoundsTest is Bounds {
    /// @dev Most gas of each call.
    struct Most {
        uint256 draw;
        uint256 commit;
        uint256 propose;
        uint256 resolve;
        uint256 pay;
        uint256 fine;
    }

    function poolParams() internal view virtual override returns (PoolParams memory p) {
        p = super.poolParams();
        (p.rates.auditFixed, p.rates.auditUnit) = (0, 0);
        (p.limits.firstJury, p.limits.secondJury) = (5, 31);
        p.limits.maxInputBytes = 64 * 1024;
    }

    /// @dev The most that one call buys.
    function seatsEach() internal pure override returns (uint32) {
        return 64;
    }

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < SERVERS; ++i) {
            _buy(servers[i], 64);
            _buy(servers[i], 25);
        }
        skip(2 * params.windows.epoch);
    }

    function _buy(address owner, uint32 count) internal {
        ledger.deposit(pool, owner, count * (uint256(params.prices.seatStake) + params.prices.seatFloat));
        vm.prank(owner);
        staking.join(pool, count);
    }

    function serverOfSeat(uint64 seat) internal view override returns (uint256 server) {
        address owner = staking.seatOf(pool, seat).owner;
        while (servers[server] != owner) ++server;
    }

    function most() internal pure virtual returns (Most memory) {
        return Most(450_000, 600_000, 320_000, 320_000, 1_400_000, 400_000);
    }

    /// @dev A jury that one server owns, all its positions in one call.
    function _commitAs(bytes32 subject, uint8 ballot, uint256 server, uint256 mostGas) private {
        uint256 size = arbiter.ballotOf(address(disputes), subject, ballot).size;
        uint256[] memory mine = new uint256[](size);
        uint256 count;
        for (uint256 i; i < size; ++i) {
            uint64 seat = arbiter.seatOfJuror(address(disputes), subject, ballot, i);
            if (serverOfSeat(seat) == server) mine[count++] = i;
        }
        assembly ("memory-safe") {
            mstore(mine, count)
        }
        bytes32 commitment =
            Hashes.commitment(Role.Juror, servers[server], Hashes.ballotSubject(subject, ballot), RIGHT);
        bytes memory data = abi.encodeCall(arbiter.commit, (address(disputes), subject, mine, commitment));
        assertLe(_gasOf(servers[server], address(arbiter), data), mostGas);
    }

    /// @dev The second, larger ballot of a dispute: four of five servers vote, so that a fifth is fined.
    function test_ADisputeBeforeTheSecondJury() public {
        (uint256 id, IDisputes.Record memory r) = disputed(drawn(0, 1, WRONG, RIGHT), user);
        disputes.publish(id, r, INPUT);
        bytes32 subject = disputes.subjectOf(r.response);
        skipBallot();
        bytes memory named = abi.encode(address(disputes), subject);
        _fits(address(arbiter), bytes.concat(arbiter.advance.selector, named), 80_000);
        uint64 round = arbiter.ballotOf(address(disputes), subject, 2).round;
        reach(round, "jury");
        _fits(address(arbiter), bytes.concat(arbiter.draw.selector, named), most().draw);
        for (uint256 i; i < 4; ++i) {
            _commitAs(subject, 2, i, most().commit);
        }
        skip(params.windows.commit + 1);
        _fits(
            address(arbiter),
            abi.encodeCall(arbiter.propose, (address(disputes), subject, RIGHT)),
            most().propose
        );
        _fits(address(disputes), abi.encodeCall(disputes.resolve, (id, r)), most().resolve);
        _settle(r.response, subject, true, most().pay);
        _settle(r.response, subject, false, most().fine);
    }

    /// @dev All who voted, or all who did not, in one page; the caller may choose smaller ones.
    function _settle(bytes32 response, bytes32 subject, bool paid, uint256 mostGas) private {
        uint256 size = arbiter.ballotOf(address(disputes), subject, 2).size;
        uint256[] memory page = new uint256[](size);
        uint256 count;
        for (uint256 i; i < size; ++i) {
            if ((arbiter.commitmentOf(address(disputes), subject, 2, i) != 0) == paid) page[count++] = i;
        }
        assembly ("memory-safe") {
            mstore(page, count)
        }
        assertGt(count, 0);
        _fits(address(disputes), abi.encodeCall(disputes.settleJurors, (pool, response, 2, page)), mostGas);
    }
}

/// @dev The largest jury that the type of its size allows, in a pool that is just large enough for it.
contract LargestJuryBoundsTest is JuryBoundsTest {
    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        (p.limits.firstJury, p.limits.secondJury) = (254, 255);
        // A stake that pays such juries.
        (p.prices.seatStake, p.prices.minBond) = (10_000_000, 2_000_000);
    }

    function most() internal pure override returns (Most memory) {
        return Most(3_200_000, 3_000_000, 2_000_000, 320_000, 10_000_000, 3_200_000);
    }

    function test_ThePoolHoldsTheLargestJury() public view {
        assertEq(staking.seatCount(pool, params.epochOf(block.timestamp)), 3 * 255);
        assertEq(params.limits.secondJury, type(uint8).max);
    }

    // ------------------------------------------------------------------------------------------------------- seats

    /// @dev The most seats that one call buys; another is refused.
    function test_JoiningWithAsManySeatsAsOneCallTakes() public {
        address newcomer = makeAddr("newcomer");
        ledger.deposit(pool, newcomer, 65 * 10_002_000);
        _fits(newcomer, address(staking), abi.encodeCall(staking.join, (pool, 64)), 5_500_000);
        vm.expectRevert(IStaking.InvalidCount.selector);
        vm.prank(newcomer);
        staking.join(pool, 65);
    }

    /// @dev Leaving costs the same whatever the number of seats, and whoever owns them.
    function test_LeavingALargePool() public {
        bytes memory first = abi.encodeCall(staking.unbond, (pool, 1));
        _fits(servers[0], address(staking), first, 130_000);
        bytes memory last = abi.encodeCall(staking.unbond, (pool, 64));
        _fits(servers[0], address(staking), last, 130_000);
        skip(2 * params.windows.epoch + params.windows.unbonding);
        _fits(servers[0], address(staking), abi.encodeCall(staking.withdraw, (pool, 1)), 70_000);
    }

    // ----------------------------------------------------------------------------------------------------- messages

    /// @dev The largest input that any pool accepts, of bytes that cost most.
    function test_PublishingTheLargestInput() public {
        bytes memory input = new bytes(64 * 1024);
        for (uint256 i; i < input.length; ++i) {
            input[i] = 0xff;
        }
        Evidence memory e = answered(0, 9, 1, 100, WRONG);
        e.request.inputHash = keccak256(input);
        respond(e, 0, 100, WRONG);
        vm.prank(user);
        uint256 id = disputes.accuse(e.request, e.response, e.responseSignature);
        IDisputes.Record memory r = recordOf(e, user);
        (r.validator, r.validatorSeat, r.validatorCommitment) = (address(0), 0, 0);
        _fits(address(disputes), abi.encodeCall(disputes.publish, (id, r, input)), 2_900_000);
    }

    /// @dev A page of a hundred epochs; the caller chooses which.
    function test_ReleasingAHundredEpochs() public {
        uint32[] memory epochs = new uint32[](100);
        for (uint64 i; i < 100; ++i) {
            redeem(0, voucher(0, 7, i + 1, i + 1, 200 * (i + 1)));
            epochs[i] = params.epochOf(block.timestamp);
            skip(params.windows.epoch);
        }
        skip(params.windows.vesting);
        _fits(address(lanes), abi.encodeCall(lanes.release, (pool, servers[0], epochs)), 1_700_000);
    }
}

/// @dev The most validators that a pool may have, over a redemption of 200 lanes.
contract AuditBoundsTest is Bounds {
    uint256 private constant LANES = 200;

    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.limits.auditSize = 16;
        p.rates.auditFixed = (uint128(1) << 64) / 200;
        p.rates.auditUnit = (uint128(1) << 64) / 40_000;
        p.prices.rewardFixed = 546;
        (p.limits.firstJury, p.limits.secondJury) = (30, 31);
        p.limits.maxInputBytes = 64 * 1024;
    }

    function seatsEach() internal pure override returns (uint32) {
        return 20;
    }

    function test_SixteenValidatorsAreTheMostThatAPoolMayHave() public {
        PoolParams memory p = params;
        p.limits.auditSize = 17;
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, Condition.Domain));
        pools.create(p, "", 0);
    }

    function _lanes() private view returns (Part[] memory parts) {
        parts = new Part[](LANES);
        for (uint64 i; i < LANES; ++i) {
            parts[i] = Part(evenLane(0, i + 1, 1, WRONG), 0, 1);
        }
    }

    /// @dev Its server alone redeems, so nobody else makes a batch larger; two hundred new lanes fit.
    function _redeem(Part[] memory parts) private returns (Job memory) {
        (Voucher[] memory vouchers, bytes[] memory signatures) = vouchersOf(0, parts);
        bytes memory data = abi.encodeCall(lanes.redeem, (pool, servers[0], vouchers, signatures));
        _fits(servers[0], address(lanes), data, 10_500_000);
        return jobOf(0, parts, vouchers);
    }

    function _fill() private {
        for (uint64 lane = 1_000; stock() < 4 * params.auditBudget(); ++lane) {
            (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(4, lane, 60, 60, 60_000));
            vm.prank(servers[4]);
            lanes.redeem(pool, servers[4], vouchers, signatures);
            ++redemptions;
        }
    }

    /// @dev Every step of an audit: of a lie in the last of the lanes, which a full jury judges.
    function test_AnAuditOfTwoHundredLanes() public {
        _everyStep(0, 470_000);
    }

    /// @dev The same with all validators but one in league with the server: settling slashes each of them.
    function test_AnAuditWhoseValidatorsLieWithItsServer() public {
        _everyStep(15, 1_500_000);
    }

    function _everyStep(uint256 liars, uint256 toSettle) private {
        _fill();
        Job memory job = _redeem(_lanes());
        uint256 n = 2;
        reach(job.r.round, randomnessFor(job, n, LANES - 1, 0));
        _fits(address(audits), abi.encodeCall(audits.draw, (job.id, job.r)), 110_000);
        IAudits.Leaf memory leaf = leafOf(job.parts[LANES - 1], 0);
        bytes memory data = abi.encodeCall(audits.open, (job.id, 0, job.r, job.spans, leaf, 0, INPUT));
        _fits(address(audits), data, 950_000);
        _validate(job, auditOf(job, leaf), liars);
        _settle(job, auditOf(job, leaf), toSettle);
    }

    function _validate(Job memory job, IAudits.Audit memory a, uint256 liars) private {
        bytes32 id = audits.assertionOf(job.id, 0);
        ISampling.Assertion memory asserted = assertionOf(a);
        reach(sampling.panelOf(address(audits), id).round, "panel");
        _fits(address(sampling), abi.encodeCall(sampling.draw, (address(audits), id, asserted)), 270_000);
        commitPanel(address(audits), id, asserted, 0, liars, WRONG);
        commitPanel(address(audits), id, asserted, liars, 16, RIGHT);
        skip(params.windows.commit + 1);
        bytes memory data = abi.encodeCall(sampling.propose, (address(audits), id, asserted, RIGHT));
        _fits(address(sampling), data, 280_000);
    }

    function _settle(Job memory job, IAudits.Audit memory a, uint256 most) private {
        bytes32 subject = sampling.subjectOf(address(audits), audits.assertionOf(job.id, 0));
        commitJury(subject, 0, drawJurors(subject), RIGHT);
        arbiter.propose(address(sampling), subject, RIGHT);
        _fits(address(audits), abi.encodeCall(audits.settle, (job.id, 0, job.r, a)), most);
        bytes memory data = abi.encodeCall(audits.settleValidators, (job.id, 0, a, upTo(16)));
        _fits(address(audits), data, 1_000_000);
        data = abi.encodeCall(audits.settleJurors, (job.id, 0, a, 1, upTo(30)));
        _fits(address(audits), data, 1_600_000);
    }
}
