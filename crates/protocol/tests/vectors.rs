//! `tests/vectors/protocol.json`, which the contracts' tests read too. `ASSAY_BLESS=1` writes it anew; a change in it is a
//! change of the protocol.

#![allow(clippy::unwrap_used, reason = "clippy sees tests, but not their helpers")]

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use assay_protocol::*;
use serde_json::{Value, json};

fn word(n: u64) -> B256 {
    keccak256(n.to_be_bytes())
}

fn address(n: u64) -> Address {
    Address::from_word(word(n))
}

fn request() -> InferenceRequest {
    InferenceRequest {
        pool: word(1),
        user: address(2),
        server: address(3),
        seat: 4,
        slot: 5,
        lane: u64::MAX - 6,
        sequence: 7,
        round: 8_000_000_000,
        inputHash: word(9),
        ticketNonceHash: ticket_nonce_hash(word(10)),
        maxUnits: 11,
        deadline: 12_000_000_000,
    }
}

/// 10,000 responses, 50 to a ticket round, at a rate of 0.3 over 60 seats: how many are drawn, and how often each seat checks.
fn simulation() -> (u32, Vec<u32>) {
    let word = |n: u64, salt: u64| keccak256((U256::from(n), U256::from(salt)).abi_encode());
    let (pool, rate) = (keccak256(b"pool"), (U256::from(3) << 64) / U256::from(10));
    let (mut drawn, mut counts) = (0, vec![0; 60]);
    for i in 0..10_000 {
        let randomness = word(i / 50, 0);
        let ticket = Ticket::new(randomness, word(i, 1), word(i, 2));
        drawn += u32::from(ticket.is_drawn(rate));
        counts[Draw::Validator.place(randomness, pool, ticket.0, 0, 60).unwrap() as usize] += 1;
    }
    (drawn, counts)
}

/// The drawn share matches the rate, and validators are uniform over seats.
#[test]
fn drawn_share_matches_the_rate_and_validators_are_uniform() {
    let (drawn, counts) = simulation();
    // 3.5 standard errors of 10,000 draws at 0.3.
    assert!((2840..=3160).contains(&drawn), "{drawn} of 10,000");
    let expected = 10_000.0 / 60.0;
    let chi2: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    // 99.9 % quantile of χ² with 59 degrees of freedom.
    assert!(chi2 < 98.3, "χ² {chi2}");
}

