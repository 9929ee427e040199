//! The vectors that the contract's tests read too: real rounds of quicknet, and those of a devnet chain,
//! which are made here. After a change that is meant to change them: `ASSAY_WRITE_VECTORS=1 cargo test -p
//! assay-beacon`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees tests, but not their helpers")]

use std::fs;
use std::path::PathBuf;

use assay_beacon::devnet::DevnetChain;
use assay_beacon::{BeaconError, ChainInfo, InfoJson, SCHEME_ID, quicknet};
use blst::BLST_ERROR;
use blst::min_sig::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    chain_hash: String,
    group_hash: String,
    scheme_id: String,
    beacon_id: String,
    period_seconds: u32,
    genesis_time: u64,
    public_key_compressed: String,
    public_key_uncompressed: String,
    rounds: Vec<RoundVector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outside_subgroup: Option<OutsideSubgroup>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoundVector {
    round: u64,
    signature_compressed: String,
    signature_uncompressed: String,
    randomness: String,
}

/// Points on the curve, but not in the subgroup.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutsideSubgroup {
    signature_compressed: String,
    signature_uncompressed: String,
    public_key_compressed: String,
    public_key_uncompressed: String,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name)
}

fn read(name: &str) -> Vectors {
    serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn chain_of(vectors: &Vectors) -> ChainInfo {
    ChainInfo::new(
        &bytes(&vectors.public_key_compressed),
        vectors.genesis_time,
        vectors.period_seconds,
        bytes(&vectors.group_hash),
        &vectors.beacon_id,
    )
    .unwrap()
}

fn check(vectors: &Vectors) {
    let chain = chain_of(vectors);
    assert_eq!(hex::encode(chain.hash()), vectors.chain_hash);
    assert_eq!(chain.scheme(), vectors.scheme_id);
    assert_eq!(hex::encode(chain.public_key_uncompressed()), vectors.public_key_uncompressed);
    for vector in &vectors.rounds {
        let signature: [u8; 48] = bytes(&vector.signature_compressed);
        let round = chain.verify(vector.round, &signature).unwrap();
        assert_eq!(round.number(), vector.round);
        assert_eq!(round.signature(), signature);
        assert_eq!(hex::encode(round.signature_uncompressed()), vector.signature_uncompressed);
        assert_eq!(hex::encode(round.randomness()), vector.randomness);
    }
}

#[test]
fn real_rounds_of_quicknet_verify() {
    let vectors = read("drand-quicknet.json");
    assert!(vectors.rounds.len() >= 2);
    check(&vectors);
    assert_eq!(quicknet::chain().unwrap(), chain_of(&vectors));
    assert_eq!(hex::encode(quicknet::chain().unwrap().hash()), quicknet::HASH);
}

#[test]
fn any_flipped_bit_of_a_real_signature_is_refused() {
    let chain = quicknet::chain().unwrap();
    let vector = &read("drand-quicknet.json").rounds[0];
    let signature: [u8; 48] = bytes(&vector.signature_compressed);
    for bit in 0..signature.len() * 8 {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = chain.verify(vector.round, &flipped).unwrap_err();
        assert!(
            matches!(error, BeaconError::SignaturePoint { .. } | BeaconError::SignatureInvalid { .. }),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn a_signature_is_good_for_its_own_round_and_chain_only() {
    let vectors = read("drand-quicknet.json");
    let chain = quicknet::chain().unwrap();
    let (round, signature) = (vectors.rounds[0].round, bytes::<48>(&vectors.rounds[0].signature_compressed));
    let invalid = Err(BeaconError::SignatureInvalid { round: round + 1 });
    assert_eq!(chain.verify(round + 1, &signature), invalid);
    let other = DevnetChain::new(&[1; 32], chain.genesis(), 3).unwrap();
    assert_eq!(other.info().verify(round, &signature), Err(BeaconError::SignatureInvalid { round }));
}

#[test]
fn malformed_signatures_have_their_own_errors() {
    let chain = quicknet::chain().unwrap();
    let vectors = read("drand-quicknet.json");
    let vector = &vectors.rounds[0];
    let good = hex::decode(&vector.signature_compressed).unwrap();
    let uncompressed = hex::decode(&vector.signature_uncompressed).unwrap();
    let refused = |signature: &[u8]| chain.verify(vector.round, signature).unwrap_err();
    let point = |reason| BeaconError::SignaturePoint { round: vector.round, reason };
    let length = |length| BeaconError::SignatureLength { round: vector.round, length };

    assert_eq!(chain.verify(0, &good), Err(BeaconError::RoundZero));
    assert_eq!(refused(&[]), length(0));
    assert_eq!(refused(&good[..47]), length(47));
    assert_eq!(refused(&uncompressed), length(96));

    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    assert_eq!(refused(&infinity), point("infinity"));
    let mut without_flag = good.clone();
    without_flag[0] &= 0x7f;
    assert_eq!(refused(&without_flag), point("bad encoding"));
    assert_eq!(refused(&[0xff; 48]), point("bad encoding"));
    let outside = read("drand-devnet.json").outside_subgroup.unwrap();
    assert_eq!(refused(&bytes::<48>(&outside.signature_compressed)), point("not in the subgroup"));
}

#[test]
fn bad_chains_are_refused() {
    let good = InfoJson::from(quicknet::chain().unwrap());
    assert_eq!(ChainInfo::try_from(good.clone()), quicknet::chain());
    let outside = read("drand-devnet.json").outside_subgroup.unwrap();
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    let key = BeaconError::ChainInfo("the public key is no point of the subgroup, or infinity");
    let of_key = |key: &[u8; 96]| ChainInfo::new(key, 0, 3, [0; 32], "x").unwrap_err();
    assert_eq!(of_key(&bytes(&outside.public_key_compressed)), key);
    assert_eq!(of_key(&infinity), key);
    assert_eq!(of_key(&[0; 96]), key);
    let refused = |change: fn(&mut InfoJson)| {
        let mut json = good.clone();
        change(&mut json);
        ChainInfo::try_from(json).unwrap_err()
    };
    assert_eq!(refused(|json| json.period = 0), BeaconError::ChainInfo("the period is zero"));
    assert_eq!(refused(|json| json.scheme_id = "other".to_owned()), BeaconError::Scheme("other".to_owned()));
    for change in [
        |json: &mut InfoJson| json.period = 4,
        |json: &mut InfoJson| json.genesis_time += 1,
        |json: &mut InfoJson| json.metadata.beacon_id.push('x'),
        |json: &mut InfoJson| json.group_hash.replace_range(0..2, "00"),
        |json: &mut InfoJson| json.hash.replace_range(0..2, "00"),
    ] {
        assert!(matches!(refused(change), BeaconError::ChainMismatch { .. }));
    }
    for change in [
        |json: &mut InfoJson| json.period = 1 << 32,
        |json: &mut InfoJson| json.public_key.truncate(10),
        |json: &mut InfoJson| json.group_hash.push('0'),
    ] {
        assert!(matches!(refused(change), BeaconError::ChainInfo(_)));
    }
}

#[test]
fn rounds_and_times_fit_each_other() {
    let chain = quicknet::chain().unwrap();
    let genesis = quicknet::GENESIS;
    assert_eq!(chain.time_of(0), Err(BeaconError::RoundZero));
    assert_eq!(chain.time_of(1), Ok(genesis));
    assert_eq!(chain.time_of(1000), Ok(genesis + 999 * 3));
    assert_eq!(chain.time_of(u64::MAX), Ok(u64::MAX));
    assert_eq!(chain.round_at(0), 0);
    assert_eq!(chain.round_at(genesis - 1), 0);
    assert_eq!(chain.round_at(genesis), 1);
    assert_eq!(chain.round_at(genesis + 2), 1);
    assert_eq!(chain.round_at(genesis + 3), 2);
}

#[test]
fn the_default_beacon_leaves_its_name_out_of_the_hash() {
    let chain = quicknet::chain().unwrap();
    let named = |name: &str| ChainInfo::new(&chain.public_key(), 0, 3, [0; 32], name).unwrap().hash();
    assert_eq!(named(""), named("default"));
    assert_ne!(named("default"), named("quicknet"));
}

#[test]
fn the_devnet_vectors_are_what_the_devnet_chain_makes() {
    let mut made = serde_json::to_string_pretty(&devnet_vectors()).unwrap();
    made.push('\n');
    let file = path("drand-devnet.json");
    if std::env::var_os("ASSAY_WRITE_VECTORS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), made);
    check(&read("drand-devnet.json"));
}

fn devnet_vectors() -> Vectors {
    let seed: [u8; 32] = std::array::from_fn(|i| i as u8 + 1);
    let chain = DevnetChain::new(&seed, 1_700_000_000, 3).unwrap();
    let info = chain.info();
    let rounds = (1..=12).map(|number| {
        let round = chain.round(number).unwrap();
        RoundVector {
            round: number,
            signature_compressed: hex::encode(round.signature()),
            signature_uncompressed: hex::encode(round.signature_uncompressed()),
            randomness: hex::encode(round.randomness()),
        }
    });
    Vectors {
        note: "A devnet chain's rounds, and points outside of the subgroup. Made by crates/beacon/tests/vectors.rs."
            .to_owned(),
        seed: Some(hex::encode(seed)),
        chain_hash: hex::encode(info.hash()),
        group_hash: hex::encode(info.group_hash()),
        scheme_id: SCHEME_ID.to_owned(),
        beacon_id: info.beacon_id().to_owned(),
        period_seconds: 3,
        genesis_time: info.genesis(),
        public_key_compressed: hex::encode(info.public_key()),
        public_key_uncompressed: hex::encode(info.public_key_uncompressed()),
        rounds: rounds.collect(),
        outside_subgroup: Some(outside_subgroup()),
    }
}

/// The curve points with the smallest x; hardly any point of the curve is in the subgroup.
fn outside_subgroup() -> OutsideSubgroup {
    let signature = (1..=u8::MAX)
        .find_map(|x| {
            let mut compressed = [0; 48];
            (compressed[0], compressed[47]) = (0x80, x);
            Signature::uncompress(&compressed).ok().filter(|point| !point.subgroup_check())
        })
        .unwrap();
    let key = (1..=u8::MAX)
        .find_map(|x| {
            let mut compressed = [0; 96];
            (compressed[0], compressed[95]) = (0x80, x);
            let point = PublicKey::uncompress(&compressed).ok()?;
            (point.validate() == Err(BLST_ERROR::BLST_POINT_NOT_IN_GROUP)).then_some(point)
        })
        .unwrap();
    OutsideSubgroup {
        signature_compressed: hex::encode(signature.compress()),
        signature_uncompressed: hex::encode(signature.serialize()),
        public_key_compressed: hex::encode(key.compress()),
        public_key_uncompressed: hex::encode(key.serialize()),
    }
}
