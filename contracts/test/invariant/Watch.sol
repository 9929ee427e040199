// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Voucher } from "../../src/types/Messages.sol";
import { Handler } from "./Handler.sol";

/// @dev The handler with the invariants of docs/PROTOCOL.md that hold after every move, by number.
contract Watch is Handler {
    constructor(bool audited) Handler(audited) { }

    /// @dev 1. Tokens held = sum of all accounts.
    function conservation() external view {
        uint256 held = token.balanceOf(address(ledger));
        assertEq(held, ledger.totalOf(address(token)), "1: total");
        uint256 sum = burnBalance() + ledger.balanceOf(pool, AccountKind.Claim, 0)
            + ledger.balanceOf(pool, AccountKind.Audit, 0);
        for (uint256 i; i < servers.length; ++i) {
            sum += _accountsOf(servers[i]);
        }
        for (uint256 i; i < userKeys.length; ++i) {
            sum += _accountsOf(vm.addr(userKeys[i]));
        }
        // The user that the base set-up funds and nobody plays.
        sum += _accountsOf(makeAddrOf("user"));
        for (uint64 seat = 1; seat <= seats; ++seat) {
            sum += seatBalance(seat) + reserveBalance(seat);
        }
        for (uint256 i; i < cases.length; ++i) {
            sum += caseBalance(cases[i].id);
            if (_isFirst(i)) sum += ledger.balanceOf(pool, AccountKind.Case, cases[i].record.response);
        }
        for (uint256 id = 1; id <= redemptions; ++id) {
            sum += reserveOf(id);
        }
        for (uint256 i; i < trials.length; ++i) {
            sum += dueOf(lots[trials[i].lot].id, trials[i].index);
        }
        assertEq(held, sum, "1: accounts");
    }

    /// @dev Disputes over one response share what its jury is paid from.
    function _isFirst(uint256 i) private view returns (bool) {
        for (uint256 j; j < i; ++j) {
            if (cases[j].record.response == cases[i].record.response) return false;
        }
        return true;
    }

    function makeAddrOf(string memory name) private pure returns (address) {
        return vm.addr(uint256(keccak256(bytes(name))));
    }

    function _accountsOf(address owner) private view returns (uint256 sum) {
        for (uint8 kind = uint8(AccountKind.Free); kind < uint8(AccountKind.Burn); ++kind) {
            sum += balanceOf(AccountKind(kind), owner);
        }
    }

    /// @dev 2. The supply falls by flushes alone.
    function supply() external view {
        assertEq(token.totalSupply(), supplyAtStart - flushed, "2");
    }

    /// @dev 3. What lanes have paid is what the last voucher says, and claims hold just what is pending.
    function paidOnce() external view {
        for (uint256 u; u < userKeys.length; ++u) {
            for (uint256 s; s < servers.length; ++s) {
                Voucher storage v = last[u][servers[s]];
                ILanes.Lane memory lane = lanes.laneOf(pool, vm.addr(userKeys[u]), servers[s], 7);
                assertEq(lane.sequence, v.sequence, "3: sequence");
                assertEq(lane.count, v.count, "3: count");
                assertEq(lane.units, v.units, "3: units");
            }
        }
        uint256 pending;
        for (uint256 i; i < claims.length; ++i) {
            if (checks.claimOf(pool, claims[i].user, claims[i].response).state == IChecks.ClaimState.Pending) ++pending;
        }
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), pending * params.check(210), "3: claims");
    }

    /// @dev 3 and 6. Rewards are all there until they are released or forfeited, and vest once, when their audits are settled.
    function vesting() external view {
        for (uint256 s; s < servers.length; ++s) {
            address server = servers[s];
            bool isConvicted = staking.serverOf(pool, server).convicted;
            uint256 owed = isConvicted ? 0 : vests[server] + waits[server];
            assertEq(balanceOf(AccountKind.Vesting, server), owed, "3: rewards");
        }
    }

    /// @dev 6. Who is accused, or has redeemed and not settled its audits, is frozen: the counts are those of what is open.
    function frozen() external view {
        uint256[] memory open = new uint256[](servers.length);
        for (uint256 i; i < cases.length; ++i) {
            if (cases[i].over) continue;
            ++open[indexOf[cases[i].record.server]];
            if (cases[i].record.validator != address(0)) ++open[indexOf[cases[i].record.validator]];
        }
        for (uint256 i; i < lots.length; ++i) {
            if (!lots[i].isOver) ++open[indexOf[lots[i].r.server]];
        }
        for (uint256 s; s < servers.length; ++s) {
            assertEq(staking.serverOf(pool, servers[s]).freezes, open[s], "6");
        }
    }

    /// @dev The seats that `isBondedUntil` counts are those in the newest table that are not suspended.
    function seatCounts() external view {
        uint256[] memory bonded = new uint256[](servers.length);
        for (uint64 seat = 1; seat <= seats; ++seat) {
            (address owner, bool counts) = _counts(seat);
            if (counts) ++bonded[indexOf[owner]];
        }
        for (uint256 s; s < servers.length; ++s) {
            assertEq(staking.serverOf(pool, servers[s]).seats, bonded[s], "seats");
        }
    }

    function _counts(uint64 seat) private view returns (address, bool) {
        return (
            staking.seatOf(pool, seat).owner,
            staking.seatOf(pool, seat).exitAt == 0 && !staking.seatOf(pool, seat).suspended
        );
    }

    /// @dev 7. Tables that were final have not changed: the latest four, and all at the end of a run.
    function pastStays(bool all) external view {
        uint32 epoch = params.epochOf(vm.getBlockTimestamp()) + 1;
        uint32 from = all || epoch < firstEpoch + 4 ? firstEpoch : epoch - 4;
        for (uint32 i = from; i <= epoch; ++i) {
            if (tables[i] != 0) assertEq(tables[i], occupantsOf(i), "7");
        }
    }

    /// @dev Once no dispute is open nothing is set aside for one.
    function nothingLeftOver() external view {
        for (uint64 seat = 1; seat <= seats; ++seat) {
            assertEq(reserveBalance(seat), 0, "what convictions set aside is spent or burnt");
        }
    }
}