fn vectors() -> Value {
    let (drawn, counts) = simulation();
    let separator = domain(31337, address(100));
    let request = request();
    let cancel = Cancel { request: hash_of(&request), round: 8_000_000_001 };
    let digest = Digest(word(13));
    let mut response = InferenceResponse {
        request: hash_of(&request),
        commitment: B256::ZERO,
        outputHash: output_hash(&[1, 2, 70_000]),
        promptTokens: 14,
        outputTokens: 3,
        finish: Finish::Cancelled as u8,
        cancel: hash_of(&cancel),
        round: 8_000_000_002,
    };
    response.commitment = commitment(Role::Server, request.server, response.subject(), digest);
    let mut range = AcceptedRange::default();
    let mut roots = vec![];
    for i in 0..12 {
        range.push(word(200 + i), 17 * (i + 1));
        roots.push(json!({ "count": range.count(), "units": range.units(), "root": range.root() }));
    }
    let voucher = Voucher {
        pool: request.pool,
        user: request.user,
        server: request.server,
        lane: request.lane,
        sequence: 15,
        count: range.count(),
        units: range.units(),
        root: range.root(),
        round: 8_000_000_003,
    };
    let challenge = Challenge {
        request: hash_of(&request),
        response: hash_of(&response),
        ticketNonce: word(10),
        counter: 2,
        seat: 16,
        round: 8_000_000_004,
    };
    let answer = CheckAnswer {
        response: hash_of(&response),
        commitment: commitment(Role::Validator, address(17), hash_of(&response), digest),
        seat: 16,
        round: 8_000_000_005,
    };
    let case = case_subject(31337, address(18), word(19));
    let ballot = ballot_subject(case, 2);
    let tickets: Vec<Value> = (0..40)
        .map(|i| {
            let ticket = Ticket::new(word(300 + i), word(400 + i), word(500 + i));
            let rate = U256::from(u64::MAX / 3);
            json!({
                "randomness": word(300 + i), "response": word(400 + i), "nonce": word(500 + i),
                "ticket": ticket, "rate": rate, "drawn": ticket.is_drawn(rate),
                "seatCount": 1 + 7 * i,
                "validator": Draw::Validator.place(word(300 + i), word(1), ticket.0, i, 1 + 7 * i as u32),
                "set": Draw::Set.place(word(300 + i), word(1), set_subject(address(i)), i, 1 + 7 * i as u32),
                "user": address(i), "counter": i,
            })
        })
        .collect();
    json!({
        "domain": { "chainId": 31337, "ledger": address(100), "separator": separator.separator() },
        "request": { "message": request, "hash": hash_of(&request), "signed": request.eip712_signing_hash(&separator) },
        "cancel": { "message": cancel, "hash": hash_of(&cancel) },
        "response": { "message": response, "hash": hash_of(&response), "subject": response.subject() },
        "voucher": { "message": voucher, "hash": hash_of(&voucher) },
        "challenge": { "message": challenge, "hash": hash_of(&challenge) },
        "answer": { "message": answer, "hash": hash_of(&answer) },
        "ticketNonce": { "nonce": word(10), "hash": ticket_nonce_hash(word(10)) },
        "commitments": {
            "digest": digest,
            "server": response.commitment,
            "validator": answer.commitment, "validatorSigner": address(17),
            "juror": commitment(Role::Juror, address(20), ballot, digest), "jurorSigner": address(20),
        },
        "case": { "disputes": address(18), "response": word(19), "subject": case, "ballot": 2, "ballotSubject": ballot },
        "jury": {
            "randomness": word(21), "pool": word(1), "seatCount": 70,
            "places": jury_places(word(21), word(1), ballot, 31, 70),
        },
        "tickets": tickets,
        "ticketRounds": (0..30u64).map(|i| json!({
            "round": 1000 + i, "stride": 1 + i % 7, "ticketRound": ticket_round(1000 + i, 1 + (i % 7) as u16),
        })).collect::<Vec<_>>(),
        "simulation": { "drawn": drawn, "counts": counts },
        "accepted": roots,
    })
}

#[test]
fn vectors_are_what_the_code_computes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/protocol.json");
    let fresh = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), fresh, "the protocol's hashes changed");
}

#[test]
fn signatures_are_checked_strictly() {
    use alloy_primitives::Signature;
    use k256::ecdsa::SigningKey;

    let separator = domain(1, address(1));
    let message = request();
    let key = SigningKey::from_slice(word(55).as_slice()).unwrap();
    let signer = Address::from_private_key(&key);
    let hash = message.eip712_signing_hash(&separator);
    let (raw, recovery) = key.sign_prehash_recoverable(hash.as_slice()).unwrap();
    let signature = Signature::from_signature_and_parity(raw, recovery.is_y_odd());
    let bytes = signature.as_bytes();
    assert_eq!(verify_signature(&message, &separator, signer, &bytes), Ok(()));

    let other = address(9);
    assert_eq!(
        verify_signature(&message, &separator, other, &bytes),
        Err(SignatureError::WrongSigner { expected: other, recovered: signer })
    );
    let elsewhere = [domain(2, address(1)), domain(1, address(2))];
    for separator in elsewhere {
        assert!(matches!(
            verify_signature(&message, &separator, signer, &bytes),
            Err(SignatureError::WrongSigner { .. } | SignatureError::Malformed)
        ));
    }
    // The other s of the same signature, and a v of another convention.
    let order =
        U256::from_str_radix("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16).unwrap();
    let malleable = Signature::new(signature.r(), order - signature.s(), !signature.v()).as_bytes();
    let mut low_v = bytes;
    low_v[64] -= 27;
    for bad in [&malleable[..], &low_v, &bytes[..64], &[], &[0; 65], &[bytes.as_slice(), &[0]].concat()] {
        assert_eq!(verify_signature(&message, &separator, signer, bad), Err(SignatureError::Malformed));
    }
}
