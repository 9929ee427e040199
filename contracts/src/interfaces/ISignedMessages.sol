// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title What modules that accept signed messages share.
interface ISignedMessages {
    /// @notice The signature was not made by `owner`'s key of the message's epoch.
    error WrongSigner(address owner, address expected, address recovered);

    /// @notice EIP-712 domain separator; follows the chain id through a fork.
    function domainSeparator() external view returns (bytes32);
}
