//! passwd(5), group(5) and shadow(5) for an image: root, nobody, and the accounts that are needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{Account, Facts};

/// The number of a `--user` whose name the sysroot does not have.
const UNKNOWN: u32 = 1000;
/// The number of nobody and its group, as in systemd and in every distroless image (Debian's
/// base-passwd has the same number).
const NOBODY: u32 = 65534;

/// Numbers below are the distribution's (Debian Policy, 9.2.2): who has a number from here on
/// depends on the machine.
const DYNAMIC: u32 = 100;

/// The shell of accounts that nobody may log in to.
const NO_SHELL: &str = "/sbin/nologin";

/// The lines of `/etc/passwd`: root, nobody, the image's user, and the accounts of the sysroot that
/// are `wanted`. Root and the image's user get `shell`, if there is one.
pub fn passwd(facts: &Facts, wanted: &BTreeSet<String>, shell: Option<&str>) -> String {
    let own = user(facts).map(|(_, account)| account.uid);
    let mut out = String::new();
    for (name, account) in accounts(facts, wanted) {
        let Account { uid, gid, home } = account;
        let may_log_in = uid == 0 || Some(uid) == own;
        let shell = shell.filter(|_| may_log_in).unwrap_or(NO_SHELL);
        let _ = writeln!(out, "{name}:x:{uid}:{gid}:{name}:{home}:{shell}");
    }
    out
}

/// The lines of `/etc/shadow` for the accounts of [`passwd`]: no password is valid, and none
/// expires.
pub fn shadow(facts: &Facts, wanted: &BTreeSet<String>) -> String {
    let mut out = String::new();
    for (name, _) in accounts(facts, wanted) {
        let _ = writeln!(out, "{name}:*:::::::");
    }
    out
}

/// The lines of `/etc/group` for the accounts of [`passwd`] and the groups that are `wanted`.
pub fn group(facts: &Facts, wanted: &BTreeSet<String>) -> String {
    let mut groups: BTreeMap<u32, String> =
        BTreeMap::from([(0, "root".into()), (NOBODY, "nogroup".into())]);
    for name in wanted.iter().chain(user_and_group(facts).1.as_ref()) {
        if let Some(&gid) = facts.groups.get(name) {
            groups.entry(gid).or_insert_with(|| name.clone());
        } else if user_and_group(facts).1.as_ref() == Some(name) {
            let gid = name.parse().unwrap_or(UNKNOWN);
            let name = if name.parse::<u32>().is_ok() { "user".into() } else { name.clone() };
            groups.entry(gid).or_insert(name);
        }
    }
    for (name, account) in accounts(facts, wanted) {
        let mut named = facts.groups.iter().filter(|(_, gid)| **gid == account.gid);
        let known = named.find(|(known, gid)| **gid < DYNAMIC || **known == name);
        let group = known.map_or(name, |(known, _)| known.clone());
        groups.entry(account.gid).or_insert(group);
    }
    let mut out = String::new();
    for (gid, name) in groups {
        let _ = writeln!(out, "{name}:x:{gid}:");
    }
    out
}

/// The accounts, in the order of their numbers.
fn accounts(facts: &Facts, wanted: &BTreeSet<String>) -> Vec<(String, Account)> {
    let root = Account { uid: 0, gid: 0, home: "/root".into() };
    let nobody = Account { uid: NOBODY, gid: NOBODY, home: "/nonexistent".into() };
    let mut accounts = vec![("root".to_owned(), root), ("nobody".to_owned(), nobody)];
    let named =
        wanted.iter().filter_map(|name| Some((name.clone(), facts.accounts.get(name)?.clone())));
    for (name, account) in named.chain(user(facts)) {
        if accounts.iter().all(|(known, old)| *known != name && old.uid != account.uid) {
            accounts.push((name, account));
        }
    }
    accounts.sort_by_key(|(_, account)| account.uid);
    accounts
}

/// The image's user: the sysroot's account with that name or number, or a new one.
fn user(facts: &Facts) -> Option<(String, Account)> {
    let (user, group) = user_and_group(facts);
    let user = user?;
    let number: Option<u32> = user.parse().ok();
    let known = match number {
        Some(uid) => {
            let mut known = facts.accounts.iter().filter(|_| uid < DYNAMIC);
            known.find(|(_, account)| account.uid == uid)
        }
        None => facts.accounts.get_key_value(&user),
    };
    if let Some((name, account)) = known {
        return Some((name.clone(), account.clone()));
    }
    let uid = number.unwrap_or(UNKNOWN);
    let gid =
        group.and_then(|group| facts.groups.get(&group).copied().or_else(|| group.parse().ok()));
    let name = if number.is_some() { "user".into() } else { user };
    Some((name, Account { uid, gid: gid.unwrap_or(uid), home: "/".into() }))
}

