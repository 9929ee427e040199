// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../../src/interfaces/IBeacon.sol";

/// @dev A beacon whose values a test chooses; the real one has tests of its own.
contract TestBeacon is IBeacon {
    uint64 public immutable period;
    uint64 public immutable genesis;
    mapping(uint64 round => bytes32) private _values;

    constructor(uint64 genesis_, uint64 period_) {
        (genesis, period) = (genesis_, period_);
    }

    function set(uint64 round, bytes32 value) external {
        _values[round] = value;
    }

    function randomness(uint64 round) external view returns (bytes32 value) {
        value = _values[round];
        require(value != 0, RoundMissing(round));
    }

    function timeOf(uint64 round) external view returns (uint256) {
        return genesis + (uint256(round) - 1) * period;
    }

    function roundAt(uint256 time) external view returns (uint64) {
        return time < genesis ? 0 : uint64((time - genesis) / period + 1);
    }
}
