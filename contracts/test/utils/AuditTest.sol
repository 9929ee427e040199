// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { PanelState } from "../../src/libraries/Panels.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, InferenceRequest, InferenceResponse, Role, Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { Span } from "../../src/types/Redemptions.sol";
import { AssayTest } from "./AssayTest.sol";

/// @dev Mountain ranges by their definition: every tree built from its leaves.
library Ranges {
    function leaf(bytes32 response, uint64 count, uint64 units) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("assay.accepted.leaf.v1"), response, count, units));
    }

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(keccak256("assay.accepted.root.v1"), uint256(leaves.length), peaks(leaves))
        );
    }

    function peaks(bytes32[] memory leaves) internal pure returns (bytes32[] memory tops) {
        (, tops) = path(leaves, type(uint256).max);
    }

    /// @dev Siblings of the leaf at `index`, from its own up, and all peaks.
    function path(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32[] memory siblings, bytes32[] memory tops)
    {
        tops = new bytes32[](_ones(leaves.length));
        uint256 from;
        for (uint256 tree; tree < tops.length; ++tree) {
            // The largest tree that fits into the leaves left.
            uint256 level = _log2(leaves.length - from);
            bool here = index >= from && index < from + (1 << level);
            if (here) siblings = new bytes32[](level);
            tops[tree] = _tree(leaves, from, 1 << level, here ? index - from : type(uint256).max, siblings);
            from += 1 << level;
        }
    }

    function _ones(uint256 n) private pure returns (uint256 ones) {
        for (; n > 0; n &= n - 1) {
            ++ones;
        }
    }

    function _log2(uint256 n) private pure returns (uint256 log) {
        while (n >> log > 1) ++log;
    }

    function _tree(
        bytes32[] memory leaves,
        uint256 from,
        uint256 size,
        uint256 index,
        bytes32[] memory siblings
    ) private pure returns (bytes32) {
        bytes32[] memory layer = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            layer[i] = leaves[from + i];
        }
        for (uint256 level; size > 1; ++level) {
            if (index != type(uint256).max) {
                siblings[level] = layer[index ^ 1];
                index >>= 1;
            }
            size /= 2;
            for (uint256 i; i < size; ++i) {
                layer[i] = keccak256(
                    abi.encode(keccak256("assay.accepted.node.v1"), layer[2 * i], layer[2 * i + 1])
                );
            }
        }
        return layer[0];
    }
}

