// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Lanes } from "../../src/Lanes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { AccountKind, Posting } from "../../src/types/Accounts.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { SymbolicTest } from "./SymbolicTest.sol";

/// @dev All that redemption asks of others: a beacon, a bonded server in an open pool, a user with money that is an account
/// contract and signs anything, and a ledger that only adds up.
contract Payer {
    uint256 public vested;
    uint256 public debited;
    uint256 public credited;

    function genesis() external pure returns (uint64) {
        return 1_700_000_000;
    }

    function period() external pure returns (uint64) {
        return 1;
    }

    function isBondedUntil(bytes32, address, uint256) external pure returns (bool) {
        return true;
    }

    function seatCount(bytes32, uint32) external pure returns (uint32) {
        return 1_000;
    }

    function keyAt(bytes32, address, uint32) external view returns (address) {
        return address(this);
    }

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }

    function balanceOf(bytes32, AccountKind, bytes32) external pure returns (uint256) {
        return 1 << 200;
    }

    function balancesOf(bytes32, bytes32, AccountKind, AccountKind) external pure returns (uint256, uint256) {
        return (1 << 200, 0);
    }

    function post(bytes32, Posting[] calldata debits, Posting[] calldata credits) external {
        for (uint256 i; i < debits.length; ++i) {
            debited += debits[i].amount;
        }
        for (uint256 i; i < credits.length; ++i) {
            credited += credits[i].amount;
            if (credits[i].kind == AccountKind.Vesting) vested += credits[i].amount;
        }
    }
}

/// @dev Whatever vouchers a user signs, a server is paid for each response and each unit of a lane once.
contract VouchersSymbolicTest is SymbolicTest {
    /// @dev Where Lanes keeps its lanes (`forge inspect Lanes storage-layout`); the proof fails where it is another.
    uint256 private constant LANES_SLOT = 0;

    Payer private payer;
    Lanes private lanes;
    PoolParams private params;

    function setUp() public {
        payer = new Payer();
        params = poolParams(address(payer));
        // A division by a constant is what the solver finds hardest; the discount only says how a base fee is split.
        params.rates.discount = 0;
        lanes = new Lanes(world(address(payer), params));
    }

    function _redeem(uint64 sequence, uint64 count, uint64 units) private returns (bool paid) {
        (Voucher[] memory vouchers, bytes[] memory signatures) = (new Voucher[](1), new bytes[](1));
        vouchers[0] = Voucher({
            pool: POOL,
            user: address(payer),
            server: address(this),
            lane: 7,
            sequence: sequence,
            count: count,
            units: units,
            root: 0,
            round: uint64(NOW) - GENESIS + 1
        });
        try lanes.redeem(POOL, address(this), vouchers, signatures) {
            return true;
        } catch { }
    }

    function _lane() private view returns (ILanes.Lane memory) {
        return lanes.laneOf(POOL, address(payer), address(this), 7);
    }

    function _assertPaidOnce() private view {
        ILanes.Lane memory lane = _lane();
        assert(
            payer.vested()
                == uint256(params.prices.rewardFixed) * lane.count + uint256(params.prices.rewardUnit)
                    * lane.units
        );
        assert(payer.debited() == payer.credited());
        assert(lane.count <= lane.sequence);
        assert(lane.units <= uint256(lane.count) * params.limits.maxUnits);
    }

    /// @dev Totals are below 2^32 for the solver.
    function check_AVoucherPaysWhatItSaysAndNotTwice(uint32 sequence, uint32 count, uint32 units) public {
        if (!_redeem(sequence, count, units)) return;
        ILanes.Lane memory lane = _lane();
        assert(lane.sequence == sequence && lane.count == count && lane.units == units);
        _assertPaidOnce();
        assert(!_redeem(sequence, count, units));
    }

    /// @dev The step of an induction over any number of vouchers: whatever a lane has paid before, the next voucher pays what is
    /// new, and no total falls. Totals are below 2^16 for the solver.
    function check_AVoucherPaysTheDifference(
        uint16 sequence,
        uint16 count,
        uint16 units,
        uint16 sequence2,
        uint16 count2,
        uint16 units2
    ) public {
        vm.assume(count <= sequence && units <= uint256(count) * params.limits.maxUnits);
        bytes32 slot = keccak256(abi.encode(POOL, address(payer), address(this), uint64(7)));
        slot = keccak256(abi.encode(slot, LANES_SLOT));
        vm.store(
            address(lanes), slot, bytes32(uint256(sequence) | uint256(count) << 64 | uint256(units) << 128)
        );
        assert(_lane().sequence == sequence && _lane().count == count && _lane().units == units);
        if (!_redeem(sequence2, count2, units2)) return;
        assert(sequence2 > sequence && count2 > count && units2 >= units);
        assert(count2 <= sequence2 && units2 <= uint256(count2) * params.limits.maxUnits);
        ILanes.Lane memory lane = _lane();
        assert(lane.sequence == sequence2 && lane.count == count2 && lane.units == units2);
        assert(
            payer.vested()
                == uint256(params.prices.rewardFixed) * (count2 - count) + uint256(params.prices.rewardUnit)
                    * (units2 - units)
        );
        assert(payer.debited() == payer.credited());
    }
}
