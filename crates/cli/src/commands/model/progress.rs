//! How far a download is, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Pause between two rewritings of the line.
const REFRESH: Duration = Duration::from_millis(200);
/// Bytes between two lines where the size is unknown and nobody watches.
const STEP: u64 = 100_000_000;

/// A line that is rewritten on a terminal; elsewhere a line every 10 %.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    total: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
    /// Bytes that came in this run, those included that had to come again.
    received: u64,
    /// Tenths of the whole, or steps of [`STEP`], that have been told.
    told: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, total: None, started: Instant::now(), shown: None, received: 0, told: 0 }
    }

    /// Bytes of the whole file, `None` if unknown.
    pub(super) fn total(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// `more` bytes came; now there are `done`.
    pub(super) fn add(&mut self, more: u64, done: u64) {
        self.received += more;
        if self.terminal {
            if self.shown.is_none_or(|at| at.elapsed() >= REFRESH) {
                self.rewrite(done);
            }
            return;
        }
        let steps = match self.total {
            Some(total) => u128::from(done) * 10 / u128::from(total.max(1)),
            None => u128::from(done / STEP),
        };
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        if steps > self.told {
            self.told = steps;
            say(&format!("{}\n", self.line(done)));
        }
    }

    /// Something to know, on a line of its own.
    pub(super) fn note(&self, text: &str) {
        say(&format!("{}{text}\n", if self.shown.is_some() { "\r\x1b[K" } else { "" }));
    }

    /// The last state stays.
    pub(super) fn end(&mut self, done: u64) {
        if self.shown.is_some() {
            self.rewrite(done);
            say("\n");
            self.shown = None;
        }
    }

    fn rewrite(&mut self, done: u64) {
        self.shown = Some(Instant::now());
        say(&format!("\r\x1b[K{}", self.line(done)));
    }

    fn line(&self, done: u64) -> String {
        line(done, self.total, self.received, self.started.elapsed())
    }
}

/// Nobody who reads standard error is no reason to stop.
fn say(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

fn line(done: u64, total: Option<u64>, received: u64, elapsed: Duration) -> String {
    let speed = received as f64 / elapsed.as_secs_f64().max(0.001);
    let Some(total) = total else {
        return format!("{} of unknown size  {:.1} MB/s", size(done), speed / 1e6);
    };
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let left = match total.saturating_sub(done) {
        0 => "done".to_owned(),
        _ if received == 0 => "time left unknown".to_owned(),
        rest => format!("{} left", time((rest as f64 / speed) as u64)),
    };
    format!("{percent:3} %  {} of {}  {:.1} MB/s  {left}", size(done), size(total), speed / 1e6)
}

/// Bytes for people, in powers of ten as disks and connections are sold.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let ten = Duration::from_secs(10);
        let text = line(5_000_000_000, Some(16_000_000_000), 1_000_000_000, ten);
        assert_eq!(text, " 31 %  5.00 GB of 16.00 GB  100.0 MB/s  1 min 50 s left");
        assert_eq!(line(900, Some(900), 900, ten), "100 %  0.9 kB of 0.9 kB  0.0 MB/s  done");
        assert_eq!(line(20_000_000, None, 20_000_000, ten), "20.0 MB of unknown size  2.0 MB/s");
        assert!(line(0, Some(900), 0, Duration::ZERO).ends_with("time left unknown"));
        assert!(line(0, Some(0), 0, ten).ends_with("done"));
        assert_eq!(time(7384), "2 h 3 min");
    }
}
