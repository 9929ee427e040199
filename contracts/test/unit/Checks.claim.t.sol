// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract ChecksClaimTest is AssayTest {
    uint256 private cost;

    function setUp() public override {
        super.setUp();
        cost = params.check(210);
    }

    function _validator(Evidence memory e) private view returns (address) {
        return servers[serverOfSeat(e.answer.seat)];
    }

    function _ticketTime(Evidence memory e) private view returns (uint256) {
        return beacon.timeOf(params.ticketRound(e.response.round));
    }

    function test_AClaimTakesCheckMoney() public {
        redeem(0, voucher(0, 9, 1, 1, 1_000));
        uint256 held = balanceOf(AccountKind.Check, user);
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        bytes32 response = Hashes.response(e.response);
        uint256 freeAt = _ticketTime(e) + params.windows.dispute;
        vm.expectEmit(address(checks));
        emit IChecks.Claimed(
            pool,
            response,
            _validator(e),
            user,
            params.checkPay(210),
            params.discountOf(210),
            freeAt,
            e.challenge.counter,
            e.answer,
            e.answerSignature
        );
        checks.claim(e);
        assertEq(balanceOf(AccountKind.Check, user), held - cost);
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), cost);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        IChecks.Claim memory c = checks.claimOf(pool, user, response);
        assertEq(c.seat, e.answer.seat);
        assertEq(c.units, 210);
        assertEq(c.freeAt, freeAt);
        assertEq(uint8(c.state), uint8(IChecks.ClaimState.Pending));
    }

    function test_TheBondPaysWhatCheckMoneyCannot() public {
        redeem(0, voucher(0, 9, 1, 1, 100));
        uint256 held = balanceOf(AccountKind.Check, user);
        assertLt(held, cost);
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        checks.claim(e);
        assertEq(balanceOf(AccountKind.Check, user), 0);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000 - (cost - held));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), cost);
    }

    function test_RevertWhen_TheUserCannotPay() public {
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(params.windows.exit);
        lanes.exit(pool, user);
        lanes.fund(pool, 0, cost - 1);
        vm.stopPrank();
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IChecks.CheckNotFunded.selector, user, cost, cost - 1));
        checks.claim(e);
        vm.prank(user);
        lanes.fund(pool, 0, 1);
        checks.claim(e);
        assertEq(balanceOf(AccountKind.Bond, user), 0);
    }

    function _claimNext(uint64 sequence) private {
        checks.claim(drawn(0, sequence, RIGHT, RIGHT));
    }

    /// @dev A user that checks itself must not empty the bond that its vouchers rest on.
    function test_RevertWhen_ClaimsWouldTakeMoreThanTheirShareOfTheBond() public {
        uint256 reserve = params.checkReserve();
        // A whole period lies ahead.
        vm.warp((vm.getBlockTimestamp() / params.windows.voucher + 1) * params.windows.voucher);
        uint64 count = uint64(reserve / cost);
        assertGt(count, 9);
        for (uint64 i = 1; i <= count; ++i) {
            _claimNext(i);
            assertEq(checks.bondLeft(pool, user), reserve - i * cost);
        }
        Evidence memory e = drawn(0, count + 1, RIGHT, RIGHT);
        vm.expectRevert(
            abi.encodeWithSelector(IChecks.CheckNotFunded.selector, user, cost, reserve - count * cost)
        );
        checks.claim(e);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000 - count * cost);
        skip(params.windows.voucher);
        assertEq(checks.bondLeft(pool, user), reserve);
    }

    /// @dev Invariant 3: a check is paid once, also when another draw's validator answered as well.
    function test_RevertWhen_AResponseIsClaimedTwice() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        checks.claim(e);
        bytes memory reason =
            abi.encodeWithSelector(IChecks.ClaimExists.selector, Hashes.response(e.response));
        vm.expectRevert(reason);
        checks.claim(e);
        skip(params.windows.dispute + 1);
        checks.settle(pool, user, Hashes.response(e.response));
        vm.expectRevert(reason);
        checks.claim(e);
    }

    function test_AClaimCanBeMadeUntilItsWindowEnds() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        uint256 until = _ticketTime(e) + params.windows.claim;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimTooLate.selector, until));
        checks.claim(e);
        vm.warp(until);
        checks.claim(e);
    }

    /// @dev Who is drawn to check its own request is paid out of its own check account: nobody else's money moves, and the
    /// base fee that was burnt for it stays burnt.
    function test_AUserThatValidatesItselfTakesOnlyItsOwnMoney() public {
        uint256 price = uint256(params.prices.seatStake) + params.prices.seatFloat;
        ledger.deposit(pool, user, 60 * price);
        vm.prank(user);
        staking.join(pool, 60);
        servers.push(user);
        serverKeys.push(userKey);
        for (uint256 i; i < 4; ++i) {
            // Seats 61 to 120 are the user's: helpers that divide by twelve find it under each of five numbers.
            servers.push(user);
            serverKeys.push(userKey);
        }
        skip(2 * params.windows.epoch);
        Evidence memory e;
        for (uint64 sequence = 1; _validator_(e) != user; ++sequence) {
            e = drawn(0, sequence, RIGHT, RIGHT);
        }
        uint256 free = balanceOf(AccountKind.Free, user);
        checks.claim(e);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000 - cost);
        skip(params.windows.dispute + 1);
        checks.settle(pool, user, Hashes.response(e.response));
        assertEq(balanceOf(AccountKind.Free, user), free + params.checkPay(210));
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 + params.discountOf(210));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0);
    }

    function _validator_(Evidence memory e) private view returns (address) {
        return e.answer.seat == 0 ? address(0) : _validator(e);
    }

    function test_AClaimMadeDuringADisputeIsReplacedByTheVerdict() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        checks.claim(e);
        judged(id, r, RIGHT);
        uint256 free = balanceOf(AccountKind.Free, _validator(e));
        disputes.resolve(id, r);
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0);
        assertEq(balanceOf(AccountKind.Check, user), cost, "what the claim took stays bound to checks");
        assertEq(
            balanceOf(AccountKind.Free, _validator(e)), free + params.checkPay(210), "paid once, by the stake"
        );
        assertEq(uint8(checks.claimOf(pool, user, r.response).state), uint8(IChecks.ClaimState.Settled));
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimNotPending.selector, r.response));
        checks.settle(pool, user, r.response);
    }

    function test_RevertWhen_AResponseIsClaimedAfterItsVerdict() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimExists.selector, r.response));
        checks.claim(e);
    }
}
