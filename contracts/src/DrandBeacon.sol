// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "./interfaces/IBeacon.sol";
import { IDrandBeacon } from "./interfaces/IDrandBeacon.sol";
import { Bls12381 } from "./libraries/Bls12381.sol";

/// @title DrandBeacon
/// @notice Rounds of one drand chain, verified against its public key when they are submitted.
contract DrandBeacon is IDrandBeacon {
    uint256 private constant KEY_BYTES = 192;
    uint256 private constant SIGNATURE_BYTES = 96;

    /// @inheritdoc IBeacon
    uint64 public immutable genesis;
    /// @inheritdoc IBeacon
    uint64 public immutable period;

    // The public key in the encoding of EIP-2537.
    uint256 private immutable _keyX0High;
    uint256 private immutable _keyX0Low;
    uint256 private immutable _keyX1High;
    uint256 private immutable _keyX1Low;
    uint256 private immutable _keyY0High;
    uint256 private immutable _keyY0Low;
    uint256 private immutable _keyY1High;
    uint256 private immutable _keyY1Low;

    /// @dev Zero: not submitted. No signature is known whose hash is zero.
    mapping(uint64 round => bytes32) private _values;

    /// @param key The chain's public key, 192 bytes as `publicKey` gives it. Must be on the curve, in the
    /// subgroup and not infinity.
    /// @param genesis_ Unix time of round 1, in seconds.
    /// @param period_ Seconds between rounds, not zero.
    constructor(bytes memory key, uint64 genesis_, uint64 period_) {
        if (period_ == 0) revert PeriodZero();
        if (key.length != KEY_BYTES) revert PublicKeyLength(key.length);
        uint256[8] memory point;
        uint256 bits;
        for (uint256 i = 0; i < 4; ++i) {
            // drand writes c1 before c0, EIP-2537 c0 before c1: element i of the key goes to place i with its
            // last bit flipped.
            uint256 high;
            uint256 low;
            assembly ("memory-safe") {
                let element := add(add(key, 0x20), mul(i, 48))
                high := shr(128, mload(element))
                low := mload(add(element, 16))
            }
            point[2 * (i ^ 1)] = high;
            point[2 * (i ^ 1) + 1] = low;
            bits |= high | low;
        }
        if (bits == 0) revert PublicKeyAtInfinity();
        Bls12381.checkG2(point);

        genesis = genesis_;
        period = period_;
        _keyX0High = point[0];
        _keyX0Low = point[1];
        _keyX1High = point[2];
        _keyX1Low = point[3];
        _keyY0High = point[4];
        _keyY0Low = point[5];
        _keyY1High = point[6];
        _keyY1Low = point[7];
    }

    /// @inheritdoc IDrandBeacon
    function submit(uint64 round, bytes calldata signature) external {
        _requirePublished(round);
        if (_values[round] != 0) return;
        uint64[] memory rounds = new uint64[](1);
        uint256[] memory terms = new uint256[](Bls12381.TERM_WORDS);
        _readTerm(rounds, terms, 0, round, signature);
        _store(round, _verified(rounds, terms)[0]);
    }

    /// @inheritdoc IDrandBeacon
    function submit(uint64[] calldata rounds, bytes[] calldata signatures) external {
        (uint64[] memory pending, uint256[] memory terms) = _readBatch(rounds, signatures, true);
        if (pending.length == 0) return;
        bytes32[] memory values = _verified(pending, terms);
        for (uint256 i = 0; i < pending.length; ++i) {
            // A round that the batch names twice is stored, and announced, once.
            if (_values[pending[i]] == 0) _store(pending[i], values[i]);
        }
    }

    /// @inheritdoc IDrandBeacon
    function verify(uint64[] calldata rounds, bytes[] calldata signatures)
        external
        view
        returns (bytes32[] memory values)
    {
        (uint64[] memory all, uint256[] memory terms) = _readBatch(rounds, signatures, false);
        if (all.length != 0) values = _verified(all, terms);
    }

    /// @inheritdoc IBeacon
    function randomness(uint64 round) external view returns (bytes32 value) {
        value = _values[round];
        if (value == 0) revert RoundMissing(round);
    }

    /// @inheritdoc IDrandBeacon
    function isSubmitted(uint64 round) external view returns (bool) {
        return _values[round] != 0;
    }

    /// @inheritdoc IBeacon
    /// @dev Reverts with `RoundZero` for round 0.
    function timeOf(uint64 round) public view returns (uint256) {
        if (round == 0) revert RoundZero();
        return genesis + uint256(round - 1) * period;
    }

    /// @inheritdoc IBeacon
    /// @dev Stops at the largest `uint64`.
    function roundAt(uint256 time) external view returns (uint64) {
        if (time < genesis) return 0;
        uint256 elapsed = (time - genesis) / period;
        // forge-lint: disable-next-line(unsafe-typecast): the comparison bounds it
        return elapsed < type(uint64).max ? uint64(elapsed + 1) : type(uint64).max;
    }

    /// @inheritdoc IDrandBeacon
    function publicKey() external view returns (bytes memory) {
        uint256[8] memory key = _key();
        return bytes.concat(
            abi.encodePacked(uint128(key[2]), key[3], uint128(key[0]), key[1]),
            abi.encodePacked(uint128(key[6]), key[7], uint128(key[4]), key[5])
        );
    }

    function _store(uint64 round, bytes32 value) private {
        _values[round] = value;
        emit RoundSubmitted(round, value);
    }

    function _requirePublished(uint64 round) private view {
        uint256 time = timeOf(round);
        // Only who broke the chain's key could have the signature by now: refuse it rather than trust it.
        // forge-lint: disable-next-line(block-timestamp)
        if (time > block.timestamp) revert RoundInFuture(round, time);
    }

    /// @dev Checks everything about a batch but its cryptography.
    /// @return kept The rounds to verify: all, or those that are not stored if `skipStored`.
    /// @return terms Their terms, see `_readTerm`.
    function _readBatch(uint64[] calldata rounds, bytes[] calldata signatures, bool skipStored)
        private
        view
        returns (uint64[] memory kept, uint256[] memory terms)
    {
        if (rounds.length != signatures.length) revert BatchLengths(rounds.length, signatures.length);
        kept = new uint64[](rounds.length);
        terms = new uint256[](rounds.length * Bls12381.TERM_WORDS);
        uint256 count;
        for (uint256 i = 0; i < rounds.length; ++i) {
            uint64 round = rounds[i];
            _requirePublished(round);
            if (skipStored && _values[round] != 0) continue;
            _readTerm(kept, terms, count, round, signatures[i]);
            ++count;
        }
        uint256 words = count * Bls12381.TERM_WORDS;
        // Both arrays were allocated at least this long.
        assembly ("memory-safe") {
            mstore(kept, count)
            mstore(terms, words)
        }
    }

    /// @dev Writes a round, and as a term its signature with the round's number in the place of the scalar.
    function _readTerm(
        uint64[] memory rounds,
        uint256[] memory terms,
        uint256 index,
        uint64 round,
        bytes calldata signature
    ) private pure {
        if (signature.length != SIGNATURE_BYTES) {
            revert SignatureLength(round, signature.length);
        }
        rounds[index] = round;
        uint256 term = Bls12381.termAt(terms, index);
        uint256 bits;
        assembly ("memory-safe") {
            let xHigh := shr(128, calldataload(signature.offset))
            let xLow := calldataload(add(signature.offset, 16))
            let yHigh := shr(128, calldataload(add(signature.offset, 48)))
            let yLow := calldataload(add(signature.offset, 64))
            mstore(term, xHigh)
            mstore(add(term, 0x20), xLow)
            mstore(add(term, 0x40), yHigh)
            mstore(add(term, 0x60), yLow)
            mstore(add(term, 0x80), round)
            bits := or(or(xHigh, xLow), or(yHigh, yLow))
        }
        if (bits == 0) revert SignatureAtInfinity(round);
    }

    /// @dev Verifies all terms in one pairing check and returns the rounds' values:
    /// `e(sum c_i * signature_i, g2) = e(sum c_i * hash_i, key)` with `c_0 = 1` and the others 128 bits of a
    /// hash over all rounds and signatures. A batch with a wrong signature passes for at most one value in
    /// 2^128 of some `c_i`, and whoever changes a signature draws all of them afresh. Sums without
    /// coefficients would let errors cancel: `signature_0 + d` and `signature_1 - d` add up to what is right.
    function _verified(uint64[] memory rounds, uint256[] memory terms)
        private
        view
        returns (bytes32[] memory values)
    {
        uint256 count = rounds.length;
        values = new bytes32[](count);
        uint256[] memory hashes = new uint256[](terms.length);
        bytes32 seed;
        assembly ("memory-safe") {
            // The scalars' places hold the rounds still.
            seed := keccak256(add(terms, 0x20), mul(mload(terms), 0x20))
        }
        for (uint256 i = 0; i < count; ++i) {
            uint256 term = Bls12381.termAt(terms, i);
            uint256 hash = Bls12381.termAt(hashes, i);
            values[i] = Bls12381.hashCompressed(term);
            Bls12381.hashToG1(Bls12381.hashRound(rounds[i]), hash);
            assembly ("memory-safe") {
                mstore(0x00, seed)
                mstore(0x20, i)
                let coefficient := shr(128, keccak256(0x00, 0x40))
                mstore(add(term, 0x80), coefficient)
                mstore(add(hash, 0x80), coefficient)
            }
        }
        if (!Bls12381.pairingHolds(terms, hashes, _key())) revert SignatureInvalid(rounds[0], count);
    }

    function _key() private view returns (uint256[8] memory) {
        return [_keyX0High, _keyX0Low, _keyX1High, _keyX1Low, _keyY0High, _keyY0Low, _keyY1High, _keyY1Low];
    }
}
