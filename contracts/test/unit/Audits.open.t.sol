// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { MountainRanges } from "../../src/libraries/MountainRanges.sol";
import { Delivery, Evidence, Role, Voucher } from "../../src/types/Messages.sol";
import { Span } from "../../src/types/Redemptions.sol";
import { AuditTest, Ranges } from "../utils/AuditTest.sol";

/// @dev Only the response that was drawn opens an audit.
contract AuditsOpenTest is AuditTest {
    function _drawnJob(uint256 entry) private returns (Job memory job) {
        fillStock();
        job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, entry);
    }

    function _refused(Job memory job, IAudits.Leaf memory leaf, bytes memory reason) private {
        vm.expectRevert(reason);
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, INPUT);
    }

    /// @dev Signs nothing: what counts is the root, which the user signed.
    function _reply(IAudits.Leaf memory leaf) private pure {
        leaf.response.request = Hashes.request(leaf.request);
    }

    function test_TheDrawnResponseOpensItsAudit() public {
        Job memory job = _drawnJob(6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        IAudits.Audit memory a = auditOf(job, leaf);
        assertEq(a.units, 110);
        bytes32 assertion = audits.assertionOf(job.id, 0);
        vm.expectEmit(address(audits));
        emit IAudits.AuditOpened(job.id, 0, pool, a, leaf.response, INPUT);
        // Anyone may.
        vm.prank(address(0xbeef));
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, INPUT);
        assertEq(uint8(audits.auditStateOf(job.id, 0)), uint8(IAudits.AuditState.Opened));
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), assertion);
        assertEq(uint8(outcome), uint8(ISampling.Outcome.Pending));
    }

    function test_AnAuditOpensToTheLastSecond() public {
        Job memory job = _drawnJob(6);
        uint256 until = audits.progressOf(job.id).until;
        vm.warp(until + 1);
        _refused(job, leafOf(job.parts[0], 6), abi.encodeWithSelector(IAudits.TooLate.selector, until));
        vm.warp(until);
        openAt(job, 0, 0, 6);
    }

    function test_RevertWhen_ThereIsNoSuchAuditOrItIsOpenAlready() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        _refused(job, leaf, abi.encodeWithSelector(IAudits.WrongState.selector, 2, IAudits.State.Registered));
        audit(job, 1, 0, 6);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NoSuchAudit.selector, job.id, 1));
        audits.open(job.id, 1, job.r, job.spans, leaf, 0, INPUT);
        openAt(job, 0, 0, 6);
        _refused(
            job,
            leaf,
            abi.encodeWithSelector(IAudits.WrongAuditState.selector, job.id, 0, IAudits.AuditState.Opened)
        );
    }

    function test_RevertWhen_AnotherResponseIsShown() public {
        Job memory job = _drawnJob(6);
        for (uint256 entry; entry < 10; ++entry) {
            if (entry == 6) continue;
            IAudits.Leaf memory leaf = leafOf(job.parts[0], entry);
            _refused(job, leaf, abi.encodeWithSelector(IAudits.NotDrawn.selector, leaf.count, leaf.units));
        }
    }

    function test_RevertWhen_TheRecordOrTheSpansAreOthers() public {
        Job memory job = _drawnJob(6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        Span[] memory spans = new Span[](1);
        spans[0] = job.spans[0];
        spans[0].lane += 1;
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSpans.selector, job.id));
        audits.open(job.id, 0, job.r, spans, leaf, 0, INPUT);
        spans[0].lane -= 1;
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSpans.selector, job.id));
        audits.open(job.id, 0, job.r, new Span[](0), leaf, 0, INPUT);
        job.r.reward += 1;
        _refused(job, leaf, abi.encodeWithSelector(IAudits.WrongRecord.selector, job.id));
    }

    function test_RevertWhen_TheInputIsNotTheRequests() public {
        Job memory job = _drawnJob(6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        bytes memory other = "another input";
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.WrongInput.selector, keccak256(INPUT), keccak256(other))
        );
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, other);
        uint256 limit = params.limits.maxInputBytes;
        vm.expectRevert(abi.encodeWithSelector(IAudits.InputTooLarge.selector, limit + 1, limit));
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, new bytes(limit + 1));
        // At the limit it is the hash that is wrong.
        vm.expectRevert(
            abi.encodeWithSelector(IAudits.WrongInput.selector, keccak256(INPUT), keccak256(new bytes(limit)))
        );
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, new bytes(limit));
    }

    function test_RevertWhen_TheResponseIsToAnotherRequest() public {
        Job memory job = _drawnJob(6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        bytes32 named = leaf.response.request;
        leaf.request.deadline += 1;
        _refused(
            job,
            leaf,
            abi.encodeWithSelector(IAudits.WrongRequest.selector, Hashes.request(leaf.request), named)
        );
    }

    function test_RevertWhen_TheLeafIsNotUnderTheRoot() public {
        Job memory job = _drawnJob(6);
        bytes memory reason = abi.encodeWithSelector(IAudits.WrongLeaf.selector, job.spans[0].root);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        leaf.siblings[0] ^= bytes32(uint256(1));
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.peaks[1] ^= bytes32(uint256(1));
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.response.commitment = "another digest";
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.siblings = new bytes32[](2);
        _refused(job, leaf, abi.encodeWithSelector(MountainRanges.PathLength.selector, 2, 2));
        // Another lane, user, server or pool.
        leaf = leafOf(job.parts[0], 6);
        leaf.request.lane += 1;
        _reply(leaf);
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.request.user = address(this);
        _reply(leaf);
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.request.server = servers[1];
        _reply(leaf);
        _refused(job, leaf, reason);
        leaf = leafOf(job.parts[0], 6);
        leaf.request.pool = "other";
        _reply(leaf);
        _refused(job, leaf, reason);
    }

    /// @dev The user signed the root, and so for the response, but what is audited is what the server was redeemed for.
    function test_RevertWhen_TheRootHoldsTheResponseOfAnother() public {
        for (uint256 field; field < 4; ++field) {
            uint256 before = vm.snapshotState();
            fillStock();
            Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
            if (field == 0) entries[6].request.pool = "other";
            if (field == 1) entries[6].request.server = servers[1];
            if (field == 2) entries[6].request.user = address(this);
            if (field == 3) entries[6].request.lane += 1;
            entries[6].response.request = Hashes.request(entries[6].request);
            Job memory job = redeemParts(0, partsOf(entries, 0, 10));
            audit(job, 1, 0, 6);
            _refused(
                job,
                leafOf(job.parts[0], 6),
                abi.encodeWithSelector(IAudits.WrongLeaf.selector, job.spans[0].root)
            );
            vm.revertToState(before);
        }
    }

    /// @dev Its stake would not answer.
    function test_RevertWhen_TheSeatIsNotTheServers() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
        entries[6].request.seat = seatOf(1);
        entries[6].response.request = Hashes.request(entries[6].request);
        Job memory job = redeemParts(0, partsOf(entries, 0, 10));
        audit(job, 1, 0, 6);
        _refused(
            job,
            leafOf(job.parts[0], 6),
            abi.encodeWithSelector(IAudits.NotServersSeat.selector, 0, servers[0])
        );
        bytes memory other = abi.encodeWithSelector(IAudits.NotServersSeat.selector, seatOf(2), servers[0]);
        vm.expectRevert(other);
        audits.open(job.id, 0, job.r, job.spans, leafOf(job.parts[0], 6), seatOf(2), INPUT);
    }

    // ------------------------------------------------------------------------------------------------------- spans

    /// @dev Every response of several lanes, some with a past, can be drawn and opened.
    function test_EveryResponseOfSeveralSpansOpens() public {
        fillStock();
        uint32[] memory outputs = new uint32[](5);
        (outputs[0], outputs[1], outputs[2], outputs[3], outputs[4]) = (1, 200, 40, 3, 77);
        Entry[] memory first = laneOf(0, 7, outputs, RIGHT);
        redeemParts(0, partsOf(first, 0, 2));
        Part[] memory parts = new Part[](3);
        parts[0] = Part(first, 2, 5);
        parts[1] = Part(evenLane(0, 8, 1, RIGHT), 0, 1);
        parts[2] = Part(evenLane(0, 9, 4, RIGHT), 0, 4);
        Job memory job = redeemParts(0, parts);
        uint256 snapshot = vm.snapshotState();
        for (uint256 part; part < 3; ++part) {
            for (uint256 entry = parts[part].before; entry < parts[part].count; ++entry) {
                audit(job, 1, part, entry);
                openAt(job, 0, part, entry);
                vm.revertToState(snapshot);
            }
        }
    }

    /// @dev A response without units is drawn by number alone, and never stands in for its neighbours.
    function test_AResponseWithoutUnitsIsDrawnByNumber() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 4, RIGHT);
        // Numbers 1, 3 and 4 have no units.
        uint64 total;
        for (uint256 i; i < 4; ++i) {
            if (i != 1) {
                (entries[i].response.promptTokens, entries[i].response.outputTokens) = (0, 0);
                entries[i].response.commitment = Hashes.commitment(
                    Role.Server, servers[0], Hashes.responseSubject(entries[i].response), RIGHT
                );
            } else {
                total += 110;
            }
            entries[i].units = total;
        }
        Job memory job = redeemParts(0, partsOf(entries, 0, 4));
        assertEq(job.r.units, 110);
        uint256 snapshot = vm.snapshotState();
        for (uint256 entry; entry < 4; ++entry) {
            audit(job, 1, 0, entry);
            (bool byUnit,) = audits.targetOf(job.id, 0, job.r);
            if (entry != 1) assertFalse(byUnit);
            for (uint256 other; other < 4; ++other) {
                if (other == entry) continue;
                IAudits.Leaf memory leaf = leafOf(job.parts[0], other);
                _refused(job, leaf, abi.encodeWithSelector(IAudits.NotDrawn.selector, leaf.count, leaf.units));
            }
            openAt(job, 0, 0, entry);
            vm.revertToState(snapshot);
        }
    }

    // ---------------------------------------------------------------------------------------------------- delivery

    function _delivery(bytes memory output) private view returns (Delivery memory d) {
        Evidence memory e = answered(0, 7, 3, uint32(output.length / 4), RIGHT);
        e.response.outputHash = keccak256(bytes.concat(keccak256("assay.output.v1"), output));
        e.response.commitment =
            Hashes.commitment(Role.Server, servers[0], Hashes.responseSubject(e.response), RIGHT);
        (d.request, d.response, d.output) = (e.request, e.response, output);
        d.requestSignature = signed(userKey, Hashes.request(e.request));
        d.responseSignature = signed(serverKeys[0], Hashes.response(e.response));
    }

    /// @dev An output that the server brought on-chain is its own root.
    function test_ADeliveredOutputIsAuditedLikeAnyOther() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 2, RIGHT);
        redeemParts(0, partsOf(entries, 0, 2));
        Delivery memory d = _delivery(new bytes(80));
        vm.prank(servers[0]);
        lanes.deliver(d);
        uint64 size = 10 + 2 * 20;
        Job memory job;
        (job.id, job.spans) = (++redemptions, new Span[](1));
        bytes32 leafHash = Ranges.leaf(Hashes.response(d.response), 3, 220 + size);
        job.spans[0] = Span(user, 7, 2, 3, 220, 220 + size, leafHash);
        job.r = recordOf(0, job.spans);
        assertEq(audits.progressOf(job.id).record, keccak256(abi.encode(job.r)));
        assertEq(job.r.units, size);
        for (uint256 i = 1;; ++i) {
            if (auditsOf(job, bytes32(i)) != 1) continue;
            reach(job.r.round, bytes32(i));
            break;
        }
        audits.draw(job.id, job.r);
        IAudits.Leaf memory leaf;
        (leaf.request, leaf.response, leaf.count, leaf.units) = (d.request, d.response, 3, 220 + size);
        audits.open(job.id, 0, job.r, job.spans, leaf, 0, INPUT);
        IAudits.Audit memory a = auditOf(job, leaf);
        validated(job.id, 0, a);
        audits.settle(job.id, 0, job.r, a);
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), job.r.reward);
    }

    /// @dev The lane goes on: a voucher's root counts the delivered response.
    function test_ALaneGoesOnAfterADelivery() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 4, RIGHT);
        redeemParts(0, partsOf(entries, 0, 2));
        Delivery memory d = _delivery(new bytes(80));
        vm.prank(servers[0]);
        lanes.deliver(d);
        ++redemptions;
        (entries[2].request, entries[2].response, entries[2].units) = (d.request, d.response, 270);
        entries[3].units = 380;
        Job memory job = redeemParts(0, partsOf(entries, 3, 4));
        assertEq(job.r.count, 1);
        audit(job, 1, 0, 3);
        openAt(job, 0, 0, 3);
    }

    // ---------------------------------------------------------------------------------------------------- attacks

    /// @dev A user of the server's own would be paid `fee(units)` out of its stake: with sizes that no response can have a liar
    /// would take its whole stake back by being convicted.
    function test_RevertWhen_TheResponseIsLargerThanAnyCanBe() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
        entries[6].response.outputTokens = 1_000_000;
        Job memory job = redeemParts(0, partsOf(entries, 0, 10));
        _auditByNumber(job, 6);
        _refused(
            job,
            leafOf(job.parts[0], 6),
            abi.encodeWithSelector(IAudits.UnitsOverLimit.selector, 2_000_010, 1_000)
        );
        // Nor may it be larger than its request allowed.
        entries[6].response.outputTokens = 50;
        entries[6].request.maxUnits = 109;
        entries[6].response.request = Hashes.request(entries[6].request);
        for (uint256 i; i < 10; ++i) {
            entries[i].request.lane = 8;
            entries[i].response.request = Hashes.request(entries[i].request);
        }
        job = redeemParts(0, partsOf(entries, 0, 10));
        _auditByNumber(job, 6);
        _refused(
            job, leafOf(job.parts[0], 6), abi.encodeWithSelector(IAudits.UnitsOverLimit.selector, 110, 109)
        );
    }

    /// @dev One response that claims the units of all others would answer for whatever unit is drawn.
    function test_RevertWhen_AResponseClaimsTheUnitsOfOthers() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 20, RIGHT);
        // Number 1 claims all 2,200 units of the span.
        entries[0].response.outputTokens = 1_095;
        entries[0].units = 2_200;
        Job memory job = redeemParts(0, partsOf(entries, 0, 20));
        for (uint256 i = 1;; ++i) {
            bytes32 randomness = keccak256(abi.encode("by unit", i));
            if (auditsOf(job, randomness) != 1) continue;
            reach(job.r.round, randomness);
            (bool byUnit,) = audits.targetOf(job.id, 0, job.r);
            if (byUnit) break;
        }
        audits.draw(job.id, job.r);
        _refused(
            job,
            leafOf(job.parts[0], 0),
            abi.encodeWithSelector(IAudits.UnitsOverLimit.selector, 2_200, 1_000)
        );
    }

    /// @dev A response that an earlier redemption paid for must not answer for a later one.
    function test_RevertWhen_AnOldResponseClaimsNewUnits() public {
        fillStock();
        Entry[] memory entries = evenLane(0, 7, 20, RIGHT);
        redeemParts(0, partsOf(entries, 0, 10));
        // Number 1 was paid long ago, and now claims units of the second redemption.
        entries[0].response.outputTokens = 450;
        entries[0].units = 2_010;
        Job memory job = redeemParts(0, partsOf(entries, 10, 20));
        for (uint256 i = 1;; ++i) {
            bytes32 randomness = keccak256(abi.encode("by unit", i));
            if (auditsOf(job, randomness) != 1) continue;
            reach(job.r.round, randomness);
            (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
            if (byUnit && offset < 900) break;
        }
        audits.draw(job.id, job.r);
        _refused(job, leafOf(job.parts[0], 0), abi.encodeWithSelector(IAudits.NotDrawn.selector, 1, 2_010));
    }

    /// @dev A seat that leaves after the redemption answers for it, however late the draw comes; until then its stake stays.
    function test_ALateDrawFindsALeavingSeat() public {
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0));
        skip(300);
        fillStock();
        audit(job, 1, 0, 6);
        IAudits.Audit memory a = openAt(job, 0, 0, 6);
        validated(job.id, 0, a);
        audits.settle(job.id, 0, job.r, a);
        assertEq(lanes.vestingOf(pool, servers[0], job.r.epoch), job.r.reward);
    }

    /// @dev To the second: a stake that could have left before the redemption froze it does not answer.
    function test_TheSeatMustOutlastTheRedemption() public {
        fillStock();
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0));
        uint256 exitAt = staking.seatOf(pool, seatOf(0)).exitAt;
        Entry[] memory entries = evenLane(0, 7, 10, RIGHT);
        uint256 snapshot = vm.snapshotState();
        for (uint256 late; late < 2; ++late) {
            vm.warp(exitAt - params.windows.lag - 3 + late);
            Job memory job = redeemParts(0, partsOf(entries, 0, 10));
            audit(job, 1, 0, 6);
            if (late == 0) {
                openAt(job, 0, 0, 6);
            } else {
                _refused(
                    job,
                    leafOf(job.parts[0], 6),
                    abi.encodeWithSelector(IAudits.NotServersSeat.selector, 0, servers[0])
                );
            }
            vm.revertToState(snapshot);
        }
    }

    /// @dev Where the seat that answered had left before, another of the server's does: a user that signs its voucher late must not be
    /// able to have its server convicted.
    function test_AnotherSeatStandsInForOneThatHadLeft() public {
        fillStock();
        vm.prank(servers[0]);
        staking.unbond(pool, seatOf(0));
        Entry[] memory entries = evenLane(0, 7, 10, WRONG);
        skip(params.windows.unbonding + 3 * params.windows.epoch);
        Job memory job = redeemParts(0, partsOf(entries, 0, 10));
        audit(job, 1, 0, 6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        bytes memory gone = abi.encodeWithSelector(IAudits.NotServersSeat.selector, seatOf(0), servers[0]);
        vm.expectRevert(gone);
        audits.open(job.id, 0, job.r, job.spans, leaf, seatOf(0), INPUT);
        audits.open(job.id, 0, job.r, job.spans, leaf, seatOf(0) + 3, INPUT);
        IAudits.Audit memory a = auditOf(job, leaf);
        a.seat = seatOf(0) + 3;
        validated(job.id, 0, a);
        audits.settle(job.id, 0, job.r, a);
        assertEq(seatBalance(seatOf(0) + 3), params.prices.seatFloat, "its stake answers");
        assertEq(seatBalance(seatOf(0)), params.prices.seatStake + params.prices.seatFloat);
    }

    /// @dev A seat that can answer itself does.
    function test_NobodyStandsInForASeatThatIsThere() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 6);
        IAudits.Leaf memory leaf = leafOf(job.parts[0], 6);
        vm.expectEmit(address(audits));
        emit IAudits.AuditOpened(job.id, 0, pool, auditOf(job, leaf), leaf.response, INPUT);
        audits.open(job.id, 0, job.r, job.spans, leaf, seatOf(0) + 3, INPUT);
        assertEq(auditOf(job, leaf).seat, seatOf(0));
    }

    function _auditByNumber(Job memory job, uint256 entry) private {
        for (uint256 i = 1;; ++i) {
            bytes32 randomness = keccak256(abi.encode("by number", i));
            if (auditsOf(job, randomness) != 1) continue;
            reach(job.r.round, randomness);
            (bool byUnit, uint256 offset) = audits.targetOf(job.id, 0, job.r);
            if (!byUnit && offset == entry) break;
        }
        audits.draw(job.id, job.r);
    }
}
