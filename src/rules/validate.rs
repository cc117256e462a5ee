//! Checks of a rule that its TOML types do not express.

use super::{Make, Rule, TableError, When, pattern, version::parse_version};
use crate::path::{ImagePath, glob::Glob};

/// Checks `rule` and parses its patterns of excluded paths.
///
/// # Errors
/// [`TableError`] for the first value that is invalid.
pub(super) fn validate(rule: &mut Rule) -> Result<(), TableError> {
    name(rule)?;
    for when in &rule.when {
        trigger(rule, when)?;
    }
    files(rule)?;
    let is_variable =
        |text: &&String| text.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    if let Some(text) = rule.env.iter().find(|text| !is_variable(text)) {
        return Err(invalid(rule, text, "a variable is written NAME=VALUE"));
    }
    for make in &rule.make {
        generated(rule, make)?;
    }
    let excluded = rule.exclude.iter().chain(rule.deny.iter().flat_map(|denial| &denial.paths));
    let excluded = excluded.map(|pattern| {
        Glob::new(pattern.trim_start_matches('/').as_bytes()).map_err(|source| {
            TableError::Exclude { rule: rule.name.clone(), pattern: pattern.clone(), source }
        })
    });
    rule.excluded = excluded.collect::<Result<_, _>>()?;
    Ok(())
}

fn invalid(rule: &Rule, value: &str, why: impl Into<String>) -> TableError {
    TableError::Value { rule: rule.name.clone(), value: value.into(), why: why.into() }
}

fn name(rule: &Rule) -> Result<(), TableError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if rule.name.is_empty() || !rule.name.bytes().all(allowed) {
        return Err(invalid(
            rule,
            &rule.name,
            "a name consists of lower-case letters, digits and `-`",
        ));
    }
    Ok(())
}

fn trigger(rule: &Rule, when: &When) -> Result<(), TableError> {
    for pattern in when.patterns() {
        if pattern.is_empty() {
            return Err(invalid(rule, pattern, "a pattern must not be empty"));
        }
        if pattern.matches('*').count() > pattern::MAX_STARS {
            let why =
                format!("a pattern has at most {} stars; `**` counts as two", pattern::MAX_STARS);
            return Err(invalid(rule, pattern, why));
        }
    }
    if let Some(version) = &when.libc_before
        && parse_version(version).is_none()
    {
        return Err(invalid(rule, version, "a version is written MAJOR.MINOR"));
    }
    let mut paths = when.paths.iter().chain(&when.owned).chain(&when.recommended);
    if let Some(path) = paths.find(|path| !path.starts_with('/') || path.len() < 4) {
        return Err(invalid(rule, path, "a path starts with a slash and has at least four bytes"));
    }
    Ok(())
}

fn files(rule: &Rule) -> Result<(), TableError> {
    for file in rule.files.iter().chain(&rule.present) {
        if !file.starts_with('/') && !file.starts_with('{') {
            return Err(invalid(
                rule,
                file,
                "a pattern of files starts with a slash or a variable",
            ));
        }
        if file.split('/').any(|part| part == "..") {
            return Err(invalid(rule, file, "a pattern of files must not contain `..`"));
        }
    }
    Ok(())
}

fn generated(rule: &Rule, make: &Make) -> Result<(), TableError> {
    if let Err(source) = ImagePath::new(&make.path) {
        let (rule, path) = (rule.name.clone(), make.path.clone());
        return Err(TableError::Path { rule, path, source });
    }
    let kinds = [make.text.is_some(), !make.link.is_empty(), make.directory];
    if kinds.into_iter().filter(|&given| given).count() != 1 {
        return Err(invalid(rule, &make.path, "it needs exactly one of text, link and directory"));
    }
    if make.mode.is_some_and(|mode| mode > 0o7777) {
        return Err(invalid(rule, &make.path, "its mode has bits beyond 0o7777"));
    }
    Ok(())
}
