// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test, stdJson } from "forge-std/Test.sol";
import { MountainRanges } from "../../src/libraries/MountainRanges.sol";
import { Ranges } from "../utils/AuditTest.sol";

contract RangesHarness {
    function holds(
        bytes32 root,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        bytes32[] calldata siblings,
        bytes32[] calldata peaks
    ) external pure returns (bool) {
        return MountainRanges.holds(root, count, index, leaf, siblings, peaks);
    }
}

/// @dev Proofs of membership against trees built from their leaves, and against roots that the Rust builder made.
contract MountainRangesTest is Test {
    using stdJson for string;

    RangesHarness private harness;

    function setUp() public {
        harness = new RangesHarness();
    }

    function _leaves(uint256 count) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = Ranges.leaf(keccak256(abi.encode(i)), uint64(i + 1), uint64(3 * i));
        }
    }

    /// @dev Whether it holds; a path of another shape than the tree's counts as no.
    function _holds(
        bytes32 root,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        bytes32[] memory siblings,
        bytes32[] memory peaks
    ) private view returns (bool) {
        try harness.holds(root, count, index, leaf, siblings, peaks) returns (bool held) {
            return held;
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), MountainRanges.PathLength.selector);
            return false;
        }
    }

    function _longer(bytes32[] memory a) private pure returns (bytes32[] memory b) {
        b = new bytes32[](a.length + 1);
        for (uint256 i; i < a.length; ++i) {
            b[i] = a[i];
        }
    }

    function _shorter(bytes32[] memory a) private pure returns (bytes32[] memory b) {
        b = new bytes32[](a.length - 1);
        for (uint256 i; i < b.length; ++i) {
            b[i] = a[i];
        }
    }

    function test_EveryLeafHoldsAtItsPlaceAndNowhereElse() public view {
        for (uint256 count = 1; count <= 40; ++count) {
            bytes32[] memory leaves = _leaves(count);
            bytes32 root = Ranges.root(leaves);
            for (uint256 index; index < count; ++index) {
                (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, index);
                assertTrue(harness.holds(root, count, index, leaves[index], siblings, peaks));
                assertFalse(harness.holds(root, count, index, keccak256("other"), siblings, peaks));
                if (count > 16) continue;
                for (uint256 other; other < count + 2; ++other) {
                    if (other == index) continue;
                    assertFalse(_holds(root, count, other, leaves[index], siblings, peaks));
                }
            }
        }
    }

    function test_RootsAreThoseOfTheRustBuilder() public view {
        string memory json = vm.readFile("tests/vectors/protocol.json");
        uint64 total;
        bytes32[] memory leaves;
        for (uint64 i; i < 12; ++i) {
            total += 17 * (i + 1);
            leaves = _longer(leaves);
            leaves[i] = Ranges.leaf(keccak256(abi.encodePacked(uint64(200 + i))), i + 1, total);
            string memory place = string.concat(".accepted[", vm.toString(i), "]");
            assertEq(json.readUint(string.concat(place, ".units")), total);
            assertEq(json.readBytes32(string.concat(place, ".root")), Ranges.root(leaves));
        }
    }

    function test_RevertWhen_ThePathHasAnotherLength() public {
        for (uint256 count = 1; count <= 12; ++count) {
            bytes32[] memory leaves = _leaves(count);
            bytes32 root = Ranges.root(leaves);
            for (uint256 index; index < count; ++index) {
                (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, index);
                bytes32[] memory longer = _longer(siblings);
                _refused(root, count, index, leaves[index], longer, peaks);
                if (siblings.length > 0) {
                    _refused(root, count, index, leaves[index], _shorter(siblings), peaks);
                }
                _refused(root, count, index, leaves[index], siblings, _longer(peaks));
                _refused(root, count, index, leaves[index], siblings, _shorter(peaks));
            }
        }
    }

    function _refused(
        bytes32 root,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        bytes32[] memory siblings,
        bytes32[] memory peaks
    ) private {
        vm.expectRevert(
            abi.encodeWithSelector(MountainRanges.PathLength.selector, siblings.length, peaks.length)
        );
        harness.holds(root, count, index, leaf, siblings, peaks);
    }

    function test_AWrongSiblingOrPeakDoesNotHold() public view {
        for (uint256 count = 1; count <= 24; ++count) {
            bytes32[] memory leaves = _leaves(count);
            bytes32 root = Ranges.root(leaves);
            for (uint256 index; index < count; ++index) {
                (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, index);
                for (uint256 i; i < siblings.length; ++i) {
                    siblings[i] ^= bytes32(uint256(1));
                    assertFalse(harness.holds(root, count, index, leaves[index], siblings, peaks));
                    siblings[i] ^= bytes32(uint256(1));
                }
                for (uint256 i; i < peaks.length; ++i) {
                    peaks[i] ^= bytes32(uint256(1));
                    assertFalse(harness.holds(root, count, index, leaves[index], siblings, peaks));
                    peaks[i] ^= bytes32(uint256(1));
                }
                assertFalse(
                    harness.holds(root ^ bytes32(uint256(1)), count, index, leaves[index], siblings, peaks)
                );
            }
        }
    }

    function test_AnIndexOutOfRangeDoesNotHold() public view {
        bytes32[] memory leaves = _leaves(5);
        (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, 4);
        bytes32 root = Ranges.root(leaves);
        assertFalse(harness.holds(root, 5, 5, leaves[4], siblings, peaks));
        assertFalse(harness.holds(root, 5, type(uint256).max, leaves[4], siblings, peaks));
        // The empty range has no leaf.
        bytes32[] memory none;
        assertFalse(harness.holds(Ranges.root(none), 0, 0, 0, none, none));
    }

    /// @dev The count is part of the root: the same peaks under another count, of the same shape or not, are another root.
    function test_TheCountIsPartOfTheRoot() public view {
        for (uint256 count = 1; count <= 20; ++count) {
            bytes32[] memory leaves = _leaves(count);
            (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, 0);
            for (uint256 other = 1; other <= 40; ++other) {
                if (other == count) continue;
                assertFalse(_holds(Ranges.root(leaves), other, 0, leaves[0], siblings, peaks));
            }
        }
    }

    /// @dev A node of the tree is no leaf, and a leaf is no root.
    function test_ANodeIsNoLeaf() public view {
        bytes32[] memory leaves = _leaves(4);
        (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, 0);
        bytes32 node = keccak256(abi.encode(keccak256("assay.accepted.node.v1"), leaves[0], siblings[0]));
        bytes32[] memory upper = new bytes32[](1);
        upper[0] = siblings[1];
        assertFalse(_holds(Ranges.root(leaves), 4, 0, node, upper, peaks));
        assertFalse(_holds(Ranges.root(leaves), 2, 0, node, upper, peaks));
        bytes32[] memory single = new bytes32[](1);
        single[0] = leaves[0];
        bytes32[] memory none;
        assertFalse(_holds(leaves[0], 1, 0, leaves[0], none, single));
    }

    function testFuzz_AnyLeafHoldsAndAnyFlippedBitDoesNot(
        uint256 count,
        uint256 index,
        uint256 where,
        uint8 bit
    ) public view {
        count = bound(count, 1, 300);
        index = bound(index, 0, count - 1);
        bytes32[] memory leaves = _leaves(count);
        (bytes32[] memory siblings, bytes32[] memory peaks) = Ranges.path(leaves, index);
        bytes32 root = Ranges.root(leaves);
        bytes32 leaf = leaves[index];
        assertTrue(harness.holds(root, count, index, leaf, siblings, peaks));
        where %= siblings.length + peaks.length + 2;
        bytes32 flip = bytes32(uint256(1) << bit);
        if (where == 0) root ^= flip;
        else if (where == 1) leaf ^= flip;
        else if (where < 2 + siblings.length) siblings[where - 2] ^= flip;
        else peaks[where - 2 - siblings.length] ^= flip;
        assertFalse(harness.holds(root, count, index, leaf, siblings, peaks));
    }

    /// @dev Counts far beyond what a test can build: a range of 2^40 leaves whose trees but one are given by their peaks.
    function testFuzz_LargeCountsNeedAsManySiblingsAsTheirTreeHasLevels(uint64 count, uint64 index) public {
        count = uint64(bound(count, 1, type(uint64).max));
        index = uint64(bound(index, 0, count - 1));
        uint256 trees;
        uint256 height;
        uint256 left = index;
        bool found;
        for (uint256 level = 64; level > 0;) {
            if (count >> --level & 1 == 0) continue;
            ++trees;
            if (found) continue;
            if (left < 1 << level) (height, found) = (level, true);
            else left -= 1 << level;
        }
        bytes32[] memory siblings = new bytes32[](height);
        bytes32[] memory peaks = new bytes32[](trees);
        bytes32 node = "leaf";
        uint256 place = left;
        for (uint256 i; i < height; ++i) {
            siblings[i] = keccak256(abi.encode("sibling", i));
            (bytes32 a, bytes32 b) = place & 1 == 0 ? (node, siblings[i]) : (siblings[i], node);
            node = keccak256(abi.encode(keccak256("assay.accepted.node.v1"), a, b));
            place >>= 1;
        }
        uint256 tree;
        for (uint256 level = height + 1; level < 64; ++level) {
            if (count >> level & 1 == 1) ++tree;
        }
        peaks[tree] = node;
        bytes32 root = keccak256(abi.encodePacked(keccak256("assay.accepted.root.v1"), uint256(count), peaks));
        assertTrue(harness.holds(root, count, index, "leaf", siblings, peaks));
        _refused(root, count, index, "leaf", _longer(siblings), peaks);
    }
}
