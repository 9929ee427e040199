// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IChecks } from "../../src/interfaces/IChecks.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
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
        for (uint256 i; i < users.length; ++i) {
            sum += _accountsOf(users[i]);
        }
        sum += _accountsOf(idle) + _accountsOf(address(this));
        for (uint64 seat = 1; seat <= seats; ++seat) {
            sum += seatBalance(seat) + reserveBalance(seat);
        }
        for (uint256 i; i < cases.length; ++i) {
            sum += caseBalance(cases[i].id);
        }
        for (uint256 i; i < disputedResponses.length; ++i) {
            sum += juryBalance(disputedResponses[i]);
        }
        for (uint256 id = 1; id <= redemptions; ++id) {
            sum += reserveOf(id);
        }
        for (uint256 i; i < trials.length; ++i) {
            sum += dueOf(lots[trials[i].lot].id, trials[i].index);
        }
        assertEq(held, sum, "1: accounts");
    }

    function _accountsOf(address owner) private view returns (uint256) {
        return balanceOf(AccountKind.Free, owner) + balanceOf(AccountKind.Balance, owner)
            + balanceOf(AccountKind.Check, owner) + balanceOf(AccountKind.Bond, owner)
            + balanceOf(AccountKind.Vesting, owner);
    }

    /// @dev 2. The supply falls by flushes alone.
    function supply() external view {
        assertEq(token.totalSupply(), supplyAtStart - flushed, "2");
    }

    /// @dev 3. What lanes have paid is what the last voucher says, and claims hold just what is pending.
    function paidOnce() external view {
        for (uint256 u; u < users.length; ++u) {
            for (uint256 s; s < servers.length; ++s) {
                Voucher storage v = last[u][servers[s]];
                ILanes.Lane memory lane = lanes.laneOf(pool, users[u], servers[s], 7);
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
            IStaking.Seat memory s = staking.seatOf(pool, seat);
            if (s.exitAt == 0 && s.status == IStaking.SeatStatus.Active) ++bonded[indexOf[s.owner]];
        }
        for (uint256 s; s < servers.length; ++s) {
            assertEq(staking.serverOf(pool, servers[s]).seats, bonded[s], "seats");
        }
    }

    /// @dev 7. Tables that were final have not changed: those that draw now and next, and all at the end of a run.
    function pastStays(bool all) external view {
        uint32 epoch = params.epochOf(vm.getBlockTimestamp()) + 1;
        uint32 from = all ? firstEpoch : epoch - 1;
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
