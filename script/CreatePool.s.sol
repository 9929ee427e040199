// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { VmSafe } from "forge-std/Vm.sol";
import { console } from "forge-std/console.sol";
import { Pools } from "../contracts/src/Pools.sol";
import { Basis, PoolParams } from "../contracts/src/types/PoolParams.sol";
import { ChainScript } from "./ChainScript.sol";

/// @title Creates a pool from a file of `pools/` for the deployment of this chain; a pool that exists is left alone.
/// Enters its id in the deployment's list, `deployments/<chain id>.pools.json`.
/// @dev From the environment: ASSAY_POOL_FILE, ASSAY_MODEL_ROOT, ASSAY_MODEL_SHA256; ASSAY_MODEL_URI and ASSAY_TOKEN if wanted.
contract CreatePool is ChainScript {
    /// @notice The table of `path` doesn't hold exactly the fields of its struct.
    error TableMalformed(string path, string table);

    // What `PoolParams` is made of, as the parser takes it. A struct that changes must change here too; `read` notices.
    string private constant PRICES = "Prices(uint96 seatStake,uint96 seatFloat,uint96 rewardFixed,uint96 rewardUnit,"
        "uint96 feeFixed,uint96 feeUnit,uint96 costUnit,uint96 checkFixed,uint96 outsideGain,uint96 gasAllowance,"
        "uint96 freezePrice,uint96 jurorPay,uint96 jurorPenalty,uint96 checkCap,uint96 minBond,uint96 auditPay)";
    string private constant RATES = "Rates(uint128 challengeFixed,uint128 challengeUnit,uint128 auditFixed,"
        "uint128 auditUnit,uint16 collusion,uint16 discount)";
    string private constant LIMITS = "Limits(uint32 maxUnits,uint32 maxInputBytes,uint32 promptWeight,uint32 outputWeight,"
        "uint16 stride,uint8 redraws,uint8 setSize,uint8 auditSize,uint8 firstJury,uint8 secondJury)";
    string private constant WINDOWS = "Windows(uint32 epoch,uint32 request,uint32 answer,uint32 claim,uint32 dispute,"
        "uint32 publish,uint32 commit,uint32 propose,uint32 audit,uint32 vesting,uint32 unbonding,uint32 voucher,"
        "uint32 exit,uint32 lag)";

    function run() external returns (bytes32 pool) {
        string memory file =
            vm.envString(_set("ASSAY_POOL_FILE", "a file of pools/, such as pools/sepolia.toml"));
        bytes32 root = vm.envBytes32(_set("ASSAY_MODEL_ROOT", "'assay model show FILE' prints it"));
        bytes32 sha256OfModel =
            vm.envBytes32(_set("ASSAY_MODEL_SHA256", "0x and what 'sha256sum FILE' prints"));
        return create(
            file,
            root,
            sha256OfModel,
            vm.envOr("ASSAY_MODEL_URI", string("")),
            vm.envOr("ASSAY_TOKEN", address(0))
        );
    }

    /// @param token 0 for the deployment's own.
    function create(string memory file, bytes32 root, bytes32 sha256OfModel, string memory uri, address token)
        public
        returns (bytes32 pool)
    {
        string memory deployment = _readDeployment();
        PoolParams memory params = read(
            file,
            Basis({
                token: token == address(0) ? vm.parseJsonAddress(deployment, ".token") : token,
                beacon: vm.parseJsonAddress(deployment, ".beacon"),
                arbiter: vm.parseJsonAddress(deployment, ".arbiter"),
                modelRoot: root
            })
        );
        Pools pools = Pools(vm.parseJsonAddress(deployment, ".pools"));
        pool = keccak256(abi.encode(params));
        if (pools.exists(pool)) {
            console.log("the pool exists:", vm.toString(pool));
        } else {
            vm.startBroadcast();
            pools.create(params, uri, sha256OfModel);
            vm.stopBroadcast();
            console.log("pool:", vm.toString(pool));
        }
        _enter(pool, file, root);
    }

    /// @notice The parameters that a file states, on `basis`.
    function read(string memory file, Basis memory basis) public view returns (PoolParams memory params) {
        string memory toml = vm.readFile(file);
        bytes memory encoded = bytes.concat(
            abi.encode(basis),
            _table(file, toml, ".prices", PRICES),
            _table(file, toml, ".rates", RATES),
            _table(file, toml, ".limits", LIMITS),
            _table(file, toml, ".windows", WINDOWS)
        );
        params = abi.decode(encoded, (PoolParams));
        require(keccak256(abi.encode(params)) == keccak256(encoded), TableMalformed(file, "all"));
    }

    function _table(string memory file, string memory toml, string memory key, string memory fields)
        private
        pure
        returns (bytes memory encoded)
    {
        encoded = vm.parseTomlType(toml, key, fields);
        // The parser skips what it does not know, such as a field with a typo beside a default.
        require(encoded.length == 32 * vm.parseTomlKeys(toml, key).length, TableMalformed(file, key));
    }

    /// @dev The list only grows: pools are for ever.
    function _enter(bytes32 pool, string memory file, bytes32 root) private {
        string memory path = vm.replace(deploymentFile(), ".json", ".pools.json");
        string memory id = vm.toString(pool);
        string memory json = vm.exists(path) ? vm.readFile(path) : "{}";
        if (vm.keyExistsJson(json, string.concat(".", id)) || vm.isContext(VmSafe.ForgeContext.ScriptDryRun))
        {
            return;
        }
        vm.serializeString(id, "file", file);
        string memory entry = vm.serializeBytes32(id, "modelRoot", root);
        vm.serializeJson("pools", json);
        vm.writeJson(vm.serializeString("pools", id, entry), path);
        console.log("written to", path);
    }
}
