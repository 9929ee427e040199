// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

using Histories for History global;

/// @notice A value by epoch: append-only, except that the entry of the newest epoch may be replaced.
/// @dev `head` is the newest entry, `epoch (32 bits) ‖ number of older entries (64) ‖ value (160)`, so that a value which
/// never changed takes one slot. `older` holds the others in order, in the same form.
struct History {
    uint256 head;
    mapping(uint256 position => uint256) older;
}

/// @title Reads and writes of a History: O(1) writes, O(log n) reads, one slot where the newest entry answers.
library Histories {
    /// @notice Entries must come in order of their epochs.
    error EpochWentBack(uint32 newest, uint32 given);

    /// @notice Sets the value from `epoch` on.
    function push(History storage self, uint32 epoch, uint160 value) internal {
        uint256 head = self.head;
        uint256 count = uint64(head >> 160);
        uint32 newest = uint32(head >> 224);
        require(epoch >= newest, EpochWentBack(newest, epoch));
        if (head != 0 && epoch > newest) self.older[count++] = head;
        self.head = uint256(epoch) << 224 | count << 160 | value;
    }

    /// @notice The newest value, whatever its epoch.
    function latest(History storage self) internal view returns (uint160) {
        return uint160(self.head);
    }

    /// @notice The value that holds in `epoch`; 0 before the first entry.
    function valueAt(History storage self, uint32 epoch) internal view returns (uint160) {
        uint256 head = self.head;
        if (uint32(head >> 224) <= epoch) return uint160(head);
        (uint256 low, uint256 high) = (0, uint64(head >> 160));
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (uint32(self.older[middle] >> 224) <= epoch) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? 0 : uint160(self.older[low - 1]);
    }
}
