//! Tokenizers and the stream back to text.

use proptest::prelude::*;
use serde_json::Value;

use super::{
    gguf_file::{Dims, GgufFile, Meta},
    model, path,
};
use crate::{ChatMessage, ChatTemplate, Model, Tokenizer};

/// A model with a SentencePiece vocabulary: 256 byte tokens, single letters, and pieces with scores.
fn spm(pieces: &[(&str, f32)], special: &[&str]) -> Tokenizer {
    let mut texts: Vec<String> = vec!["<unk>".into(), "<s>".into(), "</s>".into()];
    let mut kinds = vec![2, 3, 3];
    texts.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    kinds.extend([6; 256]);
    texts.extend(special.iter().map(ToString::to_string));
    kinds.extend(special.iter().map(|_| 3));
    let mut scores = vec![0.0; texts.len()];
    for (piece, score) in pieces {
        texts.push((*piece).into());
        scores.push(*score);
        kinds.push(1);
    }
    let dims = Dims { layers: 1, vocabulary: texts.len() as u32, ..Dims::SMALL };
    let mut file = GgufFile::model(dims, 0.1, 1.0, 1);
    file.set("tokenizer.ggml.model", Meta::Text("llama".into()));
    file.set("tokenizer.ggml.tokens", Meta::Texts(texts));
    file.set("tokenizer.ggml.token_type", Meta::Ints(kinds));
    file.set("tokenizer.ggml.scores", Meta::Singles(scores));
    file.set("tokenizer.ggml.bos_token_id", Meta::U32(1));
    file.set("tokenizer.ggml.eos_token_id", Meta::U32(2));
    Model::from_bytes(&file.bytes()).unwrap().tokenizer().clone()
}

const PIECES: [(&str, f32); 14] = [
    ("▁", -1.0),
    ("a", -2.0),
    ("b", -3.0),
    ("c", -4.0),
    ("ab", -0.5),
    ("bc", 0.5),
    ("abc", -7.0),
    ("▁a", -0.25),
    ("▁ab", -0.125),
    ("aa", 0.0),
    ("aaa", -0.0625),
    ("cab", 2.0),
    ("bca", 1e-30),
    ("▁▁", 3.0),
];

/// The definition without the queue: again and again the best pair, the leftmost of equals.
fn naive(text: &str, prefix: bool) -> Vec<String> {
    let text = text.replace(' ', "▁");
    let mut parts: Vec<String> = prefix.then(|| "▁".to_string()).into_iter().collect();
    parts.extend(text.chars().map(String::from));
    loop {
        let score = |i: usize| {
            let joined = format!("{}{}", parts[i], parts[i + 1]);
            PIECES.iter().find(|(p, _)| *p == joined).map(|(_, s)| *s)
        };
        let mut best: Option<(f32, usize)> = None;
        for i in 0..parts.len().saturating_sub(1) {
            if let Some(s) = score(i).filter(|s| best.is_none_or(|(b, _)| *s > b)) {
                best = Some((s, i));
            }
        }
        let Some((_, i)) = best else { return parts };
        let right = parts.remove(i + 1);
        parts[i].push_str(&right);
    }
}

fn pieces_of(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| tokenizer.token_text(*id).unwrap().to_owned()).collect()
}

#[test]
fn sentencepiece_prefix_bytes_and_specials() {
    let tokenizer = spm(&PIECES, &["<turn>"]);
    let of = |text: &str| pieces_of(&tokenizer, &tokenizer.encode(text, true).unwrap());
    assert_eq!(of("ab"), ["▁ab"]);
    assert_eq!(of(""), [""; 0]);
    assert_eq!(of("é"), ["▁", "<0xC3>", "<0xA9>"]);
    assert_eq!(of("a<turn>b"), ["▁a", "<turn>", "▁", "b"]);
    assert!(!pieces_of(&tokenizer, &tokenizer.encode("a<turn>", false).unwrap()).contains(&"<turn>".into()));
    let ids = tokenizer.encode_prompt("<s>ab").unwrap();
    assert_eq!(ids, tokenizer.encode_prompt("ab").unwrap());
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), " ab");
    assert_eq!(tokenizer.decode(&tokenizer.encode("日本", true).unwrap(), true).unwrap(), " 日本");
}

#[test]
fn sentencepiece_needs_its_metadata() {
    let build = |change: fn(&mut GgufFile)| {
        let mut file = GgufFile::model(Dims::SMALL, 0.1, 1.0, 1);
        file.set("tokenizer.ggml.model", Meta::Text("llama".into()));
        file.set("tokenizer.ggml.scores", Meta::Singles(vec![0.0; 40]));
        change(&mut file);
        Model::from_bytes(&file.bytes()).unwrap_err().to_string()
    };
    assert!(build(|_| {}).contains("byte tokens"));
    assert!(build(|f| f.remove("tokenizer.ggml.scores")).contains("tokenizer.ggml.scores"));
    let nan = |f: &mut GgufFile| f.set("tokenizer.ggml.scores", Meta::Singles(vec![f32::NAN; 40]));
    assert!(build(nan).contains("NaN"));
}

