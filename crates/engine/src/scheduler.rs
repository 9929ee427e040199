//! Which sequences are computed when, and what memory they may take.
//!
//! Requests are admitted in the order of their arrival, each once all the pages that it can ever need are free, so an
//! admitted one never waits for memory. Sequences join and leave the batch between tokens. A step decodes one token of
//! every sequence that has its prompt behind it and fills up with prompts.

use std::collections::VecDeque;

use assay_protocol::{Finish, InferenceInput, WorkDigest};

use crate::{
    Model,
    cache::{Cache, Layout, PAGE},
    outlet::{Outlet, Step},
    prefix::{Name, Pages, name_after},
    runner::{Outputs, Runner, Work},
    sampling,
};

/// Positions computed in one step, unless more sequences decode.
const ROWS: usize = 64;
/// Positions of prompts among them at least, however many sequences decode.
const PROMPT_ROWS: usize = 16;

/// A request and where its tokens go.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) input: InferenceInput,
    pub(crate) outlet: Outlet,
}

/// Pages that an input can need: the last token's keys and values are never computed.
pub(crate) fn pages_of(input: &InferenceInput) -> usize {
    (input.tokens.len() + input.max_tokens as usize - 1).div_ceil(PAGE)
}

/// An admitted request.
#[derive(Debug)]
struct Sequence {
    job: Job,
    cache: Cache,
    /// Output tokens so far.
    output: Vec<u32>,
    work: WorkDigest,
    /// Names of the cache's full pages.
    names: Vec<Name>,
    /// Pages that it holds or may still need, besides those that `Pages` knows.
    reserved: usize,
}

impl Sequence {
    /// Tokens whose keys and values are not computed, at most `rows` of them, and whether they are the last ones.
    fn next_tokens(&self, rows: usize) -> (&[u32], bool) {
        let (prompt, done) = (&self.job.input.tokens, self.cache.len());
        if done < prompt.len() {
            let end = prompt.len().min(done + rows);
            return (&prompt[done..end], end == prompt.len());
        }
        (&self.output[done - prompt.len()..], true)
    }

    fn is_decoding(&self) -> bool {
        self.cache.len() >= self.job.input.tokens.len()
    }
}

/// The worker's state.
#[derive(Debug)]
pub(crate) struct Scheduler {
    model: Model,
    runner: Runner,
    layout: Layout,
    /// Most sequences in a batch.
    batch: usize,
    /// Most pages, those in use and those kept for reuse together.
    capacity: usize,
    reuse: bool,
    waiting: VecDeque<Job>,
    running: Vec<Sequence>,
    pages: Pages,
    outputs: Outputs,
    /// Positions computed so far.
    #[cfg(test)]
    pub(crate) computed: usize,
}

impl Scheduler {
    /// A nonce that makes tests panic where a fault of the engine would.
    #[cfg(test)]
    pub(crate) const PANICS: [u8; 16] = *b"panic on purpose";

    pub(crate) fn new(model: Model, runner: Runner, batch: usize, capacity: usize, reuse: bool) -> Self {
        let layout = Layout::of(model.shape());
        Self {
            model,
            runner,
            layout,
            batch: batch.max(1),
            capacity,
            reuse,
            waiting: VecDeque::new(),
            running: Vec::new(),
            pages: Pages::default(),
            outputs: Outputs::default(),
            #[cfg(test)]
            computed: 0,
        }
    }

    /// Nonces of the requests in the batch.
    #[cfg(test)]
    pub(crate) fn admitted(&self) -> Vec<[u8; 16]> {
        self.running.iter().map(|sequence| sequence.job.input.nonce).collect()
    }

    pub(crate) fn push(&mut self, job: Job) {
        #[cfg(test)]
        assert!(job.input.nonce != Self::PANICS, "on purpose");
        self.waiting.push_back(job);
    }

