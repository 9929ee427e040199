//! What is fuzzed. `crates/engine/tests/corpus.rs` runs the same functions over the corpora.
//!
//! A function takes any bytes and panics where a property does not hold.

#![allow(clippy::unwrap_used, clippy::panic)]

use assay_engine::{Backend, ChatMessage, Model, Options, Tokenizer, run};
use assay_protocol::{InferenceInput, Sampling};

/// A function over bytes, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 3] =
    [("gguf_loader", gguf_loader), ("tokenizer", tokenizer), ("canonical_input", canonical_input)];

/// Any bytes as a model file: refused, or good for two tokens, the same from every back end.
pub fn gguf_loader(data: &[u8]) {
    let Ok(model) = Model::from_bytes(data) else { return };
    text(model.tokenizer(), "Hello, w\u{f6}rld \u{65e5} 12");
    if let Some(template) = model.chat_template() {
        let message = |role: &str| ChatMessage { role: role.into(), content: " Hi ".into() };
        let _ = template.render(&[message("system"), message("user")], true);
    }
    let sampling = Sampling { seed: 3, temperature: 1000, top_p: 900, top_k: 5 };
    let input = InferenceInput { nonce: [0; 16], max_tokens: 2, sampling, stop: vec![], tokens: vec![0] };
    let outcome = |backend| run(&model, &input, None, Options { backend, ..Options::default() });
    // A context of one position has no place for an output.
    let Ok(first) = outcome(Backend::Auto) else { return };
    for backend in Backend::available() {
        assert_eq!(outcome(backend).unwrap(), first);
    }
}

/// Vocabularies of all kinds, made of the bytes, and the rest of the bytes as a text.
pub fn tokenizer(data: &[u8]) {
    let mut data = Bytes(data);
    let metadata = vocabulary(&mut data);
    let Ok(model) = Model::from_bytes(&metadata) else { return };
    text(model.tokenizer(), &String::from_utf8_lossy(data.0));
    // Ids in any order, as a model may choose them.
    let ids: Vec<u32> =
        data.0.iter().map(|b| u32::from(*b)).filter(|id| *id < model.tokenizer().vocabulary()).collect();
    stream(model.tokenizer(), &ids);
}

/// Canonical inputs: what decodes is its own encoding.
pub fn canonical_input(data: &[u8]) {
    let Ok(input) = InferenceInput::decode(data) else { return };
    assert_eq!(input.encode().unwrap(), data);
    assert_eq!(input.encoded_len(), data.len());
    input.validate().unwrap();
    input.hash().unwrap();
}

/// What holds for every tokenizer and text.
fn text(tokenizer: &Tokenizer, text: &str) {
    if let Ok(ids) = tokenizer.encode(text, false) {
        assert!(!ids.iter().any(|id| tokenizer.is_special(*id)), "a control token out of plain text");
        let back = stream(tokenizer, &ids);
        // SentencePiece writes a space as ▁ and may put one in front of every part.
        let spaceless = |text: &str| text.replace([' ', '▁'], "");
        assert_eq!(spaceless(&back), spaceless(text));
    }
    if let Ok(ids) = tokenizer.encode(text, true) {
        assert!(ids.iter().all(|id| *id < tokenizer.vocabulary()));
        let prompt = tokenizer.encode_prompt(text).unwrap();
        assert!(prompt.ends_with(&ids) && prompt.len() - ids.len() < 2);
    }
}

/// Decodes ids in one go and one by one.
fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id).unwrap().to_vec()).collect();
    let whole = tokenizer.decode(ids, false).unwrap();
    assert_eq!(whole, String::from_utf8_lossy(&bytes));
    let mut detokenizer = tokenizer.detokenizer(true);
    for id in ids {
        detokenizer.push(*id).unwrap();
    }
    detokenizer.finish();
    whole
}

/// Takes values off the front; zeros where nothing is left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn text(&mut self) -> String {
        let len = usize::from(self.byte() % 16).min(self.0.len());
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

const PRE: [&str; 8] =
    ["gpt-2", "llama-bpe", "qwen2", "smollm", "tekken", "default", "deepseek-r1-qwen", "unknown"];

