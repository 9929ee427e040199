// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { PoolParams } from "../types/PoolParams.sol";

/// @title The registry of pools: one model served under one immutable set of parameters each.
/// @notice Anyone creates a pool; nobody owns, changes or closes one.
interface IPools {
    event PoolCreated(bytes32 indexed pool, PoolParams params, string uri, bytes32 sha256OfModel);

    error PoolExists(bytes32 pool);
    error PoolUnknown(bytes32 pool);

    /// @notice Creates a pool if its parameters meet every enforced condition.
    /// @dev Assumptions about what the parameters name; where they fail, this pool alone is hurt:
    /// - SAFETY token: moves exactly what it is asked to, never rebases, never calls back in a way that changes balances.
    ///   Deposits that arrive short are refused.
    /// - SAFETY beacon: a round's value can't be known before its time, nor chosen.
    /// - SAFETY arbiter: decides for the right digest; the jury arbiter does while less than `collusion` of the stake colludes.
    /// - LIVENESS token: `burn` works; if not, burnt amounts stay locked and everything else goes on.
    /// - LIVENESS beacon: rounds keep coming and somebody submits those that are needed.
    /// @param uri Where the model file can be had; not checked.
    /// @param sha256OfModel Digest of that file; not checked on-chain.
    /// @return pool keccak256 of the encoded parameters.
    function create(PoolParams calldata params, string calldata uri, bytes32 sha256OfModel)
        external
        returns (bytes32 pool);

    /// @notice The parameters of `pool`.
    function get(bytes32 pool) external view returns (PoolParams memory);

    /// @notice Whether `pool` was created.
    function exists(bytes32 pool) external view returns (bool);
}
