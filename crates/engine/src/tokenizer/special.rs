//! Finds special tokens that are spelled out in a text.

use std::collections::BTreeMap;

use super::TokenKind;
use crate::gguf::Texts;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Token(u32),
}

/// Control tokens, the unknown token among them, and user-defined ones by their first byte, longest first.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    by_first: BTreeMap<u8, Vec<(String, u32, TokenKind)>>,
}

impl SpecialTokens {
    pub(super) fn new(texts: &Texts, kinds: &[TokenKind]) -> Self {
        let mut by_first: BTreeMap<u8, Vec<(String, u32, TokenKind)>> = BTreeMap::new();
        for (id, (text, kind)) in (0u32..).zip(texts.iter().zip(kinds)) {
            let special = matches!(kind, TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined);
            if let Some(first) = text.as_bytes().first().filter(|_| special) {
                by_first.entry(*first).or_default().push((text.to_owned(), id, *kind));
            }
        }
        for tokens in by_first.values_mut() {
            tokens.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.1.cmp(&b.1)));
        }
        Self { by_first }
    }

    /// Splits at special tokens, leftmost first, then longest. Without `parse_special` only user-defined tokens
    /// count: control tokens are then text like any other.
    pub(super) fn split<'a>(&self, text: &'a str, parse_special: bool) -> Vec<Piece<'a>> {
        let mut out = Vec::new();
        let (mut start, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let found = self.by_first.get(&rest[0]).and_then(|tokens| {
                let counts = |kind| parse_special || kind == TokenKind::UserDefined;
                tokens.iter().find(|(t, _, kind)| counts(*kind) && rest.starts_with(t.as_bytes()))
            });
            match found {
                // A match is whole UTF-8 text, so both of its ends are character boundaries.
                Some((token, id, _)) => {
                    if start < at {
                        out.push(Piece::Text(&text[start..at]));
                    }
                    out.push(Piece::Token(*id));
                    at += token.len();
                    start = at;
                }
                None => at += 1,
            }
        }
        if start < text.len() {
            out.push(Piece::Text(&text[start..]));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftmost_longest_and_only_where_asked() {
        let texts = ["<a>", "<a>b", "x", "<u>", "é<"].into_iter().collect();
        let kinds = [
            TokenKind::Control,
            TokenKind::Control,
            TokenKind::Normal,
            TokenKind::UserDefined,
            TokenKind::Control,
        ];
        let special = SpecialTokens::new(&texts, &kinds);
        use Piece::{Text, Token};
        assert_eq!(special.split("x<a>bé<a>", true), [Text("x"), Token(1), Token(4), Text("a>")]);
        assert_eq!(special.split("<a><u>", false), [Text("<a>"), Token(3)]);
        assert_eq!(special.split("", true), []);
        assert_eq!(special.split("日本<a>", true), [Text("日本"), Token(0)]);
    }
}
