//! One sequence being computed, on whichever back end.

use crate::{Backend, Model, Options, cache::Cache, reference};

/// Keys, values and scratch space of a sequence.
#[derive(Debug)]
pub(crate) struct Engine {
    cache: Cache,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Reference,
}

impl Engine {
    /// The back end must be available.
    pub(crate) fn new(model: &Model, options: Options) -> Self {
        let kind = match options.backend.resolve() {
            Backend::Auto | Backend::Reference => Kind::Reference,
            _ => Kind::Reference,
        };
        Self { cache: Cache::new(model.shape()), kind }
    }

    /// Computes the next positions and returns the last one's final normalised hidden state. `tokens` is not empty.
    pub(crate) fn advance(&mut self, model: &Model, tokens: &[u32]) -> Vec<i32> {
        match self.kind {
            Kind::Reference => {
                let mut hidden = Vec::new();
                for token in tokens {
                    hidden = reference::forward(model, &mut self.cache, *token);
                }
                hidden
            }
        }
    }

    /// Logits of a final normalised hidden state, Q16.
    pub(crate) fn logits(&mut self, model: &Model, hidden: &[i32]) -> Vec<i32> {
        match self.kind {
            Kind::Reference => reference::logits(model, hidden),
        }
    }
}