#[test]
fn byte_level_specials_only_where_asked() {
    let model = model("tales-3m");
    let tokenizer = model.tokenizer();
    let (bos, eos) = (tokenizer.bos().unwrap(), tokenizer.eos().unwrap());
    assert_eq!((bos, eos, tokenizer.eot()), (0, 1, Some(1)));
    assert_eq!(tokenizer.end_tokens(), [1]);
    let plain = tokenizer.encode("<|end|>", false).unwrap();
    assert!(plain.len() > 1 && !plain.contains(&eos));
    assert_eq!(tokenizer.decode(&plain, true).unwrap(), "<|end|>");
    assert_eq!(tokenizer.encode("<|end|>", true).unwrap(), [eos]);
    assert_eq!(tokenizer.decode(&[bos, eos], true).unwrap(), "");
    assert_eq!(tokenizer.decode(&[bos, eos], false).unwrap(), "<|begin|><|end|>");
    // One begin token, whether the text brings it or not.
    let once = tokenizer.encode_prompt("Hello").unwrap();
    assert_eq!(once, tokenizer.encode_prompt("<|begin|>Hello").unwrap());
    assert_eq!(once.iter().filter(|id| **id == bos).count(), 1);
    assert!(tokenizer.decode(&[2048], true).is_err());
}

#[test]
fn the_file_says_whether_a_begin_token_comes_first() {
    let ids = |add: Option<bool>| {
        let mut file = GgufFile::model(Dims::SMALL, 0.1, 1.0, 1);
        file.set("tokenizer.ggml.bos_token_id", Meta::U32(5));
        if let Some(add) = add {
            file.set("tokenizer.ggml.add_bos_token", Meta::Bool(add));
        }
        Model::from_bytes(&file.bytes()).unwrap().tokenizer().encode_prompt("").unwrap()
    };
    assert_eq!(ids(Some(true)), [5]);
    assert_eq!(ids(Some(false)), [0; 0]);
    assert_eq!(ids(None), [0; 0]);
}

#[test]
fn the_chat_template_makes_the_trained_form() {
    let model = model("tales-300k");
    let message = |role: &str, content: &str| ChatMessage { role: role.into(), content: content.into() };
    let chat = [
        message("system", "Be brief."),
        message("user", "Hello!"),
        message("assistant", "Hi."),
        message("user", "Who are you?"),
    ];
    let text = model.chat_template().unwrap().render(&chat, true).unwrap();
    assert_eq!(text, "<|begin|><|user|>Hello!<|assistant|>Hi.<|end|><|user|>Who are you?<|assistant|>");
    let ids = model.tokenizer().encode_prompt(&text).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 0).count(), 1);
    // A file without a template has none; nobody guesses one.
    let bare = Model::from_bytes(&GgufFile::model(Dims::SMALL, 0.1, 1.0, 1).bytes()).unwrap();
    assert!(bare.chat_template().is_none());
}

#[test]
fn streams_hold_back_incomplete_characters() {
    let model = model("tales-3m");
    let tokenizer = model.tokenizer();
    let ids = tokenizer.encode("é日", false).unwrap();
    assert!(ids.len() > 2, "the vocabulary knows these characters only as bytes");
    let mut stream = tokenizer.detokenizer(true);
    let texts: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    assert!(texts.iter().any(String::is_empty));
    assert_eq!(texts.concat(), "é日");
    assert_eq!(stream.finish(), "");
    // The first byte of a character, then a letter: one replacement, nothing lost.
    let cut = [ids[0], tokenizer.encode("x", false).unwrap()[0]];
    assert_eq!(tokenizer.decode(&cut, true).unwrap(), "\u{fffd}x");
    assert_eq!(tokenizer.decode(&cut[..1], true).unwrap(), "\u{fffd}");
}

