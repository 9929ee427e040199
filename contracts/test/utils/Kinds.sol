// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { AccountKind } from "../../src/types/Accounts.sol";

/// @dev Sets of kinds of accounts, one bit a kind.
library Kinds {
    uint256 internal constant FREE = 1 << uint8(AccountKind.Free);
    uint256 internal constant BALANCE = 1 << uint8(AccountKind.Balance);
    uint256 internal constant BOND = 1 << uint8(AccountKind.Bond);
    uint256 internal constant CHECK = 1 << uint8(AccountKind.Check);
    uint256 internal constant SEAT = 1 << uint8(AccountKind.Seat);
    uint256 internal constant VESTING = 1 << uint8(AccountKind.Vesting);
    uint256 internal constant CLAIM = 1 << uint8(AccountKind.Claim);
    uint256 internal constant CASE = 1 << uint8(AccountKind.Case);
    uint256 internal constant BURN = 1 << uint8(AccountKind.Burn);
    uint256 internal constant AUDIT = 1 << uint8(AccountKind.Audit);
}
