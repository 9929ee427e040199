// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IJuryArbiter } from "../../src/interfaces/IJuryArbiter.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PanelState } from "../../src/libraries/Panels.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Role, Voucher } from "../../src/types/Messages.sol";
import { Players } from "./Players.sol";

/// @dev Plays users, servers, validators and jurors, honest or not, each move one that its rules allow; what must be
/// refused is tried besides. Counts the moves that succeeded, and keeps what the invariants compare with.
contract Handler is Players {
    // ------------------------------------------------------------------------------------------------------- money

    function deposit(uint256 u, uint256 amount) external move(u) {
        amount = bound(amount, 1_000, 500_000);
        ledger.deposit(pool, user, amount);
        vm.prank(user);
        lanes.fund(pool, amount / 3, amount / 2);
        ++count["deposit"];
    }

    function leave(uint256 u, bool wait) external move(u) {
        uint256 due = lanes.exitOf(pool, user).due;
        vm.startPrank(user);
        if (due == 0) {
            lanes.requestExit(pool);
            due = lanes.exitOf(pool, user).due;
        }
        if (wait) {
            if (_now() < due) vm.warp(due);
            lanes.exit(pool, user);
            uint256 free = balanceOf(AccountKind.Free, user);
            if (free > 0) {
                ledger.withdraw(pool, user, free / 2 + 1);
                token.approve(address(ledger), type(uint256).max);
                ledger.deposit(pool, user, free / 2 + 1);
            }
            lanes.fund(pool, balanceOf(AccountKind.Free, user) / 2, balanceOf(AccountKind.Free, user) / 2);
            ++count["exit"];
        } else {
            lanes.cancelExit(pool);
            ++count["cancelExit"];
        }
        vm.stopPrank();
    }

    function flush() external move(0) {
        uint256 burnt = burnBalance();
        if (burnt == 0) return;
        ledger.flush(pool);
        flushed += burnt;
        ++count["flush"];
    }

    function pass(uint256 time) external move(0) {
        vm.warp(_now() + bound(time, 1, 40));
        ++count["pass"];
    }

    // ------------------------------------------------------------------------------------------------------- seats

    function join(uint256 s, uint32 n) external move(0) {
        n = uint32(bound(n, 1, 3));
        if (staking.seatCount(pool, params.epochOf(_now()) + 2) + n > MOST_SEATS) return;
        (uint256 server, bool found) = _server(s);
        if (!found || s % 5 == 0) {
            (address newcomer, uint256 key) =
                makeAddrAndKey(string.concat("newcomer", vm.toString(servers.length)));
            server = servers.length;
            indexOf[newcomer] = server;
            servers.push(newcomer);
            serverKeys.push(key);
        }
        ledger.deposit(pool, servers[server], n * 502_000 + 50_000);
        vm.prank(servers[server]);
        staking.join(pool, n);
        seats += n;
        ++count["join"];
    }

    function unbond(uint256 s) external move(0) {
        if (staking.seatCount(pool, params.epochOf(_now()) + 2) <= LEAST_SEATS) return;
        (uint256 server, bool found) = _server(s);
        if (!found) return;
        uint64 seat = seatOf(server);
        vm.prank(servers[server]);
        staking.unbond(pool, seat);
        leaving.push(seat);
        ++count["unbond"];
    }

    function evict(uint256 pick) external move(0) {
        for (uint64 i; i < seats; ++i) {
            uint64 seat = uint64((pick % seats + i) % seats) + 1;
            if (staking.seatOf(pool, seat).exitAt != 0 || staking.isActive(pool, seat)) continue;
            if (staking.seatCount(pool, params.epochOf(_now()) + 2) <= LEAST_SEATS) return;
            staking.evict(pool, seat);
            leaving.push(seat);
            ++count["evict"];
            return;
        }
    }

    function withdraw(uint256 pick, bool wait) external move(0) {
        if (leaving.length == 0) return;
        uint64 seat = leaving[pick % leaving.length];
        IStaking.Seat memory s = staking.seatOf(pool, seat);
        if (wait && _now() < s.exitAt) vm.warp(s.exitAt);
        bool free = _now() >= s.exitAt && staking.serverOf(pool, s.owner).freezes == 0;
        vm.prank(s.owner);
        try staking.withdraw(pool, seat) {
            assertTrue(free, "6: stake left that could be slashed");
            ++count["withdraw"];
        } catch {
            assertFalse(free);
            ++count["withdraw refused"];
        }
    }

    // -------------------------------------------------------------------------------------------------- redemptions

    function redeem(uint256 u, uint256 s, uint64 n) external move(u) {
        n = uint64(bound(n, 1, 20));
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        uint256 cost = n * params.fee(210);
        if (balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user) < cost) return;
        Voucher memory old = last[u % USERS][servers[server]];
        Voucher memory v = voucher(server, 7, old.sequence + n, old.count + n, old.units + n * 210);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        lanes.redeem(pool, servers[server], vouchers, signatures);
        last[u % USERS][servers[server]] = v;
        epochsOf[servers[server]].push(params.epochOf(_now()));
        ++count["redeem"];
        try lanes.redeem(pool, servers[server], vouchers, signatures) {
            assertTrue(false, "3: a voucher was paid twice");
        } catch { }
    }

    function release(uint256 s, bool wait) external move(0) {
        address server = servers[s % servers.length];
        uint32[] memory epochs = epochsOf[server];
        if (epochs.length == 0) return;
        uint256 freeAt =
            (uint256(epochs[epochs.length - 1]) + 1) * params.windows.epoch + params.windows.vesting;
        if (wait && _now() < freeAt) vm.warp(freeAt);
        IStaking.Server memory state = staking.serverOf(pool, server);
        bool free = _now() >= freeAt && state.freezes == 0 && !state.convicted;
        uint256 before = balanceOf(AccountKind.Vesting, server);
        try lanes.release(pool, server, epochs) {
            assertTrue(free, "6: vesting left that could be forfeited");
            delete epochsOf[server];
            ++count["release"];
        } catch {
            assertFalse(free);
            assertEq(balanceOf(AccountKind.Vesting, server), before);
            ++count["release refused"];
        }
    }

    // ------------------------------------------------------------------------------------------------------- checks

    /// @dev A response that is drawn to be checked: claimed where both digests are equal, else disputed; sometimes disputed
    /// for nothing.
    function check(uint256 u, uint256 s, uint256 dice) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        bytes32 a = dice % 3 == 0 ? WRONG : RIGHT;
        bytes32 b = dice >> 8 & 7 == 0 ? bytes32("another") : RIGHT;
        Evidence memory e = drawn(server, ++_sequence, a, b);
        if (!staking.isOpen(pool, params.epochOf(beacon.timeOf(e.response.round)))) return;
        address validator = staking.seatOf(pool, e.answer.seat).owner;
        if (a == b && dice >> 16 & 3 != 0) {
            _claim(e, validator);
            return;
        }
        if (dice >> 20 & 1 == 0) _claim(e, validator);
        address opener = dice >> 24 & 3 == 0 ? validator : user;
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        if (balanceOf(opener == user ? AccountKind.Bond : AccountKind.Free, opener) < bond) return;
        (uint256 id, IDisputes.Record memory r) = disputed(e, opener);
        Case storage c = cases.push();
        (c.id, c.record) = (id, r);
        ++count["dispute"];
    }

    function _claim(Evidence memory e, address validator) private {
        uint256 funds = balanceOf(AccountKind.Check, user) + balanceOf(AccountKind.Bond, user);
        if (funds < params.check(210)) return;
        checks.claim(e);
        claims.push(Pending(user, validator, Hashes.response(e.response), false));
        ++count["claim"];
        try checks.claim(e) {
            assertTrue(false, "3: a check was claimed twice");
        } catch { }
    }

    function settle(uint256 pick, bool wait) external move(0) {
        if (claims.length == 0) return;
        Pending storage c = claims[pick % claims.length];
        uint256 freeAt = checks.claimOf(pool, c.user, c.response).freeAt;
        if (wait && _now() <= freeAt) vm.warp(freeAt + 1);
        IStaking.Server memory state = staking.serverOf(pool, c.validator);
        bool free = _now() > freeAt && state.freezes == 0 && !c.done;
        uint256 before = balanceOf(AccountKind.Free, c.validator);
        try checks.settle(pool, c.user, c.response) {
            assertTrue(free, "3: paid before its time, or twice");
            uint256 paid = balanceOf(AccountKind.Free, c.validator) - before;
            assertEq(paid, state.convicted ? 0 : params.checkPay(210));
            c.done = true;
            ++count[state.convicted ? "void claim" : "settle"];
        } catch {
            assertFalse(free);
        }
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
        uint256 steps;
        for (; !c.settled; ++steps) {
            _step(c, uint256(keccak256(abi.encode(dice, steps))));
        }
        if (open) ++count["finish"];
        assertLe(steps, 14, "8: steps");
        uint256 longest =
            uint256(params.windows.publish) + 2 * (uint256(params.windows.commit) + params.windows.propose);
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
        if (_isSlashed[r.serverSeat] || _isSlashed[r.validatorSeat]) {
            disputes.close(c.id, r);
            c.over = true;
            ++count["close"];
        } else if (disputes.stateOf(c.id) == IDisputes.State.Opened) {
            _publishOrDismiss(c, r, dice);
        } else {
            (IArbiter.Outcome outcome,,) = arbiter.outcomeOf(address(disputes), disputes.subjectOf(c.record.response));
            if (outcome == IArbiter.Outcome.Pending) _vote(r, dice);
            else _resolve(c, r);
        }
    }

    function _publishOrDismiss(Case storage c, IDisputes.Record memory r, uint256 dice) private {
        if (dice % 6 == 0) vm.warp(_now() + params.windows.publish + 1);
        try disputes.publish(c.id, r, INPUT) {
            ++count["publish"];
        } catch {
            disputes.dismiss(c.id, r);
            c.over = true;
            ++count["dismiss"];
        }
    }

    /// @dev The next step of a ballot; jurors are absent or lie now and then.
    function _vote(IDisputes.Record memory r, uint256 dice) private {
        bytes32 subject = disputes.subjectOf(r.response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        PanelState memory b = arbiter.ballotOf(address(disputes), subject, ballot);
        if (b.size == 0) {
            bool late = dice % 8 == 0 || _now() > b.commitEnd - params.windows.commit / 2;
            if (late && _now() <= b.commitEnd) vm.warp(uint256(b.commitEnd) + 1);
            if (late) {
                arbiter.advance(address(disputes), subject);
                ++count["advance"];
            } else {
                drawJury(r.response);
                ++count["draw"];
            }
        } else if (_now() <= b.commitEnd && b.committed == 0 && dice % 16 != 0) {
            for (uint256 i; i < b.size; ++i) {
                uint256 chance = uint256(keccak256(abi.encode(dice, i))) % 16;
                if (chance < 13 - dice / 16 % 4) right[r.response][ballot] += _commit(subject, ballot, i, RIGHT);
                else if (chance == 15) _commit(subject, ballot, i, WRONG);
            }
            ++count["commit"];
        } else {
            if (_now() <= b.commitEnd) vm.warp(uint256(b.commitEnd) + 1);
            if (_now() <= b.proposeEnd && right[r.response][ballot] >= Conditions.quorum(b.size)) {
                arbiter.propose(address(disputes), subject, RIGHT);
                ++count["propose"];
            } else {
                if (_now() <= b.proposeEnd) vm.warp(uint256(b.proposeEnd) + 1);
                arbiter.advance(address(disputes), subject);
                ++count["advance"];
            }
        }
    }

    function _commit(bytes32 subject, uint8 ballot, uint256 position, bytes32 digest)
        private
        returns (uint256)
    {
        uint64 seat = arbiter.seatOfJuror(address(disputes), subject, ballot, position);
        if (!staking.isActive(pool, seat)) return 0;
        address owner = staking.seatOf(pool, seat).owner;
        uint256[] memory positions = new uint256[](1);
        positions[0] = position;
        bytes32 commitment =
            Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), digest);
        vm.prank(owner);
        arbiter.commit(address(disputes), subject, positions, commitment);
        return 1;
    }

    /// @dev Invariant 5 over every conviction.
    function _resolve(Case storage c, IDisputes.Record memory r) private {
        uint256[4] memory before = [
            seatBalance(r.serverSeat) + seatBalance(r.validatorSeat),
            burnBalance(),
            balanceOf(AccountKind.Vesting, r.server),
            balanceOf(AccountKind.Vesting, r.validator)
        ];
        disputes.resolve(c.id, r);
        c.over = true;
        if (disputes.stateOf(c.id) != IDisputes.State.Convicted) {
            ++count[disputes.stateOf(c.id) == IDisputes.State.Void ? "void" : "reject"];
            assertEq(seatBalance(r.serverSeat) + seatBalance(r.validatorSeat), before[0]);
            return;
        }
        bool server = r.serverCommitment != Hashes.commitment(Role.Server, r.server, r.serverSubject, RIGHT);
        bool validator =
            r.validatorCommitment != Hashes.commitment(Role.Validator, r.validator, r.response, RIGHT);
        uint256 set = reserveOf(r.serverSeat) + reserveOf(r.validatorSeat);
        uint256 slashed = before[0] - seatBalance(r.serverSeat) - seatBalance(r.validatorSeat);
        uint256 forfeited = (server ? before[2] : 0) + (validator ? before[3] : 0);
        uint256 burnt = burnBalance() - before[1] - forfeited;
        assertGe(
            burnt + set, 2 * params.juryBudget(), "5: at least 2J is burnt or set aside for other juries"
        );
        assertLt(slashed - burnt, slashed, "5: less is paid out than was taken");
        for (uint256 i; i < claims.length; ++i) {
            if (claims[i].response == r.response && claims[i].user == r.user) claims[i].done = true;
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

    function reserveOf(uint64 seat) public view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, keccak256(abi.encode(pool, seat)));
    }

    function _settleJurors(Case storage c) private {
        bytes32 subject = disputes.subjectOf(c.record.response);
        uint8 ballots = arbiter.currentBallot(address(disputes), subject);
        uint256[] memory one = new uint256[](1);
        for (uint8 ballot = 1; ballot <= ballots; ++ballot) {
            uint256 size = arbiter.ballotOf(address(disputes), subject, ballot).size;
            for (one[0] = 0; one[0] < size; ++one[0]) {
                (, IArbiter.Standing standing) =
                    arbiter.standingOf(address(disputes), subject, ballot, one[0]);
                if (standing == IArbiter.Standing.None) continue;
                disputes.settleJurors(pool, c.record.response, ballot, one);
                ++count[standing == IArbiter.Standing.Paid ? "pay juror" : "fine juror"];
            }
        }
        c.settled = true;
        assertEq(caseBalance(c.id), 0, "every juror was paid, and nothing is left");
    }
}
