// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../interfaces/IBeacon.sol";

using Clocks for Clock global;

/// @notice When a beacon's rounds are published, in unix seconds: round `i` at `genesis + (i − 1)·period`.
struct Clock {
    uint256 genesis;
    uint256 period;
}

/// @title A beacon's times, read once a call instead of once a round.
library Clocks {
    /// @notice There is no round before the first.
    error RoundZero();

    function read(address beacon) internal view returns (Clock memory) {
        return Clock(IBeacon(beacon).genesis(), IBeacon(beacon).period());
    }

    /// @notice When `round` is published.
    function timeOf(Clock memory self, uint64 round) internal pure returns (uint256) {
        require(round != 0, RoundZero());
        return self.genesis + (uint256(round) - 1) * self.period;
    }

    /// @notice The latest round that somebody may know who builds this block, or leaves it out: published by `lag` after its time.
    /// 0 before genesis.
    function knowable(Clock memory self, uint256 lag) internal view returns (uint64) {
        uint256 time = block.timestamp + lag;
        return time < self.genesis ? 0 : uint64((time - self.genesis) / self.period + 1);
    }

    /// @notice The round that draws what is fixed in this block.
    function drawing(Clock memory self, uint256 lag) internal view returns (uint64) {
        return self.knowable(lag) + 2;
    }
}
