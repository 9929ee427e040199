// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

/// @title Contracts as they are shipped: what `forge build` made of them, whatever compiles the tests.
library Shipped {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function deploy(string memory name, bytes memory arguments) internal returns (address) {
        return deploy(name, name, arguments);
    }

    /// @param file The source file's name, without its ending.
    /// @param name The contract's.
    function deploy(string memory file, string memory name, bytes memory arguments)
        internal
        returns (address created)
    {
        bytes memory code = bytes.concat(_code(file, name), arguments);
        // Not `vm.deployCode`: a test may expect the constructor to revert.
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
            if iszero(created) {
                let free := mload(64)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    function _code(string memory file, string memory name) private view returns (bytes memory) {
        // Coverage counts only what it compiled itself.
        return VM.envOr("ASSAY_INSTRUMENTED", false)
            ? VM.getCode(string.concat(file, ".sol:", name))
            : VM.getCode(string.concat("target/forge/out/", file, ".sol/", name, ".json"));
    }
}
