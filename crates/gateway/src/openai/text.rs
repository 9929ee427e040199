//! Tokens to text, with stop strings.

use assay_engine::{Detokenizer, Tokenizer};

/// Turns tokens into text as they come, up to the first stop string. Text that could still become one is held back.
#[derive(Debug)]
pub(crate) struct TextStream {
    detokenizer: Option<Detokenizer>,
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl TextStream {
    pub(crate) fn new(tokenizer: &Tokenizer, stops: Vec<String>) -> Self {
        Self { detokenizer: Some(tokenizer.detokenizer(true)), stops, held: String::new(), stopped: false }
    }

    /// Whether a stop string has come.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The stop strings.
    pub(crate) fn stops(&self) -> Vec<String> {
        self.stops.clone()
    }

    /// Text that the next tokens settle.
    pub(crate) fn push(&mut self, tokens: &[u32]) -> String {
        if let Some(detokenizer) = &mut self.detokenizer {
            for token in tokens {
                // Ids outside the vocabulary can't be part of an accepted answer.
                self.held.push_str(&detokenizer.push(*token).unwrap_or_default());
            }
        }
        self.settle(false)
    }

    /// The rest.
    pub(crate) fn finish(&mut self) -> String {
        if let Some(detokenizer) = self.detokenizer.take() {
            self.held.push_str(&detokenizer.finish());
        }
        self.settle(true)
    }

    fn settle(&mut self, all: bool) -> String {
        if self.stopped {
            return String::new();
        }
        if let Some(at) = self.stops.iter().filter_map(|s| self.held.find(s.as_str())).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        if all {
            return std::mem::take(&mut self.held);
        }
        let keep = self
            .stops
            .iter()
            .flat_map(|stop| (1..stop.len()).filter(|n| stop.is_char_boundary(*n)).map(move |n| &stop[..n]))
            .filter(|prefix| self.held.ends_with(prefix))
            .map(str::len)
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_engine::Model;

    fn tokenizer() -> Tokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
        Model::open(path).unwrap().tokenizer().clone()
    }

    /// Text given out after each token, and all of it.
    fn run(text: &str, stops: &[&str]) -> (Vec<String>, TextStream) {
        let tokenizer = tokenizer();
        let mut stream = TextStream::new(&tokenizer, stops.iter().map(|s| (*s).to_owned()).collect());
        let mut pieces: Vec<String> =
            tokenizer.encode(text, false).unwrap().iter().map(|t| stream.push(&[*t])).collect();
        pieces.push(stream.finish());
        (pieces, stream)
    }

    #[test]
    fn without_stops_every_character_comes_out() {
        let text = "Once there was a fox — née Ünal 🦊 — who ran.";
        let (pieces, stream) = run(text, &[]);
        assert_eq!(pieces.concat(), text);
        assert!(!stream.is_stopped());
    }

    #[test]
    fn the_first_stop_string_ends_the_text_wherever_tokens_split_it() {
        for stop in ["fox who", "x", "who ran home", "re was a"] {
            let text = "Once there was a fox who ran home.";
            let (pieces, stream) = run(text, &[stop, "zzz"]);
            assert_eq!(pieces.concat(), text.split(stop).next().unwrap(), "{stop}");
            assert!(stream.is_stopped());
        }
    }

    #[test]
    fn a_prefix_that_does_not_become_a_stop_is_given_out_late_not_never() {
        let (pieces, stream) = run("the fox when", &["fox who"]);
        assert_eq!(pieces.concat(), "the fox when");
        assert!(!stream.is_stopped());
        let tokenizer = tokenizer();
        let mut stream = TextStream::new(&tokenizer, vec!["fox who".to_owned()]);
        assert_eq!(stream.push(&tokenizer.encode("the fox w", false).unwrap()), "the ");
        assert_eq!(stream.push(&tokenizer.encode("ent", false).unwrap()), "fox went");
    }
}
