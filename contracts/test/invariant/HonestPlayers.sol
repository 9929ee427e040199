// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { DisputePlayers } from "./DisputePlayers.sol";

/// @dev Invariant 4 over every move: who follows the protocol is never convicted, suspended or fined, and its wealth falls by no
/// more than docs/PROTOCOL.md allows. What it gains it keeps: each move starts from the wealth that the last one left.
abstract contract HonestPlayers is DisputePlayers {
    address[] private _honest;
    mapping(address who => uint256) private _wealth;
    uint64[] private _honestSeats;
    uint64 private _seatsSeen;

    function setUp() public virtual override {
        super.setUp();
        _honest.push(users[0]);
        for (uint256 i; i < HONEST_SERVERS; ++i) {
            _honest.push(servers[i]);
        }
        for (uint256 i; i < _honest.length; ++i) {
            isHonest[_honest[i]] = true;
        }
        _keepWhole();
    }

    function _keepWhole() internal override {
        while (_seatsSeen < seats) {
            if (isHonest[staking.seatOf(pool, ++_seatsSeen).owner]) _honestSeats.push(_seatsSeen);
        }
        uint256[] memory now_ = new uint256[](_honest.length);
        for (uint256 i; i < _honestSeats.length; ++i) {
            IStaking.Seat memory s = staking.seatOf(pool, _honestSeats[i]);
            assertTrue(s.status == IStaking.SeatStatus.Active, "4: an honest seat");
            for (uint256 j; j < _honest.length; ++j) {
                if (s.owner == _honest[j]) now_[j] += seatBalance(_honestSeats[i]);
            }
        }
        for (uint256 i; i < _honest.length; ++i) {
            address who = _honest[i];
            assertFalse(staking.serverOf(pool, who).convicted, "4: an honest server");
            now_[i] += _moneyOf(who) + _withAudits(who) + _withDisputes(who);
            assertGe(int256(now_[i]), int256(_wealth[who]) + allowed[who], "4: an honest player's wealth");
            (_wealth[who], allowed[who]) = (now_[i], 0);
        }
    }

    /// @dev All but e-money, which buys nothing but checks.
    function _moneyOf(address who) private view returns (uint256) {
        return balanceOf(AccountKind.Free, who) + balanceOf(AccountKind.Balance, who)
            + balanceOf(AccountKind.Bond, who) + balanceOf(AccountKind.Vesting, who);
    }

    /// @dev What guarantees audits that still run.
    function _withAudits(address who) private view returns (uint256 sum) {
        for (uint256 i; i < lots.length; ++i) {
            if (lots[i].r.server == who && lots[i].isDrawn && !lots[i].isOver) sum += lots[i].advance;
        }
    }

    /// @dev Bonds of disputes that still run, and what of them waits for the jury.
    function _withDisputes(address who) private view returns (uint256 sum) {
        for (uint256 i; i < cases.length; ++i) {
            if (cases[i].over || cases[i].record.opener != who) continue;
            sum += caseBalance(cases[i].id);
            IDisputes.Case memory c = disputes.caseOf(pool, cases[i].record.response);
            if (c.first == cases[i].id && c.published && !c.settled) sum += params.juryBudget();
        }
    }
}
