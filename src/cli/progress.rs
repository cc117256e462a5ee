//! Progress on stderr: a bar on a terminal, lines otherwise, or nothing.

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    options::messages::{ProgressStyle as Wanted, Verbosity},
    size,
    terminal::print_message,
};
use crate::{image::ImageName, pack::Step, quantity, source::Request, uninterrupted};

/// How often a terminal shows how long the inputs have been read.
const TICK: Duration = Duration::from_millis(200);

/// Lines are printed at each quarter of work of at least this many bytes. Less is done before
/// anybody reads a line.
const WORTH_LINES: u64 = 64 << 20;

/// Tells that the inputs are read, which takes long where a large tarball is decompressed: on a
/// terminal how long it has taken, until this is dropped; otherwise the names of large inputs.
#[derive(Debug)]
pub(super) struct Reading(Option<ProgressBar>);

impl Reading {
    pub(super) fn new(verbosity: &Verbosity, inputs: &[Request]) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        if verbosity.quiet || verbosity.progress == Wanted::None {
            return Self(None);
        }
        if is_terminal && verbosity.progress == Wanted::Auto {
            return Self(Some(spinner("the inputs")));
        }
        for input in inputs {
            let source = input.text.split(":/").next().unwrap_or_default();
            let found = uninterrupted::metadata(source).ok().filter(std::fs::Metadata::is_file);
            if let Some(found) = found.filter(|found| found.len() >= WORTH_LINES) {
                print_message(&format!("reading {source}, {}", size::format(found.len())));
            }
        }
        Self(None)
    }

    /// The same for an image of `bytes`, if it is large.
    pub(super) fn image(name: &ImageName, bytes: u64, quiet: bool) -> Self {
        if quiet || bytes < WORTH_LINES {
            return Self(None);
        }
        if std::io::stderr().is_terminal() {
            return Self(Some(spinner("the image")));
        }
        print_message(&format!("reading {name}, {}", size::format(bytes)));
        Self(None)
    }
}

/// A line that tells how long `what` has been read.
fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} reading {msg}, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How much of the work is done.
#[derive(Debug)]
pub(super) struct Progress {
    display: Display,
    total: AtomicU64,
    done: AtomicU64,
    files: AtomicUsize,
    files_done: AtomicUsize,
}

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Progress {
    pub(super) fn new(wanted: Wanted, quiet: bool) -> Self {
        let display = match wanted {
            Wanted::None => Display::Silent,
            _ if quiet => Display::Silent,
            Wanted::Auto if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let style = "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, \
                             {decimal_bytes_per_sec}";
                bar.set_style(
                    ProgressStyle::with_template(style)
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                Display::Bar(bar)
            }
            Wanted::Auto | Wanted::Plain => Display::Lines,
        };
        let (total, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { display, total, done, files: AtomicUsize::new(0), files_done: AtomicUsize::new(0) }
    }

    /// Counts a step of packing.
    pub(super) fn step(&self, step: Step) {
        match step {
            Step::Begin { members, bytes } => self.start(members, bytes),
            Step::Done { members, bytes } => self.advance(members, bytes),
        }
    }

    fn start(&self, files: usize, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.files.store(files, Ordering::Relaxed);
        match &self.display {
            Display::Bar(bar) => {
                bar.set_length(total);
                bar.set_message(format!("0 of {}", quantity::count(files, "path")));
            }
            Display::Lines => {
                let paths = quantity::count(files, "path");
                print_message(&format!("packing {paths}, {}", size::format(total)));
            }
            Display::Silent => {}
        }
    }

    fn advance(&self, more_files: usize, more: u64) {
        let before = self.done.fetch_add(more, Ordering::Relaxed);
        let files_done = self.files_done.fetch_add(more_files, Ordering::Relaxed) + more_files;
        let (total, files) =
            (self.total.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed));
        match &self.display {
            Display::Bar(bar) => {
                bar.inc(more);
                bar.set_message(format!("{files_done} of {}", quantity::count(files, "path")));
            }
            Display::Lines if total >= WORTH_LINES => {
                let quarter = |done: u64| done.saturating_mul(4) / total;
                let now = quarter(before + more);
                if now != quarter(before) && now < 4 {
                    let (done, total) = (size::format(before + more), size::format(total));
                    print_message(&format!(
                        "packed {done} of {total}, {files_done} of {}",
                        quantity::count(files, "path")
                    ));
                }
            }
            Display::Lines | Display::Silent => {}
        }
    }

    /// Removes the bar when the work has ended, successfully or not.
    pub(super) fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}
