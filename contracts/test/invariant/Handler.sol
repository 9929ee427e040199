// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IJuryArbiter } from "../../src/interfaces/IJuryArbiter.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PanelState } from "../../src/libraries/Panels.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Delivery, Evidence, InferenceRequest, Role, Voucher } from "../../src/types/Messages.sol";
import { Players } from "./Players.sol";

/// @dev Plays users, servers, validators and jurors, honest or not, each move one that its rules allow; what must be
/// refused is tried besides. Counts the moves that succeeded, and keeps what the invariants compare with.
contract Handler is Players {
    /// @dev Of accusations, so that others can join them.
    Evidence[] internal accused;

    // ------------------------------------------------------------------------------------------------------- money

    function deposit(uint256 u, uint256 amount) external move(u) {
        amount = bound(amount, 1_000, 500_000);
        ledger.deposit(pool, user, amount);
        vm.prank(user);
        lanes.fund(pool, amount / 3, amount / 2);
        ++count["deposit"];
    }

    function depositWithPermit(uint256 u, uint256 amount, bool seen) external move(u) {
        amount = bound(amount, 1_000, 100_000);
        token.transfer(user, amount);
        bytes32 typed = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                user,
                address(ledger),
                amount,
                token.nonces(user),
                _now() + 1
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(userKey, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), typed)));
        // Somebody else may have sent the permit before.
        if (seen) token.permit(user, address(ledger), amount, _now() + 1, v, r, s);
        vm.prank(user);
        ledger.depositWithPermit(pool, user, amount, _now() + 1, v, r, s);
        ++count["permit"];
    }

    function rotateKey(uint256 pick) external move(pick) {
        _rotate(pick % 2 == 0 ? user : servers[pick % servers.length]);
        ++count["rotate key"];
    }

    function topUp(uint256 pick, uint256 amount) external move(0) {
        uint64 seat = uint64(pick % seats) + 1;
        address owner = staking.seatOf(pool, seat).owner;
        amount = bound(amount, 1, 2_000);
        if (balanceOf(AccountKind.Free, owner) < amount) return;
        vm.startPrank(owner);
        staking.topUp(pool, seat, amount);
        staking.setEndpoint(pool, "https://server.example");
        vm.stopPrank();
        ++count["top up"];
    }

    /// @dev Signs two requests for one place of a lane, and is found out, now and then by itself.
    function equivocate(uint256 u, uint256 s) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || lanes.exitOf(pool, user).finder != address(0)) return;
        if (_now() <= lanes.exitOf(pool, user).last) return;
        InferenceRequest memory a = answered(server, 11, ++_sequence, 10, RIGHT).request;
        InferenceRequest memory b = abi.decode(abi.encode(a), (InferenceRequest));
        b.maxUnits -= 1;
        (bytes memory sa, bytes memory sb) =
            (signed(keyOfUser(), Hashes.request(a)), signed(keyOfUser(), Hashes.request(b)));
        vm.prank(s % 3 == 0 ? user : servers[server]);
        lanes.proveEquivocation(a, sa, b, sb);
        ++count["user equivocates"];
    }

    /// @dev The exit of a user whose equivocation was proven: all of its bond is gone.
    function _expel(uint256 due) private {
        address finder = lanes.exitOf(pool, user).finder;
        if (_now() < due) vm.warp(due);
        uint256 bond = balanceOf(AccountKind.Bond, user);
        uint256 before = balanceOf(AccountKind.Free, finder);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        lanes.exit(pool, user);
        assertEq(
            balanceOf(AccountKind.Free, finder) - before,
            bond / 3 + (finder == user ? balance : 0),
            "a third to who proved it"
        );
        assertEq(balanceOf(AccountKind.Bond, user), 0);
        ++count["expel"];
        ledger.deposit(pool, user, 800_000);
        vm.prank(user);
        lanes.fund(pool, 400_000, 400_000);
    }

    function depart(uint256 u, bool wait) external move(u) {
        uint256 due = lanes.exitOf(pool, user).due;
        if (lanes.exitOf(pool, user).finder != address(0)) {
            if (wait) _expel(due);
            return;
        }
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

    /// @dev An output that the user did not acknowledge is paid exactly its fee.
    function deliver(uint256 u, uint256 s, uint32 tokens) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        tokens = uint32(bound(tokens, 0, 400));
        Voucher storage old = last[u % USERS][servers[server]];
        Delivery memory d;
        Evidence memory e = answered(server, 7, old.sequence + 1, tokens, RIGHT);
        d.output = new bytes(4 * tokens);
        e.response.outputHash = keccak256(bytes.concat(keccak256("assay.output.v1"), d.output));
        (d.request, d.response) = (e.request, e.response);
        d.requestSignature = signed(keyOfUser(), Hashes.request(d.request));
        d.responseSignature = signed(serverKey(server), Hashes.response(d.response));
        uint256 fee = params.fee(units(e));
        uint256 funds = balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user);
        if (funds < fee) return;
        vm.startPrank(servers[server]);
        lanes.deliver(d);
        try lanes.deliver(d) {
            assertTrue(false, "3: an output was paid twice");
        } catch { }
        vm.stopPrank();
        uint256 left = balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user);
        assertEq(funds - left, fee, "exactly its fee");
        (old.sequence, old.count, old.units) = (old.sequence + 1, old.count + 1, old.units + uint64(units(e)));
        epochsOf[servers[server]].push(params.epochOf(_now()));
        ++count["deliver"];
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
        if (!found || !_isOpen() || !_isCheckable(server)) return;
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
        _dispute(e, dice >> 24 & 3 == 0 ? validator : user);
        // Others may accuse the same response, before its case or in the middle of it.
        if (dice >> 28 & 1 == 0) _accuse(e, servers[(dice >> 32) % servers.length]);
    }

    function _dispute(Evidence memory e, address opener) private {
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        if (balanceOf(opener == user ? AccountKind.Bond : AccountKind.Free, opener) < bond) return;
        (uint256 id, IDisputes.Record memory r) = disputed(e, opener);
        _push(id, r);
        ++count["dispute"];
    }

    function _push(uint256 id, IDisputes.Record memory r) private {
        Case storage c = cases.push();
        (c.id, c.record) = (id, r);
    }

    /// @dev An accusation without a validator, by the user or by anybody with money.
    function accuse(uint256 u, uint256 s, uint256 dice) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        Evidence memory e = answered(server, 9, ++_sequence, 100, dice % 3 == 0 ? WRONG : RIGHT);
        _accuse(e, dice & 8 == 0 ? user : servers[(dice >> 8) % servers.length]);
    }

    /// @dev Another accusation over a response that is disputed already.
    function accuseToo(uint256 pick, uint256 s) external move(0) {
        if (accused.length == 0) return;
        _accuse(accused[pick % accused.length], servers[s % servers.length]);
    }

    function _accuse(Evidence memory e, address opener) private {
        uint256 bond = params.juryBudget() + params.prices.freezePrice;
        if (balanceOf(opener == user ? AccountKind.Bond : AccountKind.Free, opener) < bond) return;
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
        if (!found || !_isOpen() || s % 4 != 0 || _serving() < 4) return;
        Evidence memory e = answered(server, 9, ++_sequence, 100, RIGHT);
        Evidence memory other = abi.decode(abi.encode(e), (Evidence));
        respond(other, server, 101, RIGHT);
        address finder = servers[(s >> 8) % servers.length];
        // Sometimes a wrong answer of the same seat is accused already: it comes first.
        if (s >> 16 & 1 == 0) {
            _accuse(answered(server, 9, ++_sequence, 100, WRONG), servers[(s >> 24) % servers.length]);
        }
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

    /// @dev Servers that can serve: somebody must be left to check the others.
    function _serving() private view returns (uint256 total) {
        for (uint256 i; i < servers.length; ++i) {
            if (!staking.serverOf(pool, servers[i]).convicted && seatOf(i) != 0) ++total;
        }
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
        // A response of this second could be disputed until then.
        vm.warp(beacon.timeOf(params.ticketRound(beacon.roundAt(_now()))) + params.windows.dispute + 1);
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
        IDisputes.Case memory shared = disputes.caseOf(r.response);
        IArbiter.Outcome outcome;
        if (shared.published) {
            (outcome,,) = arbiter.outcomeOf(address(disputes), disputes.subjectOf(r.response));
        }
        bool slashed = _isSlashed[r.serverSeat] || _isSlashed[r.validatorSeat];
        if (outcome == IArbiter.Outcome.Decided || outcome == IArbiter.Outcome.Void) {
            _resolve(c, r);
        } else if (slashed && (!shared.published || shared.open == 1)) {
            disputes.close(c.id, r);
            c.over = true;
            ++count["close"];
        } else if (shared.published) {
            if (slashed) {
                ++count["close refused"];
                vm.expectRevert(abi.encodeWithSelector(IDisputes.CaseShared.selector, r.response));
                disputes.close(c.id, r);
            }
            _vote(r, dice);
        } else {
            _publishOrDismiss(c, r, dice);
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
                if (chance < 13 - dice / 16 % 4) {
                    right[r.response][ballot] += _commit(subject, ballot, i, RIGHT);
                } else if (chance == 15) {
                    _commit(subject, ballot, i, WRONG);
                }
            }
            // Where none of them can commit, none will.
            if (arbiter.ballotOf(address(disputes), subject, ballot).committed == 0) {
                vm.warp(uint256(b.commitEnd) + 1);
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
        uint256[5] memory before = [
            seatBalance(r.serverSeat) + seatBalance(r.validatorSeat),
            burnBalance(),
            balanceOf(AccountKind.Vesting, r.server),
            balanceOf(AccountKind.Vesting, r.validator),
            reserveOf(r.serverSeat) + reserveOf(r.validatorSeat)
        ];
        bool server = !_isSlashed[r.serverSeat]
            && r.serverCommitment != Hashes.commitment(Role.Server, r.server, r.serverSubject, RIGHT);
        bool validator = r.validator != address(0) && !_isSlashed[r.validatorSeat]
            && r.validatorCommitment != Hashes.commitment(Role.Validator, r.validator, r.response, RIGHT);
        disputes.resolve(c.id, r);
        c.over = true;
        uint256 slashed = before[0] - seatBalance(r.serverSeat) - seatBalance(r.validatorSeat);
        IDisputes.State state = disputes.stateOf(c.id);
        if (state != IDisputes.State.Convicted || (!server && !validator)) {
            if (state == IDisputes.State.Convicted) ++count["verdict over a convicted seat"];
            else ++count[state == IDisputes.State.Void ? "void" : "reject"];
            assertEq(slashed, 0, "5: S is taken once");
            return;
        }
        uint256 forfeited = (server ? before[2] : 0) + (validator ? before[3] : 0);
        uint256 kept = burnBalance() + reserveOf(r.serverSeat) + reserveOf(r.validatorSeat) - before[1]
            - before[4] - forfeited;
        assertGe(kept, 2 * params.juryBudget(), "5: at least 2J is burnt or set aside for other juries");
        assertGt(slashed, slashed - kept, "5: less is paid out than was taken");
        for (uint256 i; i < claims.length; ++i) {
            IChecks.ClaimState claim = checks.claimOf(pool, claims[i].user, claims[i].response).state;
            if (claim == IChecks.ClaimState.Settled) claims[i].done = true;
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
        c.settled = true;
        assertEq(caseBalance(c.id), 0, "nothing is left with a dispute that ended");
        IDisputes.Case memory shared = disputes.caseOf(c.record.response);
        if (!shared.settled || shared.open > 0 || _jurorsSettled[c.record.response]) return;
        _jurorsSettled[c.record.response] = true;
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
        assertEq(
            ledger.balanceOf(pool, AccountKind.Case, c.record.response),
            0,
            "every juror was paid, and nothing is left"
        );
    }
}
