// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract LanesRedeemTest is AssayTest {
    function _refused(Voucher memory v, bytes memory reason) private {
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        vm.expectRevert(reason);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    function _credit(uint256 count, uint256 m) private view returns (uint256) {
        return params.checkCredit(count, m);
    }

    function test_ARewardVestsAndTheBaseFeeSplitsIntoCheckMoneyAndBurn() public {
        uint256 balance = balanceOf(AccountKind.Balance, user);
        uint256 reward = 2 * 20 + 3 * 300;
        uint256 base = 2 * 20 + 4 * 300;
        uint256 credit = _credit(2, 300);
        assertEq(credit, (2 * 20 + 3 * 300 + 120) / 2, "half of what checking costs");
        uint32 epoch = params.epochOf(block.timestamp);
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        vm.expectEmit(address(lanes));
        emit ILanes.Redeemed(pool, servers[0], user, 7, 5, 2, 300, reward, credit, base - credit);
        vm.expectEmit(address(lanes));
        emit ILanes.VestingAdded(
            pool,
            servers[0],
            epoch,
            reward,
            (uint256(epoch) + 1) * params.windows.epoch + params.windows.vesting
        );
        redeem(0, v);
        assertEq(balanceOf(AccountKind.Balance, user), balance - reward - base);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), reward);
        assertEq(balanceOf(AccountKind.Check, user), credit);
        assertEq(burnBalance(), base - credit);
        assertEq(lanes.vestingOf(pool, servers[0], epoch), reward);
        ILanes.Lane memory lane = lanes.laneOf(pool, user, servers[0], 7);
        assertEq(lane.sequence, 5);
        assertEq(lane.count, 2);
        assertEq(lane.units, 300);
    }

    function test_ALaterVoucherPaysOnlyWhatIsNew() public {
        redeem(0, voucher(0, 7, 5, 2, 300));
        uint256 vesting = balanceOf(AccountKind.Vesting, servers[0]);
        redeem(0, voucher(0, 7, 6, 3, 310));
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), vesting + 20 + 3 * 10);
    }

    /// @dev Invariant 3: a response is paid once, whoever sends its voucher again.
    function test_RevertWhen_AVoucherIsRedeemedTwice() public {
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        redeem(0, v);
        _refused(v, abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 7));
        _refused(voucher(0, 7, 9, 1, 900), abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 7));
    }

    function test_RevertWhen_CountsContradictTheLane() public {
        redeem(0, voucher(0, 7, 5, 2, 300));
        bytes memory reason = abi.encodeWithSelector(ILanes.VoucherInconsistent.selector, user, 7);
        _refused(voucher(0, 7, 5, 3, 400), reason); // the sequence stands still
        _refused(voucher(0, 7, 9, 3, 299), reason); // units fall
        _refused(voucher(0, 7, 9, 3, 1_301), reason); // one response of more than maxUnits
        _refused(voucher(0, 7, 6, 4, 400), reason); // two responses under one sequence number
        redeem(0, voucher(0, 7, 6, 3, 1_300));
    }

    function test_RevertWhen_TheVoucherIsOfAnotherPoolOrServer() public {
        Voucher memory v = voucher(1, 7, 5, 2, 300);
        _refused(v, abi.encodeWithSelector(ILanes.VoucherOfOther.selector, pool, servers[1]));
        v = voucher(0, 7, 5, 2, 300);
        v.pool = "other";
        _refused(v, abi.encodeWithSelector(ILanes.VoucherOfOther.selector, bytes32("other"), servers[0]));
    }

    function test_AVoucherLastsForItsWindowAndNotASecondMore() public {
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        uint256 until = block.timestamp + params.windows.voucher;
        vm.warp(until + 1);
        _refused(v, abi.encodeWithSelector(ILanes.VoucherExpired.selector, user, 7, until));
        vm.warp(until);
        redeem(0, v);
    }

    function test_RevertWhen_TheVoucherIsFromTheFuture() public {
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        v.round += 1;
        _refused(v, abi.encodeWithSelector(ILanes.VoucherFromFuture.selector, v.round));
        v.round = 0;
        _refused(v, abi.encodeWithSelector(Clocks.RoundZero.selector));
    }

    function test_RevertWhen_TheListsDifferInLength() public {
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(0, 7, 5, 2, 300));
        vm.expectRevert(abi.encodeWithSelector(ILanes.LengthsDiffer.selector, 1, 0));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(ILanes.LengthsDiffer.selector, 0, 1));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], new Voucher[](0), signatures);
    }

    /// @dev A user could otherwise redeem its own lane at a later number for fewer units, and so void what the server holds.
    function test_RevertWhen_AnybodyElseRedeems() public {
        Voucher memory earned = voucher(0, 7, 5, 3, 700);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(0, 7, 6, 1, 1));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotServer.selector, servers[0], user));
        vm.prank(user);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        redeem(0, earned);
        assertEq(lanes.laneOf(pool, user, servers[0], 7).units, 700);
        // The server's key of now redeems, as the server.
        vm.prank(servers[0]);
        staking.setKey(pool, address(0x5e55));
        (vouchers, signatures) = batchOf(voucher(0, 7, 7, 4, 800));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NotServer.selector, servers[0], address(0x5e55)));
        vm.prank(address(0x5e55));
        lanes.redeem(pool, servers[0], vouchers, signatures);
        skip(2 * params.windows.epoch);
        vm.prank(address(0x5e55));
        lanes.redeem(pool, servers[0], vouchers, signatures);
        assertEq(lanes.laneOf(pool, user, servers[0], 7).units, 800);
    }

    function test_RevertWhen_NoVoucherIsGiven() public {
        vm.expectRevert(abi.encodeWithSelector(ILanes.NothingToRedeem.selector, address(0), 0));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], new Voucher[](0), new bytes[](0));
    }

    function test_RevertWhen_TheUserDidNotSign() public {
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        Voucher[] memory vouchers = new Voucher[](1);
        bytes[] memory signatures = new bytes[](1);
        (vouchers[0], signatures[0]) = (v, signed(serverKeys[0], Hashes.voucher(v)));
        vm.expectRevert(abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[0]));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    function test_RevertWhen_TheSignatureIsMalformed() public {
        Voucher memory v = voucher(0, 7, 5, 2, 300);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        bytes memory good = signatures[0];
        signatures[0] = abi.encodePacked(good, uint8(0));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 66));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        (uint8 v_, bytes32 r, bytes32 s) =
            vm.sign(userKey, Hashes.typed(lanes.domainSeparator(), Hashes.voucher(v)));
        // The other solution of the curve's equation: the same signer, other bytes.
        bytes32 high =
            bytes32(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - uint256(s));
        signatures[0] = abi.encodePacked(r, high, v_ == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        signatures[0] = abi.encodePacked(r, s, uint8(29));
        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    /// @dev A voucher is checked against the key of its round: a key set since repudiates nothing.
    function test_ANewKeySignsOnlyFromItsEpochOn() public {
        (address session, uint256 sessionKey) = makeAddrAndKey("session");
        vm.prank(user);
        staking.setKey(pool, session);
        Voucher memory old = voucher(0, 7, 5, 2, 300);
        bytes memory signature = signed(userKey, Hashes.voucher(old));
        skip(2 * params.windows.epoch);
        Voucher[] memory vouchers = new Voucher[](2);
        bytes[] memory signatures = new bytes[](2);
        (vouchers[0], signatures[0]) = (old, signature);
        vouchers[1] = voucher(0, 7, 6, 3, 400);
        signatures[1] = signed(userKey, Hashes.voucher(vouchers[1]));
        vm.expectRevert(abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, session, user));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        signatures[1] = signed(sessionKey, Hashes.voucher(vouchers[1]));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        assertEq(lanes.laneOf(pool, user, servers[0], 7).count, 3);
    }

    function test_RevertWhen_TheChainHasForkedAway() public {
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(voucher(0, 7, 5, 2, 300));
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    function test_TheBondPaysWhatTheBalanceCannot() public {
        // 4,000,000 in each; 1,000 responses of 700 units cost 2,120 + 2,820 thousand.
        uint256 cost = 1_000 * params.fee(700);
        assertGt(cost, balanceOf(AccountKind.Balance, user));
        uint256 all = balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user);
        redeem(0, voucher(0, 7, 1_000, 1_000, 700_000));
        assertEq(balanceOf(AccountKind.Balance, user), 0);
        assertEq(balanceOf(AccountKind.Bond, user), all - cost);
    }

    function test_RevertWhen_TheUserCannotPay() public {
        uint256 cost = 1_000 * params.fee(1_000) + 1_000 * params.fee(140);
        _refused(
            voucher(0, 7, 2_000, 2_000, 1_140_000),
            abi.encodeWithSelector(ILanes.UserCannotPay.selector, user, cost, 8_000_000)
        );
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000, "all or none");
    }

    function test_CheckMoneyAboveTheCapIsBurnt() public {
        redeem(0, voucher(0, 7, 500, 500, 300_000)); // credit 515,000
        assertEq(balanceOf(AccountKind.Check, user), params.prices.checkCap);
        uint256 burnt = burnBalance();
        redeem(0, voucher(0, 7, 501, 501, 300_100));
        assertEq(balanceOf(AccountKind.Check, user), params.prices.checkCap);
        assertEq(burnBalance(), burnt + params.baseFee(100));
    }

    function test_ABatchIsAllOrNone() public {
        Voucher[] memory vouchers = new Voucher[](2);
        bytes[] memory signatures = new bytes[](2);
        for (uint64 i; i < 2; ++i) {
            vouchers[i] = voucher(0, i, 1, 1, 100);
            signatures[i] = signed(userKey, Hashes.voucher(vouchers[i]));
        }
        redeem(0, vouchers[1]);
        vm.expectRevert(abi.encodeWithSelector(ILanes.NothingToRedeem.selector, user, 1));
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        assertEq(lanes.laneOf(pool, user, servers[0], 0).count, 0);
    }

    function test_RevertWhen_TheServerIsConvicted() public {
        Voucher memory v = voucher(0, 8, 1, 1, 100);
        convicted(0, 1);
        uint256 freeAt = (block.timestamp / 10 + 1) * 10 + params.windows.vesting;
        _refused(v, abi.encodeWithSelector(ILanes.NotBonded.selector, pool, servers[0], freeAt));
    }

    function test_RevertWhen_TheLastSeatLeavesBeforeTheRewardHasVested() public {
        vm.startPrank(servers[0]);
        for (uint64 seat = 1; seat <= 12; ++seat) {
            staking.unbond(pool, seat);
        }
        vm.stopPrank();
        // Unbonding ends 220 s after this epoch began, so what is redeemed in the epoch 110 s on vests exactly in time.
        skip(110);
        redeem(0, voucher(0, 7, 1, 1, 100));
        skip(10);
        _refused(
            voucher(0, 7, 2, 2, 200),
            abi.encodeWithSelector(ILanes.NotBonded.selector, pool, servers[0], block.timestamp + 110)
        );
    }

    function _leave(uint256 server) private {
        vm.startPrank(servers[server]);
        for (uint64 i; i < SEATS; ++i) {
            staking.unbond(pool, seatOf(server) + i);
        }
        vm.stopPrank();
    }

    /// @dev Others that leave can't keep a server from the pay of requests that counted when they were answered.
    function test_VouchersStayRedeemableWhenThePoolShrinks() public {
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        for (uint256 server = 2; server < SERVERS; ++server) {
            _leave(server);
        }
        skip(2 * params.windows.epoch);
        uint32 epoch = params.epochOf(block.timestamp);
        assertEq(staking.seatCount(pool, epoch), 24);
        assertFalse(staking.isOpen(pool, epoch));
        redeem(0, v);
        _refused(voucher(0, 7, 2, 2, 200), abi.encodeWithSelector(ILanes.PoolTooSmall.selector, pool, epoch));
    }
}
