// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Hashes } from "./Hashes.sol";

/// @title Merkle mountain ranges: `n` leaves as one perfect tree for each set bit of `n`, the largest first.
/// crates/protocol builds them; a voucher's root is one over its lane's accepted responses.
library MountainRanges {
    /// @notice The path has not as many siblings as its tree has levels, or not one peak a tree.
    error PathLength(uint256 siblings, uint256 peaks);

    /// @notice Whether `leaf` is number `index`, from 0, of the `count` leaves under `root`.
    /// @param count Below 2^64.
    /// @param siblings From the leaf's up to its peak's.
    /// @param peaks Of all trees, the largest first.
    function holds(
        bytes32 root,
        uint256 count,
        uint256 index,
        bytes32 leaf,
        bytes32[] calldata siblings,
        bytes32[] calldata peaks
    ) internal pure returns (bool) {
        if (index >= count) return false;
        (uint256 tree, uint256 trees, uint256 height) = (0, 0, 0);
        bool found;
        for (uint256 level = 64; level > 0;) {
            uint256 size = 1 << --level;
            if (count & size == 0) continue;
            ++trees;
            if (found) continue;
            // The leaf lies in the first tree that reaches beyond its index.
            if (index < size) (found, height) = (true, level);
            else (index, tree) = (index - size, tree + 1);
        }
        require(siblings.length == height && peaks.length == trees, PathLength(siblings.length, peaks.length));
        for (uint256 i; i < height; ++i) {
            leaf = index >> i & 1 == 0 ? _node(leaf, siblings[i]) : _node(siblings[i], leaf);
        }
        return peaks[tree] == leaf && root == keccak256(abi.encodePacked(Hashes.ACCEPTED_ROOT, count, peaks));
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encode(Hashes.ACCEPTED_NODE, left, right));
    }
}
