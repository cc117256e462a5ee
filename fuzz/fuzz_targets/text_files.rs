//! Small text files that are read: lists of paths, and tables of users and groups.
#![no_main]

use imgb::{path::ImagePath, rules, trace, tree::Accounts};
use imgb_fuzz::{check_line, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match trace::parse_list(data) {
        Ok(paths) => {
            for path in paths {
                assert!(path.starts_with(b"/"));
                tree::check_path(&ImagePath::new(path).expect("a path in an image"));
            }
        }
        Err(error) => check_line(&error.to_string()),
    }
    let (passwd, group) = data.split_at(data.len() / 2);
    let accounts = Accounts::parse(passwd, group);
    accounts.user("root");
    accounts.user_numbered(0);
    accounts.group("root");
    accounts.groups_of("root").count();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let facts = rules::Facts::default();
    let (users, groups) = rules::with_user(&facts, &text(passwd), &text(group));
    assert!(users.len() <= 4 * data.len() + 1000 && groups.len() <= 4 * data.len() + 1000);
});
