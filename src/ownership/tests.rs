use std::collections::BTreeSet;

use super::*;
use crate::{
    packages::{Database, Listing, PackageId, dpkg::Status},
    path::ImagePath,
};

/// A database of packages: name, fields, paths.
fn database(packages: &[(&str, &str, &[&str])]) -> Database {
    let fields = |(name, fields, _): &(&str, &str, &[&str])| {
        let other = if fields.contains("Architecture") { "" } else { "Architecture: amd64\n" };
        format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n{other}{fields}\n\n")
    };
    let text: String = packages.iter().map(fields).collect();
    let status = Status::parse(text.as_bytes());
    let list = |(id, [_, name]): (PackageId, [String; 2])| {
        let files = packages.iter().find(|(known, ..)| *known == name).unwrap().2;
        // dpkg lists the directories, too.
        let files = files.iter().map(|path| ImagePath::new(path).unwrap());
        let all: BTreeSet<_> = files
            .flat_map(|path| path.ancestors().chain([path.clone()]).collect::<Vec<_>>())
            .collect();
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        (id, Listing::of_paths(all.join("\n").into_bytes()))
    };
    let lists: Vec<_> = status.file_names().map(list).collect();
    status.with_files(lists, Vec::new(), b"")
}

fn id(database: &Database, name: &str) -> PackageId {
    database.find(name).next().unwrap()
}

#[test]
fn the_strongest_bond_counts() {
    let database = database(&[
        ("app", "Source: s\nDepends: liba, app-data\nRecommends: extra\nSuggests: other", &[]),
        ("app-data", "Source: s\nArchitecture: all", &[]),
        ("extra", "Depends: libextra, liba", &[]),
        ("liba", "Depends: libb | other", &[]),
        ("libb", "", &[]),
        ("libextra", "", &[]),
        ("other", "", &[]),
        ("unrelated", "Depends: app", &[]),
    ]);
    let bonds = bonds(&database, id(&database, "app"));
    let name = |id: &PackageId| database.package(*id).unwrap().name.to_string();
    let bonds: Vec<_> = bonds.iter().map(|(id, bond)| (name(id), *bond)).collect();
    let wanted = [
        ("app", Bond::Own),
        ("app-data", Bond::Own),
        ("extra", Bond::Recommends),
        ("liba", Bond::Depends),
        ("libb", Bond::Depends),
        ("libextra", Bond::Recommends),
        ("other", Bond::Depends),
    ];
    assert_eq!(bonds, wanted.map(|(name, bond)| (name.to_owned(), bond)));
}

/// Debian's packages in small: what each mention leads to.
fn sample() -> Database {
    database(&[
        ("mono", "Depends: corlib\nSource: mono", &["/usr/bin/mono", "/etc/mono/config"]),
        (
            "corlib",
            "Source: mono\nArchitecture: all",
            &["/usr/lib/mono/4.5/mscorlib.dll", "/usr/share/doc/corlib/copyright"],
        ),
        (
            "qemu",
            "Depends: seabios, libx, base\nRecommends: roms",
            &["/usr/bin/qemu", "/usr/share/qemu/keymaps/de", "/usr/share/qemu/bios.bin"],
        ),
        ("seabios", "Architecture: all", &["/usr/share/seabios/bios-256k.bin", "/usr/share/o/x"]),
        ("other", "", &["/usr/share/o/y", "/usr/share/qemu-other/z"]),
        ("roms", "Architecture: all", &["/usr/lib/roms/pxe.rom"]),
        ("libx", "", &["/usr/share/libx/table"]),
        ("base", "Architecture: all\nEssential: yes", &["/usr/share/base/common.txt"]),
        ("r", "", &["/usr/lib/R/library/base/R/base", "/usr/lib/R/etc/Renviron"]),
        ("espeak", "Depends: espeak-data\nSource: e", &["/usr/bin/espeak"]),
        ("espeak-data", "Source: e", &["/usr/share/espeak-ng-data/phontab"]),
    ])
}

