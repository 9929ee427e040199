// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IPools } from "../interfaces/IPools.sol";
import { PoolParams } from "../types/PoolParams.sol";

/// @title Where pools' parameters live: the code of a contract at an address made of the registry's and the pool's id.
/// @dev Every module reads them with one EXTCODECOPY, without a call to the registry and without a storage slot.
library PoolStore {
    /// @dev SSTORE2 puts a STOP in front of the data.
    uint256 private constant PREFIX = 1;
    // Where the structs after the first begin, and where the last ends: 4, 16, 6, 10 and 14 words.
    uint256 private constant PRICES = 128;
    uint256 private constant RATES = 640;
    uint256 private constant LIMITS = 832;
    uint256 private constant WINDOWS = 1152;
    uint256 private constant SIZE = 1600;

    /// @dev keccak256 of CREATE3's proxy, whose only job is to make the address independent of the data.
    bytes32 private constant PROXY_HASH = keccak256(hex"67363d3d37363d34f03d5260086018f3");

    /// @notice Whether the registry holds `pool`.
    function exists(address pools, bytes32 pool) internal view returns (bool) {
        return pointerOf(pools, pool).code.length != 0;
    }

    /// @notice The parameters of `pool`; reverts with `PoolUnknown` if there is no such pool.
    function load(address pools, bytes32 pool) internal view returns (PoolParams memory p) {
        address pointer = pointerOf(pools, pool);
        require(pointer.code.length != 0, IPools.PoolUnknown(pool));
        // Its fields are five static structs: in memory five pointers to what their encoding is. Only the registry writes
        // there, so the fields are clean.
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(0x40, add(data, SIZE))
            extcodecopy(pointer, data, PREFIX, SIZE)
            mstore(p, data)
            mstore(add(p, 0x20), add(data, PRICES))
            mstore(add(p, 0x40), add(data, RATES))
            mstore(add(p, 0x60), add(data, LIMITS))
            mstore(add(p, 0x80), add(data, WINDOWS))
        }
    }

    /// @notice Address of the data contract of `pool`.
    function pointerOf(address pools, bytes32 pool) internal pure returns (address) {
        address proxy =
            address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", pools, pool, PROXY_HASH)))));
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", proxy, hex"01")))));
    }
}
