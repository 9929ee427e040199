// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { AssayTest } from "../utils/AssayTest.sol";

/// @dev Test deployments are not held to the chain's limit of code, so this is.
contract SizesTest is AssayTest {
    uint256 private constant LIMIT = 24_576; // EIP-170

    function test_EveryContractFitsTheChain() public view {
        address[9] memory all = [
            address(pools),
            address(ledger),
            address(staking),
            address(lanes),
            address(checks),
            address(disputes),
            address(audits),
            address(sampling),
            address(arbiter)
        ];
        for (uint256 i; i < all.length; ++i) {
            assertGt(all[i].code.length, 0);
            assertLe(all[i].code.length, LIMIT, vm.toString(i));
        }
    }
}
