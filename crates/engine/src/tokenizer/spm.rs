//! SentencePiece BPE (`llama` in GGUF): merges the neighbours whose joined piece scores best, then spells what is
//! no piece in byte tokens.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::BinaryHeap,
    hash::{BuildHasher, RandomState},
};

use hashbrown::HashTable;

use super::TokenKind;
use crate::{
    ModelError,
    gguf::{Header, Texts, Value},
};

const SPACE: char = '▁';

#[derive(Debug)]
pub(super) struct Spm {
    pieces: Pieces,
    /// Token of each byte.
    bytes: Vec<u32>,
    add_space_prefix: bool,
}

/// Ids of the tokens that merging may make, to be found by their texts, which lie elsewhere.
#[derive(Debug)]
struct Pieces {
    ids: HashTable<u32>,
    hasher: RandomState,
    /// Of each token's score.
    ranks: Vec<i32>,
}

impl Pieces {
    /// Adds a token, unless another has its text.
    fn add(&mut self, texts: &Texts, id: u32) {
        let hash = |id: &u32| self.hasher.hash_one(texts.get(*id as usize));
        let same = |other: &u32| texts.get(*other as usize) == texts.get(id as usize);
        self.ids.entry(hash(&id), same, hash).or_insert(id);
    }

    /// Id and rank of the token with this text.
    fn find(&self, texts: &Texts, text: &str) -> Option<(u32, i32)> {
        let id =
            *self.ids.find(self.hasher.hash_one(Some(text)), |id| texts.get(*id as usize) == Some(text))?;
        Some((id, self.ranks[id as usize]))
    }
}

/// A piece of the text while it is being merged; a doubly linked list over an array.
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// A single's bits as an integer in the same order. NaN is refused before.
fn rank(bits: u32) -> i32 {
    let bits = bits as i32;
    if bits < 0 { (bits ^ i32::MAX).wrapping_add(1) } else { bits }
}

impl Spm {
    pub(super) fn from_header(
        header: &Header,
        texts: &Texts,
        kinds: &[TokenKind],
    ) -> Result<Self, ModelError> {
        let key = "tokenizer.ggml.scores";
        let scores = match header.metadata.get(key) {
            Some(Value::F32s(scores)) if scores.len() == texts.len() => scores,
            Some(_) => return Err(ModelError::metadata(key, "is no array of one float a token")),
            None => return Err(ModelError::metadata(key, "is missing")),
        };
        if scores.iter().any(|s| s << 1 > 0xff00_0000) {
            return Err(ModelError::metadata(key, "has a NaN"));
        }
        let mut pieces = Pieces {
            ids: HashTable::with_capacity(texts.len()),
            hasher: RandomState::new(),
            ranks: scores.iter().map(|score| rank(*score)).collect(),
        };
        let mut bytes = vec![None; 256];
        for (id, (text, kind)) in (0u32..).zip(texts.iter().zip(kinds)) {
            match kind {
                TokenKind::Byte => {
                    let byte = byte_of(text).ok_or_else(|| {
                        ModelError::metadata("tokenizer.ggml.tokens", format!("{text:?} is no byte token"))
                    })?;
                    bytes[usize::from(byte)] = Some(id);
                }
                TokenKind::Normal | TokenKind::UserDefined => {
                    pieces.add(texts, id);
                }
                _ => {}
            }
        }
        let bytes: Option<Vec<u32>> = bytes.into_iter().collect();
        let bytes =
            bytes.ok_or_else(|| ModelError::metadata("tokenizer.ggml.tokens", "lacks byte tokens"))?;
        let add_space_prefix = header.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { pieces, bytes, add_space_prefix })
    }

    /// Appends the ids of a text; `prefix` says that it begins a text or follows a special token.
    pub(super) fn encode(&self, texts: &Texts, text: &str, prefix: bool, out: &mut Vec<u32>) {
        let mut escaped = String::with_capacity(text.len() + 3);
        if prefix && self.add_space_prefix {
            escaped.push(SPACE);
        }
        escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let symbols = self.merge(texts, &escaped);
        let mut at = (!symbols.is_empty()).then_some(0);
        while let Some(i) = at {
            let piece = &escaped[symbols[i].start..symbols[i].end];
            match self.pieces.find(texts, piece) {
                Some((id, _)) => out.push(id),
                // Only a single character can be no piece: merging makes pieces.
                None => out.extend(piece.bytes().map(|b| self.bytes[usize::from(b)])),
            }
            at = symbols[i].next;
        }
    }

    /// Merges pairs, best score first, then leftmost. Symbol 0 begins the list; merged ones drop out of it.
    fn merge(&self, texts: &Texts, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::new();
        for (i, (start, c)) in text.char_indices().enumerate() {
            let end = start + c.len_utf8();
            let next = (end < text.len()).then_some(i + 1);
            symbols.push(Symbol { start, end, previous: i.checked_sub(1), next });
        }
        let mut queue = BinaryHeap::new();
        let candidate = |symbols: &[Symbol], left: usize, right: usize| {
            let (start, end) = (symbols[left].start, symbols[right].end);
            let found = self.pieces.find(texts, &text[start..end]);
            found.map(|(_, rank)| (rank, Reverse(left), right, end - start))
        };
        for right in 1..symbols.len() {
            queue.extend(candidate(&symbols, right - 1, right));
        }
        while let Some((_, Reverse(left), right, len)) = queue.pop() {
            // Stale unless both are still neighbours and as long as when they were queued.
            let merged = symbols[left].next == Some(right)
                && symbols[right].end.saturating_sub(symbols[left].start) == len
                && symbols[left].start < symbols[left].end
                && symbols[right].start < symbols[right].end;
            if !merged {
                continue;
            }
            symbols[left].end = symbols[right].end;
            symbols[left].next = symbols[right].next;
            symbols[right].start = symbols[right].end;
            if let Some(next) = symbols[left].next {
                symbols[next].previous = Some(left);
                queue.extend(candidate(&symbols, left, next));
            }
            if let Some(previous) = symbols[left].previous {
                queue.extend(candidate(&symbols, previous, left));
            }
        }
        symbols
    }
}

fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}

/// Bytes of a token; loading has seen that every byte token names one.
pub(super) fn token_bytes(text: &str, kind: TokenKind) -> Cow<'_, [u8]> {
    match kind {
        TokenKind::Byte => {
            byte_of(text).map_or(Cow::Borrowed(text.as_bytes()), |byte| Cow::Owned(vec![byte]))
        }
        TokenKind::Normal if text.contains(SPACE) => Cow::Owned(text.replace(SPACE, " ").into_bytes()),
        _ => Cow::Borrowed(text.as_bytes()),
    }
}
