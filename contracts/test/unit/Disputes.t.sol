// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract DisputesTest is AssayTest {
    function test_ALyingServerIsConvictedAndEverybodyIsPaid() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        uint256 held = balanceOf(AccountKind.Free, user);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        uint256 validatorFree = balanceOf(AccountKind.Free, servers[serverOfSeat(e.answer.seat)]);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        assertEq(balanceOf(AccountKind.Free, user), held - params.juryBudget() - params.prices.freezePrice);
        judged(id, r, RIGHT);
        uint256 burnt = ledger.balanceOf(pool, AccountKind.Burn, 0);
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        assertGt(vesting, 0);
        disputes.resolve(id, r);

        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Convicted));
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertFalse(staking.isActive(pool, seatOf(0)));
        assertEq(
            balanceOf(AccountKind.Balance, user), balance + params.fee(210), "fee back: it had been redeemed"
        );
        uint256 third = uint256(params.prices.seatStake) / 3;
        assertEq(
            balanceOf(AccountKind.Free, user), held + third + params.baseFee(210) + params.prices.gasAllowance
        );
        address validator = servers[serverOfSeat(e.answer.seat)];
        assertEq(balanceOf(AccountKind.Free, validator), validatorFree + params.checkPay(210));
        uint256 jurors = 5 * uint256(params.prices.jurorPay);
        assertEq(juryBalance(r.response), jurors);
        uint256 paid = params.fee(210) + third + params.baseFee(210) + params.prices.gasAllowance
            + params.checkPay(210) + jurors;
        assertEq(
            ledger.balanceOf(pool, AccountKind.Burn, 0),
            burnt + params.prices.seatStake - paid + vesting,
            "rest burnt"
        );
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0, "forfeited");
        assertGe(params.prices.seatStake - paid, 2 * params.juryBudget());
        settleAllJurors(r.response, 1);
        assertEq(juryBalance(r.response), 0);
        assertEq(caseBalance(id), 0);
    }

    function test_AFramingValidatorIsConvictedAndTheServerKeepsEverything() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        Evidence memory e = drawn(0, 1, RIGHT, WRONG);
        uint256 validator = serverOfSeat(e.answer.seat);
        (uint256 id, IDisputes.Record memory r) = disputed(e, servers[validator]);
        judged(id, r, RIGHT);
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        uint256 free = balanceOf(AccountKind.Free, servers[0]);
        disputes.resolve(id, r);
        assertFalse(staking.serverOf(pool, servers[0]).convicted);
        assertTrue(staking.serverOf(pool, servers[validator]).convicted);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), vesting);
        assertEq(balanceOf(AccountKind.Free, servers[0]), free + params.checkPay(210));
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
    }

    function test_EqualDigestsCostTheOpenerTheJuryAndTheFreeze() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        uint256 held = balanceOf(AccountKind.Free, user);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Rejected));
        uint256 cost = 5 * uint256(params.prices.jurorPay) + params.prices.freezePrice;
        assertEq(balanceOf(AccountKind.Free, user), held - cost);
        settleAllJurors(r.response, 1);
        assertEq(juryBalance(r.response), 0);
        assertEq(caseBalance(id), 0);
    }

    function test_BothWrongAreBothConvicted() public {
        Evidence memory e = drawn(0, 1, WRONG, keccak256("also wrong"));
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        assertTrue(staking.serverOf(pool, r.server).convicted);
        assertTrue(staking.serverOf(pool, r.validator).convicted);
    }

    function test_WithoutInputADisputeIsDismissedAndTheResponseStaysOpen() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooEarly.selector, block.timestamp + 10));
        disputes.dismiss(id, r);
        skip(11);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooLate.selector, block.timestamp - 1));
        disputes.publish(id, r, INPUT);
        uint256 held = balanceOf(AccountKind.Free, user);
        disputes.dismiss(id, r);
        assertEq(balanceOf(AccountKind.Free, user), held, "the bond is lost");
        assertEq(ledger.balanceOf(pool, AccountKind.Case, bytes32(id)), 0);
        (uint256 again,) = disputed(e, user);
        assertEq(again, id + 1);
    }

    function test_TwoVoidBallotsConvictNobody() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        uint256 held = balanceOf(AccountKind.Free, user);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        disputes.publish(id, r, INPUT);
        bytes32 subject = disputes.subjectOf(r.response);
        drawJury(r.response);
        commitJurors(r.response, 0, 3, RIGHT);
        skip(10 + 10 + 1);
        arbiter.advance(address(disputes), subject);
        drawJury(r.response);
        commitJurors(r.response, 0, 5, RIGHT);
        skip(11);
        vm.expectRevert();
        arbiter.propose(address(disputes), subject, RIGHT);
        skip(10);
        arbiter.advance(address(disputes), subject);
        disputes.resolve(id, r);
        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Void));
        assertEq(balanceOf(AccountKind.Free, user), held - params.juryBudget());
        assertFalse(staking.serverOf(pool, servers[0]).convicted);
        uint256 burnt = ledger.balanceOf(pool, AccountKind.Burn, 0);
        settleAllJurors(r.response, 1);
        settleAllJurors(r.response, 2);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, r.response), 0, "committed jurors are paid");
        uint256 absent = (5 - 3) + (9 - 5);
        assertEq(
            ledger.balanceOf(pool, AccountKind.Burn, 0) - burnt,
            absent * params.prices.jurorPenalty,
            "absent jurors are fined, those of the minority are not"
        );
    }

    function test_OtherDisputesOnAConvictedSeatCloseWithBondsBackAndJurorsPaid() public {
        Evidence memory first = drawn(0, 1, WRONG, RIGHT);
        Evidence memory second = drawn(0, 2, WRONG, RIGHT);
        uint256 held = balanceOf(AccountKind.Free, user);
        (uint256 a, IDisputes.Record memory ra) = disputed(first, user);
        (uint256 b, IDisputes.Record memory rb) = disputed(second, user);
        disputes.publish(b, rb, INPUT);
        drawJury(rb.response);
        commitJurors(rb.response, 0, 2, RIGHT);
        judged(a, ra, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NothingConvicted.selector, b));
        disputes.close(b, rb);
        disputes.resolve(a, ra);
        disputes.close(b, rb);
        uint256 won = uint256(params.prices.seatStake) / 3 + params.baseFee(210) + params.prices.gasAllowance;
        assertEq(balanceOf(AccountKind.Free, user), held + won);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, rb.response), 2 * params.prices.jurorPay);
        uint256[] memory positions = new uint256[](2);
        positions[1] = 1;
        disputes.settleJurors(pool, rb.response, 1, positions);
        assertEq(ledger.balanceOf(pool, AccountKind.Case, rb.response), 0);
        assertEq(staking.serverOf(pool, ra.server).freezes, 0);
    }
}
