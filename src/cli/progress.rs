//! Progress on stderr: a bar on a terminal, lines otherwise, nothing where it was not wanted.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{args::ProgressArg, report::bytes};

/// Lines are printed at each quarter of work that has at least this many bytes: less is done before it is read.
const WORTH_LINES: u64 = 64 << 20;

/// How far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    how: How,
    total: AtomicU64,
    done: AtomicU64,
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
                    ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                How::Bar(bar)
            }
            ProgressArg::Auto | ProgressArg::Plain => How::Lines,
        };
        Self { how, total: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// Work of `total` bytes in `files` files begins.
    pub(super) fn start(&self, files: usize, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        match &self.how {
            How::Bar(bar) => {
                bar.set_length(total);
                bar.set_message(format!("packing {files} files"));
            }
            How::Lines => line(&format!("packing {files} files, {}", bytes(total))),
            How::Silent => {}
        }
    }

    /// `more` bytes are done.
    pub(super) fn advance(&self, more: u64) {
        let before = self.done.fetch_add(more, Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        match &self.how {
            How::Bar(bar) => bar.inc(more),
            How::Lines if total >= WORTH_LINES => {
                let quarter = |done: u64| done.saturating_mul(4) / total;
                let now = quarter(before + more);
                if now != quarter(before) && now < 4 {
                    line(&format!("packed {} of {}", bytes(before + more), bytes(total)));
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
