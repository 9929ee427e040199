//! Byte-level BPE (`gpt2` in GGUF): merges by Hugging Face's `tokenizers`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::{
        byte_level::ByteLevel,
        split::{Split, SplitPattern},
    },
};

use super::TokenKind;
use crate::{
    ModelError, TokenizerError,
    gguf::{Header, Texts, Value},
};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What llama.cpp calls `default`, for files whose converter did not know the tokenizer.
const DEFAULT: [&str; 4] = [r"[\p{P}\$\+<=>\^\~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"];
const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";

#[derive(Debug)]
pub(super) struct Bpe {
    model: BPE,
    /// Applied one after the other.
    cuts: Vec<Arc<Split>>,
    /// Bytes that no token spells. The merges would drop them without a word.
    missing: Vec<u8>,
}

/// How the tokenizers of a family cut a text before merging.
struct Family {
    /// Regular expressions, each applied to the pieces that the one before left.
    cuts: &'static [&'static str],
    /// Whole pieces that are tokens skip the merges.
    whole_words: bool,
    /// A begin token comes first where the file does not say.
    add_bos: bool,
}

impl Family {
    /// By `tokenizer.ggml.pre`. The names are those that llama.cpp's converter writes.
    fn from_header(header: &Header) -> Result<Self, ModelError> {
        let plain = |cuts| Self { cuts, whole_words: false, add_bos: false };
        let merged = |cuts| Self { cuts, whole_words: true, add_bos: true };
        Ok(match header.text(PRE)? {
            Some("gpt-2") => plain(&[GPT2]),
            Some("default") => plain(&DEFAULT),
            Some("smollm") => plain(&[r"\p{N}", GPT2]),
            Some("qwen2" | "deepseek-r1-qwen") => plain(&[QWEN2]),
            Some("llama-bpe" | "llama3" | "llama-v3") => merged(&[LLAMA3]),
            Some("tekken") => merged(&[TEKKEN]),
            Some(other) => return Err(ModelError::metadata(PRE, format!("{other:?} is not implemented"))),
            None => return Err(ModelError::metadata(PRE, "is missing")),
        })
    }
}

/// Compiles a regular expression once a process: that takes longer than the rest of loading a small model.
fn compiled(cut: &'static str) -> Result<Arc<Split>, ModelError> {
    static CUTS: Mutex<BTreeMap<&str, Arc<Split>>> = Mutex::new(BTreeMap::new());
    let mut cuts = CUTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(split) = cuts.get(cut) {
        return Ok(split.clone());
    }
    let split = Split::new(SplitPattern::Regex(cut.into()), SplitDelimiterBehavior::Isolated, false)
        .map_err(|e| ModelError::metadata(PRE, e.to_string()))?;
    Ok(cuts.entry(cut).or_insert(Arc::new(split)).clone())
}

impl Bpe {
    /// The method, and whether a begin token comes first where the file does not say.
    pub(super) fn from_header(
        header: &Header,
        texts: &Texts,
        kinds: &[TokenKind],
    ) -> Result<(Self, bool), ModelError> {
        let family = Family::from_header(header)?;
        let vocab = vocabulary(texts, kinds)?;
        let merges = merges(header, texts, kinds)?;
        let missing = (0..=u8::MAX).filter(|b| !vocab.contains_key(&char_of(*b).to_string())).collect();
        let model = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .ignore_merges(family.whole_words)
            .build()
            .map_err(|e| ModelError::metadata(MERGES, e.to_string()))?;
        let cuts = family.cuts.iter().map(|cut| compiled(cut)).collect::<Result<_, _>>()?;
        Ok((Self { model, cuts, missing }, family.add_bos))
    }

    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        if let Some(byte) = text.bytes().find(|b| self.missing.contains(b)) {
            return Err(TokenizerError::Encode(format!("the vocabulary spells no byte {byte:#04x}")));
        }
        let failed = |e: tokenizers::Error| TokenizerError::Encode(e.to_string());
        let mut parts = PreTokenizedString::from(text);
        for cut in &self.cuts {
            cut.pre_tokenize(&mut parts).map_err(failed)?;
        }
        ByteLevel::new(false, false, false).pre_tokenize(&mut parts).map_err(failed)?;
        parts.tokenize(|part| self.model.tokenize(part.get())).map_err(failed)?;
        for (_, _, tokens) in parts.get_splits(OffsetReferential::Original, OffsetType::None) {
            out.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(())
    }
}

/// Whether merging plain text may make this token. A control token is never what somebody merely wrote, and a user-defined one
/// stands for its text as it is, which is what its characters spell only where they spell themselves.
fn is_text(text: &str, kind: TokenKind) -> bool {
    match kind {
        TokenKind::Control | TokenKind::Unknown => false,
        TokenKind::UserDefined => text.bytes().all(|b| b.is_ascii_graphic()),
        _ => true,
    }
}

/// Ids of the tokens that merging may make.
fn vocabulary(texts: &Texts, kinds: &[TokenKind]) -> Result<Vocab, ModelError> {
    let mut seen = HashSet::with_capacity(texts.len());
    if let Some(twice) = texts.iter().find(|text| !seen.insert(*text)) {
        return Err(ModelError::metadata("tokenizer.ggml.tokens", format!("{twice:?} is given twice")));
    }
    let tokens = (0u32..).zip(texts.iter()).zip(kinds).filter(|((_, text), kind)| is_text(text, **kind));
    Ok(tokens.map(|((id, text), _)| (text.to_owned(), id)).collect())
}

/// The pairs that merge, best first, without those that have to do with other tokens.
fn merges(header: &Header, texts: &Texts, kinds: &[TokenKind]) -> Result<Merges, ModelError> {
    let merges = match header.metadata.get(MERGES) {
        Some(Value::Texts(merges)) => merges,
        Some(_) => return Err(ModelError::metadata(MERGES, "is no array of texts")),
        None => return Err(ModelError::metadata(MERGES, "is missing")),
    };
    let others = texts.iter().zip(kinds).filter(|(text, kind)| !is_text(text, **kind));
    let others: HashSet<&str> = others.map(|(text, _)| text).collect();
    let mut pairs = Merges::with_capacity(merges.len());
    for merge in merges.iter() {
        // A space inside a piece is spelled Ġ, so the first real one separates; it is not the first character.
        let at = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        let Some((left, right)) = at.map(|at| (&merge[..at], &merge[at + 1..])) else {
            return Err(ModelError::metadata(MERGES, format!("{merge:?} is no pair")));
        };
        if ![left, right, &format!("{left}{right}")].iter().any(|part| others.contains(part)) {
            pairs.push((left.to_owned(), right.to_owned()));
        }
    }
    Ok(pairs)
}

/// How byte-level tokens spell a byte: GPT-2's table, printable bytes for themselves and the rest from U+0100 on.
fn char_of(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !is_printable(*b)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The byte that a character of a byte-level token stands for.
fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        c @ 0..0x100 => u8::try_from(c).ok().filter(|b| is_printable(*b)),
        c => (0..=u8::MAX).filter(|b| !is_printable(*b)).nth((c - 0x100) as usize),
    }
}

/// Bytes of a token.
pub(super) fn token_bytes(text: &str, kind: TokenKind) -> Cow<'_, [u8]> {
    let spelled = match kind {
        TokenKind::Control | TokenKind::UserDefined | TokenKind::Unknown => None,
        _ => text.chars().map(byte_of).collect::<Option<Vec<u8>>>(),
    };
    spelled.map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)
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
        assert!((0..=255).all(|b| byte_of(char_of(b)) == Some(b)));
    }
}
