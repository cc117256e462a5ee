//! Directories that a program lists under `imgb trace`: their names, their files, their links.

use crate::trace_serving::{as_each_user, packed, paths, report};

#[test]
fn a_listed_directory_has_all_its_names_and_each_file_its_content() {
    let source = r#"
        static int count(const char *path) {
            DIR *dir = opendir(path);
            int n = 0;
            for (struct dirent *e; dir && (e = readdir(dir));) n += !!strstr(e->d_name, ".so");
            return n;
        }
        int main(void) {
            if (count("/opt/a") != 3) return 10;
            struct stat st;
            if (stat("/opt/a/1.so", &st) || st.st_size != 4) return 11;
            if (count("/opt/b") != 2) return 12;
            const char *got = slurp("/opt/b/1.so", O_RDONLY);
            return got && !strcmp(got, "one") ? 0 : 13;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    for dir in ["a", "b"] {
        sandbox.file(&format!("sys/opt/{dir}/1.so"), "one\n");
        sandbox.file(&format!("sys/opt/{dir}/2.so"), "two\n");
    }
    sandbox.file("opt/a/3.so", "three\n");
    sandbox.imgb("pack ./app ./opt --soft none -q -o app.tar --entrypoint /app").run().ok();
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json", |traced| {
        let wanted = ["/opt/a/1.so", "/opt/a/2.so", "/opt/b", "/opt/b/1.so"];
        assert_eq!(paths(&report(traced.ok()), "missing"), wanted);
    });
}

/// cp(1) and others refuse a file that is another one when opened than when it was looked at.
#[test]
fn a_file_is_the_same_in_a_listing_by_its_name_and_opened() {
    let source = r#"
        int main(void) {
            int files = 0;
            DIR *dir = opendir("/opt/a");
            for (struct dirent *e; dir && (e = readdir(dir));) {
                if (e->d_type != DT_REG) continue;
                struct stat seen, opened;
                char text[9] = "";
                if (fstatat(dirfd(dir), e->d_name, &seen, 0)) return 10;
                int fd = openat(dirfd(dir), e->d_name, O_RDONLY);
                if (fd < 0 || fstat(fd, &opened)) return 11;
                if (e->d_ino != seen.st_ino || seen.st_ino != opened.st_ino) return 12;
                if (seen.st_dev != opened.st_dev || seen.st_mode != opened.st_mode) return 13;
                if (memcmp(&seen.st_mtim, &opened.st_mtim, sizeof seen.st_mtim)) return 14;
                if (seen.st_size != opened.st_size || opened.st_nlink != 1) return 15;
                if (read(fd, text, 8) != 4 || strcmp(text, "one\n")) return 16;
                files++;
            }
            return files == 3 ? 0 : 17;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    for (name, mode) in [("one", 0o644), ("read-only", 0o444), ("program", 0o555)] {
        sandbox
            .file(&format!("sys/opt/a/{name}"), "one\n")
            .mode(&format!("sys/opt/a/{name}"), mode);
    }
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json", |traced| {
        let wanted = ["/opt/a", "/opt/a/one", "/opt/a/program", "/opt/a/read-only"];
        assert_eq!(paths(&report(traced.ok()), "missing"), wanted);
    });
}

/// A placeholder that the program has changed is the program's.
#[test]
fn a_listed_file_that_the_program_changes_is_left_alone() {
    let source = r#"
        int main(void) {
            DIR *dir = opendir("/opt/a");
            while (dir && readdir(dir));
            int fd = open("/opt/a/one", O_WRONLY | O_TRUNC);
            if (write(fd, "own", 3) != 3 || close(fd)) return 10;
            if (unlink("/opt/a/two") || mkfifo("/opt/a/two", 0644)) return 11;
            const char *got = slurp("/opt/./a/one", O_RDONLY);
            return !got || strcmp(got, "own") ? 12 : open("/opt/./a/two", O_RDWR) < 0 ? 13 : 3;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    sandbox.file("sys/opt/a/one", "one\n").file("sys/opt/a/two", "two\n");
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json", |traced| {
        traced.exits(3);
    });
}

/// Links are what the image lacks, whoever has what they lead to.
#[test]
fn a_link_to_what_the_image_has_is_listed() {
    let source = r#"
        static int names(const char *path) {
            DIR *dir = opendir(path);
            int n = 0;
            for (struct dirent *e; dir && (e = readdir(dir));) n += e->d_type == DT_LNK;
            return n;
        }
        int main(void) {
            const char *got = slurp("/opt/app/config", O_RDONLY);
            if (!got || strcmp(got, "real")) return 10;
            got = slurp("/opt/dir/real.conf", O_RDONLY);
            if (!got || strcmp(got, "real")) return 11;
            if (access("/opt/app/own", R_OK)) return 12;
            if (names("/opt/opened") < 1) return 13;
            got = slurp("/opt/opened/one", O_RDONLY);
            if (!got || strcmp(got, "real")) return 14;
            return names("/opt/names") == 1 ? 3 : 15;
        }"#;
    let Some(sandbox) = packed(source) else { return };
    for root in ["", "sys/"] {
        sandbox.file(&format!("{root}opt/x/real.conf"), "real\n");
    }
    sandbox.file("opt/x/own", "");
    for (link, target) in [
        ("app/config", "../x/real.conf"),
        ("app/own", "../x/own"),
        ("dir", "x"),
        ("opened/one", "../x/real.conf"),
        ("opened/two", "../x/real.conf"),
        ("names/link", "/opt/x/real.conf"),
    ] {
        sandbox.symlink(&format!("sys/opt/{link}"), target);
    }
    let pack = "pack ./app ./opt --soft none --sysroot sys --entrypoint /app -q -o";
    sandbox.imgb(&format!("{pack} app.tar")).run().ok();
    as_each_user(&sandbox, "trace app.tar --sysroot sys --json -o app.list", |traced| {
        let wanted = [
            "/opt/app/config",
            "/opt/app/own",
            "/opt/dir/real.conf",
            "/opt/names",
            "/opt/names/link",
            "/opt/opened",
            "/opt/opened/one",
        ];
        assert_eq!(paths(&report(traced.exits(3)), "missing"), wanted);
    });
    let list = sandbox.path("app.list");
    sandbox.imgb(&format!("{pack} more.tar --include-from")).arg(&list).run().ok();
    sandbox.imgb("run more.tar").run().exits(3);
    let again = sandbox.imgb("trace more.tar --sysroot sys --json").run().exits(3);
    assert_eq!(paths(&report(again), "missing"), [""; 0]);
}
