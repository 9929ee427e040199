//! The signed messages, as EIP-712 typed structs. Field for field those of `contracts/src/types/Messages.sol`, which
//! documents them.
#![allow(missing_docs, reason = "documented once, beside the Solidity structs")]

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, sol};

use crate::{Digest, Finish, output_hash, units_of};

sol! {
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct InferenceRequest {
        bytes32 pool;
        address user;
        address server;
        uint64 seat;
        uint32 slot;
        uint64 lane;
        uint64 sequence;
        uint64 round;
        bytes32 inputHash;
        bytes32 ticketNonceHash;
        uint32 maxUnits;
        uint64 deadline;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Cancel {
        bytes32 request;
        uint64 round;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct InferenceResponse {
        bytes32 request;
        bytes32 commitment;
        bytes32 outputHash;
        uint32 promptTokens;
        uint32 outputTokens;
        uint8 finish;
        bytes32 cancel;
        uint64 round;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Voucher {
        bytes32 pool;
        address user;
        address server;
        uint64 lane;
        uint64 sequence;
        uint64 count;
        uint64 units;
        bytes32 root;
        uint64 round;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Challenge {
        bytes32 request;
        bytes32 response;
        bytes32 ticketNonce;
        uint8 counter;
        uint64 seat;
        uint64 round;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct CheckAnswer {
        bytes32 response;
        bytes32 commitment;
        uint64 seat;
        uint64 round;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Evidence {
        InferenceRequest request;
        InferenceResponse response;
        Challenge challenge;
        CheckAnswer answer;
        bytes responseSignature;
        bytes challengeSignature;
        bytes answerSignature;
        bool delivered;
    }
}

/// In which role somebody commits to a digest. The discriminants are part of the hashed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The server that answered.
    Server = 1,
    /// The server that checks.
    Validator = 2,
    /// A member of a jury.
    Juror = 3,
}

/// Domain of one deployment: name "Assay", version "1", the chain's id, the Ledger's address.
pub fn domain(chain_id: u64, ledger: Address) -> Eip712Domain {
    Eip712Domain {
        name: Some("Assay".into()),
        version: Some("1".into()),
        chain_id: Some(U256::from(chain_id)),
        verifying_contract: Some(ledger),
        salt: None,
    }
}

/// A message's own hash: what other messages refer to it by. It covers the typed struct, never a signature.
pub fn hash_of<T: SolStruct>(message: &T) -> B256 {
    message.eip712_hash_struct()
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 65 bytes, `v` neither 27 nor 28, `s` in the upper half, or no point on the curve.
    #[error("signature is malformed")]
    Malformed,
    /// Somebody else's.
    #[error("signed by {recovered}, not by {expected}")]
    WrongSigner {
        /// Whose key should have signed.
        expected: Address,
        /// Whose key did.
        recovered: Address,
    },
}

/// Checks that `key` signed `message` in `domain`, as strictly as the contracts do.
pub fn verify_signature<T: SolStruct>(
    message: &T,
    domain: &Eip712Domain,
    key: Address,
    signature: &[u8],
) -> Result<(), SignatureError> {
    let bytes: &[u8; 65] = signature.try_into().map_err(|_| SignatureError::Malformed)?;
    if !matches!(bytes[64], 27 | 28) {
        return Err(SignatureError::Malformed);
    }
    let parsed = Signature::from_raw_array(bytes).map_err(|_| SignatureError::Malformed)?;
    if parsed.normalize_s().is_some() {
        return Err(SignatureError::Malformed);
    }
    let recovered = parsed
        .recover_address_from_prehash(&message.eip712_signing_hash(domain))
        .map_err(|_| SignatureError::Malformed)?;
    if recovered == key { Ok(()) } else { Err(SignatureError::WrongSigner { expected: key, recovered }) }
}

/// Shows that `signer` knew `digest`; can't be copied by another signer or for another subject.
pub fn commitment(role: Role, signer: Address, subject: B256, digest: Digest) -> B256 {
    keccak256(
        (keccak256(b"assay.commitment.v1"), U256::from(role as u8), signer, subject, digest.0).abi_encode(),
    )
}

/// Hash of the secret that decides a ticket, as a request carries it.
pub fn ticket_nonce_hash(nonce: B256) -> B256 {
    keccak256(nonce)
}

/// Subject under which the case over a response lies before an arbiter.
pub fn case_subject(chain_id: u64, disputes: Address, response: B256) -> B256 {
    keccak256((keccak256(b"assay.subject.case.v1"), U256::from(chain_id), disputes, response).abi_encode())
}

/// Subject of the commitments and of the draw of one ballot over a case.
pub fn ballot_subject(case_subject: B256, ballot: u8) -> B256 {
    keccak256((keccak256(b"assay.subject.ballot.v1"), case_subject, U256::from(ballot)).abi_encode())
}

impl InferenceResponse {
    /// Subject of the server's commitment: the response without the commitment.
    pub fn subject(&self) -> B256 {
        keccak256(
            (
                keccak256(b"assay.subject.response.v1"),
                self.request,
                self.outputHash,
                self.promptTokens,
                self.outputTokens,
                U256::from(self.finish),
                self.cancel,
                self.round,
            )
                .abi_encode(),
        )
    }

    /// Whether it says of its output what is true of `tokens` with `finish`, and names a cancel just where one cut it off.
    pub fn describes(&self, prompt_tokens: usize, tokens: &[u32], finish: Finish) -> bool {
        self.promptTokens as usize == prompt_tokens
            && self.outputTokens as usize == tokens.len()
            && self.outputHash == output_hash(tokens)
            && self.finish() == Some(finish)
            && (finish == Finish::Cancelled) == (self.cancel != B256::ZERO)
    }

    /// How the output ended, if the field holds a valid number.
    pub fn finish(&self) -> Option<Finish> {
        Finish::try_from(self.finish).ok()
    }

    /// Size in units under a pool's weights.
    pub fn units(&self, prompt_weight: u32, output_weight: u32) -> u64 {
        units_of(prompt_weight, output_weight, self.promptTokens, self.outputTokens)
    }
}
