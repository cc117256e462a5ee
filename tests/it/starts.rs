//! What an image starts: programs, interpreters, and the advice about an image that starts nothing.

use crate::{
    engines::have,
    fixtures::{X86_64, static_elf},
    sandbox::{Outcome, PATH, Run, Sandbox},
};

/// The line after the one warning that the image names no program.
#[track_caller]
fn advice(outcome: &Outcome, reason: &str) -> String {
    let warnings: Vec<_> =
        outcome.stderr().lines().filter(|line| line.starts_with("warning:")).collect();
    assert_eq!(
        warnings,
        [format!("warning: the image names no program to start{reason}")],
        "{}",
        outcome.show()
    );
    let mut lines = outcome.stderr().lines().skip_while(|line| !line.starts_with("warning:"));
    lines.nth(1).unwrap_or_default().trim_start().to_owned()
}

/// Carries out a command that imgb advised, as a user would.
fn advised(sandbox: &Sandbox, command: &str) -> Run {
    let command = command.strip_prefix("choose one: ").unwrap_or(command);
    let bin = sandbox.root().join("..");
    sandbox
        .tool("sh", "-ec")
        .arg(command)
        .env("PATH", format!("{}:{PATH}", bin.canonicalize().unwrap().display()))
}

/// Packs `input`, carries out the advice, and returns what the image prints.
#[track_caller]
fn prints_after_advice(input: &str, sandbox: &Sandbox, reason: &str, wanted: &str) {
    let first = sandbox.imgb(&format!("pack {input} -o image.tar")).run().ok();
    let command = advice(&first, reason);
    advised(sandbox, &command).run().ok();
    sandbox.imgb("check image.tar").run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(wanted);
}

#[test]
fn the_advice_for_a_file_that_is_not_a_program_starts_it() {
    let sandbox = Sandbox::new();
    if !have(&["python3", "perl", "dash"]) {
        return;
    }
    sandbox.file("app.py", "print('snake')\n").file("app.pl", "use strict; print \"pearl\\n\";\n");
    sandbox.file("start.sh", "#!/bin/sh\necho shell\n").program("plain.sh", "echo plain\n");
    let by = |file: &str, program: &str| format!(": `{file}` is started by `{program}`");
    prints_after_advice("./app.py", &sandbox, &by("/app.py", "python3"), "snake\n");
    prints_after_advice("./app.pl", &sandbox, &by("/app.pl", "perl"), "pearl\n");
    prints_after_advice("./plain.sh", &sandbox, &by("/plain.sh", "sh"), "plain\n");
    prints_after_advice("./start.sh", &sandbox, ": no user may execute `/start.sh`", "shell\n");
    sandbox.file("site/lib.py", "name = 'package'\n");
    sandbox.file("site/main.py", "import lib; print(lib.name)\n");
    prints_after_advice("./site", &sandbox, &by("/site/main.py", "python3"), "package\n");
    let wheel = "import zipfile; w = zipfile.ZipFile('my_app-1.0-py3-none-any.whl', 'w'); \
                 w.writestr('my_app/__init__.py', ''); \
                 w.writestr('my_app/__main__.py', 'print(\"wheel\")'); w.close()";
    sandbox.tool("python3", "-c").arg(wheel).run().ok();
    let file = "/my_app-1.0-py3-none-any.whl";
    prints_after_advice(&format!(".{file}"), &sandbox, &by(file, "python3"), "wheel\n");
}

#[test]
fn the_advice_for_javascript_and_ruby_starts_them() {
    let sandbox = Sandbox::new();
    if !have(&["node", "ruby", "php"]) {
        return;
    }
    sandbox.file("server.mjs", "console.log('script')\n").file("app.rb", "puts 'gem'\n");
    sandbox.file("index.php", "<?php echo \"page\\n\";\n");
    let by = |file: &str, program: &str| format!(": `{file}` is started by `{program}`");
    prints_after_advice("./server.mjs", &sandbox, &by("/server.mjs", "node"), "script\n");
    prints_after_advice("./app.rb", &sandbox, &by("/app.rb", "ruby"), "gem\n");
    prints_after_advice("./index.php", &sandbox, &by("/index.php", "php"), "page\n");
}

#[test]
fn the_advice_for_a_jar_starts_it() {
    let sandbox = Sandbox::new();
    if !have(&["java", "javac", "jar"]) {
        return;
    }
    let source = "class Main { public static void main(String[] a) { \
                  System.out.println(\"bean\"); } }";
    sandbox.file("Main.java", source);
    sandbox.tool("javac", "Main.java").run().ok();
    sandbox.tool("jar", "cfe app.jar Main Main.class").run().ok();
    let reason = ": `/app.jar` is started by `java`";
    let first = sandbox.imgb("pack ./app.jar -o image.tar").run().ok();
    assert_eq!(
        advice(&first, reason),
        "imgb pack java ./app.jar -o image.tar --cmd '-jar /app.jar'"
    );
    prints_after_advice("./app.jar", &sandbox, reason, "bean\n");
}

