//! The tokens of one request on their way from the engine's thread to their reader.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use assay_protocol::{Finish, WorkDigest};

/// Tokens computed ahead of a reader.
const AHEAD: usize = 16;

/// An output token.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) token: u32,
    /// The work digest up to and with this token.
    pub(crate) work: WorkDigest,
    /// Set on the last one.
    pub(crate) finish: Option<Finish>,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    /// The last token was pushed.
    finished: bool,
    /// The reader has gone.
    abandoned: bool,
    /// The engine has gone.
    broken: bool,
}

/// Both ends share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlet {
    shared: Arc<(Mutex<State>, Condvar)>,
}

/// The engine's thread has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Outlet {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a single assignment.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, step: Step) {
        let mut state = self.state();
        state.finished = step.finish.is_some();
        state.steps.push_back(step);
        self.shared.1.notify_one();
    }

    pub(crate) fn has_room(&self) -> bool {
        self.state().steps.len() < AHEAD
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state().finished
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    pub(crate) fn abandon(&self) {
        self.state().abandoned = true;
    }

    pub(crate) fn break_off(&self) {
        self.state().broken = true;
        self.shared.1.notify_one();
    }

    /// Waits for the next token; with it, whether the engine may have been waiting for this.
    pub(crate) fn pop(&self) -> Result<(Step, bool), Broken> {
        let mut state = self.state();
        loop {
            let was_full = state.steps.len() == AHEAD;
            if let Some(step) = state.steps.pop_front() {
                return Ok((step, was_full));
            }
            if state.broken {
                return Err(Broken);
            }
            state = self.shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
