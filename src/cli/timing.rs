//! `--timing`: how long each phase took, what it cost, and what was read.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::time::ClockId;
use serde_json::{Value, json};

use super::size;
use crate::{
    pack,
    pipeline::{Delivered, Event, Phase},
    plan::{Plan, PlannedLayer},
};

/// Samples of the clocks, one at the start of each phase.
#[derive(Debug)]
pub(super) struct Timing {
    samples: Mutex<Vec<ClockSample>>,
}

/// Wall and CPU time at the start of a phase.
#[derive(Clone, Copy, Debug)]
struct ClockSample {
    name: &'static str,
    wall: Instant,
    /// CPU time of all threads of this process.
    cpu: Duration,
}

/// A phase and what it cost.
struct PhaseCost {
    name: &'static str,
    wall: Duration,
    cpu: Duration,
}

impl Timing {
    /// Takes the first sample.
    pub(super) fn new() -> Self {
        Self { samples: Mutex::new(vec![ClockSample::now("start")]) }
    }

    /// Takes a sample if `event` starts a phase.
    pub(super) fn event(&self, event: Event) {
        let Event::Phase(phase) = event else { return };
        let name = match phase {
            Phase::Inputs => "inputs",
            Phase::Plan => "plan",
            Phase::Check => "check",
            Phase::Layers => "layers",
            Phase::Output => "output",
        };
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(ClockSample::now(name));
    }

    /// The phases up to now, then their total.
    fn costs(&self) -> Vec<PhaseCost> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let end = ClockSample::now("total");
        let ends = samples.iter().skip(1).chain([&end]);
        let part = |from: &ClockSample, to: &ClockSample| PhaseCost {
            name: from.name,
            wall: to.wall.duration_since(from.wall),
            cpu: to.cpu.saturating_sub(from.cpu),
        };
        let mut parts: Vec<_> = samples.iter().zip(ends).map(|(from, to)| part(from, to)).collect();
        parts.extend(samples.first().map(|first| PhaseCost { name: "total", ..part(first, &end) }));
        parts
    }

    /// A table of phases, layers and totals.
    pub(super) fn text(&self, plans: &[&Plan], delivered: &Delivered) -> String {
        let mut text = String::from("timing         wall        cpu\n");
        for part in self.costs() {
            let (wall, cpu) = (part.wall.as_secs_f64(), part.cpu.as_secs_f64());
            let _ = writeln!(text, "  {:<8} {wall:>7.3} s  {cpu:>7.3} s", part.name);
        }
        for (layer, planned) in layers(plans, delivered) {
            let read = format!("{} of content read", size::format(layer.read));
            let how = match (layer.cached, layer.read) {
                (true, 0) => "from the cache".into(),
                (true, _) => format!("from the cache, {read}"),
                (false, _) => read,
            };
            let _ = writeln!(text, "  layer {}: {how}", planned.name);
        }
        let or_unknown = |value: Option<u64>| value.map_or_else(|| "unknown".into(), size::format);
        let _ = write!(
            text,
            "  read {} in total, peak memory {}",
            or_unknown(read_bytes()),
            or_unknown(peak_bytes())
        );
        text
    }

    /// The same as JSON, in seconds and bytes.
    pub(super) fn json(&self, plans: &[&Plan], delivered: &Delivered) -> Value {
        let phases = self.costs().into_iter().map(|part| {
            let (wall, cpu) = (part.wall.as_secs_f64(), part.cpu.as_secs_f64());
            json!({"name": part.name, "wall": wall, "cpu": cpu})
        });
        let layers = layers(plans, delivered).map(|(layer, planned)| {
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

/// The layers of all plans, as they were made and as they were planned.
fn layers<'a>(
    plans: &'a [&Plan],
    delivered: &'a Delivered,
) -> impl Iterator<Item = (&'a pack::Layer, &'a PlannedLayer)> {
    let made = delivered.layers.iter().zip(plans);
    made.flat_map(|(made, plan)| made.iter().zip(&plan.layers))
}

impl ClockSample {
    fn now(name: &'static str) -> Self {
        let cpu = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or_default();
        let cpu = Duration::new(seconds, u32::try_from(cpu.tv_nsec).unwrap_or_default());
        Self { name, wall: Instant::now(), cpu }
    }
}

/// Bytes that this process has read by any system call (proc(5), `rchar`), including its own output
/// that it read back.
fn read_bytes() -> Option<u64> {
    field("/proc/self/io", "rchar:")
}

/// Peak memory of this process in bytes (proc(5), `VmHWM`).
fn peak_bytes() -> Option<u64> {
    Some(field("/proc/self/status", "VmHWM:")? << 10)
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
