//! Archives of `docker save`: configuration, manifest.json and repositories, with links and members
//! of any name beside them.
#![no_main]

use imgb_fuzz::{image, input::Input, tar::Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&len, rest)) = data.split_first() else { return };
    let (extra, documents) = rest.split_at(rest.len().min(usize::from(len)));
    let mut input = Input(extra);
    let mut members = Writer::default();
    while input.has_more() {
        let kind = input.choose(b"0125");
        let name = match input.byte() % 4 {
            0 => b"manifest.json".to_vec(),
            1 => b"layer.tar".to_vec(),
            2 => b"config.json".to_vec(),
            _ => input.path(),
        };
        let target = match input.byte() % 3 {
            0 => b"layer.tar".to_vec(),
            1 => b"config.json".to_vec(),
            _ => input.path(),
        };
        let content: &[u8] = if kind == b'0' { input.text() } else { b"" };
        members.member(kind, &name, &target, content);
    }
    // Neither index nor manifest: the parts for these are empty.
    let config: Vec<&[u8]> = documents.splitn(2, |&byte| byte == 0).collect();
    let docker = config.get(1).copied().unwrap_or_default();
    let text = [config[0], b"---\n---\n---\n", docker].concat();
    members.0.extend(image::archive(&text));
    image::check(&members.0);
});
