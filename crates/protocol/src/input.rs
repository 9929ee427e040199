//! The input of `f`: what is computed, as bytes that hash to the request's `inputHash`.

use alloy_primitives::{B256, keccak256};

/// Upper bound of an encoded input, in bytes. Pools may set a lower one, never a higher one.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;
/// Upper bound of the number of stop tokens.
pub const MAX_STOP_TOKENS: usize = 64;

const MAGIC: [u8; 4] = *b"ASI1";
const HEADER_BYTES: usize = 4 + 16 + 4 + 8 + 4 + 4 + 4 + 2;
const MAX_TEMPERATURE: u32 = 10_000;

/// How output tokens are sampled, in integers so that there is one right answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sampling {
    /// Keys the counter-based generator.
    pub seed: u64,
    /// Thousandths, 0 to 10,000. Zero is greedy; ties take the lowest id.
    pub temperature: u32,
    /// Thousandths, 1 to 1,000. 1,000 keeps every token.
    pub top_p: u32,
    /// Number of most likely tokens kept; 0 keeps every token.
    pub top_k: u32,
}

impl Sampling {
    /// Greedy decoding.
    pub const GREEDY: Self = Self { seed: 0, temperature: 0, top_p: 1000, top_k: 0 };
}

/// The whole input of one inference. Stateless: history travels inside `tokens`.
///
/// Canonical bytes, all integers big-endian: `"ASI1"`, nonce (16), maxTokens (4), seed (8), temperature (4),
/// topP (4), topK (4), number of stop tokens (2), stop tokens (4 each, strictly increasing), number of prompt
/// tokens (4), prompt tokens (4 each). There is one encoding of each input, and nothing may follow it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InferenceInput {
    /// 128 random bits, so that the input hash can't be guessed from a likely prompt.
    pub nonce: [u8; 16],
    /// Most output tokens wanted; at least 1.
    pub max_tokens: u32,
    /// How to sample.
    pub sampling: Sampling,
    /// Token ids that end the output besides the model's own, strictly increasing.
    pub stop: Vec<u32>,
    /// Prompt token ids; at least one.
    pub tokens: Vec<u32>,
}

