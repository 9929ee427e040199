// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { DrandTest } from "../utils/DrandTest.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";

contract DrandBeaconSubmitTest is DrandTest {
    uint256 private constant PAIRING = 0x0f;

    function test_real_rounds_of_quicknet_are_stored() public {
        for (uint256 i = 0; i < quicknet.rounds.length; ++i) {
            uint64 round = quicknet.rounds[i];
            assertFalse(quicknetBeacon.isSubmitted(round));
            vm.expectRevert(abi.encodeWithSelector(IBeacon.RoundMissing.selector, round));
            quicknetBeacon.randomness(round);

            vm.expectEmit(address(quicknetBeacon));
            emit IDrandBeacon.RoundSubmitted(round, quicknet.randomness[i]);
            quicknetBeacon.submit(round, quicknet.signatures[i]);

            assertTrue(quicknetBeacon.isSubmitted(round));
            assertEq(quicknetBeacon.randomness(round), quicknet.randomness[i]);
        }
    }

    /// @dev Both signs of y must occur, else the compressed form's sign bit is untested.
    function test_rounds_with_both_signs_of_y_have_drands_randomness() public {
        uint256 larger;
        for (uint256 i = 0; i < devnet.rounds.length; ++i) {
            beacon.submit(devnet.rounds[i], devnet.signatures[i]);
            assertEq(beacon.randomness(devnet.rounds[i]), devnet.randomness[i]);
            assertEq(sha256(devnet.compressed[i]), devnet.randomness[i]);
            if (devnet.compressed[i][0] & 0x20 != 0) ++larger;
        }
        assertGt(larger, 0);
        assertLt(larger, devnet.rounds.length);
    }

    function test_any_flipped_bit_is_refused() public {
        uint64 round = quicknet.rounds[0];
        bytes memory good = quicknet.signatures[0];
        for (uint256 bit = 0; bit < 768; ++bit) {
            bytes memory flipped = bytes.concat(good);
            flipped[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            try quicknetBeacon.submit{ gas: 200_000 }(round, flipped) {
                revert(string.concat("accepted with another bit ", vm.toString(bit)));
            } catch (bytes memory reason) {
                // A single bit leads off the curve.
                assertEq(reason, abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, PAIRING));
            }
        }
        quicknetBeacon.submit{ gas: 200_000 }(round, good);
    }

    function test_a_signature_of_another_round_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 2, 1));
        beacon.submit(2, devnet.signatures[0]);
    }

    function test_a_signature_of_another_chain_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1000, 1));
        beacon.submit(1000, quicknet.signatures[0]);
    }

    function test_the_negated_signature_is_refused() public {
        bytes memory negated = negate(devnet.signatures[0]);
        assertEq(negate(negated), devnet.signatures[0]);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1, 1));
        beacon.submit(1, negated);
    }

    function test_a_point_outside_of_the_subgroup_is_refused() public {
        bytes memory outside = outsideSubgroup();
        add(outside, outside); // on the curve
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, PAIRING));
        beacon.submit(1, outside);
        // The right signature plus a small-subgroup point would pass a pairing that skipped the check.
        bytes memory shifted = add(devnet.signatures[0], outside);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, PAIRING));
        beacon.submit(1, shifted);
    }

    function test_infinity_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureAtInfinity.selector, 1));
        beacon.submit(1, new bytes(96));
    }

    function test_coordinates_from_the_modulus_on_are_refused() public {
        bytes memory good = devnet.signatures[0];
        // x + p encodes the same point and would give another randomness. It fits into 48 bytes.
        (uint256 high, uint256 low) = split(slice(good, 0, 48));
        uint256 sumLow;
        unchecked {
            sumLow = low + P_LOW;
        }
        uint128 sumHigh = uint128(high + P_HIGH + (sumLow < low ? 1 : 0));
        bytes memory alias_ = bytes.concat(abi.encodePacked(sumHigh, sumLow), slice(good, 48, 48));
        assertEq(alias_.length, 96);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, PAIRING));
        beacon.submit(1, alias_);
    }

    function test_other_lengths_are_refused() public {
        uint256[7] memory lengths = [uint256(0), 1, 48, 95, 97, 128, 192];
        for (uint256 i = 0; i < lengths.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureLength.selector, 1, lengths[i]));
            beacon.submit(1, new bytes(lengths[i]));
        }
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureLength.selector, 1, 48));
        beacon.submit(1, devnet.compressed[0]);
    }

    function test_round_zero_is_refused() public {
        vm.expectRevert(IDrandBeacon.RoundZero.selector);
        beacon.submit(0, devnet.signatures[0]);
    }

    function test_a_round_is_taken_from_its_time_on() public {
        uint256 time = beacon.timeOf(5);
        vm.warp(time - 1);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.RoundInFuture.selector, 5, time));
        beacon.submit(5, devnet.signatures[4]);
        vm.warp(time);
        beacon.submit(5, devnet.signatures[4]);
        assertEq(beacon.randomness(5), devnet.randomness[4]);
    }

    function test_a_stored_round_is_skipped() public {
        beacon.submit(1, devnet.signatures[0]);
        vm.recordLogs();
        beacon.submit(1, devnet.signatures[0]);
        beacon.submit(1, hex"00");
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(beacon.randomness(1), devnet.randomness[0]);
    }

    /// @dev At no amount of gas is the right signature called invalid, and where it succeeds it stores the
    /// value.
    function testFuzz_starving_it_of_gas_is_no_verdict(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 0, 150_000);
        try beacon.submit{ gas: gasLimit }(1, devnet.signatures[0]) {
            assertEq(beacon.randomness(1), devnet.randomness[0]);
        } catch (bytes memory reason) {
            assertFalse(beacon.isSubmitted(1));
            // Out of gas itself, or the precompile was.
            if (reason.length != 0) assertEq(bytes4(reason), IDrandBeacon.PrecompileFailed.selector);
        }
    }

    function test_a_starved_pairing_is_named() public {
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, PAIRING));
        beacon.submit{ gas: 100_000 }(1, devnet.signatures[0]);
    }

    /// @dev Calls to addresses without code succeed: the answer's size must be checked.
    function test_precompiles_that_do_not_exist_are_named() public {
        uint256[6] memory precompiles = [uint256(0x02), 0x05, 0x0b, 0x0c, 0x0f, 0x10];
        (uint64[] memory rounds, bytes[] memory signatures) = batch(2);
        for (uint256 i = 0; i < precompiles.length; ++i) {
            vm.mockCall(address(uint160(precompiles[i])), bytes(""), bytes(""));
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, precompiles[i]));
            beacon.submit(rounds, signatures);
            vm.clearMockedCalls();
        }
        beacon.submit(rounds, signatures);
    }

    function outsideSubgroup() private view returns (bytes memory) {
        return DrandVectors.hexAt(
            DrandVectors.text("drand-devnet.json"), ".outsideSubgroup.signatureUncompressed"
        );
    }
}
