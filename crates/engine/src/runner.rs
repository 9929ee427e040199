//! A batch of sequences computed together, on whichever back end.

use crate::{Backend, Model, cache::Cache, fast::Fast, model::Shape, reference};

/// What to compute of one sequence.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) cache: &'a mut Cache,
    /// The next tokens of the sequence.
    pub(crate) tokens: &'a [u32],
    /// Of so many of the last tokens the outputs are wanted.
    pub(crate) wanted: usize,
}

/// Results of a step: those that were wanted, sequence by sequence. Reused from step to step.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    /// Final normalised hidden states, Q16, `[output][element]`.
    pub(crate) hidden: Vec<i32>,
    /// Q16, `[output][token id]`.
    pub(crate) logits: Vec<i32>,
    width: usize,
    vocabulary: usize,
}

impl Outputs {
    pub(crate) fn resize(&mut self, count: usize, shape: &Shape) {
        (self.width, self.vocabulary) = (shape.width, shape.vocabulary);
        self.hidden.resize(count * shape.width, 0);
        self.logits.resize(count * shape.vocabulary, 0);
    }

    /// Each output's hidden state and logits.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[i32], &[i32])> {
        self.hidden.chunks_exact(self.width.max(1)).zip(self.logits.chunks_exact(self.vocabulary.max(1)))
    }
}

/// Computes batches.
#[derive(Debug)]
pub(crate) enum Runner {
    Reference,
    Fast(Box<Fast>),
}

impl Runner {
    /// The back end must be available.
    pub(crate) fn new(backend: Backend, threads: usize) -> Self {
        // More threads than cores only wait for each other.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let fast = Fast::new(backend.resolve(), threads.min(cores));
        fast.map_or(Self::Reference, |fast| Self::Fast(Box::new(fast)))
    }

    /// Computes the next positions of every sequence; none of them is in the batch twice.
    pub(crate) fn step(&mut self, model: &Model, batch: &mut [Work<'_>], outputs: &mut Outputs) {
        match self {
            Self::Fast(fast) => fast.step(model, batch, outputs),
            Self::Reference => {
                outputs.resize(0, model.shape());
                for work in batch {
                    for (i, token) in work.tokens.iter().enumerate() {
                        let hidden = reference::forward(model, work.cache, *token);
                        if i + work.wanted >= work.tokens.len() {
                            outputs.logits.extend(reference::logits(model, &hidden));
                            outputs.hidden.extend(hidden);
                        }
                    }
                }
            }
        }
    }
}
