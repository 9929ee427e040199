// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { DrandTest } from "../utils/DrandTest.sol";

/// @dev Execution gas, without the transaction's base fee and calldata. Osaka prices MODEXP higher than
/// Prague, so its snapshots are in a group of their own: `FOUNDRY_EVM_VERSION=osaka forge test`.
contract DrandBeaconGasTest is DrandTest {
    uint256 private constant SINGLE = 1;
    uint256 private constant TEN = 10;

    /// @dev A new storage slot and the event, which every stored round pays.
    uint256 private constant STORE = 22_100 + 1_381;

    string private group;

    function setUp() public override {
        super.setUp();
        // Osaka has a precompile at 0x100, for which 1,000 gas is too little; before, a call there succeeds.
        (bool empty,) = address(0x100).staticcall{ gas: 1_000 }("");
        group = empty ? "DrandBeacon" : "DrandBeacon.osaka";
    }

    function test_verifying_one_round_costs_at_most_130_000() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(SINGLE);
        beacon.verify(rounds, signatures);
        uint256 used = vm.snapshotGasLastCall(group, "verify, 1 round");
        assertLe(used, 130_000);
    }

    function test_verifying_ten_rounds_costs_at_most_60_000_each() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(TEN);
        beacon.verify(rounds, signatures);
        uint256 used = vm.snapshotGasLastCall(group, "verify, 10 rounds");
        assertLe(used / TEN, 60_000);
    }

    function test_storing_one_round_costs_the_slot_and_the_event_more() public {
        beacon.submit(devnet.rounds[0], devnet.signatures[0]);
        uint256 used = vm.snapshotGasLastCall(group, "submit, 1 round");
        assertLe(used, 130_000 + STORE);
    }

    function test_storing_ten_rounds_costs_the_slots_and_the_events_more() public {
        (uint64[] memory rounds, bytes[] memory signatures) = batch(TEN);
        beacon.submit(rounds, signatures);
        uint256 used = vm.snapshotGasLastCall(group, "submit, 10 rounds");
        assertLe(used / TEN, 45_000 + STORE);
    }

    function test_a_stored_round_costs_next_to_nothing() public {
        beacon.submit(devnet.rounds[0], devnet.signatures[0]);
        beacon.submit(devnet.rounds[0], devnet.signatures[0]);
        uint256 used = vm.snapshotGasLastCall(group, "submit, 1 round stored already");
        assertLe(used, 10_000);
    }
}
