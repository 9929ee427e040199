// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice The contracts of one deployment. They name each other by addresses fixed before any of them exists, so there is
/// nothing to initialise, own or upgrade.
struct Modules {
    address pools;
    address ledger;
    address staking;
    address lanes;
    address checks;
    address disputes;
    address audits;
}
