//! The text of `--healthcheck`, read as the instruction of a Buildfile.

use super::{Instruction, healthcheck::Health, parse::parse};

/// Reads what follows HEALTHCHECK: `[--interval=30s …] CMD command`, or `NONE`.
///
/// # Errors
/// What is wrong.
pub fn parse_health(text: &str) -> Result<Health, String> {
    let wrong = "write [--interval=30s …] CMD COMMAND, or NONE, on one line";
    if text.contains(['\n', '\r']) {
        return Err(wrong.into());
    }
    let recipe = parse("--healthcheck", format!("FROM scratch\nHEALTHCHECK {text}\n").as_bytes());
    let recipe = recipe.map_err(|faults| {
        faults.faults.first().map_or_else(|| wrong.into(), |fault| fault.kind.to_string())
    })?;
    match recipe.stages.first().map(|stage| &stage.steps[..]) {
        Some([step]) => match &step.kind {
            Instruction::Healthcheck(health) => Ok(health.clone()),
            _ => Err(wrong.into()),
        },
        _ => Err(wrong.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Command;

    #[test]
    fn the_grammar_is_that_of_the_instruction() {
        let health = parse_health("--interval=1m30s --retries=2 CMD [\"/app\", \"-c\"]").unwrap();
        assert_eq!((health.interval, health.retries), (90_000_000_000, 2));
        assert_eq!(health.command, Some(Command::Exec(vec!["/app".into(), "-c".into()])));
        let health = parse_health("CMD curl -f http://localhost/ || exit 1").unwrap();
        let line = "curl -f http://localhost/ || exit 1";
        assert_eq!(health.command, Some(Command::Shell(line.into())));
        assert_eq!(parse_health("none").unwrap().command, None);
        for text in ["", "/app", "CMD", "--interval=5 CMD x", "CMD x\nRUN y", "--nosuch=1 CMD x"] {
            assert!(parse_health(text).is_err(), "{text}");
        }
    }
}
