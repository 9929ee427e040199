// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract ChecksSettleTest is AssayTest {
    Evidence private e;
    bytes32 private response;
    address private validator;
    uint256 private freeAt;

    function setUp() public override {
        super.setUp();
        redeem(0, voucher(0, 9, 1, 1, 1_000));
        Evidence memory made = drawn(0, 1, RIGHT, RIGHT);
        e = made;
        checks.claim(made);
        response = Hashes.response(made.response);
        validator = servers[serverOfSeat(made.answer.seat)];
        freeAt = checks.claimOf(pool, user, response).freeAt;
    }

    function test_AClaimIsPaidOnceNoDisputeCanBeOpenedAnyMore() public {
        vm.warp(freeAt);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimTooEarly.selector, freeAt));
        checks.settle(pool, user, response);
        vm.warp(freeAt + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooLate.selector, freeAt));
        vm.prank(user);
        disputes.open(e);
        uint256 free = balanceOf(AccountKind.Free, validator);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        vm.expectEmit(address(checks));
        emit IChecks.ClaimPaid(pool, response, validator);
        checks.settle(pool, user, response);
        assertEq(balanceOf(AccountKind.Free, validator), free + params.checkPay(210));
        assertEq(balanceOf(AccountKind.Balance, user), balance + params.discountOf(210));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0);
        assertEq(uint8(checks.claimOf(pool, user, response).state), uint8(IChecks.ClaimState.Paid));
    }

    function test_RevertWhen_NoClaimIsPending() public {
        bytes memory reason = abi.encodeWithSelector(IChecks.ClaimNotPending.selector, response);
        vm.warp(freeAt + 1);
        vm.expectRevert(reason);
        checks.settle(pool, servers[0], response);
        checks.settle(pool, user, response);
        vm.expectRevert(reason);
        checks.settle(pool, user, response);
    }

    function test_RevertWhen_TheValidatorIsAccused() public {
        vm.warp(freeAt);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        vm.warp(freeAt + 1);
        vm.expectRevert(abi.encodeWithSelector(IChecks.Frozen.selector, validator));
        checks.settle(pool, user, response);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        checks.settle(pool, user, response);
        assertEq(
            ledger.balanceOf(pool, AccountKind.Claim, 0), 0, "both were right: the claim is paid after all"
        );
    }

    /// @dev Frozen as well: the claim of a convicted validator does not wait for whatever else runs.
    function test_AClaimOfAConvictedAndFrozenValidatorGoesBackToo() public {
        convicted(serverOfSeat(e.answer.seat), 1);
        vm.prank(address(disputes));
        staking.freeze(pool, validator, true);
        vm.warp(freeAt + 1);
        vm.expectEmit(address(checks));
        emit IChecks.ClaimVoid(pool, response, validator);
        checks.settle(pool, user, response);
    }

    /// @dev A conviction elsewhere voids what its server has claimed; the money stays bound to checks.
    function test_AClaimOfAConvictedValidatorGoesBackToTheUser() public {
        convicted(serverOfSeat(e.answer.seat), 1);
        vm.warp(freeAt + 1);
        uint256 check = balanceOf(AccountKind.Check, user);
        uint256 free = balanceOf(AccountKind.Free, validator);
        vm.expectEmit(address(checks));
        emit IChecks.ClaimVoid(pool, response, validator);
        checks.settle(pool, user, response);
        assertEq(balanceOf(AccountKind.Check, user), check + params.check(210));
        assertEq(balanceOf(AccountKind.Free, validator), free);
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimNotPending.selector, response));
        checks.settle(pool, user, response);
        Evidence memory again = e;
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimExists.selector, response));
        checks.claim(again);
    }

    function test_RevertWhen_NoModuleReplaces() public {
        vm.expectRevert(abi.encodeWithSelector(IChecks.NotModule.selector, address(this)));
        checks.replace(pool, user, response);
        vm.expectRevert(abi.encodeWithSelector(IChecks.NotModule.selector, address(this)));
        checks.retract(pool, user, response, e.answer.seat);
    }
}

/// @dev The largest response that any pool may allow, 2^24 units, at prices that suit it.
contract ChecksLargestTest is AssayTest {
    uint256 private constant LARGEST = 1 << 24;
    uint32 private constant TOKENS = uint32((LARGEST - 10) / 2);

    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.limits.maxUnits = uint32(LARGEST);
        (p.prices.jurorPay, p.prices.jurorPenalty, p.prices.seatFloat) = (18_000_000, 18_000_000, 24_000_000);
        (p.prices.seatStake, p.prices.minBond, p.prices.checkCap) =
        (6_000_000_000, 2_000_000_000, 600_000_000);
    }

    function setUp() public override {
        super.setUp();
        ledger.deposit(pool, user, 3_000_000_000);
        vm.prank(user);
        lanes.fund(pool, 0, 3_000_000_000);
    }

    function _claimed(uint256 server) private returns (Evidence memory e) {
        e = drawn(server, 1, TOKENS, RIGHT, RIGHT);
        assertEq(units(e), LARGEST);
        checks.claim(e);
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), params.check(LARGEST));
    }

    function test_TheLargestCheckIsPaidInFull() public {
        Evidence memory e = _claimed(0);
        address validator = servers[serverOfSeat(e.answer.seat)];
        uint256 free = balanceOf(AccountKind.Free, validator);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        skip(params.windows.dispute + 1);
        checks.settle(pool, user, Hashes.response(e.response));
        assertEq(balanceOf(AccountKind.Free, validator), free + params.checkPay(LARGEST));
        assertEq(balanceOf(AccountKind.Balance, user), balance + params.discountOf(LARGEST));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0, "nothing stays behind");
    }

    function test_TheLargestVoidCheckComesBackInFull() public {
        Evidence memory e = _claimed(0);
        uint256 held = balanceOf(AccountKind.Check, user);
        vm.prank(address(disputes));
        staking.convict(pool, servers[serverOfSeat(e.answer.seat)]);
        skip(params.windows.dispute + 1);
        checks.settle(pool, user, Hashes.response(e.response));
        assertEq(balanceOf(AccountKind.Check, user), held + params.check(LARGEST));
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0, "nothing stays behind");
    }
}
