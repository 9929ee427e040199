// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @dev An account contract that accepts what its owner signs. It says nothing else of itself, so two wallets of one owner
/// accept the same signatures under the same hash.
contract Wallet is IERC1271 {
    address public owner;

    function setOwner(address owner_) external {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(hash, signature);
        bool ok = failure == ECDSA.RecoverError.NoError && signer == owner;
        return ok ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @dev An account contract that answers in every way but the right one.
contract OddWallet {
    enum Answer {
        No,
        Reverts,
        Short, // the right value in fewer bytes than a word
        Dirty, // the right value with something behind it
        Empty,
        One, // what `true` would be
        Bomb, // the wrong value, and much more of it
        Burns, // all gas that it is given
        Writes, // tries to change something
        Yes
    }

    Answer public answer;
    uint256 private _calls;

    function set(Answer answer_) external {
        answer = answer_;
    }

    fallback() external {
        Answer a = answer;
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        if (a == Answer.Reverts) revert("no");
        if (a == Answer.Burns) assert(false);
        if (a == Answer.Writes) ++_calls;
        assembly ("memory-safe") {
            mstore(0, 0)
            switch a
            case 2 {
                mstore(0, magic)
                return(0, 4)
            }
            case 3 {
                mstore(0, or(magic, 1))
                return(0, 32)
            }
            case 4 { return(0, 0) }
            case 5 {
                mstore(0, 1)
                return(0, 32)
            }
            case 6 { return(0x80, 100000) }
            case 8 {
                mstore(0, magic)
                return(0, 32)
            }
            case 9 {
                mstore(0, magic)
                return(0, 32)
            }
            default { return(0, 32) }
        }
    }
}
