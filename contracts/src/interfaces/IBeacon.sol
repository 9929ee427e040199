// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title A public random beacon: one unpredictable, verifiable 256-bit value a round, at a known time.
interface IBeacon {
    /// @notice The round's value has not been submitted to this contract yet.
    error RoundMissing(uint64 round);

    /// @notice The value of `round`; reverts with `RoundMissing` if nobody has submitted it.
    function randomness(uint64 round) external view returns (bytes32);

    /// @notice Unix time, in seconds, at which `round` is published. Round 1 is published at genesis.
    function timeOf(uint64 round) external view returns (uint256);

    /// @notice The latest round published at or before `time`; 0 before genesis.
    function roundAt(uint256 time) external view returns (uint64);

    /// @notice Unix time, in seconds, of round 1; round `i` is published `(i − 1)·period` later.
    function genesis() external view returns (uint64);

    /// @notice Seconds between two rounds.
    function period() external view returns (uint64);
}
