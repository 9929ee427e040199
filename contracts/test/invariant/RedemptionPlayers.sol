// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { Evidence, InferenceRequest, InferenceResponse, Role, Voucher } from "../../src/types/Messages.sol";
import { Span } from "../../src/types/Redemptions.sol";
import { Ranges } from "../utils/AuditTest.sol";
import { JuryPlayers } from "./JuryPlayers.sol";

/// @dev What was redeemed, and every response of it under the root that its user signed.
abstract contract RedemptionPlayers is JuryPlayers {
    /// @dev A redemption: its responses differ by their sequence, and by who lied.
    struct Lot {
        uint256 id;
        IAudits.Redemption r;
        Span span;
        InferenceRequest request;
        InferenceResponse response;
        uint64 sequence; // of the first
        uint256 lies; // bit i: response i
        uint256 spent; // on its audits, so far
        uint256 advance;
        bool isDrawn;
        bool isOver;
    }

    Lot[] internal lots;
    mapping(address user => mapping(address server => bytes32[])) private _leaves;

    // -------------------------------------------------------------------------------------------------- redemptions

    /// @dev Which responses of a server lie, one bit each: none of an honest one's.
    function _liesOf(uint256 server, uint256 dice) internal view returns (uint256) {
        dice = _mixed(dice);
        if (isHonest[servers[server]] || dice & 3 > 1) return 0;
        return dice & 3 == 0 ? type(uint256).max : dice >> 2;
    }

    function _lotOf(Evidence memory e, Voucher memory old, Voucher memory v, uint256 lies)
        internal
        pure
        returns (Lot memory lot)
    {
        (lot.request, lot.response, lot.sequence, lot.lies) =
        (e.request, e.response, e.request.sequence, lies);
        lot.span = Span(v.user, v.lane, old.count, v.count, old.units, v.units, v.root);
    }

    /// @dev Response `i` of a redemption, without its path.
    function _leafOf(Lot memory lot, uint64 i) internal pure returns (IAudits.Leaf memory leaf) {
        (leaf.request, leaf.response) = (lot.request, lot.response);
        leaf.request.sequence = lot.sequence + i;
        leaf.response.request = Hashes.request(leaf.request);
        leaf.response.commitment = Hashes.commitment(
            Role.Server,
            leaf.request.server,
            Hashes.responseSubject(leaf.response),
            lot.lies >> i & 1 == 1 ? WRONG : RIGHT
        );
        leaf.count = lot.span.countBefore + 1 + i;
        leaf.units = lot.span.unitsBefore + (1 + i) * _unitsEach(lot);
    }

    function _unitsEach(Lot memory lot) internal pure returns (uint64) {
        return (lot.span.units - lot.span.unitsBefore) / (lot.span.count - lot.span.countBefore);
    }

    /// @dev Adds a redemption's responses to their lane; returns the root over all of the lane.
    function _deliverAll(Lot memory lot) internal returns (bytes32) {
        for (uint64 i; i < lot.span.count - lot.span.countBefore; ++i) {
            _deliver(lot, i);
        }
        return Ranges.root(_leaves[lot.request.user][lot.request.server]);
    }

    /// @dev An output that comes on-chain has no root but itself.
    function _deliverOne(Lot memory lot) internal returns (bytes32) {
        return _deliver(lot, 0);
    }

    function _deliver(Lot memory lot, uint64 i) private returns (bytes32 hash) {
        IAudits.Leaf memory leaf = _leafOf(lot, i);
        hash = Ranges.leaf(Hashes.response(leaf.response), leaf.count, leaf.units);
        _leaves[lot.request.user][lot.request.server].push(hash);
    }

    function _redeemed(Lot memory lot) internal {
        address server = lot.request.server;
        Span[] memory spans = _spansOf(lot);
        lot.r = recordOf(indexOf[server], spans);
        if (!params.isAudited()) {
            vests[server] += lot.r.reward;
            epochsOf[server].push(lot.r.epoch);
            return;
        }
        lot.id = ++redemptions;
        assertEq(
            audits.progressOf(lot.id).record, keccak256(abi.encode(lot.r)), "the record is the contract's"
        );
        waits[server] += lot.r.reward;
        lots.push(lot);
    }

    function _spansOf(Lot memory lot) internal pure returns (Span[] memory spans) {
        spans = new Span[](1);
        spans[0] = lot.span;
    }

    function _size(Lot memory lot) internal pure returns (uint256) {
        return lot.span.count - lot.span.countBefore;
    }

    /// @dev The call that opens an audit with response `i`.
    function _opening(Lot memory lot, uint32 index, uint64 i) internal view returns (bytes memory) {
        IAudits.Leaf memory leaf = _leafOf(lot, i);
        bytes32 hash = Ranges.leaf(Hashes.response(leaf.response), leaf.count, leaf.units);
        if (hash != lot.span.root) {
            bytes32[] memory leaves = _leaves[lot.request.user][lot.request.server];
            uint256 length = lot.span.count;
            // The lane may have gone on since.
            assembly ("memory-safe") {
                mstore(leaves, length)
            }
            (leaf.siblings, leaf.peaks) = Ranges.path(leaves, lot.span.countBefore + i);
        }
        return abi.encodeCall(audits.open, (lot.id, index, lot.r, _spansOf(lot), leaf, 0, INPUT));
    }
}
