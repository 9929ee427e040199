// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { InferenceRequest } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Two requests that a user signed for one place of a lane cost it its bond, after all that it owes.
contract LanesEquivocationTest is CaseTest {
    struct Pair {
        InferenceRequest a;
        bytes signatureA;
        InferenceRequest b;
        bytes signatureB;
    }

    function _pair(uint64 sequence) private view returns (Pair memory p) {
        p.a = answered(0, 7, sequence, 100, RIGHT).request;
        p.b = answered(0, 7, sequence, 100, RIGHT).request;
        p.b.inputHash = keccak256("another input");
        _sign(p);
    }

    function _sign(Pair memory p) private view {
        p.signatureA = signed(userKey, Hashes.request(p.a));
        p.signatureB = signed(userKey, Hashes.request(p.b));
    }

    function _prove(Pair memory p, address finder) private {
        vm.prank(finder);
        lanes.proveEquivocation(p.a, p.signatureA, p.b, p.signatureB);
    }

    function _refused(Pair memory p, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(stranger);
        lanes.proveEquivocation(p.a, p.signatureA, p.b, p.signatureB);
    }

    // ------------------------------------------------------------------------------------------------------- effect

    function test_AProofTakesTheBondAtTheEndOfTheExitWindow() public {
        redeem(0, voucher(0, 9, 1, 1, 1_000));
        uint256 balance = balanceOf(AccountKind.Balance, user);
        uint256 eMoney = balanceOf(AccountKind.Check, user);
        uint256 burnt = burnBalance();
        uint256 due = block.timestamp + params.windows.exit;
        vm.expectEmit(address(lanes));
        emit ILanes.EquivocationProven(pool, user, stranger, 7, 1, due);
        _prove(_pair(1), stranger);
        assertEq(lanes.exitOf(pool, user).due, due);
        assertEq(lanes.exitOf(pool, user).finder, stranger);
        assertEq(free(stranger), 1_000_000, "nothing before the others had their time");
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(ILanes.ExitTooEarly.selector, user, due));
        lanes.exit(pool, user);
        vm.warp(due);
        uint256 share = uint256(4_000_000) / 3;
        vm.expectEmit(address(lanes));
        emit ILanes.Exited(pool, user, balance, eMoney + 4_000_000 - share);
        // Anyone ends it: its user would not.
        vm.prank(servers[1]);
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_000_000 + share);
        assertEq(free(user), 2_000_000 + balance, "the balance is its own");
        assertEq(burnBalance(), burnt + eMoney + 4_000_000 - share);
        assertEq(balanceOf(AccountKind.Bond, user) + balanceOf(AccountKind.Balance, user), 0);
        assertEq(lanes.exitOf(pool, user).due, 0);
        assertEq(lanes.exitOf(pool, user).last, due);
        assertEq(lanes.exitOf(pool, user).finder, address(0));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NoExitRequested.selector, user));
        lanes.exit(pool, user);
        conserved();
    }

    /// @dev What the user owes is taken first: vouchers and checks until the last second.
    function test_VouchersAndClaimsAreTakenBeforeTheBondGoes() public {
        _prove(_pair(1), stranger);
        uint256 due = lanes.exitOf(pool, user).due;
        vm.warp(due - 2);
        // More than the balance: it reaches into the bond.
        redeem(0, voucher(0, 9, 1_000, 1_000, 700_000));
        uint256 cost = 1_000 * params.fee(700);
        uint256 bond = 8_000_000 - cost;
        assertEq(balanceOf(AccountKind.Bond, user), bond);
        checks.claim(drawn(0, 2, RIGHT, RIGHT));
        assertEq(block.timestamp, due);
        bond = balanceOf(AccountKind.Bond, user);
        uint256 burnt = burnBalance();
        uint256 eMoney = balanceOf(AccountKind.Check, user);
        lanes.exit(pool, user);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 1_000 * params.pay(700));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), params.check(210));
        assertEq(free(stranger), 1_000_000 + bond / 3);
        assertEq(burnBalance(), burnt + eMoney + bond - bond / 3);
        conserved();
    }

    function test_RevertWhen_TheUserWouldUndoIt() public {
        _prove(_pair(1), stranger);
        bytes memory reason = abi.encodeWithSelector(ILanes.Equivocated.selector, user);
        vm.startPrank(user);
        vm.expectRevert(reason);
        lanes.cancelExit(pool);
        vm.expectRevert(reason);
        lanes.requestExit(pool);
        vm.stopPrank();
        // Nor does a second proof change finder or time.
        skip(10);
        _refused(_pair(2), reason);
    }

    /// @dev An exit that is under way, even due, is put off: who is owed has its window from the proof on.
    function test_AProofDuringAnExitStartsTheWindowAnew() public {
        vm.prank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        _prove(_pair(1), stranger);
        uint256 due = block.timestamp + params.windows.exit;
        vm.expectRevert(abi.encodeWithSelector(ILanes.ExitTooEarly.selector, user, due));
        vm.prank(user);
        lanes.exit(pool, user);
        vm.warp(due);
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_000_000 + uint256(4_000_000) / 3);
        assertEq(free(user), 6_000_000);
    }

    /// @dev Its own evidence is worth a third of its bond to a user, and no sooner than leaving is worth all of it.
    function test_AUserThatProvesItselfLosesTwoThirds() public {
        address puppet = rich("puppet");
        vm.prank(user);
        lanes.requestExit(pool);
        uint256 due = lanes.exitOf(pool, user).due;
        skip(1);
        _prove(_pair(1), puppet);
        assertGt(lanes.exitOf(pool, user).due, due);
        vm.warp(lanes.exitOf(pool, user).due);
        lanes.exit(pool, user);
        assertEq(free(puppet) - 1_000_000, uint256(4_000_000) / 3);
        assertEq(free(user), 6_000_000);
        conserved();
    }

    function test_RevertWhen_SomebodyElseEndsAnOrdinaryExit() public {
        vm.prank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotUser.selector, stranger));
        vm.prank(stranger);
        lanes.exit(pool, user);
    }

    /// @dev What a user signed before it left is settled; who comes back starts anew.
    function test_RequestsFromBeforeTheLastExitProveNothing() public {
        Pair memory old = _pair(1);
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        lanes.fund(pool, 0, 900_000);
        vm.stopPrank();
        // The compiler may read `block.timestamp` again after the time has moved.
        uint256 left = vm.getBlockTimestamp();
        _refused(old, abi.encodeWithSelector(ILanes.BeforeLastExit.selector, user, left));
        // Signed in the second of the exit: before it, as far as can be known.
        _refused(_pair(1), abi.encodeWithSelector(ILanes.BeforeLastExit.selector, user, left));
        skip(1);
        Pair memory mixed = _pair(1);
        (mixed.b, mixed.signatureB) = (old.b, old.signatureB);
        _refused(mixed, abi.encodeWithSelector(ILanes.BeforeLastExit.selector, user, left));
        _prove(_pair(1), stranger);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_300_000);
        conserved();
    }

    /// @dev A proof in one pool is about that pool's bond.
    function test_AnEmptyBondPaysNothing() public {
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        vm.stopPrank();
        skip(1);
        _prove(_pair(1), stranger);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_000_000);
        assertEq(free(user), 10_000_000);
    }

    /// @dev Disputes take other money: nothing of a bond is in one when it is forfeit.
    function test_ADisputeHoldsNothingOfTheBond() public {
        accuse(answered(0, 7, 4, 100, RIGHT), user);
        _prove(_pair(1), stranger);
        accuse(answered(0, 7, 5, 100, RIGHT), user);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        assertEq(free(user), 2_000_000 - 2 * bondOf());
        vm.warp(lanes.exitOf(pool, user).due);
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_000_000 + uint256(4_000_000) / 3);
        conserved();
    }

    // --------------------------------------------------------------------------------------------- what is no proof

    function test_RevertWhen_TheRequestsAreNotForOnePlace() public {
        bytes memory reason = abi.encodeWithSelector(ILanes.NoEquivocation.selector);
        Pair memory p = _pair(1);
        (p.b, p.signatureB) = (p.a, p.signatureA);
        _refused(p, reason);
        p = _pair(1);
        p.b.pool = "other";
        _sign(p);
        _refused(p, reason);
        p = _pair(1);
        p.b.user = stranger;
        _sign(p);
        _refused(p, reason);
        p = _pair(1);
        p.b.server = servers[1];
        _sign(p);
        _refused(p, reason);
        p = _pair(1);
        p.b.lane = 8;
        _sign(p);
        _refused(p, reason);
        p = _pair(1);
        p.b.sequence = 2;
        _sign(p);
        _refused(p, reason);
    }

    function test_RevertWhen_TheUserDidNotSignBoth() public {
        bytes memory reason =
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[0]);
        Pair memory p = _pair(1);
        p.signatureB = signed(serverKeys[0], Hashes.request(p.b));
        _refused(p, reason);
        (p.a, p.b) = (p.b, p.a);
        (p.signatureA, p.signatureB) = (p.signatureB, p.signatureA);
        _refused(p, reason);
    }

    function test_RevertWhen_ARequestIsFromNoRoundThatWas() public {
        Pair memory p = _pair(1);
        p.b.round = nowRound() + 1;
        _sign(p);
        _refused(p, abi.encodeWithSelector(ILanes.RoundFromFuture.selector, nowRound() + 1));
        p.b.round = 0;
        _sign(p);
        _refused(p, abi.encodeWithSelector(Clocks.RoundZero.selector));
        (p.a.pool, p.b.pool) = ("none", "none");
        _refused(p, abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
    }

    /// @dev Who steals a user's new key can't make up a past with it; the old key's signatures stay the user's.
    function test_TheKeyOfTheRoundCounts() public {
        Pair memory p = _pair(1);
        (address fresh, uint256 freshKey) = makeAddrAndKey("fresh");
        vm.prank(user);
        staking.setKey(pool, fresh);
        skip(2 * params.windows.epoch);
        bytes memory old = p.signatureB;
        p.signatureB = signed(freshKey, Hashes.request(p.b));
        _refused(p, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, fresh));
        p.signatureB = old;
        _prove(p, stranger);
    }
}
