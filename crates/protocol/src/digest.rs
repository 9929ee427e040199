//! The digest `D` of an answer and the work digest inside it.

use alloy_primitives::{B256, Keccak256, keccak256};

use crate::Finish;

/// Version of the engine's arithmetic. It is part of the model root and of every digest, and changes whenever
/// any digest does.
pub const ARITHMETIC_VERSION: u32 = 1;

/// 256 bits that only somebody who ran `f` knows. Secret until a verdict: whoever learns it could copy it into a
/// commitment of their own, so it has no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Digest(pub B256);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({:x}…)", alloy_primitives::FixedBytes::<3>::from_slice(&self.0[..3]))
    }
}

/// Running hash over the final normalised hidden states of the generated positions.
///
/// `w_0 = keccak("assay.work.v1")`, `w_{i+1} = keccak(w_i ‖ h_i)` with `h_i` the position's hidden state, its
/// elements as 4 little-endian bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkDigest(B256);

impl Default for WorkDigest {
    fn default() -> Self {
        Self(keccak256(b"assay.work.v1"))
    }
}

impl WorkDigest {
    /// Takes in the hidden state of the next generated position.
    pub fn absorb(&mut self, hidden: &[i32]) {
        let mut hasher = Keccak256::new();
        hasher.update(self.0);
        let mut buffer = [0u8; 1024];
        for chunk in hidden.chunks(buffer.len() / 4) {
            for (bytes, value) in buffer.as_chunks_mut::<4>().0.iter_mut().zip(chunk) {
                *bytes = value.to_le_bytes();
            }
            hasher.update(&buffer[..4 * chunk.len()]);
        }
        self.0 = hasher.finalize();
    }

    /// The hash of everything taken in so far.
    pub fn value(&self) -> B256 {
        self.0
    }
}

/// What an answer's digest is made of.
#[derive(Debug, Clone, Copy)]
pub struct DigestInputs<'a> {
    /// Root of the model that was run.
    pub model_root: B256,
    /// Hash of the canonical input.
    pub input_hash: B256,
    /// Number of prompt tokens.
    pub prompt_tokens: u32,
    /// How the output ended.
    pub finish: Finish,
    /// Output token ids.
    pub tokens: &'a [u32],
    /// Work digest after as many positions as there are output tokens.
    pub work: B256,
}

impl DigestInputs<'_> {
    /// `D = keccak(keccak("assay.digest.v1") ‖ version ‖ modelRoot ‖ inputHash ‖ promptTokens ‖ outputTokens ‖ finish
    /// ‖ tokens ‖ work)`, integers big-endian: 4 bytes, `finish` 1.
    pub fn digest(&self) -> Digest {
        let mut hasher = Keccak256::new();
        hasher.update(keccak256(b"assay.digest.v1"));
        hasher.update(ARITHMETIC_VERSION.to_be_bytes());
        hasher.update(self.model_root);
        hasher.update(self.input_hash);
        hasher.update(self.prompt_tokens.to_be_bytes());
        // A pool's maxTokens fits 32 bits, so the count does.
        hasher.update((self.tokens.len() as u32).to_be_bytes());
        hasher.update([self.finish as u8]);
        for id in self.tokens {
            hasher.update(id.to_be_bytes());
        }
        hasher.update(self.work);
        Digest(hasher.finalize())
    }
}

/// The right digest of a response whose counts, finish or output hash are not those of `f`'s output, or whose input `f`
/// refuses: what it is paid by is not what it committed to. The response's hash holds its commitment, so it can't have committed to this.
/// `keccak(keccak("assay.misdescribed.v1") ‖ response)`.
pub fn misdescribed_digest(response: B256) -> Digest {
    let mut hasher = Keccak256::new();
    hasher.update(keccak256(b"assay.misdescribed.v1"));
    hasher.update(response);
    Digest(hasher.finalize())
}

/// Hash of an output: `keccak("assay.output.v1" hash ‖ tokens)`, what a response signs and a user checks the
/// streamed tokens against.
pub fn output_hash(tokens: &[u32]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(keccak256(b"assay.output.v1"));
    for id in tokens {
        hasher.update(id.to_be_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_changes_the_digest() {
        let base = DigestInputs {
            model_root: B256::repeat_byte(1),
            input_hash: B256::repeat_byte(2),
            prompt_tokens: 3,
            finish: Finish::Stop,
            tokens: &[4, 5],
            work: B256::repeat_byte(6),
        };
        let others = [
            DigestInputs { model_root: B256::ZERO, ..base },
            DigestInputs { input_hash: B256::ZERO, ..base },
            DigestInputs { prompt_tokens: 4, ..base },
            DigestInputs { finish: Finish::Length, ..base },
            DigestInputs { tokens: &[4], ..base },
            DigestInputs { tokens: &[4, 6], ..base },
            DigestInputs { work: B256::ZERO, ..base },
        ];
        for other in others {
            assert_ne!(base.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn work_digest_depends_on_position_boundaries() {
        let (mut a, mut b) = (WorkDigest::default(), WorkDigest::default());
        a.absorb(&[1, 2]);
        b.absorb(&[1]);
        b.absorb(&[2]);
        assert_ne!(a.value(), b.value());
    }

    #[test]
    fn work_digest_is_chunk_independent() {
        let hidden: Vec<i32> = (-700..700).collect();
        let bytes: Vec<u8> = hidden.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut work = WorkDigest::default();
        work.absorb(&hidden);
        assert_eq!(work.value(), keccak256([keccak256(b"assay.work.v1").as_slice(), &bytes].concat()));
    }
}