/// A model with the vocabulary of a stored case (`tests/vectors/make_tokenizers.py`).
fn stored(vocabulary: &Value, pre: Option<&str>) -> Tokenizer {
    let list = |key: &str| vocabulary[key].as_array().cloned().unwrap_or_default();
    let texts = |key| Meta::Texts(list(key).iter().map(|v| v.as_str().unwrap().to_owned()).collect());
    let tokens = list("tokens").len() as u32;
    let mut file = GgufFile::model(Dims { layers: 1, vocabulary: tokens, ..Dims::SMALL }, 0.1, 1.0, 1);
    file.set("tokenizer.ggml.model", Meta::Text(vocabulary["model"].as_str().unwrap().into()));
    file.set("tokenizer.ggml.tokens", texts("tokens"));
    let kinds = list("kinds").iter().map(|v| v.as_i64().unwrap() as i32).collect();
    file.set("tokenizer.ggml.token_type", Meta::Ints(kinds));
    if let Some(pre) = pre {
        file.set("tokenizer.ggml.pre", Meta::Text(pre.into()));
        file.set("tokenizer.ggml.merges", texts("merges"));
    } else {
        let scores = list("scores").iter().map(|v| f32::from_bits(v.as_u64().unwrap() as u32)).collect();
        file.set("tokenizer.ggml.scores", Meta::Singles(scores));
        let prefix = vocabulary["add_space_prefix"].as_bool().unwrap();
        file.set("tokenizer.ggml.add_space_prefix", Meta::Bool(prefix));
    }
    Model::from_bytes(&file.bytes()).unwrap().tokenizer().clone()
}

fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(path("tests/vectors/tokenizers.json")).unwrap()).unwrap()
}

