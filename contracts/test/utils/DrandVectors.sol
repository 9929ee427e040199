// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

/// @title A drand chain's vectors from tests/vectors, which the Rust tests read too.
library DrandVectors {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    struct Chain {
        bytes publicKey;
        uint64 genesis;
        uint64 period;
        uint64[] rounds;
        bytes[] signatures;
        bytes[] compressed;
        bytes32[] randomness;
    }

    /// @param name The file's name.
    /// @param count How many of its rounds to read.
    function read(string memory name, uint256 count) internal view returns (Chain memory chain) {
        string memory json = text(name);
        chain.publicKey = hexAt(json, ".publicKeyUncompressed");
        chain.genesis = uint64(VM.parseJsonUint(json, ".genesisTime"));
        chain.period = uint64(VM.parseJsonUint(json, ".periodSeconds"));
        chain.rounds = new uint64[](count);
        chain.signatures = new bytes[](count);
        chain.compressed = new bytes[](count);
        chain.randomness = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            string memory item = string.concat(".rounds[", VM.toString(i), "]");
            chain.rounds[i] = uint64(VM.parseJsonUint(json, string.concat(item, ".round")));
            chain.signatures[i] = hexAt(json, string.concat(item, ".signatureUncompressed"));
            chain.compressed[i] = hexAt(json, string.concat(item, ".signatureCompressed"));
            chain.randomness[i] = bytes32(hexAt(json, string.concat(item, ".randomness")));
        }
    }

    function text(string memory name) internal view returns (string memory) {
        return VM.readFile(string.concat("tests/vectors/", name));
    }

    function hexAt(string memory json, string memory key) internal pure returns (bytes memory) {
        return VM.parseBytes(string.concat("0x", VM.parseJsonString(json, key)));
    }
}
