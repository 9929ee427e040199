// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Several disputes over one response: one input, one jury, one verdict, and who pays and is paid for it.
contract DisputesSharedTest is CaseTest {
    struct Dispute {
        uint256 id;
        IDisputes.Record r;
    }

    function _accuse(Evidence memory e, address opener) private returns (Dispute memory d) {
        (d.id, d.r) = accuse(e, opener);
    }

    function _open(Evidence memory e, address opener) private returns (Dispute memory d) {
        (d.id, d.r) = dispute(e, opener);
    }

    function _resolve(Dispute memory d) private {
        disputes.resolve(d.id, d.r);
    }

    function _wrong(Dispute memory d, IDisputes.State state) private {
        vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongState.selector, d.id, state));
    }

    // ------------------------------------------------------------------------------------------------------ course

    function test_OneInputTakesAllDisputesOverAResponseToTheArbiter() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(e, user);
        Dispute memory b = _accuse(e, stranger);
        assertEq(disputes.caseOf(pool, a.r.response).open, 2);
        assertEq(staking.seatOf(pool, 1).disputes, 2);
        assertEq(staking.serverOf(pool, servers[0]).freezes, 2);
        disputes.publish(a.id, a.r, INPUT);
        _wrong(b, IDisputes.State.Published);
        disputes.publish(b.id, b.r, INPUT);
        skip(params.windows.publish + 1);
        _wrong(b, IDisputes.State.Published);
        disputes.dismiss(b.id, b.r);
        assertEq(caseBalance(a.id), params.prices.freezePrice);
        assertEq(caseBalance(b.id), bondOf(), "the second bond is whole");
        assertEq(juryBalance(a.r.response), params.juryBudget());
        // One that opens now is before the arbiter at once.
        Evidence memory again = e;
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeJoined(3, pool, a.r.response);
        Dispute memory c = _accuse(again, servers[3]);
        isState(c.id, IDisputes.State.Published);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.StillPending.selector, c.id));
        disputes.resolve(c.id, c.r);
        conserved();
    }

    /// @dev Whoever's dispute is carried out first, everybody ends with the same.
    function test_TheOrderOfResolutionsChangesNothing() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        address validator = servers[serverOfSeat(e.answer.seat)];
        uint256 held = free(validator);
        Dispute[3] memory d;
        d[0] = _open(e, user);
        d[1] = _open(e, validator);
        d[2] = _accuse(e, stranger);
        disputes.publish(d[1].id, d[1].r, INPUT);
        verdict(d[0].r.response, RIGHT);
        uint256 snapshot = vm.snapshotState();
        uint8[3][6] memory orders = [
            [uint8(0), 1, 2],
            [uint8(0), 2, 1],
            [uint8(1), 0, 2],
            [uint8(1), 2, 0],
            [uint8(2), 0, 1],
            [uint8(2), 1, 0]
        ];
        for (uint256 i; i < orders.length; ++i) {
            for (uint256 j; j < 3; ++j) {
                _resolve(d[orders[i][j]]);
                isState(d[orders[i][j]].id, IDisputes.State.Convicted);
            }
            assertEq(
                free(user),
                2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance,
                "the user was first: the whole compensation"
            );
            assertEq(free(stranger), 1_000_000, "who joined has its bond back");
            // The one whose evidence shows the check is paid for it, unless an accusation was carried out before.
            assertEq(free(validator), held + (orders[i][0] == 2 ? 0 : params.checkPay(210)));
            assertEq(seatBalance(1), params.prices.seatFloat, "slashed once");
            settleAllJurors(d[0].r.response, 1);
            nothingWaits();
            vm.revertToState(snapshot);
        }
    }

    function test_WithARightServerEachOpenerPaysItsFreezeAndTheFirstTheJury() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        address validator = servers[serverOfSeat(e.answer.seat)];
        uint256 server = free(servers[0]);
        uint256 other = free(validator);
        Dispute memory a = _open(e, user);
        Dispute memory b = _accuse(e, stranger);
        disputes.publish(b.id, b.r, INPUT);
        verdict(a.r.response, RIGHT);
        _resolve(b);
        assertEq(free(stranger), 1_000_000 - params.prices.freezePrice, "the freeze alone");
        assertEq(staking.serverOf(pool, servers[0]).freezes, 1, "frozen until the last one ends");
        _resolve(a);
        assertEq(free(user), 2_000_000 - juryCost() - params.prices.freezePrice);
        assertEq(free(servers[0]), server + params.prices.freezePrice * 3 / 2);
        assertEq(free(validator), other + params.prices.freezePrice / 2);
        settleAllJurors(a.r.response, 1);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorSettled.selector, a.r.response, 1, 0));
        disputes.settleJurors(pool, a.r.response, 1, new uint256[](1));
        nothingWaits();
    }

    /// @dev Jurors are due as soon as one dispute is carried out, whatever the others do.
    function test_JurorsAreSettledOnceBetweenTwoResolutions() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(e, user);
        Dispute memory b = _accuse(e, stranger);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.JurorNotDue.selector, a.r.response, 1, 0));
        disputes.settleJurors(pool, a.r.response, 1, new uint256[](1));
        _resolve(b);
        settleAllJurors(a.r.response, 1);
        assertEq(juryBalance(a.r.response), 0);
        _resolve(a);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        nothingWaits();
    }

    function test_AVoidCaseEndsAllItsDisputesAndThePayerAloneLosesTheJury() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _accuse(e, stranger);
        Dispute memory b = _open(e, user);
        disputes.publish(b.id, b.r, INPUT);
        voided(a.r.response);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.CaseOver.selector, a.r.response));
        vm.prank(servers[3]);
        disputes.accuse(e.request, e.response, e.responseSignature);
        _resolve(b);
        _resolve(a);
        isState(a.id, IDisputes.State.Void);
        isState(b.id, IDisputes.State.Void);
        assertEq(free(user), 2_000_000);
        assertEq(free(stranger), 1_000_000 - params.juryBudget(), "the freeze is returned, the jury is spent");
        assertFalse(staking.serverOf(pool, servers[0]).convicted);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.CaseOver.selector, a.r.response));
        vm.prank(user);
        disputes.open(e);
        nothingWaits();
    }

    function test_ADismissedDisputeLeavesTheOthersAsTheyAre() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _accuse(e, stranger);
        skip(5);
        Dispute memory b = _open(e, user);
        skip(params.windows.publish - 4);
        disputes.dismiss(a.id, a.r);
        assertEq(free(stranger), 1_000_000 - bondOf());
        assertEq(disputes.caseOf(pool, a.r.response).open, 1);
        disputes.publish(b.id, b.r, INPUT);
        assertEq(disputes.caseOf(pool, a.r.response).payer, user, "the first of those that are left");
        verdict(b.r.response, RIGHT);
        _resolve(b);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        assertEq(free(stranger), 1_000_000 - bondOf());
        settleAllJurors(b.r.response, 1);
        nothingWaits();
    }

    // -------------------------------------------------------------------------------------------------- who is paid

    /// @dev The input is a secret until it is published, and the verdict until it is there: who joins then has risked
    /// nothing, and must take nothing from who has.
    function test_WhoJoinsAfterTheVerdictTakesNothingFromTheFirst() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        address validator = servers[serverOfSeat(e.answer.seat)];
        uint256 held = free(validator);
        Dispute memory a = _open(e, validator);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        Dispute memory b = _accuse(e, stranger);
        _resolve(b);
        assertEq(free(stranger), 1_000_000, "nothing for a verdict that others paid for");
        uint256 share = third() / 2;
        assertEq(free(validator), held - bondOf() + share + params.prices.gasAllowance + params.juryBudget());
        _resolve(a);
        assertEq(free(validator), held + share + params.prices.gasAllowance);
        assertEq(free(user), 2_000_000 + third() - share + params.baseFee(210));
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    /// @dev A copied publication makes nobody the payer who did not come first.
    function test_WhoPublishesByItsOwnDisputeDoesNotBecomeThePayer() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(e, user);
        Dispute memory b = _accuse(e, stranger);
        disputes.publish(b.id, b.r, INPUT);
        IDisputes.Case memory c = disputes.caseOf(pool, a.r.response);
        assertEq(c.payer, user);
        assertEq(caseBalance(a.id), params.prices.freezePrice);
        assertEq(caseBalance(b.id), bondOf());
    }

    /// @dev Joining costs a bond for an instant: repeated, it must not eat what a conviction set aside for other juries.
    function test_JoiningAConvictionDoesNotSpendWhatIsSetAsideForOthers() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        Evidence memory y = drawn(0, 2, WRONG, RIGHT);
        Dispute memory c = _open(y, user);
        disputes.publish(c.id, c.r, INPUT);
        drawJury(c.r.response);
        commitJurors(c.r.response, 0, 3, RIGHT);
        Dispute memory a = _open(x, user);
        judge(a.id, a.r, RIGHT);
        _resolve(a);
        uint256 spare = params.juryBudget() - juryCost();
        assertEq(reserveBalance(1), spare, "what its own jury left of a budget");
        for (uint256 i; i < 3; ++i) {
            _resolve(_accuse(x, stranger));
            assertEq(reserveBalance(1), spare);
        }
        assertEq(free(stranger), 1_000_000);
        uint256 held = free(user);
        disputes.close(c.id, c.r);
        assertEq(free(user), held + bondOf(), "the convicted stake pays the jurors of the closed dispute");
        uint256[] memory voted = new uint256[](3);
        (voted[1], voted[2]) = (1, 2);
        disputes.settleJurors(pool, c.r.response, 1, voted);
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    // ---------------------------------------------------------------------------------------------- several liars

    /// @dev Its own dispute convicts a second validator by the verdict that is there, in either order.
    function test_ASecondLiarIsConvictedByTheSharedVerdict() public {
        uint256 snapshot = vm.snapshotState();
        _aSecondLiar(true);
        vm.revertToState(snapshot);
        _aSecondLiar(false);
    }

    function _aSecondLiar(bool inOrder) private {
        (Evidence memory ea, Evidence memory eb) = drawnTwice(0, RIGHT, RIGHT, WRONG);
        address honest = servers[serverOfSeat(ea.answer.seat)];
        uint256 server = free(servers[0]);
        uint256 right = free(honest);
        Dispute memory a = _open(ea, user);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        // The framed server joins, in time for its own check pay and a finder's share.
        Dispute memory b = _open(eb, servers[0]);
        _resolve(inOrder ? a : b);
        _resolve(inOrder ? b : a);
        isState(a.id, IDisputes.State.Rejected);
        isState(b.id, IDisputes.State.Convicted);
        assertTrue(staking.serverOf(pool, servers[serverOfSeat(eb.answer.seat)]).convicted);
        assertFalse(staking.serverOf(pool, servers[0]).convicted);
        assertEq(seatBalance(eb.answer.seat), params.prices.seatFloat);
        assertEq(
            free(user),
            2_000_000 + third() - third() / 2 - params.prices.freezePrice,
            "a liar's stake gives the jury's cost back"
        );
        assertEq(free(servers[0]), server + _earnedByJoining());
        assertEq(free(honest), right + params.prices.freezePrice / 2);
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    /// @dev The finder's share, its own check pay, and half of what the other dispute's freeze cost.
    function _earnedByJoining() private view returns (uint256) {
        return third() / 2 + params.prices.gasAllowance + params.checkPay(210) + params.prices.freezePrice / 2;
    }

    /// @dev What two stakes leave of what is paid out and of one jury's budget.
    function _burntOfTwoStakes(uint256 paidOut) private view returns (uint256) {
        return 2 * uint256(params.prices.seatStake) - paidOut - params.juryBudget();
    }

    /// @dev Two validators that lied, one of them with the server: three stakes, each once.
    function test_AllLiarsOfOneResponseAreConvicted() public {
        (Evidence memory ea, Evidence memory eb) = drawnTwice(0, WRONG, WRONG, keccak256("another"));
        Dispute memory a = _open(ea, user);
        Dispute memory b = _open(eb, user);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        uint256 burnt = burnBalance();
        uint256 held = free(user);
        _resolve(a);
        uint256 first = third() + params.baseFee(210) + params.prices.gasAllowance;
        assertEq(free(user), held + first + bondOf());
        assertEq(burnBalance(), burnt + _burntOfTwoStakes(first));
        assertEq(reserveBalance(1), params.juryBudget() - juryCost(), "for the dispute that is left");
        _resolve(b);
        assertEq(free(user), held + first + third() + params.prices.gasAllowance + 2 * bondOf());
        assertEq(seatBalance(1), params.prices.seatFloat);
        assertEq(seatBalance(ea.answer.seat), params.prices.seatFloat);
        assertEq(seatBalance(eb.answer.seat), params.prices.seatFloat);
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    /// @dev One check is paid, however many validators answered.
    function test_OneCheckIsPaidForAResponse() public {
        (Evidence memory ea, Evidence memory eb) = drawnTwice(0, WRONG, RIGHT, RIGHT);
        address one = servers[serverOfSeat(ea.answer.seat)];
        address two = servers[serverOfSeat(eb.answer.seat)];
        (uint256 heldOne, uint256 heldTwo) = (free(one), free(two));
        checks.claim(eb);
        Dispute memory a = _open(ea, user);
        Dispute memory b = _open(eb, user);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        _resolve(a);
        _resolve(b);
        assertEq(free(one), heldOne + params.checkPay(210));
        assertEq(free(two), heldTwo);
        vm.expectRevert(abi.encodeWithSelector(IChecks.ClaimNotPending.selector, a.r.response));
        checks.settle(pool, user, a.r.response);
        assertEq(
            balanceOf(AccountKind.Check, user), params.check(210), "the claim's money is the user's again"
        );
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    /// @dev A validator that lies about a right answer takes nothing from the one that claimed its check.
    function test_AnotherValidatorsClaimOutlivesTheLiarsConviction() public {
        (Evidence memory ea, Evidence memory eb) = drawnTwice(0, RIGHT, WRONG, RIGHT);
        address honest = servers[serverOfSeat(eb.answer.seat)];
        uint256 held = free(honest);
        checks.claim(eb);
        Dispute memory a = _open(ea, user);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        _resolve(a);
        isState(a.id, IDisputes.State.Convicted);
        vm.warp(uint256(checks.claimOf(pool, user, a.r.response).freeAt) + 1);
        checks.settle(pool, user, a.r.response);
        assertEq(free(honest), held + params.checkPay(210));
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    /// @dev Nor does it, by a claim of its own, keep one from claiming that has not yet: before its conviction or after.
    function test_ACheckCanBeClaimedAfterALiarsConviction() public {
        (Evidence memory ea, Evidence memory eb) = drawnTwice(0, RIGHT, WRONG, RIGHT);
        address honest = servers[serverOfSeat(eb.answer.seat)];
        address liar = servers[serverOfSeat(ea.answer.seat)];
        uint256 held = free(honest);
        uint256 bond = balanceOf(AccountKind.Bond, user);
        checks.claim(ea);
        Dispute memory a = _open(ea, user);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        _resolve(a);
        uint256 claimable = beacon.timeOf(params.ticketRound(eb.response.round)) + params.windows.claim;
        vm.assertLe(block.timestamp, claimable, "the windows of this pool leave time");
        assertEq(uint8(checks.claimOf(pool, user, a.r.response).state), uint8(IChecks.ClaimState.None));
        assertEq(balanceOf(AccountKind.Check, user), params.check(210), "back at once, as e-money");
        assertEq(balanceOf(AccountKind.Bond, user), bond - params.check(210));
        vm.expectRevert(abi.encodeWithSelector(IChecks.ValidatorConvicted.selector, liar));
        checks.claim(ea);
        checks.claim(eb);
        vm.warp(uint256(checks.claimOf(pool, user, a.r.response).freeAt) + 1);
        checks.settle(pool, user, a.r.response);
        assertEq(free(honest), held + params.checkPay(210));
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    // --------------------------------------------------------------------------------------- convicted elsewhere

    function test_RevertWhen_ASharedDisputeIsClosed() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(x, user);
        Dispute memory b = _accuse(x, stranger);
        disputes.publish(a.id, a.r, INPUT);
        convict(0, 2);
        bytes memory reason = abi.encodeWithSelector(IDisputes.CaseShared.selector, a.r.response);
        vm.expectRevert(reason);
        disputes.close(a.id, a.r);
        vm.expectRevert(reason);
        disputes.close(b.id, b.r);
        // Nobody joins a case that has no verdict over a seat that has no stake.
        vm.expectRevert(abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1));
        vm.prank(servers[3]);
        disputes.accuse(x.request, x.response, x.responseSignature);
        // The verdict ends both; what was set aside pays the jury.
        verdict(a.r.response, RIGHT);
        vm.expectRevert(reason);
        disputes.close(b.id, b.r);
        uint256 held = free(user);
        _resolve(b);
        vm.expectRevert(
            abi.encodeWithSelector(IDisputes.WrongState.selector, a.id, IDisputes.State.Published)
        );
        disputes.close(a.id, a.r);
        _resolve(a);
        isState(a.id, IDisputes.State.Convicted);
        assertEq(free(stranger), 1_000_000);
        assertEq(free(user), held + bondOf(), "the stake was spent by the other conviction");
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }

    function test_TheLastDisputeOfACaseCloses() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _accuse(x, stranger);
        skip(params.windows.publish);
        Dispute memory b = _open(x, user);
        skip(1);
        disputes.dismiss(a.id, a.r);
        disputes.publish(b.id, b.r, INPUT);
        drawActiveJury(b.r.response);
        commitJurors(b.r.response, 0, 2, RIGHT);
        convict(0, 2);
        uint256 held = free(user);
        disputes.close(b.id, b.r);
        isState(b.id, IDisputes.State.Closed);
        assertEq(free(user), held + bondOf());
        assertEq(juryBalance(b.r.response), 2 * uint256(params.prices.jurorPay));
        uint256[] memory voted = new uint256[](2);
        voted[1] = 1;
        disputes.settleJurors(pool, b.r.response, 1, voted);
        nothingWaits();
        vm.expectRevert(abi.encodeWithSelector(IDisputes.CaseOver.selector, b.r.response));
        vm.prank(stranger);
        disputes.accuse(x.request, x.response, x.responseSignature);
    }

    /// @dev Not yet before the arbiter, each closes by itself.
    function test_DisputesThatWaitForTheInputCloseEachByItself() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(x, user);
        Dispute memory b = _accuse(x, stranger);
        convict(0, 2);
        bytes memory reason = abi.encodeWithSelector(IDisputes.SeatConvicted.selector, pool, 1);
        vm.expectRevert(reason);
        disputes.publish(a.id, a.r, INPUT);
        skip(params.windows.publish + 1);
        vm.expectRevert(reason);
        disputes.dismiss(a.id, a.r);
        uint256 held = free(user);
        disputes.close(a.id, a.r);
        assertEq(free(user), held + bondOf());
        assertEq(staking.seatOf(pool, 1).disputes, 1);
        assertEq(reserveBalance(1), params.juryBudget() - juryCost(), "one budget, however many there are");
        disputes.close(b.id, b.r);
        assertEq(free(stranger), 1_000_000);
        nothingWaits();
    }

    /// @dev A case that goes void after its seat was convicted elsewhere: spent is spent.
    function test_AVoidCaseOverAConvictedSeatSpendsThePayersBond() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(x, user);
        Dispute memory b = _accuse(x, stranger);
        disputes.publish(a.id, a.r, INPUT);
        convict(0, 2);
        voided(a.r.response);
        uint256 held = free(user);
        _resolve(a);
        _resolve(b);
        assertEq(free(user), held + params.prices.freezePrice);
        assertEq(free(stranger), 1_000_000);
        nothingWaits();
    }

    // ------------------------------------------------------------------------------------------- in between

    /// @dev Redemption, a change of key, unbonding, a user's exit and many epochs between opening and verdict.
    function test_NothingInBetweenChangesWhatAVerdictPays() public {
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        Dispute memory a = _open(e, user);
        Dispute memory b = _accuse(e, stranger);
        redeem(0, voucher(0, 7, 1, 1, 210));
        vm.startPrank(servers[0]);
        staking.setKey(pool, makeAddr("fresh"));
        staking.unbond(pool, 1);
        vm.stopPrank();
        vm.prank(user);
        lanes.requestExit(pool);
        disputes.publish(a.id, a.r, INPUT);
        verdict(a.r.response, RIGHT);
        // Long after: epochs have passed, vesting and unbonding are over, the user has left.
        vm.warp(uint256(staking.seatOf(pool, 1).exitAt) + 1);
        vm.prank(user);
        lanes.exit(pool, user);
        assertEq(balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user), 0);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 2));
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        uint256 held = free(user);
        uint256 burnt = burnBalance();
        _resolve(b);
        vm.expectRevert(abi.encodeWithSelector(IStaking.ServerFrozen.selector, pool, servers[0], 1));
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        _resolve(a);
        assertEq(balanceOf(AccountKind.Balance, user), params.fee(210), "the fee was taken in between");
        assertEq(free(user), held + bondOf() + third() + params.baseFee(210) + params.prices.gasAllowance);
        assertEq(
            burnBalance() - burnt,
            vesting + params.prices.seatStake - juryCost() - params.fee(210) - third() - params.baseFee(210)
                - params.prices.gasAllowance
        );
        vm.prank(servers[0]);
        staking.withdraw(pool, 1);
        assertEq(seatBalance(1), 0);
        settleAllJurors(a.r.response, 1);
        nothingWaits();
    }
}
