// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ILanes } from "../../src/interfaces/ILanes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Redemptions of several users and lanes in one entry.
contract LanesBatchTest is CaseTest {
    address[3] private users;
    uint256[3] private keys;

    function setUp() public override {
        super.setUp();
        // In rising order, as a batch wants them.
        for (uint256 i; i < 3; ++i) {
            (users[i], keys[i]) = makeAddrAndKey(string.concat("batch", vm.toString(i)));
            for (uint256 j = i; j > 0 && users[j] < users[j - 1]; --j) {
                (users[j], users[j - 1]) = (users[j - 1], users[j]);
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        for (uint256 i; i < 3; ++i) {
            others.push(users[i]);
            ledger.deposit(pool, users[i], 1_000_000);
            vm.prank(users[i]);
            lanes.fund(pool, 10_000, 900_000);
        }
    }

    function _voucher(uint256 u, uint64 lane, uint64 count, uint64 total)
        private
        view
        returns (Voucher memory v)
    {
        v = voucher(0, lane, count, count, total);
        v.user = users[u];
    }

    function _redeem(Voucher[] memory vouchers, uint256[] memory of_) private {
        bytes[] memory signatures = new bytes[](vouchers.length);
        for (uint256 i; i < vouchers.length; ++i) {
            signatures[i] = signed(keys[of_[i]], Hashes.voucher(vouchers[i]));
        }
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    /// @dev The second user's balance is short, so its bond pays the rest; each is charged for its own lanes alone.
    function test_EachUserPaysForItsOwnLanes() public {
        Voucher[] memory v = new Voucher[](5);
        uint256[] memory of_ = new uint256[](5);
        v[0] = _voucher(0, 1, 1, 100);
        v[1] = _voucher(0, 2, 2, 300);
        v[2] = _voucher(1, 1, 3, 2_900);
        v[3] = _voucher(1, 9, 1, 50);
        v[4] = _voucher(2, 1, 1, 0);
        (of_[2], of_[3], of_[4]) = (1, 1, 2);
        uint256 burnt = burnBalance();
        _redeem(v, of_);
        uint256 unit = uint256(params.prices.rewardUnit) + params.prices.feeUnit;
        uint256 fixed_ = uint256(params.prices.rewardFixed) + params.prices.feeFixed;
        uint256[3] memory cost = [3 * fixed_ + 400 * unit, 4 * fixed_ + 2_950 * unit, fixed_];
        assertGt(cost[1], 10_000);
        assertEq(balanceOf(AccountKind.Balance, users[0]), 10_000 - cost[0]);
        assertEq(balanceOf(AccountKind.Bond, users[0]), 900_000);
        assertEq(balanceOf(AccountKind.Balance, users[1]), 0);
        assertEq(balanceOf(AccountKind.Bond, users[1]), 900_000 + 10_000 - cost[1]);
        assertEq(balanceOf(AccountKind.Balance, users[2]), 10_000 - cost[2]);
        uint256 reward = 8 * uint256(params.prices.rewardFixed) + 3_350 * uint256(params.prices.rewardUnit);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), reward);
        uint256[3] memory credit = [
            params.checkCredit(1, 100) + params.checkCredit(2, 300),
            params.checkCredit(3, 2_900) + params.checkCredit(1, 50),
            params.checkCredit(1, 0)
        ];
        for (uint256 i; i < 3; ++i) {
            assertEq(balanceOf(AccountKind.Check, users[i]), credit[i]);
        }
        assertEq(
            burnBalance() - burnt, cost[0] + cost[1] + cost[2] - reward - credit[0] - credit[1] - credit[2]
        );
        conserved();
    }

    /// @dev Each user's accounts are read once: one that came twice would be charged out of money that is gone.
    function test_RevertWhen_UsersDoNotComeTogetherAndInOrder() public {
        Voucher[] memory v = new Voucher[](2);
        uint256[] memory of_ = new uint256[](2);
        (v[0], v[1], of_[0]) = (_voucher(1, 1, 1, 100), _voucher(0, 1, 1, 100), 1);
        vm.expectRevert(abi.encodeWithSelector(ILanes.VouchersUnsorted.selector, users[1], users[0]));
        this.redeemAs(v, of_);
        v = new Voucher[](3);
        of_ = new uint256[](3);
        (v[0], v[1], v[2]) = (_voucher(0, 1, 1, 100), _voucher(1, 1, 1, 100), _voucher(0, 2, 1, 100));
        of_[1] = 1;
        vm.expectRevert(abi.encodeWithSelector(ILanes.VouchersUnsorted.selector, users[1], users[0]));
        this.redeemAs(v, of_);
        (v[1], v[2], of_[1], of_[2]) = (v[2], v[1], 0, 1);
        this.redeemAs(v, of_);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 3 * params.pay(100));
    }

    function redeemAs(Voucher[] memory vouchers, uint256[] memory of_) external {
        _redeem(vouchers, of_);
    }

    /// @dev Two vouchers of one lane in one batch: the second pays what the first has not.
    function test_ALaneTwiceInOneBatchPaysOnce() public {
        Voucher[] memory v = new Voucher[](2);
        uint256[] memory of_ = new uint256[](2);
        (v[0], v[1]) = (_voucher(0, 1, 1, 100), _voucher(0, 1, 2, 150));
        _redeem(v, of_);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(100) + params.pay(50));
        (v[0], v[1]) = (_voucher(0, 1, 3, 200), _voucher(0, 1, 3, 200));
        vm.expectRevert(abi.encodeWithSelector(ILanes.NothingToRedeem.selector, users[0], 1));
        this.redeemAs(v, of_);
    }

    /// @dev The cap holds over all lanes of a batch together.
    function test_TheCapOnCheckMoneyCountsABatchAsAWhole() public {
        ledger.deposit(pool, users[0], 10_000_000);
        vm.prank(users[0]);
        lanes.fund(pool, 9_000_000, 0);
        Voucher[] memory v = new Voucher[](2);
        uint256[] memory of_ = new uint256[](2);
        (v[0], v[1]) = (_voucher(0, 1, 300, 200_000), _voucher(0, 2, 300, 200_000));
        assertGt(2 * params.checkCredit(300, 200_000), params.prices.checkCap);
        _redeem(v, of_);
        assertEq(balanceOf(AccountKind.Check, users[0]), params.prices.checkCap);
        uint256 cost = 600 * params.fee(0) + 400_000 * (params.fee(1) - params.fee(0));
        assertEq(balanceOf(AccountKind.Balance, users[0]), 9_010_000 - cost);
        conserved();
    }

    /// @dev The bond that pays for one lane is not there for the next.
    function test_RevertWhen_AUsersLanesTogetherCostMoreThanItHas() public {
        Voucher[] memory v = new Voucher[](2);
        uint256[] memory of_ = new uint256[](2);
        (v[0], v[1]) = (_voucher(0, 1, 100, 65_000), _voucher(0, 2, 100, 65_000));
        uint256 cost = 200 * params.fee(0) + 130_000 * (params.fee(1) - params.fee(0));
        assertGt(cost, 910_000);
        assertLt(cost / 2, 910_000);
        vm.expectRevert(
            abi.encodeWithSelector(ILanes.UserCannotPay.selector, users[0], cost, uint256(910_000))
        );
        this.redeemAs(v, of_);
        conserved();
    }
}