/// A model file of the smallest shape around a vocabulary: flags, which cutting, tokens, merges or scores.
fn vocabulary(data: &mut Bytes<'_>) -> Vec<u8> {
    let flags = data.byte();
    let byte_level = flags & 1 == 0;
    let mut tokens: Vec<(String, u32)> = Vec::new();
    if flags & 2 == 0 {
        tokens.extend(
            (0..=255).map(|b| if byte_level { (spelled(b), 1) } else { (format!("<0x{b:02X}>"), 6) }),
        );
    }
    for _ in 0..data.byte() % 64 {
        let kind = [1, 2, 3, 4, 5, 6, 1, 4][usize::from(data.byte() % 8)];
        tokens.push((data.text(), kind));
    }
    let count = tokens.len();
    let mut file = Gguf::default();
    file.text("tokenizer.ggml.model", if byte_level { "gpt2" } else { "llama" });
    file.texts("tokenizer.ggml.tokens", tokens.iter().map(|(text, _)| text.clone()));
    file.words("tokenizer.ggml.token_type", 5, tokens.iter().map(|(_, kind)| *kind));
    if byte_level {
        file.text("tokenizer.ggml.pre", PRE[usize::from(data.byte()) % PRE.len()]);
        let mut merges = Vec::new();
        for _ in 0..data.byte() % 64 {
            let [left, right] = [(); 2].map(|()| {
                let index = usize::from(data.byte()) | usize::from(data.byte() % 2) << 8;
                tokens.get(index % count.max(1)).map(|(text, _)| text.as_str()).unwrap_or_default()
            });
            merges.push(format!("{left} {right}"));
        }
        file.texts("tokenizer.ggml.merges", merges.into_iter());
    } else {
        let scores: Vec<u32> = tokens.iter().map(|_| u32::from(data.byte()) << 24 | 0x40_0000).collect();
        file.words("tokenizer.ggml.scores", 6, scores.into_iter());
        file.flag("tokenizer.ggml.add_space_prefix", flags & 4 == 0);
    }
    if flags & 8 == 0 {
        file.number("tokenizer.ggml.bos_token_id", data.byte().into());
        file.flag("tokenizer.ggml.add_bos_token", flags & 16 == 0);
    }
    file.finish(count as u64)
}

/// How byte-level tokens spell a byte.
fn spelled(byte: u8) -> String {
    let printable = |b: &u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..byte).filter(|b| !printable(b)).count() as u32;
    let c = if printable(&byte) { u32::from(byte) } else { 0x100 + others };
    char::from_u32(c).unwrap().to_string()
}

/// Writes a model file.
#[derive(Default)]
struct Gguf {
    entries: u64,
    bytes: Vec<u8>,
}

impl Gguf {
    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn entry(&mut self, key: &str, kind: u32) {
        self.entries += 1;
        self.string(key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn number(&mut self, key: &str, value: u32) {
        self.entry(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.entry(key, 7);
        self.bytes.push(value.into());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.entry(key, 8);
        self.string(value);
    }

    fn texts(&mut self, key: &str, values: impl ExactSizeIterator<Item = String>) {
        self.entry(key, 9);
        self.bytes.extend(8u32.to_le_bytes());
        self.bytes.extend((values.len() as u64).to_le_bytes());
        values.for_each(|value| self.string(&value));
    }

    /// An array of 4-byte values.
    fn words(&mut self, key: &str, kind: u32, values: impl ExactSizeIterator<Item = u32>) {
        self.entry(key, 9);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((values.len() as u64).to_le_bytes());
        values.for_each(|value| self.bytes.extend(value.to_le_bytes()));
    }

    /// Adds shape and weights for a vocabulary of this many.
    fn finish(mut self, vocabulary: u64) -> Vec<u8> {
        self.text("general.architecture", "llama");
        for (key, value) in [
            ("context_length", 8),
            ("embedding_length", 2),
            ("block_count", 1),
            ("feed_forward_length", 1),
            ("attention.head_count", 1),
        ] {
            self.number(&format!("llama.{key}"), value);
        }
        self.entry("llama.attention.layer_norm_rms_epsilon", 6);
        self.bytes.extend(0x3727_c5acu32.to_le_bytes());
        let tensors: [(&str, &[u64]); 11] = [
            ("token_embd", &[2, vocabulary]),
            ("output_norm", &[2]),
            ("blk.0.attn_norm", &[2]),
            ("blk.0.attn_q", &[2, 2]),
            ("blk.0.attn_k", &[2, 2]),
            ("blk.0.attn_v", &[2, 2]),
            ("blk.0.attn_output", &[2, 2]),
            ("blk.0.ffn_norm", &[2]),
            ("blk.0.ffn_gate", &[2, 1]),
            ("blk.0.ffn_up", &[2, 1]),
            ("blk.0.ffn_down", &[1, 2]),
        ];
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        let mut offset = 0u64;
        for (name, dims) in tensors {
            self.string(&format!("{name}.weight"));
            self.bytes.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| self.bytes.extend(d.to_le_bytes()));
            self.bytes.extend(1u32.to_le_bytes());
            self.bytes.extend(offset.to_le_bytes());
            offset += (2 * dims.iter().product::<u64>()).next_multiple_of(32);
        }
        out.append(&mut self.bytes);
        let end = out.len().next_multiple_of(32) + offset as usize;
        out.resize(end, 0);
        out
    }
}
