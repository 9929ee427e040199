// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { DrandTest } from "../utils/DrandTest.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";

contract DrandBeaconBatchTest is DrandTest {
    uint256 private constant G1MSM = 0x0c;
    uint256 private constant PAIRING = 0x0f;

    function test_batches_of_every_size_are_stored() public {
        uint256 start = vm.snapshotState();
        for (uint256 count = 1; count <= devnet.rounds.length; ++count) {
            (uint64[] memory rounds, bytes[] memory signatures) = batch(count);
            for (uint256 i = 0; i < count; ++i) {
                vm.expectEmit(address(beacon));
                emit IDrandBeacon.RoundSubmitted(rounds[i], devnet.randomness[i]);
            }
            beacon.submit(rounds, signatures);
            for (uint256 i = 0; i < count; ++i) {
                assertEq(beacon.randomness(rounds[i]), devnet.randomness[i]);
            }
            vm.revertToState(start);
        }
    }

    function test_real_rounds_of_quicknet_in_one_batch() public {
        quicknetBeacon.submit(quicknet.rounds, quicknet.signatures);
        assertEq(quicknetBeacon.randomness(quicknet.rounds[0]), quicknet.randomness[0]);
        assertEq(quicknetBeacon.randomness(quicknet.rounds[1]), quicknet.randomness[1]);
    }

    function test_verify_gives_the_values_and_stores_nothing() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        beacon.submit(rounds[1], signatures[1]);
        bytes32[] memory values = beacon.verify(rounds, signatures);
        assertEq(values.length, 3);
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(values[i], devnet.randomness[i]);
        }
        assertFalse(beacon.isSubmitted(rounds[0]));
        assertFalse(beacon.isSubmitted(rounds[2]));
        // A stored round is verified like any other.
        signatures[1] = signatures[0];
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1, 3));
        beacon.verify(rounds, signatures);
    }

    function test_stored_rounds_are_skipped() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(4);
        beacon.submit(rounds[0], signatures[0]);
        beacon.submit(rounds[2], signatures[2]);
        // Whatever stands beside a stored round is not looked at.
        signatures[2] = hex"00";
        vm.recordLogs();
        beacon.submit(rounds, signatures);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2);
        assertEq(uint256(logs[0].topics[1]), rounds[1]);
        assertEq(uint256(logs[1].topics[1]), rounds[3]);
        for (uint256 i = 0; i < 4; ++i) {
            assertEq(beacon.randomness(rounds[i]), devnet.randomness[i]);
        }
        vm.recordLogs();
        beacon.submit(rounds, signatures);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_a_round_named_twice_is_announced_once() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        (rounds[2], signatures[2]) = (rounds[0], signatures[0]);
        vm.recordLogs();
        beacon.submit(rounds, signatures);
        assertEq(vm.getRecordedLogs().length, 2);
        assertEq(beacon.randomness(rounds[0]), devnet.randomness[0]);
    }

    function test_an_empty_batch_does_nothing() public {
        vm.recordLogs();
        beacon.submit(new uint64[](0), new bytes[](0));
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(beacon.verify(new uint64[](0), new bytes[](0)).length, 0);
    }

    function test_lengths_must_agree() public {
        (uint64[] memory rounds,) = batch(3);
        (, bytes[] memory signatures) = batch(2);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.BatchLengths.selector, 3, 2));
        beacon.submit(rounds, signatures);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.BatchLengths.selector, 3, 2));
        beacon.verify(rounds, signatures);
    }

    function test_one_wrong_signature_refuses_the_batch_wherever_it_is() public {
        for (uint256 i = 0; i < 5; ++i) {
            (uint64[] memory rounds, bytes[] memory signatures) = batch(5);
            signatures[i] = devnet.signatures[7];
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1, 5));
            beacon.submit(rounds, signatures);
        }
    }

    function test_the_first_pending_round_is_named() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        beacon.submit(rounds[0], signatures[0]);
        signatures[2] = signatures[1];
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 2, 2));
        beacon.submit(rounds, signatures);
    }

    /// @dev The plain sums of these batches are right: only the coefficients show that the signatures are
    /// not.
    function test_errors_that_cancel_are_found() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                if (i == j) continue;
                (, signatures) = batch(3);
                signatures[i] = add(signatures[i], G1);
                signatures[j] = add(signatures[j], negate(G1));
                assertEq(add(signatures[i], signatures[j]), add(devnet.signatures[i], devnet.signatures[j]));
                vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1, 3));
                beacon.submit(rounds, signatures);
            }
        }
    }

    /// @dev Coefficients that left out a round or a signature could be foreseen, and errors made to cancel.
    function test_coefficients_are_drawn_from_all_rounds_and_signatures() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        bytes memory all;
        for (uint256 i = 0; i < 3; ++i) {
            all = bytes.concat(all, pad(signatures[i]), abi.encode(rounds[i]));
        }
        bytes32 seed = keccak256(all);
        bytes memory terms;
        for (uint256 i = 1; i < 3; ++i) {
            uint256 coefficient = uint256(keccak256(abi.encode(seed, i))) >> 128;
            terms = bytes.concat(terms, pad(signatures[i]), abi.encode(coefficient));
        }
        vm.expectCall(address(uint160(G1MSM)), terms);
        beacon.submit(rounds, signatures);
    }

    function test_swapped_signatures_are_found() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(2);
        (signatures[0], signatures[1]) = (signatures[1], signatures[0]);
        vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureInvalid.selector, 1, 2));
        beacon.submit(rounds, signatures);
    }

    /// @dev The first signature is added, which checks no subgroup: there the pairing finds it.
    function test_points_outside_of_the_subgroup_are_found_wherever_they_are() public {
        string memory json = DrandVectors.text("drand-devnet.json");
        bytes memory outside = DrandVectors.hexAt(json, ".outsideSubgroup.signatureUncompressed");
        for (uint256 i = 0; i < 3; ++i) {
            (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
            signatures[i] = add(signatures[i], outside);
            vm.expectRevert(
                abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, i == 0 ? PAIRING : G1MSM)
            );
            beacon.submit(rounds, signatures);
        }
    }

    function test_points_off_the_curve_are_found_wherever_they_are() public {
        for (uint256 i = 0; i < 3; ++i) {
            (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
            signatures[i][95] ^= 0x01;
            vm.expectRevert(
                abi.encodeWithSelector(IDrandBeacon.PrecompileFailed.selector, i == 0 ? 0x0b : G1MSM)
            );
            beacon.submit(rounds, signatures);
        }
    }

    function test_each_signature_is_checked_for_length_and_infinity() public {
        for (uint256 i = 0; i < 3; ++i) {
            (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
            signatures[i] = new bytes(95);
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureLength.selector, rounds[i], 95));
            beacon.submit(rounds, signatures);
            signatures[i] = new bytes(96);
            vm.expectRevert(abi.encodeWithSelector(IDrandBeacon.SignatureAtInfinity.selector, rounds[i]));
            beacon.submit(rounds, signatures);
        }
    }

    function test_rounds_zero_and_of_the_future_refuse_the_batch() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(3);
        vm.warp(beacon.timeOf(2));
        vm.expectRevert(
            abi.encodeWithSelector(IDrandBeacon.RoundInFuture.selector, 3, devnet.genesis + 2 * devnet.period)
        );
        beacon.submit(rounds, signatures);
        rounds[2] = 0;
        vm.expectRevert(IDrandBeacon.RoundZero.selector);
        beacon.submit(rounds, signatures);
    }
}
