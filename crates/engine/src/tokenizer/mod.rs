//! Text to token ids and back, from the vocabulary of the model file.
//!
//! Two methods, by `tokenizer.ggml.model`: `gpt2`, byte-level BPE with the cutting that `tokenizer.ggml.pre` names, and
//! `llama`, SentencePiece's BPE (Llama 2, Mistral, Gemma). Ids are those of Hugging Face's tokenizers, SentencePiece and
//! llama.cpp; `tests/vectors/tokenizers.json` holds them to it. Where these differ, or do harm:
//! - Nothing is normalized, as in llama.cpp: a model file does not say that Qwen's own tokenizer composes characters.
//! - `tekken` cuts as the model's own tokenizer does; llama.cpp takes combining marks for no part of a word.
//! - Plain text never becomes a control token, even where the merges lead to one.
//! - A byte that no token spells is an error. The others drop it.

mod bpe;
mod detokenizer;
mod special;
mod spm;

use std::{borrow::Cow, sync::Arc};

use alloy_primitives::{B256, Keccak256};

pub use detokenizer::Detokenizer;

use self::{bpe::Bpe, special::SpecialTokens, spm::Spm};
use crate::{
    ModelError, TokenizerError,
    gguf::{Header, Texts, Value},
};

/// What a token is, as GGUF numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl TokenKind {
    fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

#[derive(Debug)]
enum Method {
    Bpe(Box<Bpe>),
    Spm(Spm),
}

/// A model's tokenizer. Clones share the vocabulary.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    method: Method,
    texts: Texts,
    kinds: Vec<TokenKind>,
    special: SpecialTokens,
    bos: Option<u32>,
    eos: Option<u32>,
    eot: Option<u32>,
    /// Every token that ends a text, ascending.
    end: Vec<u32>,
    add_bos: bool,
    commitment: B256,
}

impl Tokenizer {
    pub(crate) fn from_header(header: &Header) -> Result<Self, ModelError> {
        let texts = match header.metadata.get("tokenizer.ggml.tokens") {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => return Err(ModelError::metadata("tokenizer.ggml.tokens", "is no array of texts")),
        };
        let kinds = kinds(header, texts.len())?;
        let (method, add_bos) = match header.text("tokenizer.ggml.model")? {
            Some("gpt2") => {
                let (bpe, add_bos) = Bpe::from_header(header, &texts, &kinds)?;
                (Method::Bpe(Box::new(bpe)), add_bos)
            }
            Some("llama") => (Method::Spm(Spm::from_header(header, &texts, &kinds)?), true),
            Some(other) => {
                let reason = format!("{other:?} is not implemented; gpt2 and llama are");
                return Err(ModelError::metadata("tokenizer.ggml.model", reason));
            }
            None => return Err(ModelError::metadata("tokenizer.ggml.model", "is missing")),
        };
        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            // The shape bounds the number of tokens to 2^20.
            header.int(&key, 0, (texts.len() as u32).saturating_sub(1))
        };
        let (bos, eos, eot, eom) = (id("bos")?, id("eos")?, id("eot")?, id("eom")?);
        let mut end: Vec<u32> = [eos, eot, eom].into_iter().flatten().collect();
        end.sort_unstable();
        end.dedup();
        let inner = Inner {
            special: SpecialTokens::new(&texts, &kinds),
            commitment: commitment(header, &end),
            add_bos: header.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(add_bos),
            method,
            texts,
            kinds,
            bos,
            eos,
            eot,
            end,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Token ids of a text, without a begin token in front. Special tokens spelled out in the text become tokens if
    /// `parse_special`, plain text otherwise: pass `false` for text that a stranger wrote.
    pub fn encode(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut out = Vec::new();
        let mut after_special = true;
        for piece in self.inner.special.split(text, parse_special) {
            match piece {
                special::Piece::Token(id) => {
                    out.push(id);
                    after_special = true;
                }
                special::Piece::Text(text) => {
                    match &self.inner.method {
                        Method::Bpe(bpe) => bpe.encode(text, &mut out)?,
                        Method::Spm(spm) => spm.encode(&self.inner.texts, text, after_special, &mut out),
                    }
                    after_special = false;
                }
            }
        }
        Ok(out)
    }

    /// Token ids of a rendered prompt: special tokens are parsed, and a begin token comes first, once, if the model
    /// file asks for one or the prompt already starts with it.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.encode(prompt, true)?;
        if let Some(bos) = self.inner.bos.filter(|bos| self.inner.add_bos && ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// Bytes that a token stands for. They need not be UTF-8 by themselves.
    pub fn token_bytes(&self, id: u32) -> Result<Cow<'_, [u8]>, TokenizerError> {
        let Inner { texts, kinds, method, .. } = &*self.inner;
        let (text, kind) =
            texts.get(id as usize).zip(kinds.get(id as usize)).ok_or(TokenizerError::UnknownToken(id))?;
        Ok(match method {
            Method::Bpe(_) => bpe::token_bytes(text, *kind),
            Method::Spm(_) => spm::token_bytes(text, *kind),
        })
    }

    /// Text of a sequence of tokens, the same that [`Tokenizer::detokenizer`] streams. Bytes that are not UTF-8
    /// become U+FFFD. Control tokens are left out if `skip_special`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        let mut stream = self.detokenizer(skip_special);
        let mut text = String::new();
        for id in ids {
            text.push_str(&stream.push(*id)?);
        }
        text.push_str(&stream.finish());
        Ok(text)
    }

