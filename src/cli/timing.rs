//! `--timing`: how long each part of the work took, what it cost, what was read.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::time::ClockId;
use serde_json::{Value, json};

use super::report::bytes;
use crate::{
    pipeline::{Delivered, Event, Phase},
    plan::Plan,
};

/// A clock that is read where one part of the work ends and the next begins.
#[derive(Debug)]
pub(super) struct Timing {
    marks: Mutex<Vec<Mark>>,
}

/// Where a part begins.
#[derive(Clone, Copy, Debug)]
struct Mark {
    name: &'static str,
    wall: Instant,
    /// CPU time of all threads of this process.
    cpu: Duration,
}

/// A part and what it cost.
struct Part {
    name: &'static str,
    wall: Duration,
    cpu: Duration,
}

impl Timing {
    /// The work begins.
    pub(super) fn new() -> Self {
        Self { marks: Mutex::new(vec![Mark::now("start")]) }
    }

    /// This, if the user wants to see it.
    pub(super) fn wanted(&self, wanted: bool) -> Option<&Self> {
        wanted.then_some(self)
    }

    /// Takes the time where a phase begins.
    pub(super) fn event(&self, event: Event) {
        let Event::Phase(phase) = event else { return };
        let name = match phase {
            Phase::Inputs => "inputs",
            Phase::Plan => "plan",
            Phase::Check => "check",
            Phase::Layers => "layers",
            Phase::Output => "output",
        };
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(Mark::now(name));
    }

    /// The parts up to now, and all of them together.
    fn parts(&self) -> Vec<Part> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let end = Mark::now("total");
        let ends = marks.iter().skip(1).chain([&end]);
        let part = |from: &Mark, to: &Mark| Part {
            name: from.name,
            wall: to.wall.duration_since(from.wall),
            cpu: to.cpu.saturating_sub(from.cpu),
        };
        let mut parts: Vec<_> = marks.iter().zip(ends).map(|(from, to)| part(from, to)).collect();
        parts.extend(marks.first().map(|first| Part { name: "total", ..part(first, &end) }));
        parts
    }

    /// As a table for people.
    pub(super) fn text(&self, plan: &Plan, delivered: &Delivered) -> String {
        let mut text = String::from("timing         wall        cpu\n");
        for part in self.parts() {
            let (wall, cpu) = (part.wall.as_secs_f64(), part.cpu.as_secs_f64());
            let _ = writeln!(text, "  {:<8} {wall:>7.3} s  {cpu:>7.3} s", part.name);
        }
        for (layer, planned) in delivered.layers.iter().zip(&plan.layers) {
            let how = match layer.cached {
                true => "out of the cache".into(),
                false => format!("{} of content read", bytes(layer.read)),
            };
            let _ = writeln!(text, "  layer {}: {how}", planned.name);
        }
        let or_unknown = |value: Option<u64>| value.map_or_else(|| "unknown".into(), bytes);
        let _ = write!(
            text,
            "  read {} in all, peak memory {}",
            or_unknown(read_bytes()),
            or_unknown(peak_bytes())
        );
        text
    }

    /// As JSON: seconds and bytes.
    pub(super) fn json(&self, plan: &Plan, delivered: &Delivered) -> Value {
        let phases = self.parts().into_iter().map(
            |part| json!({"name": part.name, "wall": part.wall.as_secs_f64(), "cpu": part.cpu.as_secs_f64()}),
        );
        let layers = delivered.layers.iter().zip(&plan.layers).map(|(layer, planned)| {
            json!({"name": planned.name, "content_bytes_read": layer.read, "cached": layer.cached})
        });
        json!({
            "phases": phases.collect::<Vec<_>>(),
            "layers": layers.collect::<Vec<_>>(),
            "bytes_read": read_bytes(),
            "peak_memory": peak_bytes(),
        })
    }
}

impl Mark {
    fn now(name: &'static str) -> Self {
        let cpu = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or_default();
        let cpu = Duration::new(seconds, u32::try_from(cpu.tv_nsec).unwrap_or_default());
        Self { name, wall: Instant::now(), cpu }
    }
}

/// Bytes that this process has read by any system call (proc(5), `rchar`), its own output read back
/// included.
fn read_bytes() -> Option<u64> {
    field("/proc/self/io", "rchar:")
}

/// The most memory that this process has had (proc(5), `VmHWM`).
fn peak_bytes() -> Option<u64> {
    Some(field("/proc/self/status", "VmHWM:")? << 10)
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
