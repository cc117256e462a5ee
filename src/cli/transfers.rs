//! Progress of transfers on stderr, and what became of each blob, as text and as JSON.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{options::messages::ProgressStyle as Wanted, size, terminal::print_message};
use crate::{
    digest::Digest,
    output::{How, Loaded, Moved, Pushed, Transfer, Written},
    quantity,
};

/// Lines are printed for transfers of at least this many bytes.
const WORTH_LINES: u64 = 16 << 20;

/// Hex digits of a digest that a bar shows.
const SHOWN: usize = 12;

/// How far a transfer is: a bar for each blob on a terminal, lines otherwise, or nothing.
#[derive(Debug)]
pub(super) struct Transfers {
    display: Display,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Display {
    Bars(MultiProgress),
    Lines,
    Silent,
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    /// Bytes of blobs that are done.
    finished: u64,
    /// Bytes of blobs on their way.
    parts: BTreeMap<Digest, u64>,
    bars: BTreeMap<Digest, ProgressBar>,
    /// The quarters of the whole that have been told.
    quarters: u64,
}

impl Transfers {
    pub(super) fn new(wanted: Wanted, quiet: bool) -> Self {
        let display = match wanted {
            Wanted::None => Display::Silent,
            _ if quiet => Display::Silent,
            Wanted::Auto if std::io::stderr().is_terminal() => {
                Display::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
            }
            Wanted::Auto | Wanted::Plain => Display::Lines,
        };
        Self { display, state: Mutex::default() }
    }

    /// Shows an event. Transfers follow each other; the blobs of one are moved at once.
    pub(super) fn event(&self, transfer: Transfer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match transfer {
            Transfer::Begin { blobs, bytes } => {
                *state = State { total: bytes, ..State::default() };
                if matches!(self.display, Display::Lines) && bytes >= WORTH_LINES {
                    let blobs = quantity::count(blobs, "blob");
                    print_message(&format!("moving {blobs}, {}", size::format(bytes)));
                }
            }
            Transfer::Part { digest, size, done } => {
                state.parts.insert(digest, done);
                if let Display::Bars(all) = &self.display {
                    let bar = state.bars.entry(digest).or_insert_with(|| bar(all, digest, size));
                    bar.set_position(done);
                }
                self.tell(&mut state);
            }
            Transfer::Done(moved) => {
                state.parts.remove(&moved.digest);
                state.finished += moved.size;
                if let Some(bar) = state.bars.remove(&moved.digest) {
                    bar.finish_and_clear();
                }
                self.tell(&mut state);
            }
        }
    }

    /// Prints a line when another quarter of the whole is done.
    fn tell(&self, state: &mut State) {
        if !matches!(self.display, Display::Lines) || state.total < WORTH_LINES {
            return;
        }
        let done = state.finished + state.parts.values().sum::<u64>();
        let quarters = done.saturating_mul(4) / state.total;
        if quarters > state.quarters && quarters < 4 {
            state.quarters = quarters;
            let (done, total) = (size::format(done), size::format(state.total));
            print_message(&format!("moved {done} of {total}"));
        }
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        if let Display::Bars(all) = &self.display {
            let _ = all.clear();
        }
    }
}

fn bar(all: &MultiProgress, digest: Digest, size: u64) -> ProgressBar {
    let bar = all.add(ProgressBar::new(size));
    let style = "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, \
                 {decimal_bytes_per_sec}";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(digest.hex().chars().take(SHOWN).collect::<String>());
    bar
}

/// Bytes that were sent for blobs.
pub(super) fn sent(moved: &[Moved]) -> u64 {
    moved.iter().map(Moved::sent).sum()
}

/// What was written to `output`, as text.
pub(super) fn written_text(written: &Written, moved: &[Moved], output: &str) -> String {
    let pushed = written.pushed.iter().map(pushed_text);
    let mut remote = pushed.chain(written.loaded.iter().map(loaded_text));
    remote.next().unwrap_or_else(|| format!("wrote {output}: {}", text(moved)))
}

/// What became of blobs, as text: `12 MB sent, 3 blobs were there`.
pub(super) fn text(moved: &[Moved]) -> String {
    let is = |how: fn(&How) -> bool| moved.iter().filter(|one| how(&one.how)).count();
    let sent = size::format(sent(moved));
    let existed = is(|how| matches!(how, How::Existed));
    let mounted = is(|how| matches!(how, How::Mounted));
    let mut text = format!("{sent} sent");
    if mounted > 0 {
        text += &format!(", {} mounted", quantity::count(mounted, "blob"));
    }
    if existed > 0 {
        text += &format!(", {} already there", quantity::count(existed, "blob"));
    }
    text
}

/// What became of blobs, as JSON.
pub(super) fn blobs(moved: &[Moved]) -> Value {
    let blob = |one: &Moved| {
        let how = match one.how {
            How::Existed => "existed",
            How::Mounted => "mounted",
            How::Sent { .. } => "sent",
        };
        json!({
            "digest": one.digest.to_string(),
            "size": one.size,
            "how": how,
            "sent": one.sent(),
        })
    };
    moved.iter().map(blob).collect()
}

/// An image in a registry, as text.
pub(super) fn pushed_text(pushed: &Pushed) -> String {
    match pushed.existed {
        true => format!("{} was there", pushed.name),
        false => format!("pushed {}: {}", pushed.name, text(&pushed.blobs)),
    }
}

/// An image in a registry, as JSON.
pub(super) fn pushed_json(pushed: &Pushed) -> Value {
    json!({
        "to": format!("docker://{}", pushed.name),
        "id": pushed.digest.to_string(),
        "existed": pushed.existed,
        "sent": sent(&pushed.blobs),
        "blobs": blobs(&pushed.blobs),
    })
}

/// An image in an engine's store, as text.
pub(super) fn loaded_text(loaded: &Loaded) -> String {
    let names: Vec<String> = loaded.names.iter().map(|name| name.familiar()).collect();
    let (engine, names) = (loaded.engine.command(), names.join(", "));
    format!("loaded {names} into {engine}: {}", text(&loaded.blobs))
}

/// An image in an engine's store, as JSON.
pub(super) fn loaded_json(loaded: &Loaded) -> Value {
    let name = loaded.names.first().map(ToString::to_string).unwrap_or_default();
    json!({
        "to": format!("{}:{name}", loaded.engine.transport()),
        "id": loaded.id,
        "existed": false,
        "sent": loaded.sent,
        "blobs": blobs(&loaded.blobs),
    })
}