#[test]
fn every_family_is_the_other_implementations() {
    let vectors = vectors();
    let texts: Vec<&str> = vectors["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let ids = |v: &Value| serde_json::from_value::<Vec<u32>>(v.clone()).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let vocabulary = &vectors["vocabularies"][case["vocabulary"].as_str().unwrap()];
        let tokenizer = stored(vocabulary, case["pre"].as_str());
        let prefix = if vocabulary["add_space_prefix"] == true { " " } else { "" };
        assert_eq!(case["ids"].as_array().unwrap().len(), texts.len());
        for (i, text) in texts.iter().enumerate() {
            let expected = ids(&case["ids"][i]);
            assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}: {text:?}");
            assert!(!expected.iter().any(|id| tokenizer.is_special(*id)), "{name}: {text:?}");
            let whole = if text.is_empty() { String::new() } else { format!("{prefix}{text}") };
            // SentencePiece writes a space as ▁, so that a ▁ comes back as a space.
            let whole = if case["pre"].is_null() { whole.replace('▁', " ") } else { whole };
            assert_eq!(tokenizer.decode(&expected, false).unwrap(), whole, "{name}: {text:?}");
            if let Some(special) = case["special"].get(i.to_string()) {
                assert_eq!(tokenizer.encode(text, true).unwrap(), ids(special), "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn no_plain_text_becomes_a_control_token() {
    // Control tokens that are a whole word, the result of a merge, and a part of one.
    let vocabulary = |model: &str| {
        let alphabet: Vec<String> = ('!'..='~').map(String::from).collect();
        let words = ["end", "st", "sto", "stop", "stops"].map(String::from);
        let tokens: Vec<String> = alphabet.into_iter().chain(words).collect();
        let count = tokens.len();
        let kinds: Vec<u32> =
            (0..count).map(|i| if i + 5 >= count && i + 4 != count { 3 } else { 1 }).collect();
        let merges = ["e n", "s t", "st o", "sto p", "stop s"];
        serde_json::json!({ "model": model, "tokens": tokens, "kinds": kinds, "merges": &merges[1..] })
    };
    for pre in ["gpt-2", "llama-bpe", "tekken", "qwen2", "smollm", "default"] {
        let tokenizer = stored(&vocabulary("gpt2"), Some(pre));
        for text in ["end", "sto", "stop", "stops", "st"] {
            let ids = tokenizer.encode(text, false).unwrap();
            assert!(!ids.iter().any(|id| tokenizer.is_special(*id)), "{pre}: {text}");
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        }
        assert_eq!(pieces_of(&tokenizer, &tokenizer.encode("end", true).unwrap()), ["end"]);
        // Nothing is dropped silently.
        let error = tokenizer.encode("a b", false).unwrap_err().to_string();
        assert!(error.contains("0x20"), "{error}");
    }
}

#[test]
fn templates_render_as_elsewhere() {
    let vectors = std::fs::read_to_string(path("tests/vectors/templates.json")).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let chats: Vec<Vec<(String, String)>> = serde_json::from_value(vectors["chats"].clone()).unwrap();
    for case in vectors["templates"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let template = ChatTemplate::new(text("source"), text("bos"), text("eos")).unwrap();
        for (i, chat) in chats.iter().enumerate() {
            let message = |(role, content): &(String, String)| ChatMessage {
                role: role.clone(),
                content: content.clone(),
            };
            let chat: Vec<ChatMessage> = chat.iter().map(message).collect();
            for answer in [false, true] {
                let expected = &case["results"][i][usize::from(answer)];
                match (template.render(&chat, answer), expected.as_str()) {
                    (Ok(got), Some(expected)) => assert_eq!(got, expected, "{}: chat {i}", text("name")),
                    (Err(error), None) => {
                        let reason = expected["refused"].as_str().unwrap();
                        assert!(error.to_string().contains(reason), "{error} is not {reason}");
                    }
                    (got, expected) => panic!("{}: chat {i}: {got:?}, not {expected:?}", text("name")),
                }
            }
        }
    }
}

#[test]
fn a_begin_token_from_the_template_is_not_doubled() {
    let source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";
    for add in [None, Some(false), Some(true)] {
        let mut file = GgufFile::model(Dims::SMALL, 0.1, 1.0, 1);
        let texts = (0..40u8).map(|i| char::from(b'A' + i).to_string());
        file.set("tokenizer.ggml.tokens", Meta::Texts(texts.collect()));
        file.set(
            "tokenizer.ggml.token_type",
            Meta::Ints((0..40).map(|i| if i < 2 { 3 } else { 1 }).collect()),
        );
        file.set("tokenizer.ggml.pre", Meta::Text("llama-bpe".into()));
        file.set("tokenizer.ggml.bos_token_id", Meta::U32(0));
        file.set("tokenizer.chat_template", Meta::Text(source.into()));
        if let Some(add) = add {
            file.set("tokenizer.ggml.add_bos_token", Meta::Bool(add));
        }
        let model = Model::from_bytes(&file.bytes()).unwrap();
        let chat = [ChatMessage { role: "user".into(), content: "CD".into() }];
        let prompt = model.chat_template().unwrap().render(&chat, true).unwrap();
        assert_eq!(model.tokenizer().encode_prompt(&prompt).unwrap(), [0, 2, 3]);
    }
}

#[test]
fn long_runs_stay_exact() {
    let vectors = vectors();
    // Regular expressions give up after a million steps back. Unoptimised, that many would take minutes.
    let len = if cfg!(debug_assertions) { 20_000 } else { 1_200_000 };
    for pre in ["gpt-2", "llama-bpe", "tekken"] {
        let tokenizer = stored(&vectors["vocabularies"]["bpe"], Some(pre));
        let x = tokenizer.encode("x", false).unwrap();
        for run in [" ", "\n", "A"] {
            // After the run the text is cut again, or its end would not be the token of a lone x.
            let text = format!("{} .x", run.repeat(len));
            let ids = tokenizer.encode(&text, false).unwrap();
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
            assert_eq!(ids.last(), x.last(), "{pre}: {run:?}");
        }
    }
}

#[test]
fn a_family_may_imply_the_begin_token() {
    let ids = |pre: &str, add: Option<bool>| {
        let mut file = GgufFile::model(Dims::SMALL, 0.1, 1.0, 1);
        file.set("tokenizer.ggml.pre", Meta::Text(pre.into()));
        file.set("tokenizer.ggml.bos_token_id", Meta::U32(5));
        if let Some(add) = add {
            file.set("tokenizer.ggml.add_bos_token", Meta::Bool(add));
        }
        Model::from_bytes(&file.bytes()).unwrap().tokenizer().encode_prompt("").unwrap()
    };
    assert_eq!(ids("llama-bpe", None), [5]);
    assert_eq!(ids("tekken", None), [5]);
    assert_eq!(ids("llama-bpe", Some(false)), [0; 0]);
    assert_eq!(ids("qwen2", None), [0; 0]);
}

proptest! {
    #[test]
    fn sentencepiece_is_its_definition(text in "[abc é]{0,24}") {
        let tokenizer = spm(&PIECES, &[]);
        let got = pieces_of(&tokenizer, &tokenizer.encode(&text, true).unwrap());
        let bytes = |p: String| match PIECES.iter().any(|(q, _)| *q == p) {
            true => vec![p],
            false => p.bytes().map(|b| format!("<0x{b:02X}>")).collect(),
        };
        let expected: Vec<String> = naive(&text, !text.is_empty()).into_iter().flat_map(bytes).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn text_survives_the_round_trip(text in any::<String>()) {
        let tokenizer = model("tales-300k").tokenizer().clone();
        for special in [false, true] {
            let ids = tokenizer.encode(&text, special).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids, false).unwrap(), text.as_str());
        }
    }

    #[test]
    fn streams_equal_decoding(ids in prop::collection::vec(0u32..2048, 0..40), skip: bool) {
        let tokenizer = model("tales-300k").tokenizer().clone();
        let mut bytes = Vec::new();
        for id in &ids {
            if !(skip && tokenizer.is_special(*id)) {
                bytes.extend_from_slice(&tokenizer.token_bytes(*id).unwrap());
            }
        }
        prop_assert_eq!(tokenizer.decode(&ids, skip).unwrap(), String::from_utf8_lossy(&bytes));
    }
}
