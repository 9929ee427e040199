// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IBeacon } from "./IBeacon.sol";

/// @title A drand chain on this chain: anyone submits its rounds, and each is verified before it counts.
/// @notice Scheme `bls-unchained-g1-rfc9380`, the League of Entropy's quicknet: the signature of round `i` is
/// `sk * hash_to_curve(sha256(i as 8 bytes, big endian))` in G1 of BLS12-381, the public key `sk * g2` is in
/// G2, and the round's value is the sha256 of the compressed signature. A signature is unique, so a round has
/// one possible value, whoever submits it. Nothing here has an owner, and a stored round never changes.
/// @dev Signatures come uncompressed: 96 bytes, x then y, each 48 bytes big endian without flag bits. Needs
/// the precompiles of EIP-2537 (Prague or later).
interface IDrandBeacon is IBeacon {
    /// @notice `round` is verified and stored from now on; `randomness` is its value.
    event RoundSubmitted(uint64 indexed round, bytes32 randomness);

    /// @notice A public key must have 192 bytes.
    error PublicKeyLength(uint256 length);

    /// @notice The public key is the point at infinity, for which anyone can sign.
    error PublicKeyAtInfinity();

    /// @notice The period must not be zero.
    error PeriodZero();

    /// @notice Rounds are counted from 1.
    error RoundZero();

    /// @notice `round` is published at `time` (Unix seconds), which has not come yet.
    error RoundInFuture(uint64 round, uint256 time);

    /// @notice A batch needs as many signatures as rounds.
    error BatchLengths(uint256 rounds, uint256 signatures);

    /// @notice The signature of `round` must have 96 bytes.
    error SignatureLength(uint64 round, uint256 length);

    /// @notice The signature of `round` is the point at infinity.
    error SignatureAtInfinity(uint64 round);

    /// @notice At least one of the `count` signatures that were verified together is not the chain's
    /// signature of its round. `first` is the first of these rounds.
    error SignatureInvalid(uint64 first, uint256 count);

    /// @notice The precompile at `precompile` refused its input, was given too little gas, or does not exist
    /// here. A coordinate that is not below the field's modulus and a point that is off the curve or outside
    /// of the subgroup end here. Never reported as "invalid": whoever chooses the gas could force that
    /// answer.
    error PrecompileFailed(uint256 precompile);

    /// @notice Verifies and stores `round`. Does nothing if it is stored already.
    /// @param signature 96 bytes, see above.
    function submit(uint64 round, bytes calldata signature) external;

    /// @notice Verifies several rounds in one pairing check and stores them. Rounds that are stored already
    /// are skipped, so nobody can spoil a batch by submitting one of its rounds first. One bad signature
    /// among the others refuses the batch.
    /// @param signatures 96 bytes each, see above; `signatures[i]` belongs to `rounds[i]`.
    function submit(uint64[] calldata rounds, bytes[] calldata signatures) external;

    /// @notice What `submit` would store for these rounds: verifies all of them in one pairing check, stored
    /// or not, and stores nothing.
    /// @return values The rounds' values, in the order of `rounds`.
    function verify(uint64[] calldata rounds, bytes[] calldata signatures)
        external
        view
        returns (bytes32[] memory values);

    /// @notice Whether `round` is stored.
    function isSubmitted(uint64 round) external view returns (bool);

    /// @notice The chain's public key: 192 bytes, in the order of drand and of Zcash's BLS12-381 encoding:
    /// x.c1, x.c0, y.c1, y.c0, each 48 bytes big endian without flag bits.
    function publicKey() external view returns (bytes memory);
}
