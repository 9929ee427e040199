// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract DisputesOpenTest is AssayTest {
    uint256 private bond;

    function setUp() public override {
        super.setUp();
        bond = params.juryBudget() + params.prices.freezePrice;
    }

    function _validator(Evidence memory e) private view returns (address) {
        return servers[serverOfSeat(e.answer.seat)];
    }

    function test_OpeningFreezesBothAccusedAndTakesTheBond() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = disputed(e, user);
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 - bond);
        assertEq(caseBalance(id), bond);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1);
        assertEq(staking.serverOf(pool, r.validator).freezes, 1);
        assertEq(disputes.caseOf(pool, r.response).open, 1);
        assertEq(uint8(disputes.stateOf(id)), uint8(IDisputes.State.Opened));
        // The record is what the event says: any later call needs it to the last field.
        r.outputTokens += 1;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongRecord.selector, id));
        disputes.publish(id, r, INPUT);
    }

    function test_ServerAndValidatorPayOutOfFreeMoney() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        address validator = _validator(e);
        uint256 free = balanceOf(AccountKind.Free, validator);
        (uint256 id, IDisputes.Record memory r) = disputed(e, validator);
        assertEq(balanceOf(AccountKind.Free, validator), free - bond);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
        // A finder that is not the user takes half of the user's compensation, and the gas allowance.
        uint256 third = uint256(params.prices.seatStake) / 3;
        uint256 finder = third / 2;
        assertEq(
            balanceOf(AccountKind.Free, validator),
            free + finder + params.prices.gasAllowance + params.checkPay(210)
        );
        assertEq(balanceOf(AccountKind.Free, user), 2_000_000 + third - finder + params.baseFee(210));
    }

    function test_RevertWhen_TheBondIsNotThere() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        vm.prank(servers[0]);
        ledger.withdraw(pool, servers[0], 1_000_000);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(servers[0]), bond, 0
            )
        );
        vm.prank(servers[0]);
        disputes.open(e);
    }

    function test_RevertWhen_TheCallerIsNoParty() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotParty.selector, address(this)));
        disputes.open(e);
    }

    function test_ADisputeCanBeOpenedUntilItsWindowEnds() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        uint256 until = beacon.timeOf(params.ticketRound(e.response.round)) + params.windows.dispute;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.TooLate.selector, until));
        vm.prank(user);
        disputes.open(e);
        vm.warp(until);
        disputed(e, user);
    }

    function test_RevertWhen_TheEvidenceIsIncomplete() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        e.challenge.ticketNonce = "other";
        vm.expectRevert(IChecks.WrongTicketNonce.selector);
        vm.prank(user);
        disputes.open(e);
    }

    function test_TheFreezePriceOfADismissedDisputeGoesToTheAccusedWhoDidNotOpenIt() public {
        uint256 price = params.prices.freezePrice;
        for (uint64 i = 1; i <= 3; ++i) {
            Evidence memory e = drawn(0, i, RIGHT, RIGHT);
            address validator = _validator(e);
            address opener = i == 1 ? user : i == 2 ? servers[0] : validator;
            (uint256 id, IDisputes.Record memory r) = disputed(e, opener);
            skip(params.windows.publish + 1);
            uint256 server = balanceOf(AccountKind.Free, servers[0]);
            uint256 other = balanceOf(AccountKind.Free, validator);
            uint256 burnt = burnBalance();
            disputes.dismiss(id, r);
            assertEq(
                balanceOf(AccountKind.Free, servers[0]) - server, i == 1 ? price / 2 : i == 2 ? 0 : price
            );
            assertEq(balanceOf(AccountKind.Free, validator) - other, i == 1 ? price / 2 : i == 2 ? price : 0);
            assertEq(burnBalance(), burnt + params.juryBudget());
            assertEq(caseBalance(id), 0);
        }
    }
}