    /// Whether there is nothing to do until another request comes.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Computes the next positions of every sequence that can go on; false if none can before a reader reads.
    pub(crate) fn step(&mut self) -> bool {
        self.waiting.retain(|job| !job.outlet.is_abandoned());
        self.running.retain(|sequence| !sequence.job.outlet.is_abandoned());
        self.admit();

        let decoding = self.running.iter().filter(|s| s.is_decoding() && s.job.outlet.has_room()).count();
        let mut left = ROWS.saturating_sub(decoding).max(PROMPT_ROWS);
        let mut stepped = Vec::new();
        let mut batch = Vec::new();
        for (i, sequence) in self.running.iter_mut().enumerate() {
            let decodes = sequence.is_decoding();
            if if decodes { !sequence.job.outlet.has_room() } else { left == 0 } {
                continue;
            }
            let (tokens, last) = sequence.next_tokens(if decodes { 1 } else { left });
            let tokens = tokens.to_vec();
            if !decodes {
                left -= tokens.len();
            }
            stepped.push((i, last));
            batch.push((&mut sequence.cache, tokens, last));
        }
        if batch.is_empty() {
            return false;
        }
        let mut work: Vec<Work<'_>> = batch
            .iter_mut()
            .map(|(cache, tokens, last)| Work { cache, tokens, wanted: usize::from(*last) })
            .collect();
        #[cfg(test)]
        {
            self.computed += work.iter().map(|work| work.tokens.len()).sum::<usize>();
        }
        self.runner.step(&self.model, &mut work, &mut self.outputs);
        self.publish_pages(&stepped);
        self.emit(&stepped);
        true
    }

    /// Moves requests from the queue to the batch, in order, while there is room for all that they can need.
    fn admit(&mut self) {
        while self.running.len() < self.batch
            && let Some(job) = self.waiting.front()
        {
            // The last token of the prompt is computed in any case: its outputs are needed.
            let prompt = &job.input.tokens[..job.input.tokens.len() - 1];
            let (names, known): (Vec<_>, Vec<_>) = match self.reuse {
                true => self.pages.find(prompt).into_iter().unzip(),
                false => Default::default(),
            };
            let reserved = pages_of(&job.input) - known.len();
            let others: usize = self.running.iter().map(|s| s.reserved).sum();
            while others + reserved + self.pages.len() > self.capacity {
                // With nobody else running every page that is not `known` can go.
                if !self.pages.forget_one() {
                    return;
                }
            }
            let Some(job) = self.waiting.pop_front() else { return };
            self.running.push(Sequence {
                job,
                cache: Cache::new(self.layout, known),
                output: Vec::new(),
                work: WorkDigest::default(),
                names,
                reserved,
            });
        }
    }

    /// Lets others find the pages that have become full.
    fn publish_pages(&mut self, stepped: &[(usize, bool)]) {
        if !self.reuse {
            return;
        }
        for (i, _) in stepped {
            let Sequence { job, cache, output, names, reserved, .. } = &mut self.running[*i];
            for (depth, page) in cache.full_pages().iter().enumerate().skip(names.len()) {
                let tokens: Vec<u32> =
                    job.input.tokens.iter().chain(&*output).copied().skip(depth * PAGE).take(PAGE).collect();
                let name = name_after(names.last().copied(), &tokens);
                names.push(name);
                if self.pages.keep(name, page.clone(), depth) {
                    *reserved -= 1;
                }
            }
        }
    }

    /// Chooses a token for each sequence whose outputs were computed, and hands it out.
    fn emit(&mut self, stepped: &[(usize, bool)]) {
        let wanted = stepped.iter().filter(|(_, last)| *last);
        let ends = self.model.tokenizer().end_tokens();
        for ((i, _), (hidden, logits)) in wanted.zip(self.outputs.iter()) {
            let Sequence { job, output, work, .. } = &mut self.running[*i];
            work.absorb(hidden);
            // Positions are below the context length.
            let position = (job.input.tokens.len() + output.len()) as u32;
            let token = sampling::choose(logits, &job.input.sampling, position);
            output.push(token);
            let stops = ends.binary_search(&token).is_ok() || job.input.stop.binary_search(&token).is_ok();
            let finish = match stops {
                true => Some(Finish::Stop),
                false => (output.len() == job.input.max_tokens as usize).then_some(Finish::Length),
            };
            job.outlet.push(Step { token, work: work.clone(), finish });
        }
        self.running.retain(|sequence| !sequence.job.outlet.is_finished());
    }
}
