//! The League of Entropy's quicknet: a round every 3 seconds, run by some twenty organisations.

use crate::chain::ChainInfo;
use crate::error::BeaconError;

/// Public servers, in the order in which they are tried.
pub const URLS: [&str; 3] = ["https://api.drand.sh", "https://api2.drand.sh", "https://drand.cloudflare.com"];

/// The chain's hash, in hex.
pub const HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";

/// The chain's public key, compressed, in hex.
pub const PUBLIC_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c\
    8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5\
    a6e9c76a4bc09e76eae8991ef5ece45a";

/// Hash of the group that generated the key, in hex.
pub const GROUP_HASH: &str = "f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e";

/// Unix time of round 1, in seconds.
pub const GENESIS: u64 = 1_692_803_367;

/// Seconds between rounds.
pub const PERIOD: u32 = 3;

/// The chain's name.
pub const BEACON_ID: &str = "quicknet";

/// The chain, its hash recomputed from the constants here and compared with [`HASH`].
///
/// # Errors
/// None as long as the constants fit each other, which a test checks.
pub fn chain() -> Result<ChainInfo, BeaconError> {
    let mut key = [0; 96];
    let mut group_hash = [0; 32];
    hex::decode_to_slice(PUBLIC_KEY, &mut key).map_err(|_| BeaconError::ChainInfo("public key"))?;
    hex::decode_to_slice(GROUP_HASH, &mut group_hash).map_err(|_| BeaconError::ChainInfo("group hash"))?;
    let chain = ChainInfo::new(&key, GENESIS, PERIOD, group_hash, BEACON_ID)?;
    let got = hex::encode(chain.hash());
    if got != HASH {
        return Err(BeaconError::ChainMismatch { wanted: HASH.to_owned(), got });
    }
    Ok(chain)
}
