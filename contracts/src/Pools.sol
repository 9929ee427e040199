// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { SSTORE2 } from "solady/utils/SSTORE2.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { Condition, Conditions } from "./libraries/Conditions.sol";
import { IBeacon } from "./interfaces/IBeacon.sol";
import { IPools } from "./interfaces/IPools.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Pools: see IPools.
contract Pools is IPools {
    /// @inheritdoc IPools
    function create(PoolParams calldata params, string calldata uri, bytes32 sha256OfModel)
        external
        returns (bytes32 pool)
    {
        // Else its period could not be asked for.
        require(params.basis.beacon.code.length != 0, Conditions.PoolRefused(Condition.Domain));
        Conditions.enforce(params, IBeacon(params.basis.beacon).period());
        bytes memory encoded = abi.encode(params);
        pool = keccak256(encoded);
        require(!PoolStore.exists(address(this), pool), PoolExists(pool));
        SSTORE2.writeDeterministic(encoded, pool);
        emit PoolCreated(pool, params, uri, sha256OfModel);
    }

    /// @inheritdoc IPools
    function get(bytes32 pool) external view returns (PoolParams memory) {
        return PoolStore.load(address(this), pool);
    }

    /// @inheritdoc IPools
    function exists(bytes32 pool) external view returns (bool) {
        return PoolStore.exists(address(this), pool);
    }
}
