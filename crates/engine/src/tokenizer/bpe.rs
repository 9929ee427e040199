//! Byte-level BPE (`gpt2` in GGUF): merges by Hugging Face's `tokenizers`.

use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    SplitDelimiterBehavior,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::{
        byte_level::ByteLevel,
        digits::Digits,
        split::{Split, SplitPattern},
    },
};

use super::TokenKind;
use crate::{
    ModelError, TokenizerError,
    gguf::{Header, Value},
};

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[derive(Debug)]
pub(super) struct Bpe {
    model: BPE,
    pre: Vec<PreTokenizerWrapper>,
}

impl Bpe {
    pub(super) fn from_header(header: &Header, texts: &[String]) -> Result<Self, ModelError> {
        let key = "tokenizer.ggml.merges";
        let merges = match header.metadata.get(key) {
            Some(Value::Texts(merges)) => merges,
            Some(_) => return Err(ModelError::metadata(key, "is no array of texts")),
            None => return Err(ModelError::metadata(key, "is missing")),
        };
        let mut pairs: Merges = Vec::with_capacity(merges.len());
        for merge in merges {
            // A space inside a piece is spelled Ġ, so the first real one separates; it is not the first character.
            let at = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
            let Some((left, right)) = at.map(|at| (&merge[..at], &merge[at + 1..])) else {
                return Err(ModelError::metadata(key, format!("{merge:?} is no pair")));
            };
            pairs.push((left.to_owned(), right.to_owned()));
        }
        let mut vocab = Vocab::default();
        for (id, text) in (0u32..).zip(texts) {
            if vocab.insert(text.clone(), id).is_some() {
                return Err(ModelError::metadata(
                    "tokenizer.ggml.tokens",
                    format!("{text:?} is given twice"),
                ));
            }
        }
        let (pre, ignore_merges) = pre_tokenizers(header)?;
        let model = BPE::builder()
            .vocab_and_merges(vocab, pairs)
            .ignore_merges(ignore_merges)
            .build()
            .map_err(|e| ModelError::metadata(key, e.to_string()))?;
        Ok(Self { model, pre })
    }

    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let failed = |e: tokenizers::Error| TokenizerError::Encode(e.to_string());
        let mut parts = PreTokenizedString::from(text);
        for pre in &self.pre {
            pre.pre_tokenize(&mut parts).map_err(failed)?;
        }
        parts.tokenize(|part| self.model.tokenize(part.get())).map_err(failed)?;
        for (_, _, tokens) in parts.get_splits(OffsetReferential::Original, OffsetType::None) {
            out.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(())
    }
}

/// How a text is cut before merging, by `tokenizer.ggml.pre`, and whether whole words skip the merges.
fn pre_tokenizers(header: &Header) -> Result<(Vec<PreTokenizerWrapper>, bool), ModelError> {
    let key = "tokenizer.ggml.pre";
    let split = |pattern: &str| {
        Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false)
            .map(PreTokenizerWrapper::from)
            .map_err(|e| ModelError::metadata(key, e.to_string()))
    };
    let bytes = |regex| PreTokenizerWrapper::from(ByteLevel::new(false, false, regex));
    Ok(match header.text(key)? {
        Some("gpt-2") => (vec![bytes(true)], false),
        Some("smollm") => (vec![PreTokenizerWrapper::from(Digits::new(true)), bytes(true)], false),
        Some("llama-bpe" | "llama3" | "llama-v3") => (vec![split(LLAMA3)?, bytes(false)], true),
        Some("qwen2") => (vec![split(QWEN2)?, bytes(false)], false),
        Some(other) => return Err(ModelError::metadata(key, format!("{other:?} is not implemented"))),
        None => return Err(ModelError::metadata(key, "is missing")),
    })
}

/// The byte that a character of a byte-level token stands for: GPT-2's table, printable bytes for themselves and the
/// rest from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        c @ 0..0x100 => u8::try_from(c).ok().filter(|b| printable(*b)),
        c => {
            let index = (c - 0x100) as usize;
            (0..=u8::MAX).filter(|b| !printable(*b)).nth(index)
        }
    }
}

/// Bytes of each token.
pub(super) fn token_bytes(texts: &[String], kinds: &[TokenKind]) -> Vec<Vec<u8>> {
    let bytes = |(text, kind): (&String, &TokenKind)| {
        let spelled = match kind {
            TokenKind::Control | TokenKind::UserDefined | TokenKind::Unknown => None,
            _ => text.chars().map(byte_of).collect::<Option<Vec<u8>>>(),
        };
        spelled.unwrap_or_else(|| text.as_bytes().to_vec())
    };
    texts.iter().zip(kinds).map(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_table_is_the_library_s() {
        let alphabet = ByteLevel::alphabet();
        let mut bytes: Vec<u8> = alphabet.iter().map(|c| byte_of(*c).unwrap()).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('日'), None);
    }
}
