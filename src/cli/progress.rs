//! Progress on stderr: a bar on a terminal, lines otherwise, nothing where it was not wanted.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{args::ProgressArg, report::bytes};
use crate::pack::Step;

/// Lines are printed at each quarter of work that has at least this many bytes: less is done before
/// it is read.
const WORTH_LINES: u64 = 64 << 20;

/// How far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    how: How,
    total: AtomicU64,
    done: AtomicU64,
    files: AtomicUsize,
    files_done: AtomicUsize,
}

#[derive(Debug)]
enum How {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Progress {
    pub(super) fn new(wanted: ProgressArg, quiet: bool) -> Self {
        let how = match wanted {
            ProgressArg::None => How::Silent,
            _ if quiet => How::Silent,
            ProgressArg::Auto if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let style = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}";
                bar.set_style(
                    ProgressStyle::with_template(style)
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                How::Bar(bar)
            }
            ProgressArg::Auto | ProgressArg::Plain => How::Lines,
        };
        let (total, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { how, total, done, files: AtomicUsize::new(0), files_done: AtomicUsize::new(0) }
    }

    /// A step of the packing.
    pub(super) fn step(&self, step: Step) {
        match step {
            Step::Begin { members, bytes } => self.start(members, bytes),
            Step::Done { members, bytes } => self.advance(members, bytes),
        }
    }

    fn start(&self, files: usize, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.files.store(files, Ordering::Relaxed);
        match &self.how {
            How::Bar(bar) => {
                bar.set_length(total);
                bar.set_message(format!("0 of {files} files"));
            }
            How::Lines => line(&format!("packing {files} files, {}", bytes(total))),
            How::Silent => {}
        }
    }

    fn advance(&self, more_files: usize, more: u64) {
        let before = self.done.fetch_add(more, Ordering::Relaxed);
        let files_done = self.files_done.fetch_add(more_files, Ordering::Relaxed) + more_files;
        let (total, files) =
            (self.total.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed));
        match &self.how {
            How::Bar(bar) => {
                bar.inc(more);
                bar.set_message(format!("{files_done} of {files} files"));
            }
            How::Lines if total >= WORTH_LINES => {
                let quarter = |done: u64| done.saturating_mul(4) / total;
                let now = quarter(before + more);
                if now != quarter(before) && now < 4 {
                    let (done, total) = (bytes(before + more), bytes(total));
                    line(&format!("packed {done} of {total}, {files_done} of {files} files"));
                }
            }
            How::Lines | How::Silent => {}
        }
    }

    /// The work is over, well or not; the bar goes away.
    pub(super) fn finish(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// A line to people. That stderr is closed must not end the work.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
