// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Role } from "../../src/types/Messages.sol";
import { AuditPlayers } from "./AuditPlayers.sol";

/// @dev Disputes, accusations and servers' equivocation, from opening to the last juror. Honest parties open none without a
/// wrong answer, and publish at once.
abstract contract DisputePlayers is AuditPlayers {
    /// @dev Of accusations, so that others can join them.
    Evidence[] internal accused;
    mapping(bytes32 response => bool) private _jurorsSettled;
    /// @dev Each response under dispute once: its disputes share what its jury is paid from.
    bytes32[] internal disputedResponses;
    mapping(bytes32 response => bool) private _isListed;

    // ---------------------------------------------------------------------------------------------------- openings

    function _dispute(Evidence memory e, address opener) internal {
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        if (balanceOf(AccountKind.Free, opener) < bond) return;
        (uint256 id, IDisputes.Record memory r) = disputed(e, opener);
        ++count["dispute"];
        _push(id, r);
    }

    function _push(uint256 id, IDisputes.Record memory r) private {
        Case storage c = cases.push();
        (c.id, c.record) = (id, r);
        if (!_isListed[r.response]) disputedResponses.push(r.response);
        _isListed[r.response] = true;
        // Who follows the protocol does not let the window pass.
        if (isHonest[r.opener] && disputes.stateOf(id) == IDisputes.State.Opened) {
            if (disputes.caseOf(pool, r.response).published) return;
            disputes.publish(id, r, INPUT);
            ++count["publish"];
        }
    }

    function _isRight(Evidence memory e) private pure returns (bool) {
        return e.response.commitment
            == Hashes.commitment(Role.Server, e.request.server, Hashes.responseSubject(e.response), RIGHT);
    }

    /// @dev An accusation without a validator, by the user or by anybody with money.
    function accuse(uint256 u, uint256 s, uint256 dice) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        dice = _mixed(dice);
        bool lies = dice % 2 == 0 && !isHonest[servers[server]];
        Evidence memory e = answered(server, 9, ++_sequence, 100, lies ? WRONG : RIGHT);
        _accuse(e, dice & 8 == 0 ? user : servers[(dice >> 8) % servers.length]);
        // Two that wait for one verdict.
        if (dice & 16 == 0) _accuse(e, servers[(dice >> 16) % servers.length]);
    }

    /// @dev Another accusation over a response that is disputed already.
    function accuseToo(uint256 pick, uint256 s) external move(0) {
        if (accused.length == 0) return;
        _accuse(accused[pick % accused.length], servers[s % servers.length]);
    }

    function _accuse(Evidence memory e, address opener) internal {
        // Servers that follow the protocol accuse nobody, users that do no right answer.
        if (isHonest[opener] && (opener != e.request.user || _isRight(e))) return;
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        if (balanceOf(AccountKind.Free, opener) < bond) return;
        vm.prank(opener);
        try disputes.accuse(e.request, e.response, e.responseSignature) returns (uint256 id) {
            IDisputes.Record memory r = recordOf(e, opener);
            (r.validator, r.validatorSeat, r.validatorCommitment) = (address(0), 0, 0);
            ++count[disputes.stateOf(id) == IDisputes.State.Published ? "join" : "accuse"];
            _push(id, r);
            if (accused.length < 8) accused.push(e);
            else accused[id % 8] = e;
        } catch {
            // Too late, its case over, or its seat convicted.
            ++count["accuse refused"];
        }
    }

    /// @dev A server that signs two responses to one request, found by anybody.
    function signTwice(uint256 u, uint256 s) external move(u) {
        (uint256 server, bool found) = _server(s);
        s = _mixed(s);
        if (!found || !_isOpen() || s % 3 != 0 || _serving() < 4 || isHonest[servers[server]]) return;
        Evidence memory e = answered(server, 9, ++_sequence, 100, RIGHT);
        Evidence memory other = abi.decode(abi.encode(e), (Evidence));
        respond(other, server, 101, RIGHT);
        address finder = servers[(s >> 8) % servers.length];
        // Sometimes a wrong answer of the same seat is accused already: it comes first.
        if (s >> 16 & 3 != 0) _accuse(answered(server, 9, ++_sequence, 100, WRONG), user);
        vm.prank(finder);
        uint256 id = disputes.proveEquivocation(
            e.request, e.response, e.responseSignature, other.response, other.responseSignature
        );
        IDisputes.Record memory r = recordOf(e, finder);
        (r.validator, r.validatorSeat, r.validatorCommitment) = (address(0), 0, 0);
        _push(id, r);
        assertTrue(staking.serverOf(pool, servers[server]).convicted, "convicted without a jury");
        assertEq(balanceOf(AccountKind.Vesting, servers[server]), 0, "5: forfeits are burnt");
        ++count["server equivocates"];
    }

    /// @dev Takes the stake after everything that comes first.
    function _resolveProven(Case storage c) private {
        IDisputes.Record memory r = c.record;
        for (uint256 i; i < cases.length; ++i) {
            bool other = cases[i].id != c.id && !cases[i].over
                && disputes.stateOf(cases[i].id) != IDisputes.State.Proven;
            IDisputes.Record storage o = cases[i].record;
            if (other && (o.serverSeat == r.serverSeat || o.validatorSeat == r.serverSeat)) {
                _finish(cases[i], i);
            }
        }
        assertEq(staking.seatOf(pool, r.serverSeat).disputes, 0);
        // What is delivered in this second can be disputed until then.
        uint256 lastTicket = beacon.timeOf(params.ticketRound(beacon.roundAt(_now() + params.windows.lag)));
        vm.warp(lastTicket + params.windows.dispute + 1);
        (uint256 held, uint256 burnt) = (seatBalance(r.serverSeat), burnBalance());
        disputes.resolve(c.id, r);
        (c.over, c.settled) = (true, true);
        bool slashed = disputes.stateOf(c.id) == IDisputes.State.Convicted;
        assertEq(slashed, !_isSlashed[r.serverSeat], "what came first took the stake");
        if (slashed) {
            assertGe(burnBalance() - burnt, 2 * params.juryBudget(), "5: at least 2J is burnt");
            // All of it, where fines have eaten into it.
            uint256 stake = held < params.prices.seatStake ? held : params.prices.seatStake;
            assertEq(held - seatBalance(r.serverSeat), stake, "5: S is taken");
        }
        _isSlashed[r.serverSeat] = true;
        ++count[slashed ? "slash equivocation" : "equivocation came late"];
    }

    // ----------------------------------------------------------------------------------------------------- disputes

    /// @dev One step of one dispute.
    function proceed(uint256 pick, uint256 dice) external move(0) {
        if (cases.length == 0) return;
        _step(cases[pick % cases.length], dice);
    }

    /// @dev All steps of one dispute.
    function finish(uint256 pick, uint256 dice) external move(0) {
        if (cases.length == 0) return;
        _finish(cases[pick % cases.length], dice);
    }

    /// @dev Invariant 8: from wherever it is, a dispute ends in few steps and bounded time.
    function _finish(Case storage c, uint256 dice) internal {
        uint256 start = _now();
        bool open = !c.over;
        bool proven = disputes.stateOf(c.id) == IDisputes.State.Proven;
        uint256 steps;
        for (; !c.settled; ++steps) {
            _step(c, uint256(keccak256(abi.encode(dice, steps))));
        }
        if (open) ++count["finish"];
        assertLe(steps, 14, "8: steps");
        uint256 longest =
            uint256(params.windows.publish) + 2 * (uint256(params.windows.commit) + params.windows.propose);
        // A proof waits for the disputes that come first, and for those that could still open.
        if (proven) longest = 2 * longest + params.windows.dispute;
        assertLe(_now() - start, longest + 20, "8: time");
    }

    function finishAll() external move(0) {
        for (uint256 i; i < cases.length; ++i) {
            _finish(cases[i], i);
        }
    }

    function _step(Case storage c, uint256 dice) private {
        if (c.settled) return;
        if (c.over) return _settleJurors(c);
        IDisputes.Record memory r = c.record;
        if (disputes.stateOf(c.id) == IDisputes.State.Proven) return _resolveProven(c);
        IDisputes.Case memory shared = disputes.caseOf(pool, r.response);
        IArbiter.Outcome outcome;
        if (shared.published) {
            (outcome,,) = arbiter.outcomeOf(address(disputes), disputes.subjectOf(r.response));
        }
        bool slashed = _isSlashed[r.serverSeat] || _isSlashed[r.validatorSeat];
        if (outcome == IArbiter.Outcome.Decided || outcome == IArbiter.Outcome.Void) {
            _resolve(c, r);
        } else if (slashed && (!shared.published || shared.open == 1)) {
            _mayCost(r.response, true);
            disputes.close(c.id, r);
            c.over = true;
            ++count["close"];
        } else if (shared.published) {
            if (slashed) {
                ++count["close refused"];
                vm.expectRevert(abi.encodeWithSelector(IDisputes.CaseShared.selector, r.response));
                disputes.close(c.id, r);
            }
            _vote(address(disputes), disputes.subjectOf(r.response), dice);
        } else {
            _publishOrDismiss(c, r, dice);
        }
    }

    function _publishOrDismiss(Case storage c, IDisputes.Record memory r, uint256 dice) private {
        if (dice % 6 == 0) vm.warp(_now() + params.windows.publish + 1);
        try disputes.publish(c.id, r, INPUT) {
            ++count["publish"];
        } catch {
            assertFalse(isHonest[r.opener], "4: who follows the protocol publishes");
            disputes.dismiss(c.id, r);
            c.over = true;
            ++count["dismiss"];
        }
    }

    /// @dev A jury that convicts nobody costs who called it at most J.
    function _mayCost(bytes32 response, bool inVain) private {
        IDisputes.Case memory c = disputes.caseOf(pool, response);
        (IArbiter.Outcome outcome,,) = arbiter.outcomeOf(address(disputes), disputes.subjectOf(response));
        inVain = inVain || outcome == IArbiter.Outcome.Void;
        if (inVain && c.published && !c.settled) allowed[c.payer] -= int256(params.juryBudget());
    }

    /// @dev Invariant 5 over every conviction.
    function _resolve(Case storage c, IDisputes.Record memory r) private {
        uint256[5] memory before = [
            seatBalance(r.serverSeat) + seatBalance(r.validatorSeat),
            burnBalance(),
            balanceOf(AccountKind.Vesting, r.server),
            balanceOf(AccountKind.Vesting, r.validator),
            reserveBalance(r.serverSeat) + reserveBalance(r.validatorSeat)
        ];
        bool server = !_isSlashed[r.serverSeat]
            && r.serverCommitment != Hashes.commitment(Role.Server, r.server, r.serverSubject, RIGHT);
        bool validator = r.validator != address(0) && !_isSlashed[r.validatorSeat]
            && r.validatorCommitment != Hashes.commitment(Role.Validator, r.validator, r.response, RIGHT);
        _mayCost(r.response, !server && !validator);
        disputes.resolve(c.id, r);
        c.over = true;
        uint256 slashed = before[0] - seatBalance(r.serverSeat) - seatBalance(r.validatorSeat);
        IDisputes.State state = disputes.stateOf(c.id);
        if (state != IDisputes.State.Convicted || (!server && !validator)) {
            if (state == IDisputes.State.Convicted) ++count["verdict over a convicted seat"];
            else ++count[state == IDisputes.State.Void ? "void" : "reject"];
            assertFalse(state == IDisputes.State.Rejected && isHonest[r.opener], "4: an honest opener");
            assertEq(slashed, 0, "5: S is taken once");
            return;
        }
        uint256 forfeited = (server ? before[2] : 0) + (validator ? before[3] : 0);
        uint256 kept = burnBalance() + reserveBalance(r.serverSeat) + reserveBalance(r.validatorSeat)
            - before[1] - before[4] - forfeited;
        assertGe(kept, 2 * params.juryBudget(), "5: at least 2J is burnt or set aside for other juries");
        assertGt(slashed, slashed - kept, "5: less is paid out than was taken");
        assertLe(
            reserveBalance(r.serverSeat) + reserveBalance(r.validatorSeat),
            before[4] + (server && validator ? 2 : 1) * params.juryBudget(),
            "5: one budget is set aside"
        );
        for (uint256 i; i < claims.length; ++i) {
            IChecks.ClaimState claim = checks.claimOf(pool, claims[i].user, claims[i].response).state;
            if (claim == IChecks.ClaimState.Settled || claim == IChecks.ClaimState.None) {
                claims[i].done = true;
            }
        }
        if (server) {
            _isSlashed[r.serverSeat] = true;
            assertEq(balanceOf(AccountKind.Vesting, r.server), 0, "5: forfeits are burnt");
            ++count["convict server"];
        }
        if (validator) {
            _isSlashed[r.validatorSeat] = true;
            assertEq(balanceOf(AccountKind.Vesting, r.validator), 0, "5: forfeits are burnt");
            ++count["convict validator"];
        }
    }

    function _settleJurors(Case storage c) private {
        c.settled = true;
        assertEq(caseBalance(c.id), 0, "nothing is left with a dispute that ended");
        IDisputes.Case memory shared = disputes.caseOf(pool, c.record.response);
        if (!shared.settled || shared.open > 0 || _jurorsSettled[c.record.response]) return;
        _jurorsSettled[c.record.response] = true;
        bytes32 subject = disputes.subjectOf(c.record.response);
        uint8 ballots = arbiter.currentBallot(address(disputes), subject);
        uint256[] memory one = new uint256[](1);
        for (uint8 ballot = 1; ballot <= ballots; ++ballot) {
            uint256 size = arbiter.ballotOf(address(disputes), subject, ballot).size;
            for (one[0] = 0; one[0] < size; ++one[0]) {
                (uint64 seat, IArbiter.Standing standing) =
                    arbiter.standingOf(address(disputes), subject, ballot, one[0]);
                if (standing == IArbiter.Standing.None) continue;
                _requirePaidIfHonest(seat, standing);
                disputes.settleJurors(pool, c.record.response, ballot, one);
                ++count[standing == IArbiter.Standing.Paid ? "pay juror" : "fine juror"];
            }
        }
        assertEq(
            ledger.balanceOf(pool, AccountKind.Case, c.record.response),
            0,
            "every juror was paid, and nothing is left"
        );
    }
}
