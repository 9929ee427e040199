// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";

/// @dev Draws are in range, and what decides is what should.
contract DrawsSymbolicTest is Test {
    function check_ADrawIsBelowTheNumberOfSeats(
        bytes32 domain,
        bytes32 randomness,
        bytes32 pool,
        bytes32 subject,
        uint256 counter,
        uint256 seats
    ) public pure {
        vm.assume(seats > 0);
        assert(Hashes.draw(domain, randomness, pool, subject, counter, seats) < seats);
    }

    function check_ARateOfOneDrawsAllAndOfZeroNone(bytes32 ticket, uint256 rate) public pure {
        assert(Hashes.isDrawn(ticket, 1 << 64));
        assert(!Hashes.isDrawn(ticket, 0));
        // A higher rate draws whatever a lower one does.
        vm.assume(rate < type(uint256).max);
        assert(!Hashes.isDrawn(ticket, rate) || Hashes.isDrawn(ticket, rate + 1));
    }

    /// @dev Two thirds of a jury, and no jury is too small for its quorum.
    function check_AQuorumIsTwoThirds(uint8 size) public pure {
        uint256 quorum = Conditions.quorum(size);
        assert(quorum <= size);
        assert(3 * quorum >= 2 * uint256(size));
        assert(size == 0 || 3 * (quorum - 1) < 2 * uint256(size));
    }
}
