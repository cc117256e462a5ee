//! The tables of users and groups, `/etc/passwd` and `/etc/group`, as every part of imgb reads
//! them (passwd(5), group(5)). Pure: bytes in.

/// Bytes of a table that are read (containerd's limit after CVE-2026-53488).
pub const MAX_TABLE: usize = 1 << 20;

/// Users and groups in the order of their tables. Of two entries with one name or number the first
/// counts, as for getpwnam(3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The entries of `/etc/passwd`.
    pub users: Vec<UserEntry>,
    /// The entries of `/etc/group`.
    pub groups: Vec<GroupEntry>,
}

/// A line of `/etc/passwd`. A number that is missing or malformed is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: String,
    /// User number.
    pub uid: Option<u32>,
    /// Number of the primary group.
    pub gid: Option<u32>,
    /// Home directory. `None` if the line is too short to have one.
    pub home: Option<String>,
}

/// A line of `/etc/group`. A number that is missing or malformed is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Name.
    pub name: String,
    /// Group number.
    pub gid: Option<u32>,
    /// Login names of the users that have this group besides their primary one.
    pub members: Vec<String>,
}

impl Accounts {
    /// Reads the contents of `/etc/passwd` and `/etc/group`. Bytes that are not UTF-8 become
    /// U+FFFD.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let users = lines(passwd).into_iter().map(|fields| UserEntry {
            name: field(&fields, 0).into(),
            uid: field(&fields, 2).parse().ok(),
            gid: field(&fields, 3).parse().ok(),
            home: fields.get(5).cloned(),
        });
        let groups = lines(group).into_iter().map(|fields| GroupEntry {
            name: field(&fields, 0).into(),
            gid: field(&fields, 2).parse().ok(),
            members: field(&fields, 3).split(',').map(str::to_owned).collect(),
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// The user with this name.
    pub fn user(&self, name: &str) -> Option<&UserEntry> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The first user with this number.
    pub fn user_numbered(&self, uid: u32) -> Option<&UserEntry> {
        self.users.iter().find(|user| user.uid == Some(uid))
    }

    /// The group with this name.
    pub fn group(&self, name: &str) -> Option<&GroupEntry> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The numbers of the groups that list the user `login` as a member, in the table's order.
    pub fn groups_of(&self, login: &str) -> impl Iterator<Item = u32> {
        let of = self.groups.iter().filter(move |group| group.members.iter().any(|m| m == login));
        of.filter_map(|group| group.gid)
    }
}

fn lines(table: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(table);
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

fn field(fields: &[String], at: usize) -> &str {
    fields.get(at).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_name_or_number_counts() {
        let accounts = Accounts::parse(
            b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/var/www:\nwww:x:44:44::/:\ntoor:x:0:0::/:",
            b"adm:x:4:www,root\nweb:x:34:\n",
        );
        assert_eq!(accounts.user("www").unwrap().uid, Some(33));
        assert_eq!(accounts.user("www").unwrap().home.as_deref(), Some("/var/www"));
        assert_eq!(accounts.user_numbered(0).unwrap().name, "root");
        assert_eq!(accounts.group("web").unwrap().gid, Some(34));
        assert_eq!(accounts.groups_of("www").collect::<Vec<_>>(), [4]);
        assert!(accounts.user("web").is_none() && accounts.group("www").is_none());
    }

    #[test]
    fn damaged_lines_lack_what_they_lack() {
        let accounts = Accounts::parse(b"\nshort\nbad:x:many:-1\n\xff:x:1:1", b":::");
        assert_eq!(accounts.users.len(), 4);
        assert_eq!(accounts.user("short").unwrap().uid, None);
        assert_eq!(accounts.user("bad").map(|user| (user.uid, user.gid)), Some((None, None)));
        assert_eq!(accounts.user_numbered(1).unwrap().name, "\u{fffd}");
        assert_eq!(accounts.groups_of("root").count(), 0);
    }
}
