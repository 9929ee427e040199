// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind, Posting, keyOf } from "../../src/types/Accounts.sol";
import {
    Delivery,
    Evidence,
    InferenceRequest,
    InferenceResponse,
    Voucher
} from "../../src/types/Messages.sol";
import { Players } from "./Players.sol";
import { RegistryPlayers } from "./RegistryPlayers.sol";

/// @dev Plays users, servers, validators and jurors, honest or not, each move one that its rules allow; what must be
/// refused is tried besides. Counts the moves that succeeded, and keeps what the invariants compare with.
contract Handler is RegistryPlayers {
    constructor(bool audited) Players(audited) { }

    // ------------------------------------------------------------------------------------------------------- money

    function deposit(uint256 u, uint256 amount) external move(u) {
        amount = bound(amount, 1_000, 500_000);
        ledger.deposit(pool, user, amount);
        allowed[user] += int256(amount);
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
        allowed[user] += int256(amount);
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
        if (!found || isHonest[user] || lanes.exitOf(pool, user).finder != address(0)) return;
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
        allowed[servers[server]] += int256(uint256(n) * 502_000 + 50_000);
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

    // ----------------------------------------------------------------------------------------------------- trespass

    /// @dev What only modules may do, tried by a player; and questions of its own to the arbiter and to the core of audits, which are
    /// open to everybody and concern nobody else.
    function trespass(uint256 pick, uint256 amount) external move(pick) {
        uint64 seat = uint64(pick % seats) + 1;
        address server = servers[pick % servers.length];
        amount = bound(amount, 0, 1_000_000);
        bytes32 own = keccak256(abi.encode("trespass", ++_sequence));
        vm.startPrank(user);
        _trespassMoney(server, amount);
        _refused(
            address(staking), abi.encodeCall(staking.accuse, (pool, seat, pick & 1 == 0)), "only disputes"
        );
        _refused(
            address(staking), abi.encodeCall(staking.freeze, (pool, server, pick & 1 == 0)), "only modules"
        );
        _refused(address(staking), abi.encodeCall(staking.convict, (pool, server)), "only disputes");
        _refused(address(staking), abi.encodeCall(staking.slash, (pool, seat, own)), "only modules");
        _refused(address(staking), abi.encodeCall(staking.fine, (pool, seat)), "only modules");
        InferenceRequest memory request;
        InferenceResponse memory response;
        _refused(address(checks), abi.encodeCall(checks.deliver, (request, response, "")), "only lanes");
        _refused(address(checks), abi.encodeCall(checks.replace, (pool, user, own)), "only disputes");
        _refused(address(checks), abi.encodeCall(checks.retract, (pool, user, own, seat)), "only disputes");
        _refused(
            address(disputes), abi.encodeCall(disputes.setAside, (pool, seat, own, amount)), "only audits"
        );
        sampling.open(own, ISampling.Assertion(pool, server, own, own));
        arbiter.open(pool, own);
        if (pick & 1 == 0) arbiter.close(own);
        vm.stopPrank();
        ++count["trespass"];
    }

    function _trespassMoney(address server, uint256 amount) private {
        bytes32 mine = keyOf(user);
        bytes memory call =
            abi.encodeCall(ledger.move, (pool, AccountKind.Burn, 0, AccountKind.Free, mine, amount));
        _refused(address(ledger), call, "only modules move money");
        call = abi.encodeCall(ledger.move, (pool, AccountKind.Free, mine, AccountKind.Bond, mine, amount));
        _refused(address(ledger), call, "nor one's own");
        Posting[] memory own = new Posting[](1);
        own[0] = Posting(AccountKind.Free, mine, amount);
        _refused(address(ledger), abi.encodeCall(ledger.post, (pool, own, own)), "only modules post");
        uint32 epoch = params.epochOf(_now());
        _refused(address(lanes), abi.encodeCall(lanes.vest, (pool, server, epoch, amount)), "only audits");
        _refused(address(lanes), abi.encodeCall(lanes.forfeit, (pool, server)), "only modules");
    }

    // -------------------------------------------------------------------------------------------------- redemptions

    /// @dev In a pool with audits under the root of all that the lane has delivered.
    function redeem(uint256 u, uint256 s, uint64 n, uint256 dice) external move(u) {
        n = uint64(bound(n, 1, 20));
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen() || _funds() < n * params.fee(210)) return;
        (bytes memory call, Lot memory lot) = _redemption(server, last[u % USERS][servers[server]], n, dice);
        _refused(address(lanes), call, "only its server redeems");
        vm.prank(servers[server]);
        (bool done,) = address(lanes).call(call);
        assertTrue(done, "a server redeems");
        _paid(u, lot);
        ++count["redeem"];
        vm.prank(servers[server]);
        _refused(address(lanes), call, "3: a voucher was paid twice");
    }

    function _redemption(uint256 server, Voucher memory old, uint64 n, uint256 dice)
        private
        returns (bytes memory call, Lot memory lot)
    {
        Voucher memory v = voucher(server, 7, old.sequence + n, old.count + n, old.units + n * 210);
        Evidence memory e = answered(server, 7, old.sequence + 1, 100, RIGHT);
        lot = _lotOf(e, old, v, _liesOf(server, dice));
        if (params.isAudited()) lot.span.root = v.root = _deliverAll(lot);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        call = abi.encodeCall(ILanes.redeem, (pool, servers[server], vouchers, signatures));
    }

    /// @dev An output that the user did not acknowledge is paid exactly its fee.
    function deliver(uint256 u, uint256 s, uint32 tokens, uint256 dice) external move(u) {
        (uint256 server, bool found) = _server(s);
        if (!found || !_isOpen()) return;
        (Delivery memory d, Lot memory lot) =
            _delivery(server, last[u % USERS][servers[server]], uint32(bound(tokens, 0, 400)), dice);
        uint256 fee = params.fee(lot.span.units - lot.span.unitsBefore);
        uint256 funds = _funds();
        if (funds < fee) return;
        if (params.isAudited()) lot.span.root = _deliverOne(lot);
        vm.prank(servers[server]);
        lanes.deliver(d);
        vm.prank(servers[server]);
        _refused(address(lanes), abi.encodeCall(ILanes.deliver, (d)), "3: an output was paid twice");
        assertEq(funds - _funds(), fee, "exactly its fee");
        _paid(u, lot);
        ++count["deliver"];
    }

    function _funds() private view returns (uint256) {
        return balanceOf(AccountKind.Balance, user) + balanceOf(AccountKind.Bond, user);
    }

    /// @dev What the lane has paid.
    function _paid(uint256 u, Lot memory lot) private {
        Voucher storage v = last[u % USERS][lot.request.server];
        (v.count, v.units) = (lot.span.count, lot.span.units);
        uint64 more = v.count - lot.span.countBefore;
        v.sequence = lot.sequence + more - 1;
        // A user pays its responses, their server gets the reward.
        uint256 paid = v.units - lot.span.unitsBefore;
        allowed[user] -= int256(params.payFor(more, paid) + params.baseFeeFor(more, paid));
        allowed[lot.request.server] += int256(params.payFor(more, paid));
        _redeemed(lot);
    }

    function _delivery(uint256 server, Voucher memory old, uint32 tokens, uint256 dice)
        private
        view
        returns (Delivery memory d, Lot memory lot)
    {
        Evidence memory e = answered(server, 7, old.sequence + 1, tokens, RIGHT);
        d.output = new bytes(4 * tokens);
        e.response.outputHash = keccak256(bytes.concat(keccak256("assay.output.v1"), d.output));
        Voucher memory next =
            voucher(server, 7, old.sequence + 1, old.count + 1, old.units + uint64(units(e)));
        lot = _lotOf(e, old, next, _liesOf(server, dice) & 1);
        IAudits.Leaf memory leaf = _leafOf(lot, 0);
        (d.request, d.response) = (leaf.request, leaf.response);
        d.requestSignature = signed(keyOfUser(), Hashes.request(d.request));
        d.responseSignature = signed(serverKey(server), Hashes.response(d.response));
    }

    /// @dev All that was settled leaves together: what waits for its audits does not.
    function release(uint256 s, bool wait) external move(0) {
        address server = servers[s % servers.length];
        uint32[] memory epochs = epochsOf[server];
        if (epochs.length == 0) return;
        uint256 freeAt;
        for (uint256 i; i < epochs.length; ++i) {
            uint256 due = (uint256(epochs[i]) + 1) * params.windows.epoch + params.windows.vesting;
            if (due > freeAt) freeAt = due;
        }
        if (wait && _now() < freeAt) vm.warp(freeAt);
        IStaking.Server memory state = staking.serverOf(pool, server);
        bool free = _now() >= freeAt && state.freezes == 0 && !state.convicted;
        uint256 before = balanceOf(AccountKind.Vesting, server);
        try lanes.release(pool, server, epochs) {
            assertTrue(free, "6: vesting left that could be forfeited");
            delete epochsOf[server];
            assertEq(before - balanceOf(AccountKind.Vesting, server), vests[server], "3: just what vested");
            vests[server] = 0;
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
        dice = _mixed(dice);
        bytes32 a = dice % 3 == 0 && !isHonest[servers[server]] ? WRONG : RIGHT;
        bytes32 b = dice >> 8 & 3 == 0 ? bytes32("another") : RIGHT;
        Evidence memory e = drawn(server, ++_sequence, a, b);
        if (!staking.isOpen(pool, params.epochOf(beacon.timeOf(e.response.round)))) return;
        address validator = staking.seatOf(pool, e.answer.seat).owner;
        if (isHonest[validator] && b != RIGHT) {
            b = RIGHT;
            challenge(e, e.challenge.ticketNonce, 0, e.answer.seat, RIGHT);
        }
        if (a == b && dice >> 16 & 3 != 0) {
            _claim(e, validator);
            return;
        }
        if (dice >> 20 & 1 == 0) _claim(e, validator);
        address opener = dice >> 24 & 3 == 0 && !isHonest[validator] ? validator : user;
        if (!isHonest[opener] || a != b) _dispute(e, opener);
        // Others may accuse the same response, before its case or in the middle of it.
        if (dice >> 28 & 1 == 0) _accuse(e, servers[(dice >> 32) % servers.length]);
    }

    function _claim(Evidence memory e, address validator) private {
        uint256 funds = balanceOf(AccountKind.Check, user) + balanceOf(AccountKind.Bond, user);
        if (funds < params.check(210)) return;
        if (staking.serverOf(pool, validator).convicted) {
            return
                _refused(address(checks), abi.encodeCall(checks.claim, (e)), "a convicted validator claims");
        }
        checks.claim(e);
        allowed[user] -= int256(params.check(210));
        claims.push(Pending(user, validator, Hashes.response(e.response), false));
        ++count["claim"];
        try checks.claim(e) {
            assertTrue(false, "3: a check was claimed twice");
        } catch { }
    }

    /// @dev Now and then one whose validator is convicted, which chance rarely finds.
    function _claimToSettle(uint256 pick) private view returns (uint256 at) {
        at = pick % claims.length;
        if (pick >> 128 & 1 == 0) return at;
        for (uint256 i; i < claims.length; ++i) {
            Pending storage c = claims[(at + i) % claims.length];
            if (!c.done && staking.serverOf(pool, c.validator).convicted) return (at + i) % claims.length;
        }
    }

    function settle(uint256 pick, bool wait) external move(0) {
        if (claims.length == 0) return;
        Pending storage c = claims[_claimToSettle(pick)];
        uint256 freeAt = checks.claimOf(pool, c.user, c.response).freeAt;
        if (wait && _now() <= freeAt) vm.warp(freeAt + 1);
        IStaking.Server memory state = staking.serverOf(pool, c.validator);
        bool free = _now() > freeAt && (state.convicted || state.freezes == 0) && !c.done;
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
}
