// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IAudits } from "../../src/interfaces/IAudits.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PanelState } from "../../src/libraries/Panels.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Role } from "../../src/types/Messages.sol";
import { RedemptionPlayers } from "./RedemptionPlayers.sol";

/// @dev Audits of what was redeemed, from the draw to the last juror. Honest servers open what is drawn at once, honest
/// validators commit to the right digest at once; others are silent, lie, collude or commit garbage.
abstract contract AuditPlayers is RedemptionPlayers {
    struct Trial {
        uint256 lot;
        uint32 index;
        bool lie; // of the server
        bool hasVoted;
        bool isOver;
        bool isPaid;
        uint8 right;
        uint8 wrong;
        uint8 garbage;
        IAudits.Audit a;
    }

    Trial[] internal trials;

    // ------------------------------------------------------------------------------------------------------- draws

    function drawAudits(uint256 pick, uint256 dice) external move(0) {
        for (uint256 i; i < lots.length; ++i) {
            uint256 lot = (pick % lots.length + i) % lots.length;
            if (lots[lot].isDrawn) continue;
            uint256 first = trials.length;
            if (_drawLot(lot, _mixed(dice))) _stepOn(first, _mixed(dice));
            return;
        }
    }

    /// @dev A server does not wait for others to fill the stock: it pays what is lacking, and draws with it.
    function fundAudits(uint256 pick, uint256 dice) external move(0) {
        for (uint256 i; i < lots.length; ++i) {
            uint256 lot = (pick % lots.length + i) % lots.length;
            if (lots[lot].isDrawn || _drawLot(lot, dice)) continue;
            _fund(lot);
            return;
        }
    }

    /// @dev Draws what stock and reward don't cover, at its server's expense.
    function _fund(uint256 lot) private {
        IAudits.Redemption memory r = lots[lot].r;
        uint256 lacking = audits.lackingOf(lots[lot].id, r);
        bool isConvicted = staking.serverOf(pool, r.server).convicted;
        assertLe(lacking, params.auditBudget(), "8: a server can have its redemption drawn");
        uint256 free = balanceOf(AccountKind.Free, r.server);
        if (free < lacking) {
            ledger.deposit(pool, r.server, lacking - free);
            allowed[r.server] += int256(lacking - free);
        }
        uint256 held = stock();
        vm.prank(r.server);
        lanes.fundAudits(lots[lot].id, r, lacking);
        allowed[r.server] -= int256(lacking);
        ++count["fund audits"];
        _drawnWith(lot, held + lacking, isConvicted);
    }

    /// @dev A redemption whose audits were just drawn, out of a stock that held `held`.
    function _drawnWith(uint256 lot, uint256 held, bool isConvicted) private {
        Job memory job;
        (job.id, job.r) = (lots[lot].id, lots[lot].r);
        _refused(address(audits), abi.encodeCall(audits.draw, (job.id, job.r)), "drawn twice");
        lots[lot].isDrawn = true;
        uint256 drawn_ = auditsOf(job, setRound(job.r.round, 0));
        if (isConvicted && drawn_ > 1) drawn_ = _min(drawn_, _max(1, held / params.auditBudget()));
        assertEq(audits.progressOf(job.id).audits, drawn_);
        uint256 cost = drawn_ * params.auditBudget();
        assertEq(reserveOf(job.id), cost, "what the audits may cost is set aside");
        lots[lot].advance = cost > held ? cost - held : 0;
        waits[job.r.server] -= lots[lot].advance;
        _begin(lot, uint32(drawn_));
    }

    /// @dev Takes new audits on for some steps, else time passes all of them by.
    function _stepOn(uint256 first, uint256 dice) private {
        for (uint256 i = first; i < trials.length; ++i) {
            for (uint256 step; step < (dice >> 8 * (i - first)) % 8; ++step) {
                _stepAudit(trials[i], uint256(keccak256(abi.encode(dice, i, step))));
            }
        }
    }

    /// @dev Draws a redemption's audits where stock and reward cover them; an honest server opens them at once.
    function _drawLot(uint256 lot, uint256 dice) internal returns (bool) {
        Job memory job;
        (job.id, job.r) = (lots[lot].id, lots[lot].r);
        bytes memory call = abi.encodeCall(audits.draw, (job.id, job.r));
        if (_now() < beacon.timeOf(job.r.round) && dice & 1 == 0) {
            _refused(address(audits), call, "drawn without its round");
        }
        reach(job.r.round, setRound(job.r.round, keccak256(abi.encode("audit", job.r.round, dice))));
        if (audits.lackingOf(job.id, job.r) > 0) {
            _refused(address(audits), call, "what guarantees the audits is not there");
            ++count["audits not funded"];
            return false;
        }
        uint256 held = stock();
        bool isConvicted = staking.serverOf(pool, job.r.server).convicted;
        audits.draw(job.id, job.r);
        _drawnWith(lot, held, isConvicted);
        return true;
    }

    function _begin(uint256 lot, uint32 drawn_) private {
        ++count[drawn_ == 0 ? "no audit drawn" : "draw audits"];
        if (drawn_ == 0) return _over(lot);
        for (uint32 index; index < drawn_; ++index) {
            Trial storage t = trials.push();
            (t.lot, t.index) = (lot, index);
            if (isHonest[lots[lot].r.server]) _open(t);
        }
    }

    // ------------------------------------------------------------------------------------------------------ courses

    /// @dev One step of one audit.
    function proceedAudit(uint256 pick, uint256 dice) external move(0) {
        if (trials.length > 0) _stepAudit(trials[pick % trials.length], _mixed(dice));
    }

    /// @dev All steps of one audit.
    function finishAudit(uint256 pick, uint256 dice) external move(0) {
        if (trials.length > 0) _finishAudit(trials[pick % trials.length], dice);
    }

    /// @dev Invariant 8: from wherever it is, an audit ends in few steps and bounded time.
    function _finishAudit(Trial storage t, uint256 dice) internal {
        uint256 start = _now();
        uint256 steps;
        for (; !t.isPaid; ++steps) {
            _stepAudit(t, uint256(keccak256(abi.encode(dice, steps))));
        }
        if (steps > 0) ++count["finish audit"];
        assertLe(steps, 14, "8: steps of an audit");
        uint256 longest =
            2 * uint256(params.windows.audit) + 3 * (uint256(params.windows.commit) + params.windows.propose);
        assertLe(_now() - start, longest + 20, "8: time of an audit");
    }

    function _stepAudit(Trial storage t, uint256 dice) private {
        if (t.isPaid) return;
        if (t.isOver) return _payAudit(t);
        Lot storage lot = lots[t.lot];
        if (audits.auditStateOf(lot.id, t.index) == IAudits.AuditState.None) {
            uint256 until = audits.progressOf(lot.id).until;
            if (dice % 4 == 0 && _now() <= until) vm.warp(until + 1);
            if (_now() <= until) _open(t);
            else _convictSilent(t);
            return;
        }
        bytes32 id = audits.assertionOf(lot.id, t.index);
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), id);
        if (outcome != ISampling.Outcome.Pending) return _settleAudit(t);
        _refused(
            address(audits), abi.encodeCall(audits.settle, (lot.id, t.index, lot.r, t.a)), "settled too early"
        );
        bytes32 subject = sampling.subjectOf(address(audits), id);
        (IArbiter.Outcome judged_,,) = arbiter.outcomeOf(address(sampling), subject);
        if (judged_ == IArbiter.Outcome.None) _validate(t, id, dice);
        else _vote(address(sampling), subject, dice);
    }

    /// @dev Opens the response that was drawn; no other will do.
    function _open(Trial storage t) private {
        Lot memory lot = lots[t.lot];
        (bool byUnit, uint256 offset) = audits.targetOf(lot.id, t.index, lot.r);
        uint64 i = uint64(byUnit ? offset / _unitsEach(lot) : offset);
        uint64 size = lot.span.count - lot.span.countBefore;
        if (size > 1) {
            _refused(address(audits), _opening(lot, t.index, (i + 1) % size), "opened what was not drawn");
        }
        (bool done, bytes memory reason) = address(audits).call(_opening(lot, t.index, i));
        assertTrue(done, string.concat("4: the drawn response opens: ", vm.toString(reason)));
        Job memory job;
        job.r = lot.r;
        (t.lie, t.a) = (lot.lies >> i & 1 == 1, auditOf(job, _leafOf(lot, i)));
        ++count["open audit"];
    }

    /// @dev A seat that holds a stake answers for silence; of a server that has left altogether, later, one that holds part of it.
    function _convictSilent(Trial storage t) private {
        Lot memory lot = lots[t.lot];
        address server = lot.r.server;
        assertFalse(isHonest[server], "4: honest servers are not silent");
        bool before = staking.serverOf(pool, server).convicted;
        uint64 seat = _fullest(server);
        bytes memory call = abi.encodeCall(audits.convictSilent, (lot.id, t.index, lot.r, seat));
        uint256 end = audits.progressOf(lot.id).until;
        for (uint256 asked = params.prices.seatStake; !before && seatBalance(seat) < asked; asked >>= 1) {
            end += params.windows.audit;
            if (_now() > end) continue;
            _refused(address(audits), call, "an emptied seat answered");
            vm.warp(end + 1);
        }
        Money memory m = _moneyOf(seat, server);
        uint256 found = balanceOf(AccountKind.Free, address(this));
        audits.convictSilent(lot.id, t.index, lot.r, seat);
        found = balanceOf(AccountKind.Free, address(this)) - found;
        _refused(address(audits), call, "3: convicted twice for one silence");
        uint256 taken = m.seat - seatBalance(seat);
        assertEq(taken, before ? 0 : _min(m.seat, params.prices.seatStake), "5: S is taken once");
        assertEq(found, _min(params.prices.gasAllowance, taken), "the finder's pay");
        assertEq(
            burnBalance() + reserveBalance(seat) + found,
            m.kept + taken + m.vesting,
            "5: the rest of it is kept"
        );
        assertLe(reserveBalance(seat) - m.reserve, params.juryBudget(), "5: one budget is set aside");
        assertEq(balanceOf(AccountKind.Vesting, server), 0, "5: forfeits are burnt");
        if (!before) _isSlashed[seat] = true;
        t.isOver = true;
        ++count[before ? "silent and convicted already" : "convict silent"];
        _over(t.lot);
    }

    function _fullest(address server) private view returns (uint64 fullest) {
        uint256 most;
        for (uint64 seat = 1; seat <= seats; ++seat) {
            if (staking.seatOf(pool, seat).owner != server) continue;
            if (fullest == 0 || seatBalance(seat) > most) (fullest, most) = (seat, seatBalance(seat));
        }
    }

    // --------------------------------------------------------------------------------------------------- validators

    function _validate(Trial storage t, bytes32 id, uint256 dice) private {
        PanelState memory s = sampling.panelOf(address(audits), id);
        if (s.size == 0) {
            if (dice % 8 == 0 || _now() > s.commitEnd - params.windows.commit / 2) {
                if (_now() <= s.commitEnd) vm.warp(uint256(s.commitEnd) + 1);
                return _escalate(t, id);
            }
            drawPanel(address(audits), id, assertionOf(t.a));
            _commitAll(t, id, true, dice);
            ++count["draw validators"];
        } else if (_now() <= s.commitEnd && !t.hasVoted && dice % 16 != 0) {
            t.hasVoted = true;
            _commitAll(t, id, false, dice);
            ++count["validate"];
        } else {
            _propose(t, id, s, dice);
        }
    }

    function _escalate(Trial storage t, bytes32 id) private {
        sampling.advance(address(audits), id, assertionOf(t.a));
        ++count["validators' time is up"];
    }

    /// @dev Honest validators, or all others.
    function _commitAll(Trial storage t, bytes32 id, bool honest, uint256 dice) private {
        uint256 size = sampling.panelOf(address(audits), id).size;
        bool collude = dice >> 32 & (t.lie ? 1 : 3) == 0;
        for (uint256 i; i < size; ++i) {
            (address owner, bool active) =
                staking.standingOf(pool, sampling.seatOfValidator(address(audits), id, i));
            if (isHonest[owner] != honest) continue;
            uint256 chance = uint256(keccak256(abi.encode(dice, i))) % 16;
            if (honest) chance = 0;
            else if (collude) chance = 9;
            bytes32 digest = chance < 9 ? RIGHT : chance < 13 ? WRONG : bytes32(dice | 1);
            if (chance >= 14) continue;
            bytes memory call = _commitment(t, id, i, owner, digest);
            vm.prank(owner);
            (bool done,) = address(sampling).call(call);
            assertEq(done, active, "validators commit in time, unless they are suspended");
            if (!done) continue;
            if (digest == RIGHT) ++t.right;
            else if (digest == WRONG) ++t.wrong;
            else ++t.garbage;
        }
    }

    function _commitment(Trial storage t, bytes32 id, uint256 position, address owner, bytes32 digest)
        private
        view
        returns (bytes memory)
    {
        bytes32 subject = sampling.subjectOf(address(audits), id);
        // Garbage is not even a commitment to something.
        bytes32 commitment = digest == RIGHT || digest == WRONG
            ? Hashes.commitment(Role.Validator, owner, subject, digest)
            : digest;
        return
            abi.encodeCall(
                sampling.commit, (address(audits), id, assertionOf(t.a), one(position), commitment)
            );
    }

    /// @dev Anybody proposes the right digest or the lie; where nobody committed to it, time runs out.
    function _propose(Trial storage t, bytes32 id, PanelState memory s, uint256 dice) private {
        if (_now() <= s.commitEnd && s.committed < s.size) vm.warp(uint256(s.commitEnd) + 1);
        bool lie = t.wrong > t.right || dice >> 64 & 3 == 0;
        ISampling.Assertion memory a = assertionOf(t.a);
        (uint8 matching, bytes32 digest) = lie ? (t.wrong, WRONG) : (t.right, RIGHT);
        bytes memory call = abi.encodeCall(sampling.propose, (address(audits), id, a, digest));
        bool asserted = t.lie == lie;
        if (_now() > s.proposeEnd || (!asserted && matching == 0)) {
            _refused(address(sampling), call, "a digest that nobody committed to");
            if (_now() <= s.proposeEnd) vm.warp(uint256(s.proposeEnd) + 1);
            return _escalate(t, id);
        }
        sampling.propose(address(audits), id, a, digest);
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), id);
        bool agreed = asserted && matching > 0 && matching == t.right + t.wrong + t.garbage;
        assertEq(
            uint8(outcome), uint8(agreed ? ISampling.Outcome.Decided : ISampling.Outcome.Pending), "agreed"
        );
        ++count[agreed ? lie ? "validators collude" : "validators agree" : "validators differ"];
    }

    // -------------------------------------------------------------------------------------------------- settlement

    struct Money {
        uint256 seat;
        uint256 kept; // burnt, or set aside
        uint256 reserve; // set aside
        uint256 vesting;
    }

    function _moneyOf(uint64 seat, address server) private view returns (Money memory m) {
        m.seat = seatBalance(seat);
        m.reserve = reserveBalance(seat);
        m.kept = burnBalance() + m.reserve;
        m.vesting = balanceOf(AccountKind.Vesting, server);
    }

    /// @dev Invariant 5 over an audit's conviction; no other outcome takes anything.
    function _settleAudit(Trial storage t) private {
        Lot storage lot = lots[t.lot];
        (ISampling.Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors) =
            sampling.outcomeOf(address(audits), audits.assertionOf(lot.id, t.index));
        bool wrong = outcome == ISampling.Outcome.Decided && digest != (t.lie ? WRONG : RIGHT);
        bool convicts = wrong && !_isSlashed[t.a.seat];
        Money memory m = _moneyOf(t.a.seat, t.a.server);
        Slashed[] memory liars = _liars(t, convicts);
        audits.settle(lot.id, t.index, lot.r, t.a);
        jurors *= params.prices.jurorPay;
        uint256 due = validators * params.prices.auditPay + jurors;
        assertEq(dueOf(lot.id, t.index), due, "what is due is kept");
        uint256 taken = convicts ? m.seat - seatBalance(t.a.seat) : 0;
        assertEq(taken, convicts ? _min(m.seat, params.prices.seatStake) : 0, "5: S is taken once");
        if (convicts) _convicted(t.a.seat, t.a.server, m);
        // Liars pay their jury.
        lot.spent += due - _min(jurors, taken + _slashedWith(liars));
        t.isOver = true;
        ++count[_settledAs(outcome, wrong, convicts)];
        _over(t.lot);
    }

    /// @dev A validator's seat, and what it held before it lost its stake.
    struct Slashed {
        uint64 seat;
        uint256 held;
    }

    /// @dev Validators that were wrong and that nobody has slashed yet.
    function _liars(Trial storage t, bool convicts) private view returns (Slashed[] memory liars) {
        bytes32 id = audits.assertionOf(lots[t.lot].id, t.index);
        liars = new Slashed[](sampling.panelOf(address(audits), id).size);
        uint256 found;
        for (uint256 i; i < liars.length; ++i) {
            (uint64 seat, ISampling.Standing standing) = sampling.standingOf(address(audits), id, i);
            if (!_isWrong(standing) || _isSlashed[seat] || (convicts && seat == t.a.seat)) continue;
            liars[found++] = Slashed(seat, seatBalance(seat));
        }
        assembly ("memory-safe") {
            mstore(liars, found)
        }
    }

    /// @return taken What they lost.
    function _slashedWith(Slashed[] memory liars) private returns (uint256 taken) {
        for (uint256 i; i < liars.length; ++i) {
            (uint64 seat, uint256 held) = (liars[i].seat, liars[i].held);
            uint256 stake = _min(held, params.prices.seatStake);
            assertEq(held - seatBalance(seat), stake, "5: a stake for a lie");
            taken += stake;
            address owner = staking.seatOf(pool, seat).owner;
            assertFalse(isHonest[owner], "4: an honest validator");
            assertEq(balanceOf(AccountKind.Vesting, owner), 0, "5: forfeits are burnt");
            _isSlashed[seat] = true;
            ++count["slash validator"];
        }
    }

    function _convicted(uint64 seat, address server, Money memory m) private {
        uint256 kept = burnBalance() + reserveBalance(seat) - m.kept - m.vesting;
        assertLe(reserveBalance(seat) - m.reserve, params.juryBudget(), "5: one budget is set aside");
        // Fines may have taken of it: the reward is what its server loses.
        if (m.seat < params.prices.seatStake) ++count["convict a fined seat"];
        else assertGe(kept, 2 * params.juryBudget(), "5: at least 2J is burnt or set aside");
        assertEq(balanceOf(AccountKind.Vesting, server), 0, "5: forfeits are burnt");
        _isSlashed[seat] = true;
    }

    function _settledAs(ISampling.Outcome outcome, bool wrong, bool convicts)
        private
        pure
        returns (string memory)
    {
        if (outcome == ISampling.Outcome.Void) return "audit void";
        if (convicts) return "audit convicts";
        return wrong ? "audit of a convicted seat" : "audit passed";
    }

    /// @dev With its last audit a redemption ends: what they did not cost comes back, and the reward begins to vest.
    function _over(uint256 index) private {
        Lot storage lot = lots[index];
        IAudits.Progress memory g = audits.progressOf(lot.id);
        if (g.state != IAudits.State.Settled) return;
        lot.isOver = true;
        assertEq(reserveOf(lot.id), 0, "nothing is left with a redemption that ended");
        address server = lot.r.server;
        waits[server] -= lot.r.reward - lot.advance;
        uint256 back = _min(lot.advance, g.audits * params.auditBudget() - lot.spent);
        if (!staking.serverOf(pool, server).convicted) vests[server] += lot.r.reward - lot.advance + back;
        // What neither the stock nor a liar paid of its audits.
        allowed[server] -= int256(lot.advance - back);
        if (back < lot.advance && isHonest[server]) ++count["an honest server pays for its audits"];
        epochsOf[server].push(lot.r.epoch);
        ++count["redemption settled"];
    }

    /// @dev Every validator and juror, once.
    function _payAudit(Trial storage t) private {
        t.isPaid = true;
        uint256 id = lots[t.lot].id;
        if (audits.auditStateOf(id, t.index) == IAudits.AuditState.Settled) {
            bytes32 assertion = audits.assertionOf(id, t.index);
            uint256 size = sampling.panelOf(address(audits), assertion).size;
            for (uint256 i; i < size; ++i) {
                _payValidator(t, id, assertion, i);
            }
            bytes32 subject = sampling.subjectOf(address(audits), assertion);
            uint8 ballots = arbiter.currentBallot(address(sampling), subject);
            for (uint8 ballot = 1; ballot <= ballots; ++ballot) {
                size = arbiter.ballotOf(address(sampling), subject, ballot).size;
                for (uint256 i; i < size; ++i) {
                    _payJuror(t, id, subject, ballot, i);
                }
            }
        }
        assertEq(dueOf(id, t.index), 0, "everybody was paid, and nothing is left");
    }

    function _payValidator(Trial storage t, uint256 id, bytes32 assertion, uint256 position) private {
        (uint64 seat, ISampling.Standing standing) = sampling.standingOf(address(audits), assertion, position);
        address owner = staking.seatOf(pool, seat).owner;
        (uint256 held, uint256 free) = (seatBalance(seat), balanceOf(AccountKind.Free, owner));
        bytes memory call = abi.encodeCall(audits.settleValidators, (id, t.index, t.a, one(position)));
        audits.settleValidators(id, t.index, t.a, one(position));
        _refused(address(audits), call, "3: a validator was settled twice");
        uint256 paid = balanceOf(AccountKind.Free, owner) - free;
        uint256 taken = held - seatBalance(seat);
        bool right = standing == ISampling.Standing.Paid;
        assertEq(paid, right ? uint256(params.prices.auditPay) : 0, "3: R_V, once");
        uint256 most = right || _isWrong(standing) ? 0 : params.prices.jurorPenalty;
        assertEq(taken, _min(held, most), "5: a penalty for silence, which a lie has paid with its stake");
        assertTrue(right || !isHonest[owner], "4: an honest validator");
        ++count[right ? "pay validator" : _isWrong(standing) ? "pass a liar over" : "fine validator"];
    }

    function _isWrong(ISampling.Standing standing) private pure returns (bool) {
        return standing == ISampling.Standing.Wrong;
    }

    function _payJuror(Trial storage t, uint256 id, bytes32 subject, uint8 ballot, uint256 position) private {
        (uint64 seat, IArbiter.Standing standing) =
            arbiter.standingOf(address(sampling), subject, ballot, position);
        _requirePaidIfHonest(seat, standing);
        audits.settleJurors(id, t.index, t.a, ballot, one(position));
        _refused(
            address(audits),
            abi.encodeCall(audits.settleJurors, (id, t.index, t.a, ballot, one(position))),
            "3: a juror was settled twice"
        );
        ++count[standing == IArbiter.Standing.Paid ? "pay an audit's juror" : "fine an audit's juror"];
    }

    // --------------------------------------------------------------------------------------------------- out of order

    /// @dev Calls that come too early, too late, or from somebody else.
    function meddle(uint256 pick, uint256 dice) external move(0) {
        if (trials.length == 0) return;
        Trial storage t = trials[pick % trials.length];
        Lot memory lot = lots[t.lot];
        IAudits.AuditState state = audits.auditStateOf(lot.id, t.index);
        bool opened = state == IAudits.AuditState.Opened;
        address target = address(audits);
        _refused(
            target,
            abi.encodeCall(audits.register, (pool, lot.r.server, lot.r.epoch, lot.r.reward, _spansOf(lot))),
            "only Lanes registers"
        );
        _refused(target, abi.encodeCall(audits.draw, (lot.id, lot.r)), "drawn twice");
        uint64 seat = _fullest(lot.r.server);
        bool silent = state == IAudits.AuditState.None && _now() > audits.progressOf(lot.id).until;
        if (!silent) {
            bytes memory call = abi.encodeCall(audits.convictSilent, (lot.id, t.index, lot.r, seat));
            _refused(target, call, "4: convicted who was not silent");
        }
        if (silent || opened) {
            _refused(target, _opening(lot, t.index, uint64(dice % _size(lot))), "opened too late, or twice");
        }
        if (!opened) {
            bytes memory call = abi.encodeCall(audits.settle, (lot.id, t.index, lot.r, t.a));
            _refused(target, call, "3: settled twice, or unopened");
        }
        if (state != IAudits.AuditState.Settled) {
            uint256[] memory first = one(dice % N);
            bytes memory call = abi.encodeCall(audits.settleValidators, (lot.id, t.index, t.a, first));
            _refused(target, call, "3: paid before the outcome");
            call = abi.encodeCall(audits.settleJurors, (lot.id, t.index, t.a, 1, first));
            _refused(target, call, "3: paid before the outcome");
        }
        ++count["meddle"];
    }

    // ---------------------------------------------------------------------------------------------------------- end

    /// @dev Draws and ends all audits; where the stock is short, their server fills it.
    function finishAudits() external move(1) {
        for (uint256 i; i < lots.length; ++i) {
            if (lots[i].isDrawn || _drawLot(i, i)) continue;
            _fund(i);
        }
        for (uint256 i; i < trials.length; ++i) {
            _finishAudit(trials[i], i);
        }
        for (uint256 i; i < lots.length; ++i) {
            assertTrue(lots[i].isOver, "8: every redemption ends");
        }
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? b : a;
    }
}
