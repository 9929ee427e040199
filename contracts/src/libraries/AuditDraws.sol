// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../interfaces/IAudits.sol";
import { PoolParams } from "../types/PoolParams.sol";
import { Span } from "../types/Redemptions.sol";
import { Hashes } from "./Hashes.sol";
import { MountainRanges } from "./MountainRanges.sol";

/// @title Which response an audit is about. A redemption's rate is a line on which each of its responses is as wide as its chance;
/// an audit is a point on it.
library AuditDraws {
    /// @notice Where audit `index` hits: the response that holds unit `offset` of what was redeemed, or number `offset`, from 0.
    /// @dev Uniform over the rate: the first part of it goes by number, the rest by units.
    function targetOf(PoolParams memory p, bytes32 seed, uint32 index, IAudits.Redemption calldata r)
        internal
        pure
        returns (bool byUnit, uint256 offset)
    {
        uint256 point = uint256(keccak256(abi.encode(seed, index))) % p.auditRate(r.count, r.units);
        uint256 byCount = p.auditRate(r.count, 0);
        if (point < byCount) return (false, point / p.rates.auditFixed);
        return (true, (point - byCount) / p.rates.auditUnit);
    }

    /// @notice The leaf is under the root of the span that the draw hit, at the place that it hit; returns its units.
    function requireDrawn(
        PoolParams memory p,
        bytes32 seed,
        uint32 index,
        IAudits.Redemption calldata r,
        Span[] calldata spans,
        IAudits.Leaf calldata leaf
    ) internal pure returns (uint256 units) {
        (bool byUnit, uint256 offset) = targetOf(p, seed, index, r);
        uint256 i;
        while (true) {
            uint256 length = byUnit
                ? uint256(spans[i].units) - spans[i].unitsBefore
                : uint256(spans[i].count) - spans[i].countBefore;
            if (offset < length) break;
            offset -= length;
            ++i;
        }
        Span calldata span = spans[i];
        _requireMessages(r, span, leaf);
        units = p.units(leaf.response.promptTokens, leaf.response.outputTokens);
        // Else a liar's stake could go to a user of its own, as compensation for a response that is too large to exist.
        uint256 limit = leaf.request.maxUnits < p.limits.maxUnits ? leaf.request.maxUnits : p.limits.maxUnits;
        require(units <= limit, IAudits.UnitsOverLimit(units, limit));
        // One of the responses that the span paid for, with its own units of the span's.
        bool hit = leaf.count > span.countBefore && leaf.units <= span.units
            && span.unitsBefore + units <= leaf.units
            && (byUnit
                    ? leaf.units - units <= span.unitsBefore + offset
                    && span.unitsBefore + offset < leaf.units
                    : leaf.count == span.countBefore + offset + 1);
        require(hit, IAudits.NotDrawn(leaf.count, leaf.units));
        bytes32 hash = Hashes.acceptedLeaf(Hashes.response(leaf.response), leaf.count, leaf.units);
        // An output that was delivered on-chain has no root but itself.
        require(
            span.root == hash
                || (leaf.count > 0
                    && MountainRanges.holds(
                        span.root, span.count, leaf.count - 1, hash, leaf.siblings, leaf.peaks
                    )),
            IAudits.WrongLeaf(span.root)
        );
    }

    function _requireMessages(IAudits.Redemption calldata r, Span calldata span, IAudits.Leaf calldata leaf)
        private
        pure
    {
        bytes32 request = Hashes.request(leaf.request);
        require(leaf.response.request == request, IAudits.WrongRequest(request, leaf.response.request));
        require(
            leaf.request.pool == r.pool && leaf.request.server == r.server && leaf.request.user == span.user
                && leaf.request.lane == span.lane,
            IAudits.WrongLeaf(span.root)
        );
    }
}
