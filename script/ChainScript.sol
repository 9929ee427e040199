// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Script } from "forge-std/Script.sol";
import { AssayToken } from "../contracts/src/AssayToken.sol";
import { Deployer } from "../contracts/src/Deployer.sol";
import { DrandBeacon } from "../contracts/src/DrandBeacon.sol";
import { Modules } from "../contracts/src/types/Modules.sol";
import { Deployment } from "./Deployment.sol";

/// @title What the scripts share: a chain's files, its drand chain, and every contract of a deployment.
abstract contract ChainScript is Script {
    /// @notice A drand chain, as the beacon's constructor takes it.
    struct Drand {
        bytes publicKey; // 192 bytes uncompressed, in drand's order
        uint64 genesis; // unix time of round 1
        uint64 period; // seconds between rounds
    }

    /// @notice The contracts of one deployment, all of which `account` deployed.
    struct Contracts {
        address account;
        Modules modules;
        address sampling;
        address arbiter;
        address beacon;
        address token;
    }

    error VariableMissing(string name, string remedy);
    error FileMissing(string path, string remedy);
    error FileOfOtherChain(string path, uint256 chainId);
    /// @notice The chain lacks the CREATE2 factory that gives the same addresses everywhere.
    error FactoryMissing(address factory);

    bytes32 internal constant DEPLOYER_SALT = "assay.deployer.v1";
    bytes32 internal constant BEACON = "assay.beacon.drand.v1";
    bytes32 internal constant TOKEN = "assay.token.v1";
    uint256 internal constant SUPPLY = 1_000_000_000 ether;

    /// @notice The deployment's file: ASSAY_DEPLOYMENT_FILE or `deployments/<chain id>.json`.
    function deploymentFile() public view virtual returns (string memory) {
        return vm.envOr(
            "ASSAY_DEPLOYMENT_FILE", string.concat("deployments/", vm.toString(block.chainid), ".json")
        );
    }

    /// @notice The chain of rounds to verify: from the environment, else from `script/presets/<chain id>.toml`. Never from
    /// both: one chain's key with another's genesis would be a beacon that accepts nothing.
    function drand() public view returns (Drand memory d) {
        string memory preset = string.concat("script/presets/", vm.toString(block.chainid), ".toml");
        if (
            vm.envExists("DRAND_PUBLIC_KEY") || vm.envExists("DRAND_GENESIS") || vm.envExists("DRAND_PERIOD")
                || !vm.exists(preset)
        ) {
            string memory remedy = string.concat("set it, or write ", preset);
            d.publicKey = vm.envBytes(_set("DRAND_PUBLIC_KEY", remedy));
            d.genesis = uint64(vm.envUint(_set("DRAND_GENESIS", remedy)));
            d.period = uint64(vm.envUint(_set("DRAND_PERIOD", remedy)));
        } else {
            string memory toml = vm.readFile(preset);
            d.publicKey = vm.parseTomlBytes(toml, ".drand.publicKey");
            d.genesis = uint64(vm.parseTomlUint(toml, ".drand.genesis"));
            d.period = uint64(vm.parseTomlUint(toml, ".drand.period"));
        }
    }

    /// @dev Where `account` deploys, whether or not anything is there. `token` is one that exists, or 0 for its own.
    function _addresses(address account, Drand memory d, address token)
        internal
        view
        returns (Contracts memory c)
    {
        Deployer deployer = Deployer(_deployerAddress());
        c.account = account;
        c.modules = Deployment.addresses(deployer, account);
        c.sampling = deployer.addressOf(account, Deployment.SAMPLING);
        c.arbiter = deployer.addressOf(account, Deployment.ARBITER);
        c.beacon = deployer.addressOf(account, _beaconSalt(d));
        c.token = token == address(0) ? deployer.addressOf(account, TOKEN) : token;
    }

    /// @dev Deploys what is missing at these addresses; the caller broadcasts or pranks as `c.account`.
    function _deployMissing(Contracts memory c, Drand memory d) internal {
        Deployer deployer = Deployer(_deployerAddress());
        Deployment.run(deployer, c.account);
        if (c.beacon.code.length == 0) {
            bytes memory args = abi.encode(d.publicKey, d.genesis, d.period);
            deployer.deploy(_beaconSalt(d), bytes.concat(type(DrandBeacon).creationCode, args));
        }
        if (c.token.code.length == 0) {
            bytes memory args = abi.encode(c.account, SUPPLY);
            deployer.deploy(TOKEN, bytes.concat(type(AssayToken).creationCode, args));
        }
    }

    /// @dev Through the factory by an explicit call, so that a broadcast and a simulation give the same address.
    function _deployDeployer() internal {
        if (_deployerAddress().code.length != 0) return;
        require(CREATE2_FACTORY.code.length != 0, FactoryMissing(CREATE2_FACTORY));
        (bool done,) = CREATE2_FACTORY.call(bytes.concat(DEPLOYER_SALT, type(Deployer).creationCode));
        require(done && _deployerAddress().code.length != 0, FactoryMissing(CREATE2_FACTORY));
    }

    function _deployerAddress() internal pure returns (address) {
        return vm.computeCreate2Address(DEPLOYER_SALT, keccak256(type(Deployer).creationCode));
    }

    /// @dev The deployment's file, if it is there and of this chain.
    function _readDeployment() internal view returns (string memory json) {
        string memory path = deploymentFile();
        require(vm.exists(path), FileMissing(path, "run script/Deploy.s.sol first"));
        json = vm.readFile(path);
        uint256 chainId = vm.parseJsonUint(json, ".chainId");
        require(chainId == block.chainid, FileOfOtherChain(path, chainId));
    }

    function _set(string memory name, string memory remedy) internal view returns (string memory) {
        require(vm.envExists(name), VariableMissing(name, remedy));
        return name;
    }

    /// @dev One beacon a chain of rounds: its address depends on them.
    function _beaconSalt(Drand memory d) private pure returns (bytes32) {
        return keccak256(abi.encode(BEACON, d.publicKey, d.genesis, d.period));
    }
}
