//! Digests, references, names of images, platforms, ports, signals, times: what is accepted is
//! printed and read as the same value, and messages are one line.
#![no_main]

use std::{fmt::Display, str::FromStr};

use imgb::{
    compress::Compression,
    digest::{DiffId, Digest},
    image::{ImageName, Platform, Ports, Reference, StopSignal, Target},
    timestamp::Timestamp,
    tree::capability,
};
use imgb_fuzz::{check_line, check_message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(digest) = again::<Digest>(text) {
        assert_eq!(text, format!("sha256:{}", digest.hex()), "not the only spelling");
    }
    again::<Reference>(text);
    again::<Platform>(text);
    again::<StopSignal>(text);
    again::<Compression>(text);
    ports(text);
    for exists in [true, false] {
        match ImageName::parse(text, |path| exists && path.as_os_str().len() % 2 == 0) {
            Ok(name) => check_line(&name.to_string()),
            Err(error) => check_message(&error.to_string()),
        }
        if let Err(error) = Target::parse(text, None, |_| exists) {
            error.to_string();
        }
    }
    let repository = Reference::repository_from(text);
    assert!(format!("{repository}:1").parse::<Reference>().is_ok(), "{repository}");
    if let Some(time) = Timestamp::from_rfc3339(text) {
        assert_eq!(Timestamp::from_rfc3339(&time.to_string()), Some(time), "{text}");
    }
    if let Some(time) = Timestamp::from_source_date_epoch(text) {
        assert_eq!(Timestamp::from_source_date_epoch(&time.seconds().to_string()), Some(time));
    }
    if let Ok(value) = capability::parse(text) {
        assert_eq!(value.len(), 20);
        capability::names(capability::required(&value));
    }
    capability::required(data);
    let _ = Digest::of(data).to_string().parse::<Digest>().map(DiffId);
});

fn again<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value), "{text}");
            Some(value)
        }
        Err(error) => {
            error.to_string();
            None
        }
    }
}

fn ports(text: &str) {
    let Ok(ports) = text.parse::<Ports>() else { return };
    for key in ports.keys().take(10) {
        assert_eq!(key.parse::<Ports>().map(|port| port.keys().collect()), Ok(vec![key]));
    }
}
