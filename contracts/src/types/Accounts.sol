// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Kinds of account. An account is (pool, kind, key); what the key is depends on the kind.
enum AccountKind {
    None,
    Free, // key: owner. Withdrawable at any time
    Balance, // key: user. Pays for responses
    Check, // key: user. E-money: pays for checks, burnt otherwise
    Bond, // key: user. Guarantees what the balance can't pay
    Seat, // key: seat id. Stake and float
    Vesting, // key: server. Rewards that a conviction would still forfeit
    Claim, // key: 0. Check pay until no dispute can be opened
    Case, // key: dispute, case, seat or audit. Bonds, proceeds of a slash, pay of jurors and auditors
    Burn, // key: 0. On its way out of the supply
    Audit // key: 0. Pays the audits to come
}

/// @notice One side of an entry in the ledger.
struct Posting {
    AccountKind kind;
    bytes32 key;
    uint256 amount;
}

/// @dev The key of an account that belongs to an address.
function keyOf(address owner) pure returns (bytes32) {
    return bytes32(uint256(uint160(owner)));
}
