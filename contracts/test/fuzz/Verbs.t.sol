// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ILanes } from "../../src/interfaces/ILanes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Delivery, Evidence, InferenceRequest, Role, Voucher } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Each verb with any amount at any time: it moves just what its formula says, or is refused and moves nothing.
contract VerbsTest is CaseTest {
    function _held(AccountKind kind) private view returns (uint256) {
        return balanceOf(kind, user);
    }

    function testFuzz_DepositAndWithdraw(uint128 amount, uint128 back) public {
        amount = uint128(bound(amount, 0, 1e24));
        if (amount == 0) {
            vm.expectRevert(ILedger.ZeroAmount.selector);
            ledger.deposit(pool, stranger, amount);
            return;
        }
        ledger.deposit(pool, stranger, amount);
        assertEq(free(stranger), 1_000_000 + uint256(amount));
        bool fits = back > 0 && back <= 1_000_000 + uint256(amount);
        if (!fits) vm.expectRevert();
        vm.prank(stranger);
        ledger.withdraw(pool, stranger, back);
        assertEq(token.balanceOf(stranger), fits ? back : 0);
        conserved();
    }

    function testFuzz_Fund(uint128 balance, uint128 bond) public {
        (balance, bond) = (uint128(bound(balance, 0, 1_500_000)), uint128(bound(bond, 0, 1_500_000)));
        bool fits = uint256(balance) + bond <= 1_000_000;
        if (!fits) vm.expectPartialRevert(ILedger.Insufficient.selector);
        vm.prank(stranger);
        lanes.fund(pool, balance, bond);
        assertEq(balanceOf(AccountKind.Balance, stranger), fits ? balance : 0);
        assertEq(balanceOf(AccountKind.Bond, stranger), fits ? bond : 0);
        conserved();
    }

    function testFuzz_RedeemTwice(uint16 count, uint32 units, uint16 more, uint32 moreUnits) public {
        count = uint16(bound(count, 1, 500));
        more = uint16(bound(more, 0, 500));
        units = uint32(bound(units, 0, uint256(count) * 1_000));
        moreUnits = uint32(bound(moreUnits, 0, uint256(more) * 1_000 + 500));
        _redeemed(0, 0, count, units);
        if (more == 0 || moreUnits > uint256(more) * 1_000) {
            (Voucher[] memory v, bytes[] memory s) =
                batchOf(voucher(0, 7, count + more, count + more, uint64(units) + moreUnits));
            vm.expectPartialRevert(
                more == 0 ? ILanes.NothingToRedeem.selector : ILanes.VoucherInconsistent.selector
            );
            vm.prank(servers[0]);
            lanes.redeem(pool, servers[0], v, s);
        } else {
            _redeemed(count, units, count + more, uint64(units) + moreUnits);
        }
        conserved();
    }

    /// @dev Redeems up to `count` and `units`, from where the lane was.
    function _redeemed(uint64 oldCount, uint64 oldUnits, uint64 count, uint64 units) private {
        (uint256 n, uint256 m) = (count - oldCount, units - oldUnits);
        (uint256 reward, uint256 base) = (params.payFor(n, m), params.baseFeeFor(n, m));
        uint256 credit = params.checkCredit(n, m);
        uint256 room = params.prices.checkCap - _held(AccountKind.Check);
        if (credit > room) credit = room;
        uint256 funds = _held(AccountKind.Balance) + _held(AccountKind.Bond);
        uint256[3] memory old =
            [balanceOf(AccountKind.Vesting, servers[0]), _held(AccountKind.Check), burnBalance()];
        redeem(0, voucher(0, 7, count, count, units));
        assertEq(funds - _held(AccountKind.Balance) - _held(AccountKind.Bond), reward + base);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), old[0] + reward);
        assertEq(_held(AccountKind.Check), old[1] + credit);
        assertEq(burnBalance(), old[2] + base - credit);
    }

    function testFuzz_Deliver(uint32 tokens, uint64 sequence, uint32 late) public {
        tokens = uint32(bound(tokens, 0, 600));
        sequence = uint64(bound(sequence, 0, type(uint64).max));
        late = uint32(bound(late, 0, 60));
        Delivery memory d;
        (d.request, d.response) =
        (answered(0, 7, sequence, tokens, RIGHT).request, answered(0, 7, sequence, tokens, RIGHT).response);
        d.output = new bytes(4 * uint256(tokens));
        d.response.outputHash = keccak256(bytes.concat(Hashes.OUTPUT, d.output));
        d.response.commitment =
            Hashes.commitment(Role.Server, servers[0], Hashes.responseSubject(d.response), RIGHT);
        d.requestSignature = signed(userKey, Hashes.request(d.request));
        d.responseSignature = signed(serverKeys[0], Hashes.response(d.response));
        skip(late);
        uint256 m = params.units(10, tokens);
        bool fits = sequence > 0 && m <= 1_000 && block.timestamp <= d.request.deadline;
        uint256 funds = _held(AccountKind.Balance) + _held(AccountKind.Bond);
        if (!fits) vm.expectRevert();
        vm.prank(servers[0]);
        lanes.deliver(d);
        uint256 paid = funds - _held(AccountKind.Balance) - _held(AccountKind.Bond);
        assertEq(paid, fits ? params.fee(m) : 0);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), fits ? params.pay(m) : 0);
        conserved();
    }

    function testFuzz_Release(uint32 time) public {
        uint32[] memory epochs = new uint32[](1);
        epochs[0] = params.epochOf(block.timestamp);
        uint256 freeAt = (uint256(epochs[0]) + 1) * params.windows.epoch + params.windows.vesting;
        redeem(0, voucher(0, 7, 1, 1, 100));
        uint256 before = free(servers[0]);
        time = uint32(bound(time, 0, 2 * params.windows.vesting));
        skip(time);
        bool due = block.timestamp >= freeAt;
        if (!due) vm.expectRevert();
        lanes.release(pool, servers[0], epochs);
        assertEq(free(servers[0]), before + (due ? params.pay(100) : 0));
        conserved();
    }

    function testFuzz_Exit(uint32 time, uint32 units, bool stays) public {
        redeem(0, voucher(0, 7, 1, 1, uint32(bound(units, 0, 1_000))));
        uint256[2] memory held =
            [_held(AccountKind.Balance) + _held(AccountKind.Bond), _held(AccountKind.Check)];
        (uint256 had, uint256 burnt) = (free(user), burnBalance());
        vm.startPrank(user);
        lanes.requestExit(pool);
        skip(bound(time, 0, 2 * params.windows.exit));
        if (stays) lanes.cancelExit(pool);
        vm.stopPrank();
        bool due = !stays && bound(time, 0, 2 * params.windows.exit) >= params.windows.exit;
        if (!due) vm.expectRevert();
        vm.prank(user);
        lanes.exit(pool, user);
        assertEq(free(user), had + (due ? held[0] : 0));
        assertEq(burnBalance(), burnt + (due ? held[1] : 0), "e-money is burnt");
        conserved();
    }

    function testFuzz_ClaimAndSettle(uint32 tokens, uint32 claimed, uint32 settled) public {
        tokens = uint32(bound(tokens, 0, 495));
        Evidence memory e = drawn(0, 1, tokens, RIGHT, RIGHT);
        uint256 m = units(e);
        uint256 ticketTime = beacon.timeOf(params.ticketRound(e.response.round));
        skip(bound(claimed, 0, 2 * params.windows.claim));
        bool inTime = block.timestamp <= ticketTime + params.windows.claim;
        uint256 held = _held(AccountKind.Check) + _held(AccountKind.Bond);
        if (!inTime) vm.expectPartialRevert(IChecks.ClaimTooLate.selector);
        checks.claim(e);
        assertEq(held - _held(AccountKind.Check) - _held(AccountKind.Bond), inTime ? params.check(m) : 0);
        address validator = servers[serverOfSeat(e.answer.seat)];
        (uint256 had, uint256 balance) = (free(validator), _held(AccountKind.Balance));
        skip(bound(settled, 0, 2 * params.windows.dispute));
        bool due = inTime && block.timestamp > ticketTime + params.windows.dispute;
        bytes32 response = Hashes.response(e.response);
        if (!due) vm.expectRevert();
        checks.settle(pool, user, response);
        assertEq(free(validator), had + (due ? params.checkPay(m) : 0));
        assertEq(_held(AccountKind.Balance), balance + (due ? params.discountOf(m) : 0));
        conserved();
    }

    function testFuzz_SeatsComeAndGo(uint8 count, uint8 fines, uint32 time) public {
        count = uint8(bound(count, 0, 6));
        uint256 price = uint256(params.prices.seatStake) + params.prices.seatFloat;
        ledger.deposit(pool, stranger, 2 * price);
        uint256 had = free(stranger);
        bool fits = count > 0 && count * price <= had;
        if (!fits) vm.expectRevert();
        vm.prank(stranger);
        staking.join(pool, count);
        assertEq(free(stranger), had - (fits ? count * price : 0));
        conserved();
        if (!fits) return;
        uint64 seat = 61;
        vm.startPrank(address(disputes));
        for (uint256 i; i < fines % 8; ++i) {
            staking.fine(pool, seat);
        }
        vm.stopPrank();
        uint256 left = seatBalance(seat);
        assertEq(left, price - uint256(fines % 8) * params.prices.jurorPenalty);
        assertEq(
            staking.isActive(pool, seat), left >= params.prices.seatStake, "below the stake it is suspended"
        );
        vm.startPrank(stranger);
        staking.unbond(pool, seat);
        uint256 exitAt = staking.seatOf(pool, seat).exitAt;
        skip(bound(time, 0, 2 * params.windows.unbonding));
        bool due = block.timestamp >= exitAt;
        if (!due) vm.expectPartialRevert(IStaking.StillBonded.selector);
        staking.withdraw(pool, seat);
        vm.stopPrank();
        assertEq(seatBalance(seat), due ? 0 : left);
        conserved();
    }

    function testFuzz_TwoRequestsForOnePlace(bytes32 other, uint64 lane, uint64 sequence, uint32 maxUnits)
        public
    {
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        InferenceRequest memory a = answered(0, lane, sequence, 100, RIGHT).request;
        InferenceRequest memory b = answered(0, lane, sequence, 100, RIGHT).request;
        (b.inputHash, b.maxUnits) = (other, maxUnits);
        bool differ = Hashes.request(a) != Hashes.request(b);
        bytes[2] memory s = [signed(userKey, Hashes.request(a)), signed(userKey, Hashes.request(b))];
        if (!differ) vm.expectRevert(ILanes.NoEquivocation.selector);
        vm.prank(stranger);
        lanes.proveEquivocation(a, s[0], b, s[1]);
        if (!differ) return;
        skip(params.windows.exit);
        (uint256 bond, uint256 burnt) = (_held(AccountKind.Bond), burnBalance());
        lanes.exit(pool, user);
        assertEq(free(stranger), 1_000_000 + bond / 3);
        assertEq(burnBalance(), burnt + bond - bond / 3);
        conserved();
    }

    function testFuzz_TwoResponsesToOneRequest(bytes32 output, uint32 tokens, uint8 finish) public {
        tokens = uint32(bound(tokens, 0, 495));
        finish = uint8(bound(finish, 1, 2));
        Evidence memory a = answered(0, 7, 1, 100, RIGHT);
        Evidence memory b = copied(a);
        respond(b, 0, tokens, RIGHT);
        (b.response.outputHash, b.response.finish) = (output, finish);
        b.responseSignature = signed(serverKeys[0], Hashes.response(b.response));
        bool differ = Hashes.response(a.response) != Hashes.response(b.response);
        if (!differ) vm.expectRevert(IDisputes.NoEquivocation.selector);
        vm.prank(stranger);
        uint256 id = disputes.proveEquivocation(
            a.request, a.response, a.responseSignature, b.response, b.responseSignature
        );
        assertEq(staking.serverOf(pool, servers[0]).convicted, differ);
        if (differ) isState(id, IDisputes.State.Proven);
        conserved();
    }

    /// @dev Jurors commit to either digest or to none: a proposal passes with two thirds of the seats, and only then.
    function testFuzz_AJurysVotes(uint16 right, uint16 wrong, bool proposesRight) public {
        (uint256 id, IDisputes.Record memory r) = dispute(drawn(0, 1, WRONG, RIGHT), user);
        disputes.publish(id, r, INPUT);
        drawActiveJury(r.response);
        uint256 size = jurySize(r.response);
        (uint256 rights, uint256 wrongs) = (0, 0);
        for (uint256 i; i < size; ++i) {
            if (right >> i & 1 == 1) {
                commitJurors(r.response, i, i + 1, RIGHT);
                ++rights;
            } else if (wrong >> i & 1 == 1) {
                commitJurors(r.response, i, i + 1, WRONG);
                ++wrongs;
            }
        }
        bytes32 subject = disputes.subjectOf(r.response);
        vm.warp(uint256(arbiter.ballotOf(address(disputes), subject, 1).commitEnd) + 1);
        bool passes = (proposesRight ? rights : wrongs) >= Conditions.quorum(size);
        if (!passes) vm.expectRevert();
        arbiter.propose(address(disputes), subject, proposesRight ? RIGHT : WRONG);
        if (!passes) return;
        disputes.resolve(id, r);
        assertEq(isConvicted(r.serverSeat), proposesRight);
        assertEq(isConvicted(r.validatorSeat), !proposesRight);
        settleAllJurors(r.response, 1);
        nothingWaits();
    }
}
