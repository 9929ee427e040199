// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { console } from "forge-std/console.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AuditTest } from "../utils/AuditTest.sol";

/// @dev How often responses are audited, and which.
contract AuditsDrawsTest is AuditTest {
    function _randomness(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode("seed", i));
    }

    /// @dev Draws of one redemption over many values of its round: their sum, and the bounds that each must keep.
    function _draws(Job memory job, uint256 seeds) private returns (uint256 sum) {
        uint256 rate = params.rates.auditFixed * job.r.count + params.rates.auditUnit * job.r.units;
        vm.warp(beacon.timeOf(job.r.round));
        uint256 snapshot = vm.snapshotState();
        for (uint256 i; i < seeds; ++i) {
            beacon.set(job.r.round, _randomness(i));
            audits.draw(job.id, job.r);
            uint256 n = audits.progressOf(job.id).audits;
            assertEq(n, auditsOf(job, _randomness(i)));
            assertGe(n, rate >> 64);
            assertLe(n, (rate >> 64) + 1);
            sum += n;
            vm.revertToState(snapshot);
        }
    }

    /// @dev A tenth of a response's worth is audited a tenth as often: the mean is the rate, within five standard errors.
    function test_TheMeanNumberOfAuditsIsTheRate() public {
        fillStock();
        _meanIs(redeemEven(0, 7, 1, RIGHT), 210_000); // 0.021, in ten millionths
        _meanIs(redeemEven(0, 8, 10, RIGHT), 2_100_000);
        _meanIs(redeemEven(0, 9, 60, RIGHT), 12_600_000);
        _meanIs(redeemEven(0, 10, 120, RIGHT), 25_200_000);
    }

    function _meanIs(Job memory job, uint256 expected) private {
        uint256 seeds = 1_000;
        uint256 sum = _draws(job, seeds);
        uint256 mean = sum * 1e7 / seeds;
        uint256 fraction = expected % 1e7;
        uint256 error_ = 5 * _sqrt(fraction * (1e7 - fraction) / seeds);
        console.log("rate, mean of 1,000 draws, five standard errors (1e-7)", expected, mean, error_);
        assertApproxEqAbs(mean, expected, error_);
    }

    function _sqrt(uint256 x) private pure returns (uint256 y) {
        y = x;
        for (uint256 z = (x + 1) / 2; z < y; z = (x / z + z) / 2) {
            y = z;
        }
    }

    /// @dev Splitting a redemption changes nothing: ten of one response are audited as often as one of ten.
    function test_SmallRedemptionsDoNotEscape() public {
        fillStock();
        uint256 sum;
        for (uint64 i; i < 10; ++i) {
            sum += _draws(redeemEven(0, 20 + i, 1, RIGHT), 300);
        }
        // 3,000 draws at 0.021: 63, standard deviation 7.9.
        console.log("audits of ten small redemptions over 300 seeds; expected 63", sum);
        assertApproxEqAbs(sum, 63, 39);
    }

    /// @dev Each response is as likely as its width: a0 + a1·units of all.
    function test_AResponsesChanceIsProportionalToItsRate() public {
        fillStock();
        uint32[] memory outputs = new uint32[](8);
        (outputs[0], outputs[1], outputs[2], outputs[3]) = (0, 495, 45, 20);
        (outputs[4], outputs[5], outputs[6], outputs[7]) = (245, 1, 120, 0);
        Part[] memory parts = new Part[](2);
        Entry[] memory entries = laneOf(0, 7, outputs, RIGHT);
        parts[0] = Part(entries, 0, 5);
        parts[1] = Part(laneOf(0, 8, outputs, RIGHT), 0, 8);
        Job memory job = redeemParts(0, parts);
        uint256 seeds = 20_000;
        uint256[2][8] memory hits;
        vm.warp(beacon.timeOf(job.r.round));
        for (uint256 i; i < seeds; ++i) {
            beacon.set(job.r.round, _randomness(i));
            (uint256 part, uint256 entry) = _hit(job);
            ++hits[entry][part];
        }
        // In units: a0 is worth a hundred of them.
        uint256 all = 100 * job.r.count + job.r.units;
        uint256 chi;
        for (uint256 part; part < 2; ++part) {
            for (uint256 entry; entry < parts[part].count; ++entry) {
                uint256 size = 10 + 2 * outputs[entry];
                uint256 expected = seeds * (100 + size) / all;
                uint256 seen = hits[entry][part];
                assertApproxEqAbs(seen, expected, 5 * _sqrt(expected), "within five standard deviations");
                uint256 off = seen > expected ? seen - expected : expected - seen;
                chi += 1_000 * off * off / expected;
            }
        }
        console.log("chi-square of 20,000 draws over 13 responses (thousandths; 12 degrees of freedom)", chi);
        assertLt(chi, 32_900, "p > 0.001");
    }

    /// @dev The response that the contract's own target lies in, found by a walk over the responses.
    function _hit(Job memory job) private view returns (uint256 part, uint256 entry) {
        (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
        assertLt(offset, byUnit ? job.r.units : job.r.count, "beyond the last");
        for (part = 0; part < job.parts.length; ++part) {
            Part memory p = job.parts[part];
            for (entry = p.before; entry < p.count; ++entry) {
                uint256 width =
                    byUnit ? p.entries[entry].units - (entry == 0 ? 0 : p.entries[entry - 1].units) : 1;
                if (offset < width) return (part, entry);
                offset -= width;
            }
        }
    }

    /// @dev Every number and every unit is reached, the first and the last too, and nothing beyond.
    function test_TargetsReachFromTheFirstToTheLast() public {
        fillStock();
        uint32[] memory outputs = new uint32[](3);
        Entry[] memory entries = laneOf(0, 7, outputs, RIGHT);
        Job memory job = redeemParts(0, partsOf(entries, 0, 3));
        assertEq(job.r.units, 30);
        bool[3] memory numbers;
        bool[30] memory unitsSeen;
        vm.warp(beacon.timeOf(job.r.round));
        for (uint256 i; i < 3_000; ++i) {
            beacon.set(job.r.round, _randomness(i));
            (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
            if (byUnit) unitsSeen[offset] = true;
            else numbers[offset] = true;
        }
        for (uint256 i; i < 3; ++i) {
            assertTrue(numbers[i]);
        }
        for (uint256 i; i < 30; ++i) {
            assertTrue(unitsSeen[i]);
        }
    }

    function _someAudit(Job memory job, uint256 seed) private returns (bytes32 randomness) {
        for (uint256 i;; ++i) {
            randomness = keccak256(abi.encode(seed, i));
            if (auditsOf(job, randomness) > 0) break;
        }
        reach(job.r.round, randomness);
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, auditsOf(job, randomness));
    }

    function _assertSame(Job memory job, bytes32 randomness) private view {
        (uint256 part, uint256 entry) = _hit(job);
        (uint256 wantedPart, uint256 wantedEntry) = hitOf(job, randomness, 0);
        assertEq(part, wantedPart);
        assertEq(entry, wantedEntry);
    }

    function _randomPart(uint256 seed, uint64 lane, uint256 count) private view returns (Part memory) {
        uint32[] memory outputs = new uint32[](count);
        for (uint256 i; i < count; ++i) {
            outputs[i] = uint32(uint256(keccak256(abi.encode(seed, lane, i))) % 496);
        }
        return Part(laneOf(0, lane, outputs, RIGHT), 0, count);
    }

    /// @dev Whatever is redeemed and whatever the beacon says: what the contract draws is what a walk over the responses draws,
    /// and exactly that response opens the audit.
    function testFuzz_WhatIsDrawnOpens(uint256 seed, uint8 lanes_, uint8 length) public {
        fillStock();
        uint256 n = bound(lanes_, 1, 4);
        Part[] memory parts = new Part[](n);
        for (uint256 part; part < n; ++part) {
            parts[part] = _randomPart(seed, uint64(7 + part), bound(uint256(length) >> part, 1, 9));
        }
        Job memory job = redeemParts(0, parts);
        bytes32 randomness = _someAudit(job, seed);
        _assertSame(job, randomness);
        openDrawn(job, 0, randomness);
    }
}

