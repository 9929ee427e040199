//! Generation: the function `f` as a stream of tokens with a digest.

use alloy_primitives::B256;
use assay_protocol::{Digest, DigestInputs, Finish, InferenceInput, WorkDigest};

use crate::{InputRefused, Model, Options, engine::Engine, sampling};

/// A running generation. Dropping it cancels it.
#[derive(Debug)]
pub struct Generation {
    model: Model,
    input: InferenceInput,
    input_hash: B256,
    engine: Engine,
    tokens: Vec<u32>,
    work: WorkDigest,
    finish: Option<Finish>,
}

impl Generation {
    /// Checks an input against the model and prepares to compute. Nothing is computed before the first
    /// [`Generation::next_token`].
    pub fn start(model: &Model, input: &InferenceInput, options: Options) -> Result<Self, InputRefused> {
        let input_hash = check(model, input)?;
        if !options.backend.is_available() {
            return Err(InputRefused::BackendUnavailable(options.backend));
        }
        Ok(Self {
            model: model.clone(),
            input: input.clone(),
            input_hash,
            engine: Engine::new(model, options),
            tokens: Vec::new(),
            work: WorkDigest::default(),
            finish: None,
        })
    }

    /// The next output token, or `None` once the output has ended. The first call computes the whole prompt. A
    /// token that ends the output is handed out like any other.
    pub fn next_token(&mut self) -> Option<u32> {
        if self.finish.is_some() {
            return None;
        }
        let hidden = match self.tokens.last() {
            None => self.engine.advance(&self.model, &self.input.tokens),
            Some(last) => self.engine.advance(&self.model, &[*last]),
        };
        self.work.absorb(&hidden);
        let logits = self.engine.logits(&self.model, &hidden);
        // Positions are below the context length.
        let position = (self.input.tokens.len() + self.tokens.len()) as u32;
        let token = sampling::choose(&logits, &self.input.sampling, position);
        self.tokens.push(token);
        let ends = self.model.tokenizer().end_tokens().binary_search(&token).is_ok()
            || self.input.stop.binary_search(&token).is_ok();
        if ends {
            self.finish = Some(Finish::Stop);
        } else if self.tokens.len() == self.input.max_tokens as usize {
            self.finish = Some(Finish::Length);
        }
        Some(token)
    }

    /// How the output ended, once it has. A token that both ends the text and is the last one allowed is a stop.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Output tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Work digest of the output so far.
    pub fn work(&self) -> B256 {
        self.work.value()
    }

    /// The digest of the output so far, ended by `finish`: the generation's own where it has ended, otherwise
    /// [`Finish::Cancelled`]. Valid after any number of tokens.
    pub fn digest(&self, finish: Finish) -> Digest {
        DigestInputs {
            model_root: self.model.root(),
            input_hash: self.input_hash,
            // Both counts are below the context length.
            prompt_tokens: self.input.tokens.len() as u32,
            finish,
            tokens: &self.tokens,
            work: self.work.value(),
        }
        .digest()
    }
}

/// A finished or cut-off output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Output tokens.
    pub tokens: Vec<u32>,
    /// How the output ended; [`Finish::Cancelled`] where it was cut off.
    pub finish: Finish,
    /// The digest `D`.
    pub digest: Digest,
}

/// Computes an output, all of it or at most its first `limit` tokens. An output that ends by itself at or before
/// `limit` keeps its own finish, so there is one right outcome for every claimed count.
pub fn run(
    model: &Model,
    input: &InferenceInput,
    limit: Option<u32>,
    options: Options,
) -> Result<Outcome, InputRefused> {
    let mut generation = Generation::start(model, input, options)?;
    let limit = limit.map_or(usize::MAX, |n| n as usize);
    while generation.tokens.len() < limit && generation.next_token().is_some() {}
    let finish = generation.finish().unwrap_or(Finish::Cancelled);
    let digest = generation.digest(finish);
    Ok(Outcome { tokens: generation.tokens, finish, digest })
}

/// The input's hash if the model can answer it.
fn check(model: &Model, input: &InferenceInput) -> Result<B256, InputRefused> {
    let hash = input.hash()?;
    let info = model.info();
    let vocabulary = info.vocabulary;
    if let Some((index, id)) = input.tokens.iter().enumerate().find(|(_, id)| **id >= vocabulary) {
        return Err(InputRefused::TokenOutsideVocabulary { index, id: *id, vocabulary });
    }
    if let Some(id) = input.stop.iter().find(|id| **id >= vocabulary) {
        return Err(InputRefused::StopOutsideVocabulary { id: *id, vocabulary });
    }
    let prompt = input.tokens.len() as u64;
    if prompt + u64::from(input.max_tokens) > info.context.into() {
        let max_tokens = input.max_tokens;
        return Err(InputRefused::ContextExceeded { prompt, max_tokens, context: info.context });
    }
    Ok(hash)
}
