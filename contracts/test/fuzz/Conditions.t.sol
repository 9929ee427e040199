// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { Condition, Conditions } from "../../src/libraries/Conditions.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract ConditionsHarness {
    function enforce(PoolParams calldata p, uint256 period) external pure {
        Conditions.enforce(p, period);
    }
}

/// @dev Each enforced condition broken on its own, by one unit where it has an edge; and against exact arithmetic.
contract ConditionsTest is AssayTest {
    ConditionsHarness private harness;
    PoolParams private p;

    function setUp() public override {
        super.setUp();
        harness = new ConditionsHarness();
        p = poolParams();
    }

    function _refused(Condition condition) private {
        PoolParams memory given = p;
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, condition));
        harness.enforce(given, 1);
        p = poolParams();
    }

    function _accepted() private {
        harness.enforce(p, 1);
        p = poolParams();
    }

    /// @dev The condition that `given` breaks first; 99 if it breaks none.
    function _verdict(PoolParams memory given) private view returns (uint256) {
        try harness.enforce(given, 1) {
            return 99;
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), Conditions.PoolRefused.selector);
            return uint8(reason[35]);
        }
    }

    function test_Domain() public {
        p.basis.token = address(0);
        _refused(Condition.Domain);
        p.basis.beacon = address(0);
        _refused(Condition.Domain);
        p.basis.arbiter = address(0);
        _refused(Condition.Domain);
        p.limits.maxUnits = 0;
        _refused(Condition.Domain);
        p.limits.maxUnits = (1 << 24) + 1;
        _refused(Condition.Domain);
        p.limits.maxInputBytes = 0;
        _refused(Condition.Domain);
        p.limits.maxInputBytes = 64 * 1024;
        _accepted();
        p.limits.maxInputBytes = 64 * 1024 + 1;
        _refused(Condition.Domain);
        p.limits.outputWeight = 0;
        _refused(Condition.Domain);
        p.limits.outputWeight = (1 << 16) + 1;
        _refused(Condition.Domain);
        p.limits.promptWeight = (1 << 16) + 1;
        _refused(Condition.Domain);
        p.limits.promptWeight = 0; // a prompt alone would weigh nothing, and never be drawn by its size
        _refused(Condition.Domain);
        p.limits.stride = 0;
        _refused(Condition.Domain);
        p.limits.setSize = 0;
        _refused(Condition.Domain);
        p.limits.setSize = 33;
        _refused(Condition.Domain);
        p.limits.firstJury = 2;
        _refused(Condition.Domain);
        p.limits.secondJury = 5;
        _refused(Condition.Domain);
        p.rates.collusion = 334;
        _refused(Condition.Domain);
        p.rates.discount = 1_001;
        _refused(Condition.Domain);
        p.windows.epoch = 0;
        _refused(Condition.Domain);
        p.rates.challengeFixed = 0;
        _refused(Condition.Domain);
        p.rates.challengeFixed = (1 << 64) + 1;
        _refused(Condition.Domain);
        p.rates.challengeFixed = (1 << 64) - 999;
        p.rates.challengeUnit = 1;
        _refused(Condition.Domain);
    }

    function test_AuditsNeedValidators() public {
        p.rates.auditFixed = 1;
        _refused(Condition.Domain);
    }

    /// @dev An audit may cost 3·1,100 + 14·1,500 = 24,300: 20 of it are 20 a response, 3 are 3 a unit.
    function test_Audits() public {
        _audited(uint128((uint256(20) << 64) / 24_300), 0);
        _accepted();
        _audited(uint128((uint256(20) << 64) / 24_300 + 1), 0);
        _refused(Condition.Audits);
        _audited(0, uint128((uint256(3) << 64) / 24_300));
        _accepted();
        _audited(0, uint128((uint256(3) << 64) / 24_300 + 1));
        _refused(Condition.Audits);
    }

    function _audited(uint128 fixed_, uint128 unit) private {
        (p.rates.auditFixed, p.rates.auditUnit) = (fixed_, unit);
        (p.prices.auditPay, p.limits.auditSize, p.prices.feeFixed) = (1_100, 3, 100);
        (p.windows.audit, p.windows.vesting, p.windows.unbonding) = (20, 140, 240);
    }

    /// @dev Two thirds of S cover 35,180 of payouts and 2J = 42,000.
    function test_Coverage() public {
        p.prices.seatStake = 115_769;
        _accepted();
        p.prices.seatStake = 115_768;
        _refused(Condition.Coverage);
        p.prices.seatStake = 1;
        _refused(Condition.Coverage);
    }

    function test_Forfeiture() public {
        p.prices.outsideGain = 22;
        _accepted();
        p.prices.outsideGain = 23;
        _refused(Condition.Forfeiture);
    }

    function test_PositiveBurn() public {
        // At p = 1/2: (1000·7 + 4·250)/2 = 4·1000.
        p.prices.rewardUnit = 7;
        p.rates.discount = 249;
        _accepted();
        p.prices.rewardUnit = 7;
        p.rates.discount = 250;
        _refused(Condition.PositiveBurn);
        p.prices.checkFixed = 40;
        _accepted();
        p.prices.checkFixed = 41;
        _refused(Condition.PositiveBurn);
    }

    function _expensiveWork(uint96 cost) private {
        p.prices.costUnit = cost;
        p.prices.rewardFixed = 30;
        (p.prices.jurorPay, p.prices.jurorPenalty, p.prices.seatFloat) = (5_000, 5_000, 5_000);
    }

    function test_Participation() public {
        _expensiveWork(3);
        _accepted();
        _expensiveWork(4);
        _refused(Condition.Participation);
        _expensiveWork(3);
        (p.prices.rewardFixed, p.prices.outsideGain) = (0, 0);
        _refused(Condition.Participation);
        p.rates.discount = 0;
        _refused(Condition.Participation);
        p.prices.jurorPay = 1_100;
        _accepted();
        p.prices.jurorPay = 1_099;
        _refused(Condition.Participation);
        p.prices.jurorPenalty = 1_001;
        _accepted();
        p.prices.jurorPenalty = 1_000;
        _refused(Condition.Participation);
        p.prices.seatFloat = 1_500;
        _accepted();
        p.prices.seatFloat = 1_499;
        _refused(Condition.Participation);
    }

    /// @dev A seat joins the table of the epoch after the next: its rounds must not be known yet.
    function test_AnEpochIsNotShorterThanTheLag() public {
        (p.windows.vesting, p.windows.unbonding, p.windows.exit, p.windows.lag) = (200, 400, 200, 10);
        _accepted();
        (p.windows.vesting, p.windows.unbonding, p.windows.exit, p.windows.lag) = (200, 400, 200, 11);
        _refused(Condition.Domain);
    }

    function test_Windows() public {
        p.windows.vesting = 99;
        _accepted();
        (p.windows.vesting, p.windows.lag) = (99, 3); // two seconds before each of four draws are in it
        _refused(Condition.Windows);
        p.windows.vesting = 98;
        _refused(Condition.Windows);
        p.windows.audit = 10; // audits' window counts although there are none
        _refused(Condition.Windows);
        p.windows.unbonding = 199;
        _refused(Condition.Windows);
        p.windows.exit = 132; // an order 2 s late, its answer after 30, its voucher after 100
        _accepted();
        p.windows.exit = 131;
        _refused(Condition.Windows);
        _patient();
        p.windows.exit = 1_027; // or its ticket 5 s after its answer, and a claim 20 s later
        p.windows.voucher = 10;
        _accepted();
        _patient();
        p.windows.exit = 1_026;
        p.windows.voucher = 10;
        _refused(Condition.Windows);
        _patient();
        p.windows.unbonding = 1_035; // a ticket, and a dispute 30 s later
        p.windows.voucher = 10;
        _accepted();
        _patient();
        p.windows.unbonding = 1_034;
        p.windows.voucher = 10;
        _refused(Condition.Windows);
        p.windows.claim = 19;
        _refused(Condition.Windows);
        p.windows.dispute = 25;
        _accepted();
        p.windows.dispute = 24;
        _refused(Condition.Windows);
        p.windows.answer = 0;
        _refused(Condition.Windows);
        p.windows.publish = 0;
        _refused(Condition.Windows);
        p.windows.commit = 2; // a period in its half
        _accepted();
        p.windows.commit = 1;
        _refused(Condition.Windows);
        p.windows.propose = 0;
        _refused(Condition.Windows);
        p.windows.request = 0;
        _refused(Condition.Windows);
        p.windows.voucher = 0;
        _refused(Condition.Windows);
        // Slower beacons need longer windows: 11 rounds of margin.
        PoolParams memory given = p;
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, Condition.Windows));
        harness.enforce(given, 2);
    }

    /// @dev Orders that may be answered a thousand seconds later.
    function _patient() private {
        (p.windows.request, p.windows.unbonding, p.windows.exit) = (1_000, 2_000, 2_000);
    }

    function test_NoMoneyWaitsForMoreThanAYear() public {
        p.windows.exit = 366 days;
        _accepted();
        p.windows.exit = 366 days + 1;
        _refused(Condition.Windows);
        p.windows.unbonding = 366 days;
        _accepted();
        p.windows.unbonding = 366 days + 1;
        _refused(Condition.Windows);
        p.windows.epoch = 366 days;
        _accepted();
        p.windows.epoch = 366 days + 1;
        _refused(Condition.Windows);
    }

    function test_RevertWhen_TheBeaconHasNoPeriod() public {
        PoolParams memory given = p;
        vm.expectRevert(abi.encodeWithSelector(Conditions.PoolRefused.selector, Condition.Domain));
        harness.enforce(given, 0);
    }

    function test_Bond() public {
        uint96 least = 7_040 + 20 * 3_420;
        p.prices.minBond = least;
        _accepted();
        p.prices.minBond = least - 1;
        _refused(Condition.Bond);
        p.prices.checkCap = 10 * 3_420;
        _accepted();
        p.prices.checkCap = 10 * 3_420 - 1;
        _refused(Condition.Bond);
    }

    /// @dev Four of five are harder to collude in than four of six.
    function test_Jury() public {
        p.rates.collusion = 333;
        _refused(Condition.Jury);
        p.rates.collusion = 241;
        p.limits.secondJury = 6;
        _refused(Condition.Jury);
        p.rates.collusion = 241;
        _accepted();
    }

    // ------------------------------------------------------------------------------------------- against exact numbers

    /// @dev P[Bin(n, r/1000) >= k]·1000^n; fits for n <= 25.
    function _exact(uint256 n, uint256 k, uint256 r) private pure returns (uint256 sum) {
        uint256 choose = 1;
        for (uint256 i; i <= n; ++i) {
            if (i >= k) sum += choose * r ** i * (1_000 - r) ** (n - i);
            choose = choose * (n - i) / (i + 1);
        }
    }

    function testFuzz_TheTailIsTheBinomialsRoundedUp(uint256 n, uint256 k, uint256 r) public pure {
        n = bound(n, 1, 25);
        k = bound(k, 0, n);
        r = bound(r, 0, 333);
        uint256 exact = Math.mulDiv(_exact(n, k, r), 1 << 64, 1_000 ** n);
        uint256 bound_ = Conditions.tail(n, k, r);
        if (exact >= 1 << 64) exact = (1 << 64) - 1; // certainty
        assertGt(bound_, exact, "never below");
        assertLe(bound_, exact + 2, "and tight");
    }

    /// @dev Computed with rational numbers elsewhere, times 2^64, rounded up.
    function test_TheTailOfLargeJuries() public pure {
        uint256[4][7] memory table = [
            [uint256(31), 11, 100, 2_317_014_319_263_399],
            [uint256(31), 21, 300, 298_016_539_780_008],
            [uint256(15), 10, 300, 67_377_120_266_466_419],
            [uint256(9), 6, 300, 466_607_476_758_919_463],
            [uint256(5), 4, 300, 567_790_782_588_779_999],
            [uint256(31), 11, 333, 8_571_543_952_338_850_331],
            [uint256(63), 42, 300, 39_199_646_749]
        ];
        for (uint256 i; i < table.length; ++i) {
            uint256 tail = Conditions.tail(table[i][0], table[i][1], table[i][2]);
            assertGe(tail, table[i][3]);
            assertLe(tail, table[i][3] + 1);
        }
    }

    /// @dev `p(m)(1−r)(1−v1·v2)(pay+S_net) > pay+g` without any rounding, for the juries of 5 and 9 of this pool.
    function _deters(PoolParams memory q, uint256 m) private pure returns (bool) {
        uint256 r = q.rates.collusion;
        uint256 blocked = _exact(5, 2, r) * _exact(9, 4, r);
        (, uint256 net) = Conditions.netStake(q);
        uint256 lost = q.challengeRate(m) * (1_000 - r) * (1_000 ** 14 - blocked) * (q.pay(m) + net);
        return lost > ((q.pay(m) + q.prices.outsideGain) << 64) * 1_000 * 1_000 ** 14;
    }

    function _detersAlways(PoolParams memory q) private pure returns (bool) {
        for (uint256 m = 1; m <= q.limits.maxUnits; ++m) {
            if (!_deters(q, m)) return false;
        }
        return true;
    }

    /// @dev The least stake that is accepted deters exactly; one unit less is refused and does not.
    function _leastStake(PoolParams memory q) private view {
        (uint96 low, uint96 high) = (115_770, 1e9);
        while (low < high) {
            uint96 middle = (low + high) / 2;
            q.prices.seatStake = middle;
            if (_verdict(q) == uint256(Condition.Deterrence)) low = middle + 1;
            else high = middle;
        }
        assertGt(low, 115_770, "deterrence decides");
        q.prices.seatStake = low;
        assertEq(_verdict(q), 99);
        assertTrue(_detersAlways(q));
        q.prices.seatStake = low - 1;
        assertEq(_verdict(q), uint256(Condition.Deterrence));
        assertFalse(_detersAlways(q));
    }

    function test_DeterrenceDecidesToTheLastUnit() public view {
        PoolParams memory q = p;
        q.rates.challengeFixed = uint128(1 << 64) / 100; // the largest response is the worst
        _leastStake(q);
        q.rates.challengeFixed = uint128(1 << 64) / 1_000;
        q.rates.challengeUnit = uint128(1 << 64) / 20_000; // the smallest is
        q.prices.outsideGain = 22;
        q.prices.rewardFixed = 2_000;
        q.prices.feeFixed = 2_000;
        _leastStake(q);
    }

    /// @dev The bisection finds the worst size wherever it lies.
    function testFuzz_DeterrenceHoldsForEverySizeOrThePoolIsRefused(
        uint256 p0,
        uint256 p1,
        uint256 stake,
        uint256 fixedPay,
        uint256 r
    ) public view {
        PoolParams memory q = p;
        q.limits.maxUnits = 120;
        q.prices.seatStake = uint96(bound(stake, 100_000, 400_000));
        q.prices.rewardFixed = uint96(bound(fixedPay, 20, 2_000));
        q.rates.collusion = uint16(bound(r, 0, 250));
        q.rates.challengeFixed = uint128(bound(p0, 1 << 51, 1 << 57));
        q.rates.challengeUnit = uint128(bound(p1, 0, 1 << 48));
        uint256 verdict = _verdict(q);
        vm.assume(verdict != uint256(Condition.Coverage) && verdict != uint256(Condition.Domain));
        assertEq(verdict != uint256(Condition.Deterrence), _detersAlways(q));
    }
}
