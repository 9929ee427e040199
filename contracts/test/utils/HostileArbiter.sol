// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";

/// @dev An arbiter that says whatever a test wants, and calls back when it is called.
contract HostileArbiter is IArbiter {
    Outcome public outcome = Outcome.Pending;
    bytes32 public digest;
    uint256 public payees;
    uint64 public seat;
    Standing public standing;
    address private _target;
    bytes private _call;
    bytes public result;
    bool public ok;

    function set(Outcome outcome_, bytes32 digest_, uint256 payees_) external {
        (outcome, digest, payees) = (outcome_, digest_, payees_);
    }

    function setJuror(uint64 seat_, Standing standing_) external {
        (seat, standing) = (seat_, standing_);
    }

    function callBack(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function open(bytes32, bytes32) external {
        _back();
    }

    function close(bytes32) external {
        _back();
    }

    function _back() private {
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (ok, result) = target.call(_call);
    }

    function outcomeOf(address, bytes32) external view returns (Outcome, bytes32, uint256) {
        return (outcome, digest, payees);
    }

    function standingOf(address, bytes32, uint8, uint256) external view returns (uint64, Standing) {
        return (seat, standing);
    }
}
