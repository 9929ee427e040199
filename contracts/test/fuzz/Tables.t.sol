// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { AssayTest } from "../utils/AssayTest.sol";

/// @dev Invariant 7: the tables and keys of past, current and next epoch never change.
contract TablesTest is AssayTest {
    uint256 private constant STEPS = 24;

    uint64[] private mine;
    mapping(uint32 epoch => bytes32) private seen;

    /// @dev All that can be read of an epoch.
    function _view(uint32 epoch) private view returns (bytes32) {
        uint256 count = staking.seatCount(pool, epoch);
        uint256[] memory seats = new uint256[](count);
        uint256[2] memory places;
        for (uint256 i; i < count; ++i) {
            seats[i] = staking.seatAt(pool, epoch, i);
            uint256 page = seats[i] / 256;
            uint256 bit = 1 << (seats[i] % 256);
            assertEq(places[page] & bit, 0, "a seat has one place");
            places[page] |= bit;
        }
        return keccak256(abi.encode(seats, staking.keyAt(pool, user, epoch)));
    }

    function _remember(uint32 first, uint32 last) private {
        for (uint32 epoch = first; epoch <= last; ++epoch) {
            bytes32 now_ = _view(epoch);
            if (seen[epoch] == 0) seen[epoch] = now_;
            assertEq(seen[epoch], now_);
        }
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_TablesUpToTheNextEpochNeverChange(uint256 seed) public {
        ledger.deposit(pool, user, 100 * 502_000);
        uint32 start = params.epochOf(block.timestamp);
        // Few seats, so that places are exchanged often.
        for (uint256 server = 1; server < SERVERS; ++server) {
            vm.startPrank(servers[server]);
            for (uint64 i; i < 12; ++i) {
                staking.unbond(pool, seatOf(server) + i);
            }
            vm.stopPrank();
        }
        for (uint256 step; step < STEPS; ++step) {
            uint256 dice = uint256(keccak256(abi.encode(seed, step)));
            uint256 what = dice % 4;
            vm.startPrank(user);
            if (what == 0) {
                uint32 count = uint32(dice >> 8) % 3 + 1;
                uint64 first = staking.join(pool, count);
                for (uint64 i; i < count; ++i) {
                    mine.push(first + i);
                }
            } else if (what == 1 && mine.length > 0) {
                uint256 place = (dice >> 8) % mine.length;
                staking.unbond(pool, mine[place]);
                mine[place] = mine[mine.length - 1];
                mine.pop();
            } else if (what == 2) {
                staking.setKey(pool, address(uint160(dice)));
            } else {
                skip((dice >> 8) % 15);
            }
            vm.stopPrank();
            uint32 epoch = params.epochOf(block.timestamp);
            _remember(epoch < start + 2 ? start - 2 : epoch - 3, epoch + 1);
            // A seat's place is where the newest table has it.
            for (uint256 i; i < mine.length; ++i) {
                assertEq(staking.seatAt(pool, epoch + 2, staking.seatOf(pool, mine[i]).index), mine[i]);
            }
            assertEq(staking.seatCount(pool, epoch + 2), 12 + mine.length);
        }
        _remember(start - 2, params.epochOf(block.timestamp) + 1);
    }
}
