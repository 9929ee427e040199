// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

contract StakingJoinTest is AssayTest {
    address private newcomer = makeAddr("newcomer");
    uint256 private price;

    function setUp() public override {
        super.setUp();
        price = uint256(params.prices.seatStake) + params.prices.seatFloat;
    }

    function _epoch() private view returns (uint32) {
        return params.epochOf(block.timestamp);
    }

    function _rich(uint256 seats) private {
        ledger.deposit(pool, newcomer, seats * price);
        vm.startPrank(newcomer);
    }

    function test_SeatsEnterTheTableOfTheEpochAfterNext() public {
        _rich(2);
        uint32 epoch = _epoch();
        vm.expectEmit(address(staking));
        emit IStaking.SeatJoined(pool, 61, newcomer, 60, epoch + 2);
        vm.expectEmit(address(staking));
        emit IStaking.SeatJoined(pool, 62, newcomer, 61, epoch + 2);
        assertEq(staking.join(pool, 2), 61);
        assertEq(staking.seatCount(pool, epoch + 1), 60);
        assertEq(staking.seatCount(pool, epoch + 2), 62);
        assertEq(staking.seatAt(pool, epoch + 2, 60), 61);
        assertEq(staking.seatAt(pool, epoch + 2, 61), 62);
        assertEq(seatBalance(61), price);
        assertEq(seatBalance(62), price);
        assertEq(balanceOf(AccountKind.Free, newcomer), 0);
        IStaking.Seat memory seat = staking.seatOf(pool, 62);
        assertEq(seat.owner, newcomer);
        assertEq(seat.index, 61);
        assertEq(seat.exitAt, 0);
        assertTrue(seat.status == IStaking.SeatStatus.Active);
        assertEq(staking.serverOf(pool, newcomer).seats, 2);
        assertTrue(staking.isActive(pool, 62));
        assertFalse(staking.isActive(pool, 63));
    }

    function test_RevertWhen_CountIsZeroOrTooLargeForOneCall() public {
        vm.expectRevert(IStaking.InvalidCount.selector);
        staking.join(pool, 0);
        vm.expectRevert(IStaking.InvalidCount.selector);
        staking.join(pool, 65);
        _rich(64);
        staking.join(pool, 64);
        assertEq(staking.serverOf(pool, newcomer).seats, 64);
    }

    function test_RevertWhen_PoolIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        staking.join("none", 1);
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        staking.setKey("none", address(1));
        vm.expectRevert(abi.encodeWithSelector(IStaking.SeatUnknown.selector, bytes32("none"), 0));
        staking.setEndpoint("none", "https://server");
    }

    function test_RevertWhen_MoneyIsShortByOne() public {
        ledger.deposit(pool, newcomer, 2 * price - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(newcomer), price, price - 1
            )
        );
        vm.prank(newcomer);
        staking.join(pool, 2);
        assertEq(staking.seatCount(pool, _epoch() + 2), 60);
    }

    function test_RevertWhen_AConvictedServerJoinsAgain() public {
        convicted(0, 1);
        ledger.deposit(pool, servers[0], price);
        vm.expectRevert(abi.encodeWithSelector(IStaking.Convicted.selector, pool, servers[0]));
        vm.prank(servers[0]);
        staking.join(pool, 1);
    }

    function test_TopUpAddsToTheSeat() public {
        ledger.deposit(pool, servers[1], 5);
        vm.prank(servers[1]);
        staking.topUp(pool, seatOf(1), 5);
        assertEq(seatBalance(seatOf(1)), price + 5);
    }

    function test_RevertWhen_SomebodyElseTopsUp() public {
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotOwner.selector, pool, seatOf(1), servers[0]));
        vm.prank(servers[0]);
        staking.topUp(pool, seatOf(1), 5);
        vm.expectRevert(abi.encodeWithSelector(IStaking.SeatUnknown.selector, pool, 99));
        staking.topUp(pool, 99, 5);
    }

    function test_AKeySignsFromTheEpochAfterNextAndTheLastOneSetCounts() public {
        uint32 epoch = _epoch();
        vm.startPrank(servers[0]);
        staking.setKey(pool, address(11));
        vm.expectEmit(address(staking));
        emit IStaking.KeySet(pool, servers[0], address(22), epoch + 2);
        staking.setKey(pool, address(22));
        assertEq(staking.keyAt(pool, servers[0], epoch + 1), servers[0]);
        assertEq(staking.keyAt(pool, servers[0], epoch + 2), address(22));
        skip(params.windows.epoch);
        staking.setKey(pool, address(33));
        assertEq(staking.keyAt(pool, servers[0], epoch + 2), address(22));
        assertEq(staking.keyAt(pool, servers[0], epoch + 3), address(33));
        assertEq(staking.keyAt(pool, servers[1], epoch + 3), servers[1]);
    }

    function test_RevertWhen_TheKeyIsZero() public {
        vm.expectRevert(IStaking.ZeroKey.selector);
        staking.setKey(pool, address(0));
    }

    function test_AnEndpointOfUpTo256BytesIsAnnounced() public {
        string memory url = string(new bytes(256));
        vm.expectEmit(address(staking));
        emit IStaking.EndpointSet(pool, address(this), url);
        staking.setEndpoint(pool, url);
        vm.expectRevert(abi.encodeWithSelector(IStaking.EndpointTooLong.selector, 257));
        staking.setEndpoint(pool, string(new bytes(257)));
    }

    function test_RevertWhen_ReadingBeyondTheTable() public {
        uint32 epoch = _epoch();
        vm.expectRevert(abi.encodeWithSelector(IStaking.IndexOutOfRange.selector, pool, epoch, 60));
        staking.seatAt(pool, epoch, 60);
        vm.expectRevert(abi.encodeWithSelector(IStaking.IndexOutOfRange.selector, pool, epoch - 2, 0));
        staking.seatAt(pool, epoch - 2, 0);
        uint64[] memory places = new uint64[](2);
        places[1] = 60;
        vm.expectRevert(abi.encodeWithSelector(IStaking.IndexOutOfRange.selector, pool, epoch, 60));
        staking.seatsAt(pool, epoch, places);
        assertFalse(staking.isBonded(pool, 1_000, address(0)), "a seat that nobody owns");
    }

    function test_APoolOpensAtThreeTimesTheSecondJury() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 100;
        bytes32 other = pools.create(p, "", 0);
        ledger.deposit(other, newcomer, 27 * price);
        vm.startPrank(newcomer);
        staking.join(other, 26);
        uint32 epoch = _epoch() + 2;
        assertFalse(staking.isOpen(other, epoch));
        skip(params.windows.epoch);
        staking.join(other, 1);
        assertFalse(staking.isOpen(other, epoch));
        assertTrue(staking.isOpen(other, epoch + 1));
    }

    function test_RevertWhen_NoModuleAccusesSlashesOrFines() public {
        bytes memory refused = abi.encodeWithSelector(IStaking.NotModule.selector, address(this));
        vm.expectRevert(refused);
        staking.accuse(pool, 1, true);
        vm.expectRevert(refused);
        staking.slash(pool, 1, "case");
        vm.expectRevert(refused);
        staking.fine(pool, 1);
    }
}
