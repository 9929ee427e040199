// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Deployer } from "../../src/Deployer.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";
import { Shipped } from "../utils/Shipped.sol";
import { HonestPlayers } from "./HonestPlayers.sol";

/// @dev Plays what holds no money: the registry of pools, a beacon with the real signatures of a drand chain, the deployer.
abstract contract RegistryPlayers is HonestPlayers {
    uint256 private constant ROUNDS = 6;
    uint256 private constant MOST_POOLS = 8;
    /// @dev Returns one byte, a STOP.
    bytes private constant INIT_CODE = hex"60016000f3";

    bytes32[] internal created;
    IDrandBeacon internal drand;
    DrandVectors.Chain private _chain;
    Deployer private _deployer;
    uint256 private _deployed;

    function register(uint256 dice) external move(dice) {
        dice = _mixed(dice);
        if (dice % 3 == 0) _create(dice >> 8);
        else if (dice % 3 == 1) _submit(dice >> 8);
        else _deploy(dice >> 8);
    }

    // ------------------------------------------------------------------------------------------------------- pools

    function _create(uint256 dice) private {
        if (created.length == MOST_POOLS) return;
        PoolParams memory p = params;
        // Apart from each other and from the pool that is played.
        p.prices.freezePrice += uint96(created.length) + 1;
        if (dice & 1 == 0) {
            _break(p, dice >> 8);
            _refused(
                address(pools), abi.encodeCall(pools.create, (p, "", 0)), "9: a broken condition was taken"
            );
            assertFalse(pools.exists(keccak256(abi.encode(p))));
            ++count["create refused"];
            return;
        }
        vm.prank(user);
        bytes32 id = pools.create(p, "ipfs://model", keccak256("model"));
        assertEq(id, keccak256(abi.encode(p)), "an id is the hash of the parameters");
        _refused(address(pools), abi.encodeCall(pools.create, (p, "ipfs://other", 0)), "created twice");
        created.push(id);
        ++count["create"];
    }

    /// @dev One parameter beyond what a condition allows.
    function _break(PoolParams memory p, uint256 dice) private pure {
        uint256 what = dice % 10;
        if (what == 0) p.prices.seatStake /= 64;
        else if (what == 1) p.prices.feeUnit = 0;
        else if (what == 2) p.rates.collusion = 334;
        else if (what == 3) p.limits.secondJury = p.limits.firstJury;
        else if (what == 4) p.windows.vesting = 0;
        else if (what == 5) p.windows.exit = 0;
        else if (what == 6) p.prices.minBond = 0;
        else if (what == 7) p.prices.jurorPay = 0;
        else if (what == 8) p.rates.challengeFixed = 0;
        else p.basis.arbiter = address(0);
    }

    // ------------------------------------------------------------------------------------------------------ beacon

    function _submit(uint256 dice) private {
        if (address(drand) == address(0)) {
            _chain = DrandVectors.read("drand-devnet.json", ROUNDS);
            bytes memory arguments = abi.encode(_chain.publicKey, _chain.genesis, _chain.period);
            drand = IDrandBeacon(Shipped.deploy("DrandBeacon", arguments));
        }
        uint256 size = 1 + dice % 2;
        uint64[] memory rounds = new uint64[](size);
        bytes[] memory signatures = new bytes[](size);
        bool isNew;
        for (uint256 i; i < size; ++i) {
            uint256 pick = (dice >> 16 * (i + 1)) % ROUNDS;
            (rounds[i], signatures[i]) = (_chain.rounds[pick], _chain.signatures[pick]);
            isNew = isNew || !_isStored(rounds[i]);
        }
        bytes memory call = abi.encodeWithSignature("submit(uint64[],bytes[])", rounds, signatures);
        if (dice >> 64 & 3 == 0 && isNew) {
            bytes memory forged = abi.decode(abi.encode(signatures[0]), (bytes));
            forged[dice % 96] ^= bytes1(uint8(1 << (dice >> 72) % 8));
            for (uint256 i; i < size; ++i) {
                signatures[i] = forged;
            }
            call = abi.encodeWithSignature("submit(uint64[],bytes[])", rounds, signatures);
            _refused(address(drand), call, "a forged round was taken");
            ++count["submit refused"];
            return;
        }
        vm.prank(user);
        drand.submit(rounds, signatures);
        ++count["submit"];
    }

    function _isStored(uint64 round) private view returns (bool) {
        try drand.randomness(round) returns (bytes32) {
            return true;
        } catch {
            return false;
        }
    }

    // ---------------------------------------------------------------------------------------------------- deployer

    function _deploy(uint256 dice) private {
        if (address(_deployer) == address(0)) _deployer = Deployer(Shipped.deploy("Deployer", ""));
        bytes32 salt = bytes32(++_deployed);
        address where = _deployer.addressOf(user, salt);
        vm.prank(user);
        assertEq(_deployer.deploy(salt, INIT_CODE), where);
        assertEq(_deployer.initCodeHashOf(where), keccak256(INIT_CODE), "what was deployed is kept");
        // Others deploy elsewhere, and nobody deploys there again.
        assertTrue(_deployer.addressOf(users[(dice + 1) % USERS], bytes32(dice)) != where);
        vm.prank(user);
        _refused(address(_deployer), abi.encodeCall(Deployer.deploy, (salt, INIT_CODE)), "deployed twice");
        ++count["deploy"];
    }

    // -------------------------------------------------------------------------------------------------- invariants

    /// @dev 9. Every pool is what its id says, for ever; and a round that the beacon holds is the chain's.
    function registered() external view {
        for (uint256 i; i < created.length; ++i) {
            assertEq(keccak256(abi.encode(pools.get(created[i]))), created[i], "9: a pool's parameters");
            assertEq(ledger.balanceOf(created[i], AccountKind.Burn, 0), 0, "no money crosses pools");
        }
        if (address(drand) == address(0)) return;
        for (uint256 i; i < ROUNDS; ++i) {
            if (!_isStored(_chain.rounds[i])) continue;
            assertEq(drand.randomness(_chain.rounds[i]), _chain.randomness[i], "a round");
        }
    }
}
