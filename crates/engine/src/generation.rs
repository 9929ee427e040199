//! Generation: the function `f` as a stream of tokens with a digest.

use alloy_primitives::B256;
use assay_protocol::{Digest, DigestInputs, Finish, InferenceInput, WorkDigest};

use crate::{Engine, InputRefused, Model, Options, outlet::Outlet};

/// A running generation. Dropping it cancels it.
#[derive(Debug)]
pub struct Generation {
    engine: Engine,
    input_hash: B256,
    prompt_tokens: u32,
    outlet: Outlet,
    tokens: Vec<u32>,
    work: WorkDigest,
    finish: Option<Finish>,
}

impl Generation {
    /// Checks an input against the model and starts to compute it on an engine of its own; see [`Engine::start`] for
    /// many at a time.
    pub fn start(model: &Model, input: &InferenceInput, options: Options) -> Result<Self, InputRefused> {
        Engine::new(model, options)?.start(input)
    }

    pub(crate) fn new(engine: Engine, input: &InferenceInput, input_hash: B256, outlet: Outlet) -> Self {
        Self {
            engine,
            input_hash,
            // Below the context length.
            prompt_tokens: input.tokens.len() as u32,
            outlet,
            tokens: Vec::new(),
            work: WorkDigest::default(),
            finish: None,
        }
    }

    /// Waits for the next output token; `None` once the output has ended. A token that ends the output is handed out
    /// like any other.
    pub fn next_token(&mut self) -> Option<u32> {
        if self.finish.is_some() {
            return None;
        }
        let Ok((step, engine_waits)) = self.outlet.pop() else {
            // What was computed may be wrong, and an output cut short here would be taken for a whole one.
            std::panic::resume_unwind(Box::new("the engine's thread panicked"))
        };
        if engine_waits {
            self.engine.poke();
        }
        (self.work, self.finish) = (step.work, step.finish);
        self.tokens.push(step.token);
        Some(step.token)
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

    /// The digest of the output so far as one of the model with `model_root`, ended by `finish`: the generation's own where
    /// it has ended, otherwise [`Finish::Cancelled`]. Valid after any number of tokens.
    pub fn digest(&self, model_root: B256, finish: Finish) -> Digest {
        DigestInputs {
            model_root,
            input_hash: self.input_hash,
            prompt_tokens: self.prompt_tokens,
            finish,
            tokens: &self.tokens,
            work: self.work.value(),
        }
        .digest()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.finish.is_none() {
            self.outlet.abandon();
            self.engine.poke();
        }
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

impl Generation {
    /// Computes the rest of the output, or as much of it as makes `limit` tokens. An output that ends by itself at or
    /// before `limit` keeps its own finish, so there is one right outcome for every claimed count.
    pub fn finish_at(mut self, limit: Option<u32>) -> Outcome {
        let limit = limit.map_or(usize::MAX, |n| n as usize);
        while self.tokens.len() < limit && self.next_token().is_some() {}
        let finish = self.finish.unwrap_or(Finish::Cancelled);
        let digest = self.digest(self.engine.model().root(), finish);
        Outcome { tokens: std::mem::take(&mut self.tokens), finish, digest }
    }
}

/// Computes an output on an engine of its own, all of it or at most its first `limit` tokens; see
/// [`Generation::finish_at`].
pub fn run(
    model: &Model,
    input: &InferenceInput,
    limit: Option<u32>,
    options: Options,
) -> Result<Outcome, InputRefused> {
    Ok(Generation::start(model, input, options)?.finish_at(limit))
}

/// The input's hash if the model can answer it.
pub(crate) fn check(model: &Model, input: &InferenceInput) -> Result<B256, InputRefused> {
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
