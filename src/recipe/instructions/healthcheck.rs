//! The words and flags of HEALTHCHECK.

use super::InstructionReader;
use crate::recipe::{
    Command,
    fault::FaultKind,
    healthcheck::{Health, duration},
};

impl InstructionReader<'_, '_> {
    pub(super) fn health(&mut self) -> Option<Health> {
        let (kind, rest) = self.rest.split_first();
        let command = match kind.text.to_ascii_uppercase().as_str() {
            "" => {
                self.wrong_arguments("CMD and a command, or NONE", &[], 0);
                return None;
            }
            "NONE" if rest.text().is_empty() => None,
            "NONE" => {
                self.wrong_arguments("nothing after NONE", &rest.words(), 0);
                return None;
            }
            "CMD" => match self.command_of(rest)? {
                Command::Exec(words) if words.is_empty() => return self.no_health_command(),
                Command::Shell(text) if text.is_empty() => return self.no_health_command(),
                command => Some(command),
            },
            _ => {
                self.fault(kind.span, FaultKind::HealthCheck { value: kind.text });
                return None;
            }
        };
        let [interval, timeout, start_period, start_interval] =
            ["interval", "timeout", "start-period", "start-interval"]
                .map(|flag| self.duration(flag));
        let retries = self.retries();
        let [interval, timeout, start_period, start_interval] =
            [interval?, timeout?, start_period?, start_interval?]
                .map(|time| if command.is_some() { time } else { 0 });
        let retries = retries?;
        let retries = if command.is_some() { retries } else { 0 };
        Some(Health { command, interval, timeout, start_period, start_interval, retries })
    }

    fn no_health_command(&mut self) -> Option<Health> {
        self.wrong_arguments("a command after CMD", &[], 0);
        None
    }

    fn duration(&mut self, flag: &str) -> Option<u64> {
        let Some(word) = self.flags.value(flag).filter(|word| !word.text.is_empty()) else {
            return Some(0);
        };
        match duration(&word.text) {
            Ok(nanoseconds) => Some(nanoseconds),
            Err(why) => {
                self.fault(word.span, FaultKind::Duration { value: word.text, why });
                None
            }
        }
    }

    fn retries(&mut self) -> Option<u32> {
        let Some(word) = self.flags.value("retries").filter(|word| !word.text.is_empty()) else {
            return Some(0);
        };
        let max = i32::MAX.unsigned_abs();
        let number = word.text.parse().ok().filter(|&number: &u32| number <= max);
        if number.is_none() {
            self.fault(word.span, FaultKind::Number { value: word.text, max });
        }
        number
    }
}
