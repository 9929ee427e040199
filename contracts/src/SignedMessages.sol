// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import { ISignedMessages } from "./interfaces/ISignedMessages.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Hashes } from "./libraries/Hashes.sol";

/// @title What modules that accept signed messages share: the deployment's domain and the check against a key's epoch.
abstract contract SignedMessages is ISignedMessages {
    address private immutable _LEDGER;
    IStaking private immutable _KEYS;
    uint256 private immutable _CHAIN_ID;
    bytes32 private immutable _SEPARATOR;

    constructor(address ledger, address staking) {
        _LEDGER = ledger;
        _KEYS = IStaking(staking);
        _CHAIN_ID = block.chainid;
        _SEPARATOR = Hashes.domain(block.chainid, ledger);
    }

    /// @inheritdoc ISignedMessages
    function domainSeparator() public view returns (bytes32) {
        return block.chainid == _CHAIN_ID ? _SEPARATOR : Hashes.domain(block.chainid, _LEDGER);
    }

    /// @dev A server's or validator's signature. Length, `v` and a low `s` are checked by the library, each with its own error.
    function _requireSigned(
        bytes32 pool,
        address owner,
        uint32 epoch,
        bytes32 structHash,
        bytes calldata signature
    ) internal view {
        address expected = _KEYS.keyAt(pool, owner, epoch);
        address recovered = ECDSA.recover(Hashes.typed(domainSeparator(), structHash), signature);
        require(recovered == expected, WrongSigner(owner, expected, recovered));
    }

    /// @dev A user's signature, whose key may be a contract (ERC-1271). A contract can change its mind about a signature, which
    /// is why servers and validators can't be one: they could disown what convicts them.
    function _requireSignedByUser(
        address user,
        address expected,
        bytes32 structHash,
        bytes calldata signature
    ) internal view {
        bytes32 hash = Hashes.typed(domainSeparator(), structHash);
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(hash, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == expected) return;
        // An account with code may still have signed by its own key (EIP-7702), so that was tried first.
        if (expected.code.length != 0) {
            if (SignatureChecker.isValidERC1271SignatureNowCalldata(expected, hash, signature)) return;
        } else if (failure != ECDSA.RecoverError.NoError) {
            ECDSA.recoverCalldata(hash, signature);
        }
        revert WrongSigner(user, expected, recovered);
    }

    function _keyAt(bytes32 pool, address owner, uint32 epoch) internal view returns (address) {
        return _KEYS.keyAt(pool, owner, epoch);
    }
}
