//! drand's JSON, field by field (API v1: <https://docs.drand.love/developer/http-api/>).

use serde::{Deserialize, Serialize};

/// The answer to `/{chain hash}/info`. Fields that it does not name are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoJson {
    /// Compressed public key, in hex.
    pub public_key: String,
    /// Seconds between rounds.
    pub period: u64,
    /// Unix time of round 1, in seconds.
    pub genesis_time: u64,
    /// The chain's hash, in hex.
    pub hash: String,
    /// Hash of the group that generated the key, in hex; the chain's genesis seed.
    #[serde(rename = "groupHash")]
    pub group_hash: String,
    /// The signature scheme.
    #[serde(rename = "schemeID")]
    pub scheme_id: String,
    /// More about the chain.
    pub metadata: MetadataJson,
}

/// A part of [`InfoJson`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataJson {
    /// The chain's name.
    #[serde(rename = "beaconID")]
    pub beacon_id: String,
}

/// The answer to `/{chain hash}/public/{round}` and `/{chain hash}/public/latest`. Fields that it does not
/// name are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundJson {
    /// The round's number.
    pub round: u64,
    /// sha256 of the signature, in hex. Newer servers leave it out, as it follows from the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub randomness: Option<String>,
    /// Compressed signature, in hex.
    pub signature: String,
}
