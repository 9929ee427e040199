//! A few threads that work on one job at a time and spin briefly between jobs.

use std::{
    cell::{Cell, UnsafeCell},
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// Rounds of spinning before a worker sleeps: some tens of microseconds, longer than the gaps within a token.
const SPINS: u32 = 4_000;

/// Multiplications below which another thread costs more than it saves: some ten microseconds.
const WORK_A_THREAD: usize = 1 << 18;

type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Counts jobs; a change starts the workers.
    epoch: AtomicUsize,
    /// Workers that have not finished the current job.
    running: AtomicUsize,
    stop: AtomicBool,
    panicked: AtomicBool,
    /// Written by the leader only while no worker runs.
    job: UnsafeCell<Option<Job>>,
}

// SAFETY: `job` is written only while `running` is zero, before `epoch` is raised (release), and read by workers
// only after they saw the new epoch (acquire) and before they lower `running`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is dereferenced only during `Team::run`, whose caller keeps the closure alive, and
// the closure is `Sync`.
unsafe impl Send for Shared {}

/// A leader, which is the calling thread, and its workers.
pub(super) struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    work_a_thread: usize,
    /// Keeps the team from being used by two threads at a time: a `Cell` can move but not be shared.
    not_sync: PhantomData<Cell<()>>,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish()
    }
}

impl Team {
    /// A team of at most `threads`; fewer where the system refuses more.
    pub(super) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            job: UnsafeCell::new(None),
        });
        let spawn = |i: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("assay-engine-{i}")).spawn(move || work(&shared, i)).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Self { shared, workers, work_a_thread: WORK_A_THREAD, not_sync: PhantomData }
    }

    /// Number of threads, the leader included.
    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Shares out even the smallest job, so that small tests use all threads.
    #[cfg(test)]
    pub(super) fn eager(mut self) -> Self {
        self.work_a_thread = 1;
        self
    }

    /// Number of threads that a job of so many multiplications is worth.
    pub(super) fn threads_for(&self, work: usize) -> usize {
        (work / self.work_a_thread).clamp(1, self.threads())
    }

    /// Runs `job(i)` for every thread `i` and waits for all of them.
    pub(super) fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return job(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `Wait` below keeps this call from returning or unwinding before every
        // worker is done with the job.
        let erased =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(job) };
        // SAFETY: no worker runs, so none reads the cell, and `Team` is not `Sync`, so no other call writes it. A job
        // can't call `run` of its own team either: it would have to share the team with its threads.
        unsafe { *shared.job.get() = Some(erased) };
        shared.running.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let wait = Wait(shared);
        job(0);
        drop(wait);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("an engine thread panicked"));
        }
    }
}

/// Waits for the workers when dropped.
struct Wait<'a>(&'a Shared);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.0.running.load(Ordering::Acquire) != 0 {
            pause(&mut spins);
        }
    }
}

/// Spins, and lets others run once that has taken long: there may be fewer cores than threads.
fn pause(spins: &mut u32) {
    if *spins < SPINS {
        *spins += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        loop {
            let epoch = shared.epoch.load(Ordering::Acquire);
            if epoch != seen {
                seen = epoch;
                break;
            }
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: the epoch has changed and `running` counts this worker, so the leader is inside `run`: the cell
        // is not written and the closure is alive.
        let job = unsafe { (*shared.job.get()).map(|job| &*job) };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Some(job) = job {
                job(index);
            }
        }));
        if outcome.is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.running.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker's panic was reported by `run`.
            let _ = worker.join();
        }
    }
}