/// The two tables with the image's user and group added where they lack them, as [`passwd`] and
/// [`group`] would have made them.
pub fn with_user(facts: &Facts, passwd_table: &str, group_table: &str) -> (String, String) {
    let shell =
        passwd_table.lines().find_map(|line| line.strip_prefix("root:")?.rsplit(':').next());
    let shell = shell.filter(|shell| *shell != NO_SHELL);
    let none = BTreeSet::new();
    let add = |table: &str, made: &str| {
        let field = |line: &str, at: usize| line.split(':').nth(at).unwrap_or_default().to_owned();
        let mut lines: Vec<&str> = table.lines().collect();
        for line in made.lines() {
            let is_new =
                |old: &&str| field(old, 0) != field(line, 0) && field(old, 2) != field(line, 2);
            if lines.iter().all(is_new) {
                lines.push(line);
            }
        }
        lines.sort_by_key(|line| field(line, 2).parse::<u32>().ok());
        lines.into_iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    (add(passwd_table, &passwd(facts, &none, shell)), add(group_table, &group(facts, &none)))
}

fn user_and_group(facts: &Facts) -> (Option<String>, Option<String>) {
    match facts.user.as_deref().map(|user| user.split_once(':').unwrap_or((user, ""))) {
        None => (None, None),
        Some((user, group)) => (Some(user.into()), (!group.is_empty()).then(|| group.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(user: Option<&str>, wanted: &[&str], passwd_lines: &str, group_lines: &str) {
        let facts = Facts {
            user: user.map(Into::into),
            accounts: [("www".into(), Account { uid: 33, gid: 34, home: "/var/www".into() })]
                .into(),
            groups: [("web".into(), 34), ("adm".into(), 4)].into(),
            ..Facts::default()
        };
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        let root = "root:x:0:0:root:/root:/sbin/nologin\n";
        let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n";
        assert_eq!(passwd(&facts, &wanted, None), format!("{root}{passwd_lines}{nobody}"));
        assert_eq!(group(&facts, &wanted), format!("root:x:0:\n{group_lines}nogroup:x:65534:\n"));
    }

    #[test]
    fn root_and_the_images_user_have_a_shell_where_there_is_one() {
        let facts = Facts { user: Some("1000".into()), ..Facts::default() };
        let shells = passwd(&facts, &BTreeSet::new(), Some("/bin/sh"));
        let shells: Vec<_> = shells.lines().filter_map(|line| line.rsplit(':').next()).collect();
        assert_eq!(shells, ["/bin/sh", "/bin/sh", NO_SHELL]);
        assert_eq!(
            shadow(&facts, &BTreeSet::new()),
            "root:*:::::::\nuser:*:::::::\nnobody:*:::::::\n"
        );
    }

    #[test]
    fn no_name_of_the_machine_is_taken() {
        let account = |uid, gid, home: &str| Account { uid, gid, home: home.into() };
        let facts = |user: &str| Facts {
            user: Some(user.into()),
            accounts: [
                ("alice".into(), account(1000, 1000, "/home/alice")),
                ("db".into(), account(110, 115, "/var/lib/db")),
            ]
            .into(),
            groups: [("staff".into(), 1000), ("secret".into(), 115)].into(),
            ..Facts::default()
        };
        let none = BTreeSet::new();
        for (user, line, group_line) in [
            ("1000", "user:x:1000:1000:user:/:/sbin/nologin\n", "user:x:1000:\n"),
            ("app", "app:x:1000:1000:app:/:/sbin/nologin\n", "app:x:1000:\n"),
            ("db", "db:x:110:115:db:/var/lib/db:/sbin/nologin\n", "db:x:115:\n"),
        ] {
            let (users, groups) = (passwd(&facts(user), &none, None), group(&facts(user), &none));
            assert!(users.contains(line) && !users.contains("alice"), "{users}");
            assert!(groups.contains(group_line), "{groups}");
            // The same, whether the user is known from the start or added.
            let before = (passwd(&Facts::default(), &none, None), group(&Facts::default(), &none));
            assert_eq!(with_user(&facts(user), &before.0, &before.1), (users, groups));
        }
    }

    #[test]
    fn the_users_that_are_needed() {
        let www = "www:x:33:34:www:/var/www:/sbin/nologin\n";
        check(None, &[], "", "");
        check(None, &["www", "adm"], www, "adm:x:4:\nweb:x:34:\n");
        check(Some("www"), &[], www, "web:x:34:\n");
        check(Some("33"), &[], www, "web:x:34:\n");
        check(Some("65532"), &[], "user:x:65532:65532:user:/:/sbin/nologin\n", "user:x:65532:\n");
        check(Some("app:app"), &[], "app:x:1000:1000:app:/:/sbin/nologin\n", "app:x:1000:\n");
        check(Some("app:web"), &[], "app:x:1000:34:app:/:/sbin/nologin\n", "web:x:34:\n");
        check(Some("nobody"), &[], "", "");
        check(Some("0"), &[], "", "");
    }
}