/// Why an input is refused. All are the sender's fault: retrying the same bytes can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// More bytes than allowed.
    #[error("input of {0} bytes is over the limit of {1}")]
    TooLarge(usize, usize),
    /// The bytes end early, continue after the end, or do not start with the magic.
    #[error("input is not canonical: {0}")]
    Malformed(&'static str),
    /// A field is outside its domain.
    #[error("input field {field}: {reason}")]
    Field {
        /// The field's name as the API spells it.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Not the number of a finish reason.
    #[error("{0} is no finish reason")]
    Finish(u8),
}

fn field(field: &'static str, reason: impl Into<String>) -> InputError {
    InputError::Field { field, reason: reason.into() }
}

impl InferenceInput {
    /// Checks every field's domain. Model-dependent limits (vocabulary, context) are the engine's.
    pub fn validate(&self) -> Result<(), InputError> {
        if self.tokens.is_empty() {
            return Err(field("prompt", "is empty"));
        }
        if self.max_tokens == 0 {
            return Err(field("max_tokens", "must be at least 1"));
        }
        if self.sampling.temperature > MAX_TEMPERATURE {
            return Err(field("temperature", format!("must be at most {}", MAX_TEMPERATURE / 1000)));
        }
        if !(1..=1000).contains(&self.sampling.top_p) {
            return Err(field("top_p", "must be from 0.001 to 1"));
        }
        if self.stop.len() > MAX_STOP_TOKENS {
            return Err(field("stop", format!("has more than {MAX_STOP_TOKENS} tokens")));
        }
        if !self.stop.is_sorted_by(|a, b| a < b) {
            return Err(field("stop", "token ids must be strictly increasing"));
        }
        let size = self.encoded_len();
        if size > MAX_INPUT_BYTES {
            return Err(InputError::TooLarge(size, MAX_INPUT_BYTES));
        }
        Ok(())
    }

    /// Length of [`Self::encode`] in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + 4 * self.stop.len() + 4 + 4 * self.tokens.len()
    }

    /// Canonical bytes. Fails where [`Self::validate`] does.
    pub fn encode(&self) -> Result<Vec<u8>, InputError> {
        self.validate()?;
        let mut out = Vec::with_capacity(self.encoded_len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.max_tokens.to_be_bytes());
        out.extend_from_slice(&self.sampling.seed.to_be_bytes());
        out.extend_from_slice(&self.sampling.temperature.to_be_bytes());
        out.extend_from_slice(&self.sampling.top_p.to_be_bytes());
        out.extend_from_slice(&self.sampling.top_k.to_be_bytes());
        // `validate` bounds both counts far below their fields' widths.
        out.extend_from_slice(&(self.stop.len() as u16).to_be_bytes());
        for id in &self.stop {
            out.extend_from_slice(&id.to_be_bytes());
        }
        out.extend_from_slice(&(self.tokens.len() as u32).to_be_bytes());
        for id in &self.tokens {
            out.extend_from_slice(&id.to_be_bytes());
        }
        Ok(out)
    }

    /// Reads canonical bytes; sizes are checked before anything is allocated.
    pub fn decode(bytes: &[u8]) -> Result<Self, InputError> {
        if bytes.len() > MAX_INPUT_BYTES {
            return Err(InputError::TooLarge(bytes.len(), MAX_INPUT_BYTES));
        }
        let mut at = Reader(bytes);
        if at.array::<4>()? != MAGIC {
            return Err(InputError::Malformed("wrong magic"));
        }
        let nonce = at.array()?;
        let max_tokens = at.u32()?;
        let sampling = Sampling {
            seed: u64::from_be_bytes(at.array()?),
            temperature: at.u32()?,
            top_p: at.u32()?,
            top_k: at.u32()?,
        };
        let stop_count = usize::from(u16::from_be_bytes(at.array()?));
        let stop = at.ids(stop_count)?;
        let token_count = at.u32()? as usize;
        let tokens = at.ids(token_count)?;
        if !at.0.is_empty() {
            return Err(InputError::Malformed("bytes after the end"));
        }
        let input = Self { nonce, max_tokens, sampling, stop, tokens };
        input.validate()?;
        Ok(input)
    }

    /// keccak-256 of the canonical bytes: the request's `inputHash`.
    pub fn hash(&self) -> Result<B256, InputError> {
        Ok(keccak256(self.encode()?))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], InputError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(InputError::Malformed("ends early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InputError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, InputError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn ids(&mut self, count: usize) -> Result<Vec<u32>, InputError> {
        let bytes = count.checked_mul(4).ok_or(InputError::Malformed("ends early"))?;
        let (words, _) = self.take(bytes)?.as_chunks::<4>();
        Ok(words.iter().map(|w| u32::from_be_bytes(*w)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input() -> InferenceInput {
        InferenceInput {
            nonce: [7; 16],
            max_tokens: 5,
            sampling: Sampling::GREEDY,
            stop: vec![1, 9],
            tokens: vec![0, 3],
        }
    }

    #[test]
    fn every_domain_is_checked() {
        type Change = fn(&mut InferenceInput);
        let bad: [(&str, Change); 7] = [
            ("prompt", |i| i.tokens.clear()),
            ("max_tokens", |i| i.max_tokens = 0),
            ("temperature", |i| i.sampling.temperature = 10_001),
            ("top_p", |i| i.sampling.top_p = 0),
            ("top_p", |i| i.sampling.top_p = 1001),
            ("stop", |i| i.stop = vec![3, 3]),
            ("stop", |i| i.stop = (0..65).collect()),
        ];
        for (name, change) in bad {
            let mut bad = input();
            change(&mut bad);
            assert!(matches!(bad.encode(), Err(InputError::Field { field, .. }) if field == name), "{name}");
        }
        let mut large = input();
        large.tokens = vec![1; MAX_INPUT_BYTES / 4];
        assert!(matches!(large.encode(), Err(InputError::TooLarge(..))));
    }

    #[test]
    fn decoding_refuses_every_truncation_and_any_tail() {
        let bytes = input().encode().unwrap();
        assert_eq!(InferenceInput::decode(&bytes).unwrap(), input());
        for n in 0..bytes.len() {
            assert!(InferenceInput::decode(&bytes[..n]).is_err(), "cut at {n}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(InferenceInput::decode(&longer), Err(InputError::Malformed("bytes after the end")));
    }

    proptest! {
        #[test]
        fn what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200), patch in any::<bool>()) {
            let mut bytes = bytes;
            if patch && bytes.len() > 4 { bytes[..4].copy_from_slice(&MAGIC); }
            if let Ok(input) = InferenceInput::decode(&bytes) {
                prop_assert_eq!(input.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn round_trip(nonce: [u8; 16], max_tokens in 1u32.., seed: u64, temperature in 0u32..=10_000, top_p in 1u32..=1000,
                      top_k: u32, stop in proptest::collection::btree_set(any::<u32>(), 0..20),
                      tokens in proptest::collection::vec(any::<u32>(), 1..100)) {
            let input = InferenceInput {
                nonce, max_tokens, sampling: Sampling { seed, temperature, top_p, top_k },
                stop: stop.into_iter().collect(), tokens,
            };
            let bytes = input.encode().unwrap();
            prop_assert_eq!(bytes.len(), input.encoded_len());
            prop_assert_eq!(InferenceInput::decode(&bytes).unwrap(), input);
        }
    }
}
