//! What a drand chain is, and how its rounds are verified.

use blst::BLST_ERROR;
use blst::min_sig::{PublicKey, Signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::BeaconError;
use crate::wire::{InfoJson, MetadataJson, RoundJson};

/// The one scheme this crate speaks: signatures in G1, keys in G2, hashed to the curve by RFC 9380, each
/// round signed on its own.
pub const SCHEME_ID: &str = "bls-unchained-g1-rfc9380";

/// Domain separation tag of [`SCHEME_ID`].
pub(crate) const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// Chains of this name leave it out of their hash, as chains did before they had names.
const DEFAULT_BEACON_ID: &str = "default";

/// What identifies a chain, all of it bound by [`ChainInfo::hash`]. Its JSON is drand's [`InfoJson`];
/// decoding recomputes the hash and refuses another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InfoJson", into = "InfoJson")]
pub struct ChainInfo {
    key: PublicKey,
    genesis: u64,
    period: u32,
    group_hash: [u8; 32],
    beacon_id: String,
    hash: [u8; 32],
}

/// A verified round of a chain. Only [`ChainInfo::verify`] and [`crate::devnet::DevnetChain::round`] make
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    number: u64,
    signature: [u8; 48],
    uncompressed: [u8; 96],
    randomness: [u8; 32],
}

impl ChainInfo {
    /// A chain from its parts.
    ///
    /// `public_key`: compressed point of G2. `genesis`: Unix time of round 1 in seconds. `period`: seconds.
    /// `group_hash`: drand's genesis seed. `beacon_id`: the chain's name.
    ///
    /// # Errors
    /// [`BeaconError::ChainInfo`] if the key is no point of the subgroup or is infinity, or the period is
    /// zero.
    pub fn new(
        public_key: &[u8; 96],
        genesis: u64,
        period: u32,
        group_hash: [u8; 32],
        beacon_id: &str,
    ) -> Result<Self, BeaconError> {
        // `key_validate` accepts uncompressed keys too, so the length is part of the type here.
        let key = PublicKey::key_validate(public_key)
            .map_err(|_| BeaconError::ChainInfo("the public key is no point of the subgroup, or infinity"))?;
        if period == 0 {
            return Err(BeaconError::ChainInfo("the period is zero"));
        }
        let mut chain =
            Self { key, genesis, period, group_hash, beacon_id: beacon_id.to_owned(), hash: [0; 32] };
        chain.hash = chain.compute_hash();
        Ok(chain)
    }

    /// As drand computes it (`common/chain/info.go`, `Info.Hash`): sha256 over the period as u32, the genesis
    /// as i64, both big endian, the compressed key, the genesis seed and, unless it is "default", the name.
    fn compute_hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.period.to_be_bytes());
        hasher.update(self.genesis.to_be_bytes());
        hasher.update(self.key.compress());
        hasher.update(self.group_hash);
        if !self.beacon_id.is_empty() && self.beacon_id != DEFAULT_BEACON_ID {
            hasher.update(self.beacon_id.as_bytes());
        }
        hasher.finalize().into()
    }

    /// The chain's hash: what a client pins.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The public key, 96 bytes compressed.
    pub fn public_key(&self) -> [u8; 96] {
        self.key.compress()
    }

    /// The public key as the `DrandBeacon` contract's constructor takes it: x.c1, x.c0, y.c1, y.c0, each 48
    /// bytes big endian.
    pub fn public_key_uncompressed(&self) -> [u8; 192] {
        self.key.serialize()
    }

    /// Unix time of round 1, in seconds.
    pub fn genesis(&self) -> u64 {
        self.genesis
    }

    /// Seconds between rounds.
    pub fn period(&self) -> u64 {
        u64::from(self.period)
    }

    /// Hash of the group that generated the key; drand's genesis seed.
    pub fn group_hash(&self) -> [u8; 32] {
        self.group_hash
    }

    /// The signature scheme: always [`SCHEME_ID`].
    pub fn scheme(&self) -> &'static str {
        SCHEME_ID
    }

    /// The chain's name, such as "quicknet".
    pub fn beacon_id(&self) -> &str {
        &self.beacon_id
    }

    /// Unix time at which `round` is published, in seconds: `genesis + (round - 1) * period`. Stops at
    /// `u64::MAX`.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`] for round 0.
    pub fn time_of(&self, round: u64) -> Result<u64, BeaconError> {
        let earlier = round.checked_sub(1).ok_or(BeaconError::RoundZero)?;
        Ok(self.genesis.saturating_add(earlier.saturating_mul(self.period())))
    }

    /// The latest round published at or before `time`, Unix seconds; 0 before genesis.
    pub fn round_at(&self, time: u64) -> u64 {
        match time.checked_sub(self.genesis) {
            Some(elapsed) => (elapsed / self.period()).saturating_add(1),
            None => 0,
        }
    }

    /// Verifies `signature`, 48 bytes compressed, as the chain's signature of `round`.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`], [`BeaconError::SignatureLength`], [`BeaconError::SignaturePoint`] or
    /// [`BeaconError::SignatureInvalid`].
    pub fn verify(&self, round: u64, signature: &[u8]) -> Result<Round, BeaconError> {
        if round == 0 {
            return Err(BeaconError::RoundZero);
        }
        if signature.len() != 48 {
            return Err(BeaconError::SignatureLength { round, length: signature.len() });
        }
        let point =
            Signature::sig_validate(signature, true).map_err(|error| BeaconError::SignaturePoint {
                round,
                reason: match error {
                    BLST_ERROR::BLST_BAD_ENCODING => "bad encoding",
                    BLST_ERROR::BLST_POINT_NOT_ON_CURVE => "not on the curve",
                    BLST_ERROR::BLST_POINT_NOT_IN_GROUP => "not in the subgroup",
                    BLST_ERROR::BLST_PK_IS_INFINITY => "infinity",
                    _ => "refused",
                },
            })?;
        // Key and signature passed their subgroup checks above and in `new`.
        match point.verify(false, &message(round), DST, &[], &self.key, false) {
            BLST_ERROR::BLST_SUCCESS => Ok(Round::from_point(round, &point)),
            _ => Err(BeaconError::SignatureInvalid { round }),
        }
    }

    /// Verifies a round as drand's API gives it.
    ///
    /// # Errors
    /// Those of [`ChainInfo::verify`]; [`BeaconError::RandomnessMismatch`].
    pub fn verify_json(&self, json: &RoundJson) -> Result<Round, BeaconError> {
        let number = json.round;
        let signature = hex::decode(&json.signature)
            .map_err(|_| BeaconError::SignaturePoint { round: number, reason: "not hex" })?;
        let round = self.verify(number, &signature)?;
        match &json.randomness {
            Some(claimed) if !claimed.eq_ignore_ascii_case(&hex::encode(round.randomness)) => {
                Err(BeaconError::RandomnessMismatch { round: number })
            }
            _ => Ok(round),
        }
    }
}

