// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { CREATE3 } from "solady/utils/CREATE3.sol";

/// @title Deploys contracts at addresses that depend on nothing but the sender and a salt, so that contracts can name each
/// other before they exist.
contract Deployer {
    /// @notice Hash of the init code that was deployed at an address. Code alone does not show what its constructor stored.
    mapping(address deployed => bytes32) public initCodeHashOf;

    /// @notice Deploys `initCode` at `addressOf(msg.sender, salt)`.
    function deploy(bytes32 salt, bytes calldata initCode) external returns (address deployed) {
        deployed = CREATE3.deployDeterministic(initCode, _salt(msg.sender, salt));
        initCodeHashOf[deployed] = keccak256(initCode);
    }

    /// @notice Where `sender` deploys with `salt`.
    function addressOf(address sender, bytes32 salt) external view returns (address) {
        return CREATE3.predictDeterministicAddress(_salt(sender, salt));
    }

    function _salt(address sender, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(sender, salt));
    }
}