#[test]
fn the_advice_for_several_programs_names_one() {
    let sandbox = Sandbox::new();
    sandbox.program("dir/a", static_elf(X86_64)).program("dir/b", static_elf(X86_64));
    sandbox.file("empty", "").file("data", "text\n");
    for (input, reason, wanted) in [
        ("./dir", ": it has `/dir/a`, `/dir/b`", "--entrypoint /dir/a"),
        ("./dir/b ./dir/a", ": it has `/b`, `/a`", "--entrypoint /b"),
    ] {
        let first = sandbox.imgb(&format!("pack {input} -o image.tar")).run().ok();
        let command = advice(&first, reason);
        assert_eq!(command, format!("choose one: imgb pack {input} -o image.tar {wanted}"));
        advised(&sandbox, &command).run().ok();
        sandbox.imgb("check image.tar").run().ok();
    }
    for (input, reason) in [("./empty", ": `/empty` is empty"), ("./data", "")] {
        let first = sandbox.imgb(&format!("pack {input} -o image.tar")).run().ok();
        assert!(advice(&first, reason).contains("--entrypoint"));
    }
    sandbox.imgb("pack ./data --entrypoint /data -o image.tar --no-check").run().ok();
    let json = sandbox.imgb("plan --json ./dir").run().ok().text();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["notes"][0]["severity"], "warning", "{json}");
}

#[test]
fn a_buildfile_that_starts_nothing_is_told_the_instruction() {
    let sandbox = Sandbox::new();
    sandbox.program("ctx/app", static_elf(X86_64)).file("ctx/app.rb", "puts 1\n");
    for (text, reason, wanted) in [
        ("PACK ./app\n", ": it has `/app`", "choose one: ENTRYPOINT [\"/app\"]"),
        ("COPY app /bin/app\n", ": it has `/bin/app`", "choose one: ENTRYPOINT [\"/bin/app\"]"),
        (
            "COPY app.rb /main.rb\n",
            ": `/main.rb` is started by `ruby`",
            "add: PACK ruby, ENTRYPOINT [\"ruby\",\"/main.rb\"]",
        ),
    ] {
        sandbox.file("ctx/Buildfile", format!("FROM scratch\n{text}"));
        let build = sandbox.imgb("build ctx -o image.tar").run().ok();
        assert_eq!(advice(&build, reason), wanted, "{text}");
        sandbox.file("ctx/Buildfile", format!("FROM scratch\n{text}ENTRYPOINT [\"/x\"]\n"));
        let build = sandbox.imgb("build ctx -o image.tar").run().ok();
        assert!(!build.stderr().contains("names no program"), "{}", build.show());
    }
}

#[test]
fn the_own_path_as_destination_says_nothing_new() {
    let sandbox = Sandbox::new();
    if !have(&["python3"]) {
        return;
    }
    sandbox.program("site/script", "#!/somewhere/venv/bin/python3\nprint(1)\n");
    let plan = |inputs: &str| {
        let text = sandbox.imgb(&format!("plan {inputs}")).run().ok().text();
        let paths = text.lines().filter_map(|line| line.split('\t').nth(1));
        paths.map(str::to_owned).collect::<Vec<_>>()
    };
    let wanted: Vec<_> = plan("/usr/bin/python3 ./site:/site")
        .into_iter()
        .filter(|line| !line.contains(" /python3 "))
        .collect();
    assert!(wanted.iter().any(|line| line.contains("/encodings/__init__.py ")));
    for input in [
        "/usr/bin/python3:/usr/bin/python3",
        "python3:/usr/bin/python3",
        "/usr/bin/python3:/usr/bin/",
    ] {
        assert_eq!(plan(&format!("{input} ./site:/site")), wanted, "{input}");
    }
}

#[test]
fn java_starts_with_its_own_path_as_destination() {
    let sandbox = Sandbox::new();
    if !have(&["java"]) {
        return;
    }
    sandbox.imgb("pack /usr/bin/java:/usr/bin/java --cmd -version -o image.tar").run().ok();
    let run = sandbox.imgb("run image.tar").run().ok();
    assert!(run.stderr().contains("Runtime Environment"), "{}", run.show());
    sandbox.file(
        "ctx/Buildfile",
        "FROM scratch\nPACK /usr/bin/java /usr/bin/java\n\
                                   ENTRYPOINT [\"/usr/bin/java\", \"-version\"]\n",
    );
    sandbox.imgb("build ctx -o built.tar").run().ok();
    sandbox.imgb("run built.tar").run().ok();
}

#[test]
fn a_python_without_its_library_is_refused_wherever_it_is() {
    let sandbox = Sandbox::new();
    if !have(&["python3"]) {
        return;
    }
    let pack = "pack /usr/bin/python3:/opt/bin/python3 -o image.tar";
    sandbox.imgb(pack).run().error(1, &["/opt/bin/python3", "encodings/__init__.py"]);
    sandbox.imgb(&format!("{pack} --env PYTHONHOME=/usr")).run().ok();
}

#[test]
fn two_programs_of_one_name_share_no_convenience_link() {
    let sandbox = Sandbox::new();
    if !have(&["ip", "dash"]) {
        return;
    }
    let plan = sandbox.imgb("plan /bin/ip /sbin/ip").run().ok();
    assert!(plan.text().contains(" /ip -> /usr/bin/ip\t"), "{}", plan.show());
    sandbox.file("dash", "data\n");
    let plan = sandbox.imgb("plan /bin/dash ./dash").run().ok().text();
    assert!(plan.contains(" /dash 5\t") && plan.contains(" /usr/bin/dash "), "{plan}");
}