/// What of its packages an object of `package` with these constants opens.
fn mentioned(package: &str, constants: &[u8]) -> Vec<String> {
    let database = sample();
    let is_data = |path: &ImagePath| !path.to_string().starts_with("/usr/bin/");
    let belongings = Belongings::new(&database, id(&database, package), is_data);
    let mut mentions = Mentions::default();
    belongings.names().scan(constants, &mut mentions);
    let text = |owned: Owned| {
        let package = &database.package(owned.package).unwrap().name;
        let mention = String::from_utf8(owned.mention.to_vec()).unwrap();
        format!("{} {package} {:?} by {mention}", owned.path, owned.bond)
    };
    belongings.mentioned(&mentions, &database).into_iter().map(text).collect()
}

#[test]
fn paths_that_are_joined_cut_and_listed_are_found() {
    let mono = [
        "/etc/mono mono Own by mono",
        "/usr/lib/mono corlib Own by mono",
        "/usr/lib/mono/4.5 corlib Own by 4.5",
    ];
    assert_eq!(mentioned("mono", b"\0/usr/lib\0mono/4.5\0"), mono);
    let espeak = |by: &str| [format!("/usr/share/espeak-ng-data espeak-data Own by {by}")];
    assert_eq!(mentioned("espeak", b"\0%s/espeak-ng-data\0"), espeak("espeak-ng-data"));
    assert_eq!(mentioned("espeak", b"\0/usr/share/espea"), espeak("/usr/share/espea"));
    let seabios = ["/usr/share/seabios seabios Depends by /usr/share/seabios"];
    assert_eq!(mentioned("qemu", b"/usr/share/a:/usr/share/seabios\0"), seabios);
    let r = ["/usr/lib/R r Own by /usr/lib/R"];
    assert_eq!(mentioned("r", b"R_HOME=/usr/lib/R\0"), r);
}

#[test]
fn a_file_is_found_by_its_name_and_a_recommended_one_is_told_apart() {
    // Who names the compressed file may open the other.
    let found = mentioned("qemu", b"\0bios-256k.bin.gz\0/pxe.rom\0");
    let wanted = [
        "/usr/lib/roms/pxe.rom roms Recommends by pxe.rom",
        "/usr/share/seabios/bios-256k.bin seabios Depends by bios-256k.bin",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn what_other_packages_own_is_not_meant() {
    // Code that it depends on, what each system has, what nothing asks for, and a word alone.
    let constants =
        b"\0/usr/share/libx\0/usr/share/base\0common.txt\0/usr/share/qemu-other\0seabios\0";
    assert_eq!(mentioned("qemu", constants), [""; 0]);
    assert_eq!(mentioned("qemu", b"see https://qemu.org/seabios/qemu/"), [""; 0]);
    // Names that many packages have.
    assert_eq!(mentioned("r", b"\0/usr/lib\0/etc/\0%s/R/%s\0"), [""; 0]);
}

/// In prose, an ordinary word is the name of a directory only if that is of the package itself.
#[test]
fn words_of_prose_do_not_stand_for_directories_of_others() {
    let database = sample();
    let belongings = Belongings::new(&database, id(&database, "qemu"), |_| true);
    let found = |text: &[u8]| {
        let mut mentions = Mentions::of_prose();
        belongings.names().scan(text, &mut mentions);
        let found = belongings.mentioned(&mentions, &database);
        found.iter().map(|owned| owned.path.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found(b"roms/seabios/qemu"), "/usr/share/qemu");
    assert_eq!(found(b"'/usr/share/seabios'"), "/usr/share/seabios");
    assert_eq!(found(b"bios-256k.bin"), "/usr/share/seabios/bios-256k.bin");
}

#[test]
fn of_a_directory_with_files_of_others_only_its_own_are_taken() {
    assert_eq!(
        mentioned("qemu", b"\0/usr/share/o\0"),
        ["/usr/share/o/x seabios Depends by /usr/share/o"]
    );
}
