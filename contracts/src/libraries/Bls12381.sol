// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDrandBeacon } from "../interfaces/IDrandBeacon.sol";

/// @title BLS12-381 over the precompiles of EIP-2537: hashing to G1, sums and a pairing check.
/// @notice Points are in the encoding of EIP-2537: a field element is 64 bytes big endian (the first 16 are
/// zero), a G1 point is x, y in 4 words, a G2 point is x.c0, x.c1, y.c0, y.c1 in 8 words.
/// @dev Any precompile call that fails reverts with `PrecompileFailed`. Which of them check the subgroup
/// matters: the multiplications (MSM) and the pairing check it for every point, the addition does not.
library Bls12381 {
    uint256 internal constant SHA256 = 0x02;
    uint256 internal constant MODEXP = 0x05;
    uint256 internal constant G1ADD = 0x0b;
    uint256 internal constant G1MSM = 0x0c;
    uint256 internal constant G2MSM = 0x0e;
    uint256 internal constant PAIRING = 0x0f;
    uint256 internal constant MAP_FP_TO_G1 = 0x10;

    /// @dev Words of one (point, scalar) pair in the input of G1MSM.
    uint256 internal constant TERM_WORDS = 5;

    /// @dev The field's modulus, split as in the encoding of EIP-2537.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// @dev (p - 1) / 2: y counts as the larger of y and p - y above it.
    uint256 private constant HALF_P_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_P_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    /// @dev The domain separation tag "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_" (43 bytes) followed by
    /// its length.
    bytes32 private constant DST_HEAD = "BLS_SIG_BLS12381G1_XMD:SHA-256_S";
    bytes32 private constant DST_TAIL = "SWU_RO_NUL_\x2b";

    /// @dev Minus the generator of G2, as Zcash's specification of BLS12-381 gives it.
    uint256 private constant NEG_G2_X0_HIGH = 0x024aa2b2f08f0a91260805272dc51051;
    uint256 private constant NEG_G2_X0_LOW =
        0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant NEG_G2_X1_HIGH = 0x13e02b6052719f607dacd3a088274f65;
    uint256 private constant NEG_G2_X1_LOW =
        0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant NEG_G2_Y0_HIGH = 0x0d1b3cc2c7027888be51d9ef691d77bc;
    uint256 private constant NEG_G2_Y0_LOW =
        0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa;
    uint256 private constant NEG_G2_Y1_HIGH = 0x13fa4d4a0ad8b1ce186ed5061789213d;
    uint256 private constant NEG_G2_Y1_LOW =
        0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed;

    /// @notice The memory address of term `index`: a point in 4 words, then its scalar.
    /// @dev The caller keeps `index` below the number of terms.
    function termAt(uint256[] memory terms, uint256 index) internal pure returns (uint256 term) {
        assembly ("memory-safe") {
            term := add(add(terms, 0x20), mul(index, 0xa0))
        }
    }

    /// @notice `hash_to_curve` of RFC 9380 for the suite BLS12381G1_XMD:SHA-256_SSWU_RO_, under drand's tag.
    /// @dev The map clears the cofactor of both halves, so the sum is in the subgroup.
    /// @param output Address of the 4 words to write the point to.
    function hashToG1(bytes32 message, uint256 output) internal view {
        uint256 uniform = expandMessage(message);
        uint256 input = _allocate(0x100);
        uint256 points = _allocate(0x100);
        assembly ("memory-safe") {
            // MODEXP's input: three lengths, the base (set below), the exponent 1, the modulus p.
            mstore(input, 0x40)
            mstore(add(input, 0x20), 1)
            mstore(add(input, 0x40), 0x40)
            mstore(add(input, 0xa0), shl(248, 1))
            mstore(add(input, 0xa1), P_HIGH)
            mstore(add(input, 0xc1), P_LOW)
        }
        for (uint256 i = 0; i < 2; ++i) {
            uint256 base = uniform + i * 0x40;
            assembly ("memory-safe") {
                mcopy(add(input, 0x60), base, 0x40)
            }
            _call(MODEXP, input, 0xe1, base, 0x40);
            _call(MAP_FP_TO_G1, base, 0x40, points + i * 0x80, 0x80);
        }
        _call(G1ADD, points, 0x100, output, 0x80);
    }

    /// @notice `expand_message_xmd` of RFC 9380 with SHA-256, to 128 bytes.
    /// @return uniform Address of the 128 bytes.
    function expandMessage(bytes32 message) internal view returns (uint256 uniform) {
        uniform = _allocate(0x80);
        uint256 input = _allocate(0xa0);
        assembly ("memory-safe") {
            // b_0 = H(64 zero bytes || message || 128 as 2 bytes || 0 || tag)
            mstore(input, 0)
            mstore(add(input, 0x20), 0)
            mstore(add(input, 0x40), message)
            mstore(add(input, 0x60), shl(232, 0x008000))
            mstore(add(input, 0x63), DST_HEAD)
            mstore(add(input, 0x83), DST_TAIL)
        }
        bytes32 first = _sha256(input, 143);
        bytes32 previous;
        assembly ("memory-safe") {
            mstore(add(input, 0x21), DST_HEAD)
            mstore(add(input, 0x41), DST_TAIL)
        }
        for (uint256 i = 0; i < 4; ++i) {
            // b_(i+1) = H((b_0 xor b_i) || i + 1 || tag), where b_1 has b_0 alone
            assembly ("memory-safe") {
                mstore(input, xor(first, previous))
                mstore8(add(input, 0x20), add(i, 1))
            }
            previous = _sha256(input, 77);
            assembly ("memory-safe") {
                mstore(add(uniform, mul(i, 0x20)), previous)
            }
        }
    }

    /// @notice The sum over all terms of scalar times point, where the first scalar counts as 1 whatever it
    /// says.
    /// @dev Every point but the first is checked to be in the subgroup. So if the caller checks the sum (a
    /// pairing does), the first is in the subgroup too, being a difference of points that are.
    /// @param terms At least one term of `TERM_WORDS` words: the point, then the scalar.
    /// @param output Address of the 4 words to write the sum to.
    function combine(uint256[] memory terms, uint256 output) internal view {
        uint256 first = termAt(terms, 0);
        if (terms.length == TERM_WORDS) {
            assembly ("memory-safe") {
                mcopy(output, first, 0x80)
            }
            return;
        }
        uint256 points = _allocate(0x100);
        assembly ("memory-safe") {
            mcopy(points, first, 0x80)
        }
        _call(G1MSM, first + 0xa0, (terms.length - TERM_WORDS) * 0x20, points + 0x80, 0x80);
        _call(G1ADD, points, 0x100, output, 0x80);
    }

    /// @notice Whether `e(combine(signatures), g2) = e(combine(messages), key)`. Checks that both sums and
    /// the key are in their subgroups.
    function pairingHolds(uint256[] memory signatures, uint256[] memory messages, uint256[8] memory key)
        internal
        view
        returns (bool holds)
    {
        uint256 input = _allocate(0x300);
        combine(signatures, input);
        combine(messages, input + 0x180);
        assembly ("memory-safe") {
            mstore(add(input, 0x080), NEG_G2_X0_HIGH)
            mstore(add(input, 0x0a0), NEG_G2_X0_LOW)
            mstore(add(input, 0x0c0), NEG_G2_X1_HIGH)
            mstore(add(input, 0x0e0), NEG_G2_X1_LOW)
            mstore(add(input, 0x100), NEG_G2_Y0_HIGH)
            mstore(add(input, 0x120), NEG_G2_Y0_LOW)
            mstore(add(input, 0x140), NEG_G2_Y1_HIGH)
            mstore(add(input, 0x160), NEG_G2_Y1_LOW)
            mcopy(add(input, 0x200), key, 0x100)
        }
        _call(PAIRING, input, 0x300, input, 0x20);
        assembly ("memory-safe") {
            holds := eq(mload(input), 1)
        }
    }

    /// @notice Reverts unless `point` is on the curve of G2 and in its subgroup. Infinity passes.
    function checkG2(uint256[8] memory point) internal view {
        uint256 input = _allocate(0x120);
        assembly ("memory-safe") {
            mcopy(input, point, 0x100)
            mstore(add(input, 0x100), 1)
        }
        _call(G2MSM, input, 0x120, input, 0x100);
    }

    /// @notice sha256 of a G1 point in Zcash's compressed form: x in 48 bytes, whose three top bits say
    /// "compressed", "infinity" (never, here) and "y is the larger of y and p - y".
    /// @dev The caller makes sure that the coordinates are below p, so that a point has one encoding.
    /// @param point Address of the point's 4 words.
    function hashCompressed(uint256 point) internal view returns (bytes32) {
        uint256 input = _allocate(0x40);
        assembly ("memory-safe") {
            let yHigh := mload(add(point, 0x40))
            let yLow := mload(add(point, 0x60))
            let larger := or(gt(yHigh, HALF_P_HIGH), and(eq(yHigh, HALF_P_HIGH), gt(yLow, HALF_P_LOW)))
            mstore(input, shl(128, or(mload(point), or(shl(127, 1), shl(125, larger)))))
            mstore(add(input, 0x10), mload(add(point, 0x20)))
        }
        return _sha256(input, 48);
    }

    /// @notice sha256 of `value` in 8 bytes, big endian: the message that drand signs for a round.
    function hashRound(uint64 value) internal view returns (bytes32) {
        assembly ("memory-safe") {
            mstore(0x00, shl(192, value))
        }
        return _sha256(0x00, 8);
    }

    /// @dev `size` bytes, a multiple of 32, of memory that may hold anything.
    function _allocate(uint256 size) private pure returns (uint256 start) {
        assembly ("memory-safe") {
            start := mload(0x40)
            mstore(0x40, add(start, size))
        }
    }

    /// @dev Overwrites the scratch space.
    function _sha256(uint256 input, uint256 length) private view returns (bytes32 digest) {
        _call(SHA256, input, length, 0x00, 0x20);
        assembly ("memory-safe") {
            digest := mload(0x00)
        }
    }

    /// @dev The size of the answer tells a precompile from an address without code, where a call succeeds
    /// too.
    function _call(uint256 precompile, uint256 input, uint256 inputSize, uint256 output, uint256 outputSize)
        private
        view
    {
        bool done;
        assembly ("memory-safe") {
            done := staticcall(gas(), precompile, input, inputSize, output, outputSize)
            done := and(done, eq(returndatasize(), outputSize))
        }
        if (!done) revert IDrandBeacon.PrecompileFailed(precompile);
    }
}
