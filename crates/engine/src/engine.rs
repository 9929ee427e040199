//! One sequence being computed, on whichever back end.

use crate::{Model, Options, cache::Cache, fast::Fast, reference};

/// Keys, values and scratch space of a sequence.
#[derive(Debug)]
pub(crate) struct Engine {
    cache: Cache,
    /// `None` runs the reference.
    fast: Option<Fast>,
}

impl Engine {
    /// The back end must be available.
    pub(crate) fn new(model: &Model, options: Options) -> Self {
        // More threads than cores only wait for each other.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let fast = Fast::new(options.backend.resolve(), options.threads.min(cores));
        Self { cache: Cache::new(model.shape()), fast }
    }

    /// Computes the next positions and returns the last one's final normalised hidden state. `tokens` is not empty.
    pub(crate) fn advance(&mut self, model: &Model, tokens: &[u32]) -> Vec<i32> {
        if let Some(fast) = &mut self.fast {
            return fast.advance(model, &mut self.cache, tokens);
        }
        let mut hidden = Vec::new();
        for token in tokens {
            hidden = reference::forward(model, &mut self.cache, *token);
        }
        hidden
    }

    /// Logits of a final normalised hidden state, Q16.
    pub(crate) fn logits(&mut self, model: &Model, hidden: &[i32]) -> Vec<i32> {
        match &mut self.fast {
            Some(fast) => fast.logits(model, hidden),
            None => reference::logits(model, hidden),
        }
    }
}