/// @dev A pool that audits by units alone.
contract AuditsByUnitTest is AuditTest {
    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.rates.auditFixed = 0;
    }

    function test_ARedemptionWithoutUnitsIsNotAudited() public {
        Entry[] memory entries = evenLane(0, 7, 3, RIGHT);
        for (uint256 i; i < 3; ++i) {
            (entries[i].response.promptTokens, entries[i].response.outputTokens, entries[i].units) = (0, 0, 0);
        }
        Job memory job = redeemParts(0, partsOf(entries, 0, 3));
        assertEq(job.r.units, 0);
        audit(job, 0, 0, 0);
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), job.r.reward);
    }

    function test_DrawsAreByUnit() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 5, RIGHT);
        for (uint256 entry; entry < 5; ++entry) {
            bytes32 randomness = randomnessFor(job, 1, 0, entry);
            beacon.set(job.r.round, randomness);
            (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
            assertTrue(byUnit);
            assertEq(offset / 110, entry);
        }
    }
}

/// @dev A pool that audits by number alone.
contract AuditsByNumberTest is AuditTest {
    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.rates.auditUnit = 0;
    }

    function test_DrawsAreByNumber() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 5, RIGHT);
        uint256 snapshot = vm.snapshotState();
        for (uint256 entry; entry < 5; ++entry) {
            audit(job, 1, 0, entry);
            (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
            assertFalse(byUnit);
            assertEq(offset, entry);
            openAt(job, 0, 0, entry);
            vm.revertToState(snapshot);
        }
    }
}
