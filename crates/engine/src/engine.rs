//! An engine: one model, one thread that schedules, many requests at a time.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use assay_protocol::InferenceInput;

use crate::{
    Generation, InputRefused, Model, Options,
    cache::{Layout, PAGE},
    generation::check,
    outlet::Outlet,
    runner::Runner,
    scheduler::{Job, Scheduler, pages_of},
};

/// Serves a model to any number of requests at a time: they share each pass over the weights, a memory budget for
/// keys and values, and the pages of common beginnings. None of this changes a result. Clones are the same engine; its
/// thread ends with the last of them and of their generations.
#[derive(Debug, Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    model: Model,
    /// Pages that the budget allows.
    capacity: usize,
    page_bytes: usize,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    arrivals: VecDeque<Job>,
    /// Something has changed that the worker may wait for.
    poked: bool,
    closed: bool,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every change of the inbox is complete before anything can panic.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poke(&self) {
        self.inbox().poked = true;
        self.wake.notify_one();
    }
}

impl Engine {
    /// Starts the engine's thread, which sleeps while there is nothing to compute.
    pub fn new(model: &Model, options: Options) -> Result<Self, InputRefused> {
        if !options.backend.is_available() {
            return Err(InputRefused::BackendUnavailable(options.backend));
        }
        let page_bytes = Layout::of(model.shape()).page_bytes();
        let capacity = options.cache_bytes / page_bytes;
        let shared = Arc::new(Shared::default());
        let (for_worker, worker_model) = (shared.clone(), model.clone());
        let work = move || {
            let scheduler = || {
                // Threads of a team belong to the thread that makes it.
                let runner = Runner::new(options.backend, options.threads);
                let (batch, reuse) = (options.batch, options.reuse_prefixes);
                Scheduler::new(worker_model.clone(), runner, batch, capacity, reuse)
            };
            let serve = || serve(&for_worker, scheduler());
            // A request that makes it panic takes those computed beside it along, but not those that come later: users
            // choose requests. Nothing of the scheduler is used again.
            while catch_unwind(AssertUnwindSafe(serve)).is_err() {}
        };
        let worker = std::thread::Builder::new().name("assay-engine".into()).spawn(work);
        let worker = worker.map_err(|e| InputRefused::NoThread(e.to_string()))?;
        let handle = Handle { model: model.clone(), capacity, page_bytes, shared, worker: Some(worker) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// The model that it serves.
    pub fn model(&self) -> &Model {
        &self.handle.model
    }

    /// Checks that the budget is enough for requests of up to `positions`, prompt and output together. More than the
    /// model's context is never needed.
    pub fn holds(&self, positions: u64) -> Result<(), InputRefused> {
        let positions = positions.min(self.handle.model.info().context.into());
        self.fits(positions.div_ceil(PAGE as u64) as usize)
    }

    fn fits(&self, pages: usize) -> Result<(), InputRefused> {
        let bytes = |pages: usize| (pages * self.handle.page_bytes) as u64;
        match self.handle.capacity {
            capacity if pages <= capacity => Ok(()),
            capacity => Err(InputRefused::CacheExceeded { needed: bytes(pages), budget: bytes(capacity) }),
        }
    }

    /// Checks that [`Engine::start`] would take an input.
    pub fn check(&self, input: &InferenceInput) -> Result<(), InputRefused> {
        check(&self.handle.model, input)?;
        self.fits(pages_of(input))
    }

    /// Checks an input and queues it. Requests are computed in the order of their arrival as soon as the batch and the
    /// cache have room.
    pub fn start(&self, input: &InferenceInput) -> Result<Generation, InputRefused> {
        let hash = check(&self.handle.model, input)?;
        self.fits(pages_of(input))?;
        let outlet = Outlet::default();
        let mut inbox = self.handle.shared.inbox();
        inbox.arrivals.push_back(Job { input: input.clone(), outlet: outlet.clone() });
        drop(inbox);
        self.handle.shared.wake.notify_one();
        Ok(Generation::new(self.clone(), input, hash, outlet))
    }

    /// Tells the worker that a reader has read or gone.
    pub(crate) fn poke(&self) {
        self.handle.shared.poke();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.inbox().closed = true;
        self.shared.wake.notify_one();
        if let Some(worker) = self.worker.take() {
            // It panics only where a panic can't be caught, and then the process is gone.
            let _ = worker.join();
        }
    }
}

/// The worker: takes arrivals, computes, sleeps when there is nothing to do.
fn serve(shared: &Shared, mut scheduler: Scheduler) {
    let mut outlets = Outlets(Vec::new());
    loop {
        let mut inbox = shared.inbox();
        while scheduler.is_idle() && inbox.arrivals.is_empty() && !inbox.closed {
            inbox = shared.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        if inbox.closed {
            return;
        }
        // A poke from here on is one that this step may not have seen.
        inbox.poked = false;
        let arrivals = std::mem::take(&mut inbox.arrivals);
        drop(inbox);
        outlets.0.retain(|outlet| !outlet.is_finished() && !outlet.is_abandoned());
        outlets.0.extend(arrivals.iter().map(|job| job.outlet.clone()));
        arrivals.into_iter().for_each(|job| scheduler.push(job));
        if !scheduler.step() && !scheduler.is_idle() {
            let mut inbox = shared.inbox();
            while !inbox.poked && inbox.arrivals.is_empty() && !inbox.closed {
                inbox = shared.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Where tokens are waited for. A worker that panics leaves no reader waiting.
struct Outlets(Vec<Outlet>);

impl Drop for Outlets {
    fn drop(&mut self) {
        self.0.iter().for_each(Outlet::break_off);
    }
}