    /// Starts a stream of tokens to text.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        Detokenizer::new(self.clone(), skip_special)
    }

    /// Whether the token is a control token, that is no text.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.inner.kinds.get(id as usize), Some(TokenKind::Control | TokenKind::Unknown))
    }

    /// The token's text in the model file.
    pub fn token_text(&self, id: u32) -> Option<&str> {
        self.inner.texts.get(id as usize)
    }

    /// Number of tokens.
    pub fn vocabulary(&self) -> u32 {
        self.inner.texts.len() as u32
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.inner.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.inner.eos
    }

    /// The token that ends a turn of a chat.
    pub fn eot(&self) -> Option<u32> {
        self.inner.eot
    }

    /// Every token that ends a generation, ascending.
    pub fn end_tokens(&self) -> &[u32] {
        &self.inner.end
    }

    /// Hash of the tokenizer's metadata: part of the model root.
    pub(crate) fn commitment(&self) -> B256 {
        self.inner.commitment
    }
}

fn kinds(header: &Header, count: usize) -> Result<Vec<TokenKind>, ModelError> {
    let key = "tokenizer.ggml.token_type";
    let numbers = match header.metadata.get(key) {
        None => return Ok(vec![TokenKind::Normal; count]),
        Some(Value::Ints(numbers)) if numbers.len() == count => numbers,
        Some(Value::Ints(numbers)) => {
            return Err(ModelError::metadata(key, format!("{} kinds of {count} tokens", numbers.len())));
        }
        Some(_) => return Err(ModelError::metadata(key, "is no array of integers")),
    };
    let kind = |n: &i64| {
        TokenKind::from_number(*n)
            .ok_or_else(|| ModelError::metadata(key, format!("{n} is no kind of token")))
    };
    numbers.iter().map(kind).collect()
}

/// Hash of the ids that end a generation and of all `tokenizer.*` entries in the order of their keys: each key, the
/// type's name and the values, every text with its length in front.
fn commitment(header: &Header, end: &[u32]) -> B256 {
    fn text(hasher: &mut Keccak256, text: &str) {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let mut hasher = Keccak256::new();
    hasher.update((end.len() as u64).to_be_bytes());
    for id in end {
        hasher.update(id.to_be_bytes());
    }
    for (key, value) in header.metadata.iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
        text(&mut hasher, key);
        match value {
            Value::Int(v) => {
                text(&mut hasher, "int");
                hasher.update(v.to_be_bytes());
            }
            Value::Bool(v) => {
                text(&mut hasher, "bool");
                hasher.update([u8::from(*v)]);
            }
            Value::F32(v) => {
                text(&mut hasher, "single");
                hasher.update(v.to_be_bytes());
            }
            Value::Text(v) => {
                text(&mut hasher, "text");
                text(&mut hasher, v);
            }
            Value::Texts(values) => {
                text(&mut hasher, "texts");
                hasher.update((values.len() as u64).to_be_bytes());
                values.iter().for_each(|v| text(&mut hasher, v));
            }
            Value::Ints(values) => {
                text(&mut hasher, "ints");
                hasher.update((values.len() as u64).to_be_bytes());
                values.iter().for_each(|v| hasher.update(v.to_be_bytes()));
            }
            Value::F32s(values) => {
                text(&mut hasher, "singles");
                hasher.update((values.len() as u64).to_be_bytes());
                values.iter().for_each(|v| hasher.update(v.to_be_bytes()));
            }
            Value::Other => text(&mut hasher, "other"),
        }
    }
    hasher.finalize()
}
