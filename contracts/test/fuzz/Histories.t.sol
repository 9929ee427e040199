// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { Histories, History } from "../../src/libraries/Histories.sol";

contract HistoriesTest is Test {
    History private history;
    /// @dev The same, as a value for each epoch.
    mapping(uint256 epoch => uint160) private plain;

    function push(uint32 epoch, uint160 value) external {
        history.push(epoch, value);
    }

    function test_RevertWhen_AnEpochGoesBack() public {
        history.push(5, 1);
        vm.expectRevert(abi.encodeWithSelector(Histories.EpochWentBack.selector, 5, 4));
        this.push(4, 2);
        history.push(5, 3);
        assertEq(history.valueAt(5), 3);
        assertEq(history.valueAt(4), 0, "nothing before the first entry");
    }

    function test_TheFullWidthOfAValueIsKept() public {
        history.push(type(uint32).max - 1, type(uint160).max);
        history.push(type(uint32).max, type(uint160).max - 1);
        assertEq(history.valueAt(type(uint32).max - 1), type(uint160).max);
        assertEq(history.latest(), type(uint160).max - 1);
    }

    function testFuzz_ValuesAreThoseOfTheLatestEntry(uint256 seed) public {
        uint32 epoch;
        for (uint256 i; i < 20; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            epoch += uint32(dice % 4);
            uint160 value = uint160(dice >> 96) % 5;
            history.push(epoch, value);
            // The same epoch's later entry replaces the earlier one, and holds on.
            for (uint256 e = epoch; e < 70; ++e) {
                plain[e] = value;
            }
            assertEq(history.latest(), value);
        }
        for (uint32 e; e < 70; ++e) {
            assertEq(history.valueAt(e), plain[e]);
        }
    }
}