/// What a chain of [`SCHEME_ID`] signs for `round`: sha256 of the number as 8 bytes, big endian.
pub(crate) fn message(round: u64) -> [u8; 32] {
    Sha256::digest(round.to_be_bytes()).into()
}

impl Round {
    pub(crate) fn from_point(number: u64, point: &Signature) -> Self {
        let signature = point.compress();
        Self {
            number,
            signature,
            uncompressed: point.serialize(),
            randomness: Sha256::digest(signature).into(),
        }
    }

    /// The round's number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The chain's signature, 48 bytes compressed.
    pub fn signature(&self) -> [u8; 48] {
        self.signature
    }

    /// The signature as the `DrandBeacon` contract's `submit` takes it: x then y, each 48 bytes big endian.
    pub fn signature_uncompressed(&self) -> [u8; 96] {
        self.uncompressed
    }

    /// sha256 of the compressed signature: the round's value.
    pub fn randomness(&self) -> [u8; 32] {
        self.randomness
    }

    /// The round as drand's API gives it.
    pub fn to_json(&self) -> RoundJson {
        RoundJson {
            round: self.number,
            randomness: Some(hex::encode(self.randomness)),
            signature: hex::encode(self.signature),
        }
    }
}

impl TryFrom<InfoJson> for ChainInfo {
    type Error = BeaconError;

    fn try_from(json: InfoJson) -> Result<Self, BeaconError> {
        if json.scheme_id != SCHEME_ID {
            return Err(BeaconError::Scheme(json.scheme_id));
        }
        let mut key = [0; 96];
        hex::decode_to_slice(&json.public_key, &mut key)
            .map_err(|_| BeaconError::ChainInfo("the public key is not 96 bytes in hex"))?;
        let mut group_hash = [0; 32];
        hex::decode_to_slice(&json.group_hash, &mut group_hash)
            .map_err(|_| BeaconError::ChainInfo("the group hash is not 32 bytes in hex"))?;
        let period = u32::try_from(json.period)
            .map_err(|_| BeaconError::ChainInfo("the period is above 2^32 seconds"))?;
        let chain = Self::new(&key, json.genesis_time, period, group_hash, &json.metadata.beacon_id)?;
        let got = hex::encode(chain.hash);
        if !json.hash.eq_ignore_ascii_case(&got) {
            return Err(BeaconError::ChainMismatch { wanted: json.hash, got });
        }
        Ok(chain)
    }
}

impl From<ChainInfo> for InfoJson {
    fn from(chain: ChainInfo) -> Self {
        Self {
            public_key: hex::encode(chain.public_key()),
            period: chain.period(),
            genesis_time: chain.genesis,
            hash: hex::encode(chain.hash),
            group_hash: hex::encode(chain.group_hash),
            scheme_id: SCHEME_ID.to_owned(),
            metadata: MetadataJson { beacon_id: chain.beacon_id },
        }
    }
}
