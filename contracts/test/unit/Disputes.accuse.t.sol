// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Accusations of a server alone: no ticket, no challenge, no validator.
contract DisputesAccuseTest is CaseTest {
    function _refused(Evidence memory e, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(stranger);
        disputes.accuse(e.request, e.response, e.responseSignature);
    }

    function test_AnyoneAccusesAResponseThatWasNeverDrawn() public {
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        IDisputes.Record memory r = accusationOf(e, stranger);
        uint256 until = block.timestamp + params.windows.publish;
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeOpened(1, pool, r.response, r, e.response, until);
        vm.prank(stranger);
        uint256 id = disputes.accuse(e.request, e.response, e.responseSignature);
        assertEq(free(stranger), 1_000_000 - bondOf());
        assertEq(caseBalance(id), bondOf());
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1);
        assertEq(staking.seatOf(pool, 1).disputes, 1);
        for (uint256 i = 1; i < SERVERS; ++i) {
            assertEq(staking.serverOf(pool, servers[i]).freezes, 0, "nobody else is frozen");
        }
        IDisputes.Case memory c = disputes.caseOf(pool, r.response);
        assertEq(c.payer, stranger);
        assertEq(c.open, 1);
        assertFalse(c.published);
        // The record names no validator; one that does is another record.
        r.validatorSeat = 13;
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongRecord.selector, id));
        disputes.publish(id, r, INPUT);
    }

    /// @dev What a user owes stands on its bond: in disputes of its own it could be parked until others' rights expire, or turned
    /// into freeze prices for friends.
    function test_AUserAccusesWithFreeMoney() public {
        accuse(answered(0, 7, 1, 100, WRONG), user);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        assertEq(free(user), 2_000_000 - bondOf());
        vm.startPrank(user);
        ledger.withdraw(pool, user, free(user));
        Evidence memory e = answered(0, 7, 2, 100, WRONG);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(user), bondOf(), 0
            )
        );
        disputes.accuse(e.request, e.response, e.responseSignature);
        vm.stopPrank();
    }

    function test_RevertWhen_TheAccuserHasNoBond() public {
        vm.prank(stranger);
        ledger.withdraw(pool, stranger, 1_000_001 - bondOf());
        _refused(
            answered(0, 7, 1, 100, WRONG),
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(stranger), bondOf(), bondOf() - 1
            )
        );
    }

    /// @dev A third of the stake is shared by user and finder, the fee is refunded because it was redeemed, the rest burnt.
    function test_AnAccusedLiarPaysUserAndFinder() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        uint256 burnt = burnBalance();
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        judge(id, r, RIGHT);
        uint256 share = third() / 2;
        uint256 base = params.baseFee(210);
        uint256 rest = uint256(params.prices.seatStake) - juryCost() - params.prices.gasAllowance
            - params.fee(210) - third() - base;
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeEnded(
            id, pool, IDisputes.State.Convicted, RIGHT, true, false, params.prices.seatStake, rest
        );
        disputes.resolve(id, r);
        assertEq(free(stranger), 1_000_000 + share + params.prices.gasAllowance);
        assertEq(free(user), 2_000_000 + third() - share + base);
        assertEq(balanceOf(AccountKind.Balance, user), balance + params.fee(210));
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertEq(burnBalance(), burnt + vesting + rest);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        assertTrue(isConvicted(1));
        assertEq(juryBalance(r.response), juryCost());
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    function test_AUserThatAccusesTakesTheFindersShareItself() public {
        (uint256 id, IDisputes.Record memory r) = accuse(answered(0, 7, 1, 100, WRONG), user);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(
            free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance, "all of it"
        );
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    function test_AFalseAccuserPaysTheJuryAndTheWholeFreeze() public {
        uint256 held = free(servers[0]);
        (uint256 id, IDisputes.Record memory r) = accuse(answered(0, 7, 1, 100, RIGHT), stranger);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        isState(id, IDisputes.State.Rejected);
        assertEq(free(stranger), 1_000_000 - juryCost() - params.prices.freezePrice);
        assertEq(free(servers[0]), held + params.prices.freezePrice);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    function test_WithoutInputAnAccusationIsDismissedAndPaysTheServer() public {
        uint256 held = free(servers[0]);
        uint256 burnt = burnBalance();
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        skip(params.windows.publish + 1);
        disputes.dismiss(id, r);
        isState(id, IDisputes.State.Dismissed);
        assertEq(free(stranger), 1_000_000 - bondOf());
        assertEq(free(servers[0]), held + params.prices.freezePrice);
        assertEq(burnBalance(), burnt + params.juryBudget());
        nothingWaits();
        // The response stays open.
        (id, r) = accuse(e, user);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
    }

    /// @dev Own evidence brings a thief no more than what the enforced conditions count: a finder's share of its own stake.
    function test_AServerThatAccusesItselfLosesMoreThanItGets() public {
        redeem(0, voucher(0, 9, 1, 1, 1_000));
        uint256 held = free(servers[0]);
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        assertGt(vesting, 0);
        (uint256 id, IDisputes.Record memory r) = accuse(answered(0, 7, 1, 100, WRONG), servers[0]);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        uint256 got = third() / 2 + params.prices.gasAllowance;
        assertEq(free(servers[0]), held + got);
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        assertLt(got, params.prices.seatStake);
        // A right server that accuses itself pays the jury, and the freeze to itself.
        held = free(servers[1]);
        (id, r) = accuse(answered(1, 7, 1, 100, RIGHT), servers[1]);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(free(servers[1]), held - juryCost());
        conserved();
    }

    function test_AResponseCanBeAccusedUntilItsDisputeWindowEnds() public {
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        uint256 until = beacon.timeOf(params.ticketRound(e.response.round)) + params.windows.dispute;
        vm.warp(until + 1);
        _refused(e, abi.encodeWithSelector(IDisputes.TooLate.selector, until));
        vm.warp(until);
        accuse(e, stranger);
    }

    /// @dev What `verify` requires of a response is required of one without evidence around it.
    function test_RevertWhen_TheResponseIsNotTheServers() public {
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        bytes memory good = e.responseSignature;
        e.responseSignature = signed(userKey, Hashes.response(e.response));
        _refused(
            e, abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], servers[0], user)
        );
        e.responseSignature = good;
        bytes32 request = e.response.request;
        e.request.sequence = 2;
        _refused(e, abi.encodeWithSelector(IChecks.WrongRequest.selector, Hashes.request(e.request), request));
        e.request.pool = "none";
        _refused(e, abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        e.request.pool = pool;
        e.request.seat = seatOf(1);
        respond(e, 0, 100, WRONG);
        _refused(e, abi.encodeWithSelector(IChecks.NotServersSeat.selector, seatOf(1), servers[0]));
        e.request.seat = 1;
        e.response.round = nowRound() + 1;
        _relink(e);
        _refused(e, abi.encodeWithSelector(IChecks.RoundFromFuture.selector, nowRound() + 1));
        (e.request.round, e.response.round) = (0, 0);
        _relink(e);
        _refused(e, abi.encodeWithSelector(Clocks.RoundZero.selector));
    }

    function _relink(Evidence memory e) private view {
        e.response.request = Hashes.request(e.request);
        e.responseSignature = signed(serverKeys[0], Hashes.response(e.response));
    }

    function test_RevertWhen_TheSeatWasConvicted() public {
        Evidence memory e = answered(0, 7, 5, 100, WRONG);
        convict(0, 1);
        _refused(e, abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1));
        // Another seat of the same server still answers for what it said.
        e = answered(0, 7, 6, 100, WRONG);
        e.request.seat = 2;
        respond(e, 0, 100, WRONG);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(seatBalance(2), params.prices.seatFloat);
    }

    /// @dev Stake that is free to leave pays no jury.
    function test_RevertWhen_TheUnbondingIsOver() public {
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        vm.warp(uint256(staking.seatOf(pool, 1).exitAt) - 1);
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        skip(1);
        _refused(e, abi.encodeWithSelector(IChecks.NotServersSeat.selector, 1, servers[0]));
    }

    function test_StakeThatCouldLeaveWaitsForTheAccusation() public {
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        vm.warp(uint256(staking.seatOf(pool, 1).exitAt) - 1);
        (uint256 id, IDisputes.Record memory r) = accuse(answered(0, 7, 1, 100, WRONG), stranger);
        judge(id, r, RIGHT);
        assertGt(block.timestamp, staking.seatOf(pool, 1).exitAt);
        vm.expectRevert();
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        disputes.resolve(id, r);
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(seatBalance(1), 0, "the float alone was left");
    }

    /// @dev The key that signed counts by the round of the response, whatever the server does about it since.
    function test_AReplacedKeyRepudiatesNothing() public {
        Evidence memory e = answered(0, 7, 1, 100, WRONG);
        vm.prank(servers[0]);
        staking.setKey(pool, makeAddr("fresh"));
        skip(2 * params.windows.epoch);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
    }

    /// @dev An accusation pays no validator, so it takes no validator's pay: who did the check is paid by its claim.
    function test_AClaimOnAnAccusedResponseIsPaidAsEver() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        address validator = servers[serverOfSeat(e.answer.seat)];
        checks.claim(e);
        uint256 held = free(validator);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        assertEq(uint8(checks.claimOf(pool, user, r.response).state), uint8(IChecks.ClaimState.Pending));
        vm.warp(uint256(checks.claimOf(pool, user, r.response).freeAt) + 1);
        checks.settle(pool, user, r.response);
        assertEq(free(validator), held + params.checkPay(210));
        settleAllJurors(r.response, 1);
        nothingWaits();
    }

    function test_OnlyTheAccusedSeatsConvictionClosesAnAccusation() public {
        Evidence memory e = answered(0, 7, 9, 100, WRONG);
        (uint256 id, IDisputes.Record memory r) = accuse(e, stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NothingConvicted.selector, id));
        disputes.close(id, r);
        convict(0, 1);
        disputes.close(id, r);
        isState(id, IDisputes.State.Closed);
        assertEq(free(stranger), 1_000_000);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 0);
    }
}