/// @dev A pool whose redemptions are audited, lanes of signed responses under real roots, and the course of an audit.
abstract contract AuditTest is AssayTest {
    uint256 internal constant N = 3;

    /// @dev A response in its lane, with the lane's totals after it.
    struct Entry {
        InferenceRequest request;
        InferenceResponse response;
        uint64 count;
        uint64 units;
    }

    /// @dev One voucher: the lane's entries from number `before` on, up to number `count`.
    struct Part {
        Entry[] entries;
        uint256 before;
        uint256 count;
    }

    struct Job {
        uint256 id;
        IAudits.Redemption r;
        Span[] spans;
        Part[] parts;
    }

    /// @dev Redemptions of this test so far: the contract numbers them from 1.
    uint256 internal redemptions;

    function poolParams() internal view virtual override returns (PoolParams memory p) {
        p = super.poolParams();
        p.prices.rewardFixed = 243;
        p.prices.feeFixed = 100;
        p.prices.auditPay = 1_100;
        p.rates.auditFixed = (uint128(1) << 64) / 100;
        p.rates.auditUnit = (uint128(1) << 64) / 10_000;
        p.limits.auditSize = uint8(N);
        p.windows.audit = 20;
        p.windows.vesting = 140;
        p.windows.unbonding = 240;
    }

    // ------------------------------------------------------------------------------------------------- redemptions

    /// @dev A lane of responses that all commit to `digest`.
    function laneOf(uint256 server, uint64 lane, uint32[] memory outputs, bytes32 digest)
        internal
        view
        returns (Entry[] memory entries)
    {
        entries = new Entry[](outputs.length);
        for (uint256 i; i < outputs.length; ++i) {
            Evidence memory e = answered(server, lane, uint64(i + 1), outputs[i], digest);
            entries[i] = Entry(e.request, e.response, uint64(i + 1), uint64(units(e)));
            if (i > 0) entries[i].units += entries[i - 1].units;
        }
    }

    /// @dev `count` responses of 110 units each.
    function evenLane(uint256 server, uint64 lane, uint256 count, bytes32 digest)
        internal
        view
        returns (Entry[] memory)
    {
        uint32[] memory outputs = new uint32[](count);
        for (uint256 i; i < count; ++i) {
            outputs[i] = 50;
        }
        return laneOf(server, lane, outputs, digest);
    }

    function leavesOf(Entry[] memory entries, uint256 count) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = Ranges.leaf(Hashes.response(entries[i].response), entries[i].count, entries[i].units);
        }
    }

    function partsOf(Entry[] memory entries, uint256 before, uint256 count)
        internal
        pure
        returns (Part[] memory parts)
    {
        parts = new Part[](1);
        parts[0] = Part(entries, before, count);
    }

    function vouchersOf(uint256 server, Part[] memory parts)
        internal
        view
        returns (Voucher[] memory vouchers, bytes[] memory signatures)
    {
        (vouchers, signatures) = (new Voucher[](parts.length), new bytes[](parts.length));
        for (uint256 i; i < parts.length; ++i) {
            Entry memory last = parts[i].entries[parts[i].count - 1];
            vouchers[i] = voucher(server, last.request.lane, last.count, last.count, last.units);
            vouchers[i].root = Ranges.root(leavesOf(parts[i].entries, parts[i].count));
            signatures[i] = signed(userKey, Hashes.voucher(vouchers[i]));
        }
    }

    /// @dev The server redeems; the record is made here, and is the contract's.
    function redeemParts(uint256 server, Part[] memory parts) internal returns (Job memory job) {
        (Voucher[] memory vouchers, bytes[] memory signatures) = vouchersOf(server, parts);
        vm.prank(servers[server]);
        lanes.redeem(pool, servers[server], vouchers, signatures);
        job = jobOf(server, parts, vouchers);
    }

    function jobOf(uint256 server, Part[] memory parts, Voucher[] memory vouchers)
        internal
        returns (Job memory job)
    {
        (job.id, job.parts, job.spans) = (++redemptions, parts, new Span[](parts.length));
        for (uint256 i; i < parts.length; ++i) {
            Part memory part = parts[i];
            job.spans[i] = Span({
                user: user,
                lane: vouchers[i].lane,
                countBefore: uint64(part.before),
                count: vouchers[i].count,
                unitsBefore: part.before == 0 ? 0 : part.entries[part.before - 1].units,
                units: vouchers[i].units,
                root: vouchers[i].root
            });
        }
        job.r = recordOf(server, job.spans);
        assertEq(
            audits.progressOf(job.id).record, keccak256(abi.encode(job.r)), "the record is the contract's"
        );
    }

    function recordOf(uint256 server, Span[] memory spans)
        internal
        view
        returns (IAudits.Redemption memory r)
    {
        (r.pool, r.server, r.epoch) = (pool, servers[server], params.epochOf(block.timestamp));
        r.round = drawingRound();
        for (uint256 i; i < spans.length; ++i) {
            r.count += spans[i].count - spans[i].countBefore;
            r.units += spans[i].units - spans[i].unitsBefore;
        }
        r.reward = params.prices.rewardFixed * r.count + params.prices.rewardUnit * r.units;
        r.spans = keccak256(abi.encode(spans));
    }

    function redeemEven(uint256 server, uint64 lane, uint256 count, bytes32 digest)
        internal
        returns (Job memory)
    {
        return redeemParts(server, partsOf(evenLane(server, lane, count, digest), 0, count));
    }

    /// @dev Fills the stock for audits out of what a large redemption burns, which stays undrawn.
    function fillStock() internal {
        Voucher memory v = voucher(4, 1_000, 60, 60, 60_000);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        vm.prank(servers[4]);
        lanes.redeem(pool, servers[4], vouchers, signatures);
        ++redemptions;
        assertEq(stock(), 4 * params.auditBudget());
    }

    function stock() internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Audit, 0);
    }

    function reserveOf(uint256 id) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, keccak256(abi.encode("audits", id)));
    }

    function dueOf(uint256 id, uint32 index) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, audits.assertionOf(id, index));
    }

    // ------------------------------------------------------------------------------------------------------- draws

    function seedOf(uint256 id, bytes32 randomness) internal view returns (bytes32) {
        return keccak256(abi.encode(keccak256("assay.draw.audit.v1"), randomness, address(audits), id));
    }

    function auditsOf(Job memory job, bytes32 randomness) internal view returns (uint256 n) {
        uint256 rate = params.rates.auditFixed * job.r.count + params.rates.auditUnit * job.r.units;
        n = rate >> 64;
        if (uint64(uint256(seedOf(job.id, randomness))) < uint64(rate)) ++n;
    }

    /// @dev Part and place in its entries that audit `index` hits with `randomness`.
    function hitOf(Job memory job, bytes32 randomness, uint32 index)
        internal
        view
        returns (uint256 part, uint256 entry)
    {
        uint256 fixed_ = uint256(params.rates.auditFixed) * job.r.count;
        uint256 rate = fixed_ + params.rates.auditUnit * job.r.units;
        uint256 point = uint256(keccak256(abi.encode(seedOf(job.id, randomness), index))) % rate;
        // Walks over all responses, each as wide as its chance.
        bool byUnit = point >= fixed_;
        if (byUnit) point -= fixed_;
        for (part = 0; part < job.parts.length; ++part) {
            Part memory p = job.parts[part];
            for (entry = p.before; entry < p.count; ++entry) {
                uint256 size = p.entries[entry].units - (entry == 0 ? 0 : p.entries[entry - 1].units);
                uint256 width = byUnit ? params.rates.auditUnit * size : params.rates.auditFixed;
                if (point < width) return (part, entry);
                point -= width;
            }
        }
        revert("beyond the last response");
    }

    /// @dev A value of the redemption's round that draws `n` audits, the first of them over that response.
    function randomnessFor(Job memory job, uint256 n, uint256 part, uint256 entry)
        internal
        view
        returns (bytes32 randomness)
    {
        for (uint256 i = 1;; ++i) {
            randomness = keccak256(abi.encode("audit", i));
            if (auditsOf(job, randomness) != n) continue;
            if (n == 0) break;
            (uint256 a, uint256 b) = hitOf(job, randomness, 0);
            if (a == part && b == entry) break;
        }
    }

    function reach(uint64 round, bytes32 randomness) internal {
        setRound(round, randomness);
        if (block.timestamp < beacon.timeOf(round)) vm.warp(beacon.timeOf(round));
    }

    /// @dev Draws `n` audits; returns the round's value.
    function audit(Job memory job, uint256 n, uint256 part, uint256 entry)
        internal
        returns (bytes32 randomness)
    {
        randomness = randomnessFor(job, n, part, entry);
        reach(job.r.round, randomness);
        audits.draw(job.id, job.r);
        assertEq(audits.progressOf(job.id).audits, n);
    }

    // ---------------------------------------------------------------------------------------------------- openings

    function leafOf(Part memory part, uint256 entry) internal pure returns (IAudits.Leaf memory leaf) {
        Entry memory e = part.entries[entry];
        (leaf.request, leaf.response, leaf.count, leaf.units) = (e.request, e.response, e.count, e.units);
        (leaf.siblings, leaf.peaks) = Ranges.path(leavesOf(part.entries, part.count), entry);
    }

    function auditOf(Job memory job, IAudits.Leaf memory leaf)
        internal
        view
        returns (IAudits.Audit memory a)
    {
        a = IAudits.Audit({
            pool: pool,
            server: job.r.server,
            seat: leaf.request.seat,
            user: leaf.request.user,
            units: uint32(params.units(leaf.response.promptTokens, leaf.response.outputTokens)),
            outputTokens: leaf.response.outputTokens,
            inputHash: leaf.request.inputHash,
            subject: Hashes.responseSubject(leaf.response),
            commitment: leaf.response.commitment
        });
    }

    function openAt(Job memory job, uint32 index, uint256 part, uint256 entry)
        internal
        returns (IAudits.Audit memory)
    {
        IAudits.Leaf memory leaf = leafOf(job.parts[part], entry);
        audits.open(job.id, index, job.r, job.spans, leaf, 0, INPUT);
        return auditOf(job, leaf);
    }

    /// @dev Opens whatever audit `index` hit.
    function openDrawn(Job memory job, uint32 index, bytes32 randomness)
        internal
        returns (IAudits.Audit memory)
    {
        (uint256 part, uint256 entry) = hitOf(job, randomness, index);
        return openAt(job, index, part, entry);
    }

    function assertionOf(IAudits.Audit memory a) internal pure returns (ISampling.Assertion memory) {
        return ISampling.Assertion(a.pool, a.server, a.subject, a.commitment);
    }

    // -------------------------------------------------------------------------------------------------- validators

    function drawPanel(address client, bytes32 id, ISampling.Assertion memory a) internal {
        uint64 round = sampling.panelOf(client, id).round;
        reach(round, keccak256(abi.encode("panel", round)));
        sampling.draw(client, id, a);
    }

    /// @dev Finds a value for the panel's round with which every validator can commit, and none is of `server`.
    function drawPanelWithout(address client, bytes32 id, ISampling.Assertion memory a, uint256 server)
        internal
    {
        uint64 round = sampling.panelOf(client, id).round;
        for (uint256 i;; ++i) {
            uint256 snapshot = vm.snapshotState();
            reach(round, keccak256(abi.encode("panel", round, i)));
            sampling.draw(client, id, a);
            if (_isPanelWithout(client, id, server)) return;
            vm.revertToState(snapshot);
        }
    }

    /// @dev Seats of servers that were convicted meanwhile can't commit.
    function _isPanelWithout(address client, bytes32 id, uint256 server) private view returns (bool) {
        uint256 size = sampling.panelOf(client, id).size;
        for (uint256 i; i < size; ++i) {
            uint64 seat = sampling.seatOfValidator(client, id, i);
            if (!staking.isActive(pool, seat) || serverOfSeat(seat) == server) return false;
        }
        return true;
    }

    function commitPanel(
        address client,
        bytes32 id,
        ISampling.Assertion memory a,
        uint256 from,
        uint256 to,
        bytes32 digest
    ) internal {
        for (uint256 i = from; i < to; ++i) {
            address owner = servers[serverOfSeat(sampling.seatOfValidator(client, id, i))];
            bytes32 commitment =
                Hashes.commitment(Role.Validator, owner, sampling.subjectOf(client, id), digest);
            vm.prank(owner);
            sampling.commit(client, id, a, one(i), commitment);
        }
    }

    /// @dev Draws the jury over an escalated assertion and has it decide for `digest`.
    function judge(address client, bytes32 id, bytes32 digest) internal {
        bytes32 subject = sampling.subjectOf(client, id);
        commitJury(subject, 0, drawJurors(subject), digest);
        uint8 ballot = arbiter.currentBallot(address(sampling), subject);
        PanelState memory s = arbiter.ballotOf(address(sampling), subject, ballot);
        if (s.committed < s.size) vm.warp(uint256(s.commitEnd) + 1);
        arbiter.propose(address(sampling), subject, digest);
    }

    function drawJurors(bytes32 subject) internal returns (uint256) {
        uint8 ballot = arbiter.currentBallot(address(sampling), subject);
        uint64 round = arbiter.ballotOf(address(sampling), subject, ballot).round;
        reach(round, keccak256(abi.encode("jury", round)));
        arbiter.draw(address(sampling), subject);
        return arbiter.ballotOf(address(sampling), subject, ballot).size;
    }

    /// @dev Jurors of servers that were convicted meanwhile can't vote.
    function commitJury(bytes32 subject, uint256 from, uint256 to, bytes32 digest) internal {
        uint8 ballot = arbiter.currentBallot(address(sampling), subject);
        for (uint256 i = from; i < to; ++i) {
            uint64 seat = arbiter.seatOfJuror(address(sampling), subject, ballot, i);
            if (!staking.isActive(pool, seat)) continue;
            address owner = servers[serverOfSeat(seat)];
            bytes32 commitment =
                Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), digest);
            vm.prank(owner);
            arbiter.commit(address(sampling), subject, one(i), commitment);
        }
    }

    /// @dev Both ballots pass without a vote.
    function voidCase(address client, bytes32 id) internal {
        bytes32 subject = sampling.subjectOf(client, id);
        for (uint8 ballot = 1; ballot <= 2; ++ballot) {
            PanelState memory s = arbiter.ballotOf(address(sampling), subject, ballot);
            vm.warp(uint256(s.commitEnd) + 1);
            arbiter.advance(address(sampling), subject);
        }
    }

    function drawAudit(uint256 id, uint32 index, IAudits.Audit memory a) internal {
        drawPanel(address(audits), audits.assertionOf(id, index), assertionOf(a));
    }

    function commitAudit(
        uint256 id,
        uint32 index,
        IAudits.Audit memory a,
        uint256 from,
        uint256 to,
        bytes32 digest
    ) internal {
        commitPanel(address(audits), audits.assertionOf(id, index), assertionOf(a), from, to, digest);
    }

    function proposeAudit(uint256 id, uint32 index, IAudits.Audit memory a, bytes32 digest) internal {
        sampling.propose(address(audits), audits.assertionOf(id, index), assertionOf(a), digest);
    }

    /// @dev All validators find RIGHT; where the server committed to something else, so does the jury.
    function validated(uint256 id, uint32 index, IAudits.Audit memory a) internal {
        bytes32 assertion = audits.assertionOf(id, index);
        drawPanelWithout(address(audits), assertion, assertionOf(a), serverOfSeat(a.seat));
        commitAudit(id, index, a, 0, N, RIGHT);
        proposeAudit(id, index, a, RIGHT);
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), assertion);
        if (outcome != ISampling.Outcome.Decided) judge(address(audits), assertion, RIGHT);
    }

    /// @dev The owner of the validator at `position`.
    function validatorOf(uint256 id, uint32 index, uint256 position)
        internal
        view
        returns (address owner, uint64 seat)
    {
        seat = sampling.seatOfValidator(address(audits), audits.assertionOf(id, index), position);
        owner = servers[serverOfSeat(seat)];
    }

    function settleAllValidators(uint256 id, uint32 index, IAudits.Audit memory a) internal {
        uint256 size = sampling.panelOf(address(audits), audits.assertionOf(id, index)).size;
        audits.settleValidators(id, index, a, upTo(size));
    }

    function settleJury(uint256 id, uint32 index, IAudits.Audit memory a, uint8 ballot) internal {
        bytes32 subject = sampling.subjectOf(address(audits), audits.assertionOf(id, index));
        uint256 size = arbiter.ballotOf(address(sampling), subject, ballot).size;
        audits.settleJurors(id, index, a, ballot, upTo(size));
    }

    function one(uint256 position) internal pure returns (uint256[] memory positions) {
        positions = new uint256[](1);
        positions[0] = position;
    }

    function upTo(uint256 size) internal pure returns (uint256[] memory positions) {
        positions = new uint256[](size);
        for (uint256 i; i < size; ++i) {
            positions[i] = i;
        }
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @dev All accounts that these tests touch; with `watched` Case accounts it is all money of the pool.
    function poolMoney() internal view returns (uint256 sum) {
        for (uint256 i; i < SERVERS; ++i) {
            sum += balanceOf(AccountKind.Free, servers[i]) + balanceOf(AccountKind.Vesting, servers[i]);
            for (uint64 seat = seatOf(i); seat < seatOf(i) + seatsEach(); ++seat) {
                sum += seatBalance(seat)
                + ledger.balanceOf(pool, AccountKind.Case, keccak256(abi.encode(pool, seat)));
            }
        }
        sum += balanceOf(AccountKind.Free, address(this));
        sum += balanceOf(AccountKind.Free, user) + balanceOf(AccountKind.Balance, user)
        + balanceOf(AccountKind.Bond, user) + balanceOf(AccountKind.Check, user);
        sum += ledger.balanceOf(pool, AccountKind.Claim, 0) + burnBalance() + stock();
        for (uint256 id = 1; id <= redemptions; ++id) {
            sum += reserveOf(id);
            for (uint32 index; index < audits.progressOf(id).audits; ++index) {
                sum += dueOf(id, index);
            }
        }
    }

    function assertConserved() internal view {
        assertEq(poolMoney(), ledger.totalOf(address(token)), "money created or lost");
        assertEq(ledger.totalOf(address(token)), token.balanceOf(address(ledger)));
    }
}
