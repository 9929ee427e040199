// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Two pools with one arbiter: seats bear the same numbers in both, and what jurors owe in one is not taken from the other.
contract DisputesPoolsTest is CaseTest {
    bytes32 private twin;

    function setUp() public override {
        super.setUp();
        PoolParams memory p = params;
        p.limits.maxInputBytes -= 1;
        twin = pools.create(p, "ipfs://model", bytes32(uint256(1)));
        uint256 price = seatsEach() * (uint256(p.prices.seatStake) + p.prices.seatFloat);
        for (uint256 i; i < SERVERS; ++i) {
            ledger.deposit(twin, servers[i], price);
            vm.prank(servers[i]);
            staking.join(twin, seatsEach());
        }
    }

    function _heldIn(bytes32 where, uint64 seat) private view returns (uint256) {
        return ledger.balanceOf(where, AccountKind.Seat, bytes32(uint256(seat)));
    }

    function test_RevertWhen_JurorsAreSettledInAnotherPool() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = dispute(e, user);
        disputes.publish(id, r, INPUT);
        drawActiveJury(r.response);
        bytes32 subject = disputes.subjectOf(r.response);
        // One does not come; the others decide.
        uint256 size = jurySize(r.response);
        commitJurors(r.response, 1, size, RIGHT);
        uint64 absent = arbiter.seatOfJuror(address(disputes), subject, 1, 0);
        vm.warp(uint256(arbiter.ballotOf(address(disputes), subject, 1).commitEnd) + 1);
        arbiter.propose(address(disputes), subject, RIGHT);
        disputes.resolve(id, r);
        uint256 held = _heldIn(twin, absent);
        for (uint256 i; i < size; ++i) {
            uint256[] memory positions = new uint256[](1);
            positions[0] = i;
            vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, r.response, 1, 0));
            disputes.settleJurors(twin, r.response, 1, positions);
        }
        assertEq(_heldIn(twin, absent), held);
        settleAllJurors(r.response, 1);
        assertEq(_heldIn(pool, absent), held - params.prices.jurorPenalty, "fined where it was drawn");
        assertEq(_heldIn(twin, absent), held);
    }
}
