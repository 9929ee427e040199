// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { DrandVectors } from "./DrandVectors.sol";
import { Shipped } from "./Shipped.sol";

/// @title What the beacon's tests share: both chains, deployed, at a time when all their rounds are
/// published.
abstract contract DrandTest is Test {
    uint256 internal constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 internal constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// @dev The generator of G1, as Zcash's specification of BLS12-381 gives it.
    bytes internal constant G1 =
        hex"17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1";

    DrandVectors.Chain internal quicknet;
    DrandVectors.Chain internal devnet;
    IDrandBeacon internal quicknetBeacon;
    IDrandBeacon internal beacon;

    function setUp() public virtual {
        quicknet = DrandVectors.read("drand-quicknet.json", 2);
        devnet = DrandVectors.read("drand-devnet.json", 12);
        quicknetBeacon = deployBeacon(quicknet.publicKey, quicknet.genesis, quicknet.period);
        beacon = deployBeacon(devnet.publicKey, devnet.genesis, devnet.period);
        vm.warp(1_800_000_000);
    }

    function deployBeacon(bytes memory publicKey, uint64 genesis, uint64 period)
        internal
        returns (IDrandBeacon)
    {
        return IDrandBeacon(Shipped.deploy("DrandBeacon", abi.encode(publicKey, genesis, period)));
    }

    /// @dev The devnet's first `count` rounds.
    function batch(uint256 count) internal view returns (uint64[] memory rounds, bytes[] memory signatures) {
        rounds = new uint64[](count);
        signatures = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            rounds[i] = devnet.rounds[i];
            signatures[i] = devnet.signatures[i];
        }
    }

    /// @dev The sum of two points, 96 bytes each.
    function add(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        (bool done, bytes memory sum) = address(0x0b).staticcall(bytes.concat(pad(a), pad(b)));
        require(done, "not on the curve");
        return bytes.concat(slice(sum, 16, 48), slice(sum, 80, 48));
    }

    /// @dev Minus a point of 96 bytes.
    function negate(bytes memory point) internal pure returns (bytes memory) {
        (uint256 high, uint256 low) = split(slice(point, 48, 48));
        uint256 negatedLow;
        uint256 borrow = low > P_LOW ? 1 : 0;
        unchecked {
            negatedLow = P_LOW - low;
        }
        return
            bytes.concat(slice(point, 0, 48), abi.encodePacked(uint128(P_HIGH - high - borrow), negatedLow));
    }

    function pad(bytes memory point) internal pure returns (bytes memory) {
        return bytes.concat(bytes16(0), slice(point, 0, 48), bytes16(0), slice(point, 48, 48));
    }

    function split(bytes memory element) internal pure returns (uint256 high, uint256 low) {
        high = uint128(bytes16(slice(element, 0, 16)));
        low = uint256(bytes32(slice(element, 16, 32)));
    }

    function slice(bytes memory data, uint256 start, uint256 length)
        internal
        pure
        returns (bytes memory part)
    {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = data[start + i];
        }
    }
}
