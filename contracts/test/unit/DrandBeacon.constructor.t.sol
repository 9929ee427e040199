// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { DrandTest } from "../utils/DrandTest.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";

contract DrandBeaconConstructorTest is DrandTest {
    uint256 private constant G2MSM = 0x0e;

    function test_keeps_what_it_was_given() public view {
        assertEq(quicknetBeacon.publicKey(), quicknet.publicKey);
        assertEq(quicknetBeacon.genesis(), 1_692_803_367);
        assertEq(quicknetBeacon.period(), 3);
        assertEq(beacon.publicKey(), devnet.publicKey);
    }

    function test_refuses_a_key_of_another_length() public {
        for (uint256 length = 0; length <= 256; length += 32) {
            if (length == 192) continue;
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PublicKeyLength.selector, length));
            deployBeacon(new bytes(length), 1, 3);
        }
    }

    function test_refuses_infinity() public {
        vm.expectRevert(IDrandBeacon.PublicKeyAtInfinity.selector);
        deployBeacon(new bytes(192), 1, 3);
    }

    function test_refuses_a_key_off_the_curve() public {
        bytes memory key = devnet.publicKey;
        key[191] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, G2MSM));
        deployBeacon(key, 1, 3);
    }

    function test_refuses_a_key_outside_of_the_subgroup() public {
        string memory json = DrandVectors.text("drand-devnet.json");
        bytes memory key = DrandVectors.hexAt(json, ".outsideSubgroup.publicKeyUncompressed");
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, G2MSM));
        deployBeacon(key, 1, 3);
    }

    function test_refuses_a_key_with_flag_bits() public {
        bytes memory key = devnet.publicKey;
        key[0] |= 0x80;
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, G2MSM));
        deployBeacon(key, 1, 3);
    }

    function test_refuses_the_halves_of_an_element_in_the_other_order() public {
        bytes memory key = devnet.publicKey;
        bytes memory swapped =
            bytes.concat(slice(key, 48, 48), slice(key, 0, 48), slice(key, 144, 48), slice(key, 96, 48));
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, G2MSM));
        deployBeacon(swapped, 1, 3);
    }

    function test_refuses_a_period_of_zero() public {
        vm.expectRevert(IDrandBeacon.PeriodZero.selector);
        deployBeacon(devnet.publicKey, 1, 0);
    }

    function test_times_of_rounds() public {
        assertEq(quicknetBeacon.timeOf(1), 1_692_803_367);
        assertEq(quicknetBeacon.timeOf(1000), 1_692_803_367 + 999 * 3);
        uint256 last = 1_692_803_367 + (uint256(type(uint64).max) - 1) * 3;
        assertEq(quicknetBeacon.timeOf(type(uint64).max), last);
        vm.expectRevert(IDrandBeacon.RoundZero.selector);
        quicknetBeacon.timeOf(0);
    }

    function test_rounds_at_times() public view {
        assertEq(quicknetBeacon.roundAt(0), 0);
        assertEq(quicknetBeacon.roundAt(1_692_803_366), 0);
        assertEq(quicknetBeacon.roundAt(1_692_803_367), 1);
        assertEq(quicknetBeacon.roundAt(1_692_803_369), 1);
        assertEq(quicknetBeacon.roundAt(1_692_803_370), 2);
        uint256 last = quicknetBeacon.timeOf(type(uint64).max);
        assertEq(quicknetBeacon.roundAt(last - 1), type(uint64).max - 1);
        assertEq(quicknetBeacon.roundAt(last), type(uint64).max);
        assertEq(quicknetBeacon.roundAt(type(uint256).max), type(uint64).max);
    }

    function testFuzz_a_round_is_the_latest_until_the_next(uint64 round, uint64 genesis, uint64 period)
        public
    {
        round = uint64(bound(round, 1, type(uint64).max - 1));
        period = uint64(bound(period, 1, type(uint64).max));
        IBeacon any = deployBeacon(devnet.publicKey, genesis, period);
        assertEq(any.roundAt(any.timeOf(round)), round);
        assertEq(any.roundAt(any.timeOf(round + 1) - 1), round);
    }
}
