//! What an image starts: programs, interpreters, and the advice about an image that starts nothing.

use crate::{
    engines::{self, have},
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
    sandbox.program("odd/it's a \\ program", static_elf(X86_64));
    let first = sandbox.imgb("pack ./odd -o image.tar").run().ok();
    let command = advice(&first, ": it has `/odd/it's a \\\\ program`");
    advised(&sandbox, &command).run().ok();
    sandbox.imgb("check image.tar").run().ok();
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
        let text = sandbox.imgb(&format!("plan --all {inputs}")).run().ok().text();
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
    let plan = sandbox.imgb("plan --all /bin/ip /sbin/ip").run().ok();
    assert!(plan.text().contains(" /ip -> /usr/bin/ip\t"), "{}", plan.show());
    sandbox.file("dash", "data\n");
    let plan = sandbox.imgb("plan --all /bin/dash ./dash").run().ok().text();
    assert!(plan.contains(" /dash 5\t") && plan.contains(" /usr/bin/dash "), "{plan}");
}

/// What pyenv writes (libexec/pyenv-rehash).
const SHIM: &str = "#!/usr/bin/env bash\nset -e\n\nprogram=\"${0##*/}\"\n\n\
                    export PYENV_ROOT=\"ROOT\"\n\
                    exec \"ROOT/libexec/pyenv\" exec \"$program\" \"$@\"\n";

#[test]
fn a_version_managers_shim_stands_for_the_program() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("pyenv").display().to_string();
    for version in ["3.9.2", "3.11.7", "3.11.10"] {
        sandbox.program(&format!("pyenv/versions/{version}/bin/tool"), static_elf(X86_64));
    }
    for name in ["tool", "other", "true"] {
        sandbox.program(&format!("pyenv/shims/{name}"), SHIM.replace("ROOT", &root));
    }
    sandbox.file("pyenv/version", "3.9.2\n").dir("project");
    let path = format!("{root}/shims:{PATH}");
    let entrypoint = |input: &str, dir: &str| {
        let imgb = sandbox.imgb(&format!("plan --json {input}")).env("PATH", &path);
        let plan = imgb.cwd(sandbox.path(dir)).run().ok().text();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        plan["entrypoint"][0].as_str().unwrap_or_default().to_owned()
    };
    let program = |version: &str| format!("{root}/versions/{version}/bin/tool");
    assert_eq!(entrypoint("tool", "."), program("3.9.2"));
    assert_eq!(entrypoint(&format!("{root}/shims/tool"), "."), program("3.9.2"));
    assert_eq!(entrypoint("tool:/tool", "."), "/tool");
    sandbox.file("project/.python-version", "3.11\n");
    assert_eq!(entrypoint("tool", "project"), program("3.11.10"));
    let imgb = sandbox.imgb("plan --all tool").env("PATH", &path).env("PYENV_VERSION", "3.11.7");
    let plan = imgb.cwd(sandbox.path("project")).run().ok().text();
    assert!(plan.contains(&program("3.11.7")), "{plan}");
    // The system's program, or none.
    sandbox.file("project/.python-version", "system\n");
    assert_eq!(entrypoint("true", "project"), "/usr/bin/true");
    let imgb = |args: &str| sandbox.imgb(args).env("PATH", &path).run();
    let hint = "imgb pack \"$(pyenv which other)\"";
    imgb("pack other -o o.tar").error(3, &["shim of pyenv", hint]);
}

#[test]
fn a_link_to_a_version_manager_is_refused_with_the_command_that_helps() {
    let sandbox = Sandbox::new();
    sandbox.program("bin/rustup", static_elf(X86_64)).symlink("bin/rustc", "rustup");
    sandbox.program("bin/snap", static_elf(X86_64)).symlink("bin/editor", "snap");
    sandbox.program("bin/busybox", static_elf(X86_64)).symlink("bin/applet", "busybox");
    let path = format!("{}:{PATH}", sandbox.path("bin").display());
    let imgb = |args: &str| sandbox.imgb(args).env("PATH", &path).run();
    for input in ["rustc", "./bin/rustc", "rustc:/rustc"] {
        imgb(&format!("pack {input} -o o.tar"))
            .error(3, &["shim of rustup", "imgb pack \"$(rustup which rustc)\""]);
    }
    imgb("pack editor -o o.tar").error(3, &["shim of snap"]);
    imgb("pack rustup -o o.tar").ok();
    imgb("pack applet -o o.tar").ok();
    sandbox.file("ctx/Buildfile", "FROM scratch\nPACK rustc\n");
    imgb("build ctx -o o.tar").error(3, &["shim of rustup"]);
}

#[test]
fn programs_that_are_not_what_they_seem_are_named() {
    let sandbox = Sandbox::new();
    if !have(&["dash"]) {
        return;
    }
    let mut image = static_elf(X86_64);
    image[8..11].copy_from_slice(b"AI\x02");
    sandbox.program("App", image);
    let plan = sandbox.imgb("plan ./App").run().ok();
    assert!(plan.stderr().contains("/App is an AppImage"), "{}", plan.show());
    assert!(plan.stderr().contains("./App --appimage-extract"), "{}", plan.show());
    sandbox.program("wrapper", "#!/bin/sh\nexec /snap/bin/browser \"$@\"\n");
    sandbox.program("start", "#!/bin/sh\ncommand -v maybe && maybe\nf() { :; }; f\nnosuch -x\n");
    for (script, absent) in [("wrapper", "`/snap/bin/browser`"), ("start", "`nosuch`")] {
        let plan = sandbox.imgb(&format!("plan ./{script}")).run().ok();
        let warning = format!("warning: the script /{script} runs what does not exist: {absent}\n");
        assert!(plan.stderr().contains(&warning), "{}", plan.show());
    }
}

/// An environment at `at` with a module and its console scripts, as pip installs them.
fn environment(sandbox: &Sandbox, at: &str) -> bool {
    environment_with(sandbox, "--symlinks", at)
}

/// As [`environment`], with an option for Python's venv.
fn environment_with(sandbox: &Sandbox, option: &str, at: &str) -> bool {
    let here = have(&["/usr/bin/python3"]);
    let venv = sandbox.tool("/usr/bin/python3", "-m venv --without-pip").args(option);
    let made = venv.arg(at).run();
    if !here || !made.success() {
        return false;
    }
    let python = sandbox.path(at).join("bin/python3");
    let python = python.to_str().unwrap();
    let site = "import site; print(site.getsitepackages()[0])";
    let site = sandbox.tool(python, "-c").arg(site).run().ok().text();
    let module = format!("{}/greeting.py", site.trim());
    let module = module.strip_prefix(sandbox.root().to_str().unwrap()).unwrap();
    let module = module.trim_start_matches('/');
    sandbox.file(module, "def main(): print('hello from the environment')\n");
    sandbox.tool(python, "-m compileall -q").arg(sandbox.path(module)).run().ok();
    let rest = "from greeting import main\nmain()\n";
    sandbox.program(&format!("{at}/bin/greet"), format!("#!{python}\n{rest}"));
    let long = format!("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{rest}");
    sandbox.program(&format!("{at}/bin/long"), long);
    true
}

const HELLO: &str = "hello from the environment\n";

#[test]
fn console_scripts_of_an_environment_start_wherever_it_is_packed() {
    let sandbox = Sandbox::new();
    if !environment(&sandbox, "made/here") {
        return;
    }
    let root = sandbox.root().display().to_string();
    let pack = |inputs: &str, script: &str| {
        let pack = format!("pack {inputs} -o image.tar -o rootfs:root.tar --entrypoint {script}");
        sandbox.imgb(&pack).run().ok()
    };
    pack("./made/here:/venv", "/venv/bin/greet");
    sandbox.imgb("check image.tar").run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
    sandbox.dir("x").tool("tar", "-xf root.tar -C x").run().ok();
    let leaks = sandbox.tool("grep", "-rlF").arg(&root).arg("x").run();
    assert_eq!(leaks.code(), Some(1), "{}", leaks.show());
    pack("./made/here:/venv dash", "/venv/bin/long");
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
    // Moved since it was made.
    fs_err::rename(sandbox.path("made"), sandbox.path("moved")).unwrap();
    pack("./moved/here:/srv/app", "/srv/app/bin/greet");
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
}

#[test]
fn an_environment_copied_from_one_that_still_exists_starts_its_own_interpreter() {
    let sandbox = Sandbox::new();
    if !environment(&sandbox, "made") {
        return;
    }
    sandbox.dir("project").tool("cp", "-a made project/venv").run().ok();
    sandbox.imgb("pack ./project --entrypoint /project/venv/bin/greet -o image.tar").run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
}

#[test]
fn an_environment_at_a_path_with_spaces_is_relocated() {
    let sandbox = Sandbox::new();
    if !have(&["dash"]) || !environment(&sandbox, "made here") {
        return;
    }
    let pack = "dash --entrypoint /venv/bin/long -o image.tar";
    sandbox.imgb("pack").arg("./made here:/venv").args(pack).run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
}

#[test]
fn an_environment_with_copies_brings_what_its_interpreter_was_copied_from() {
    let sandbox = Sandbox::new();
    if !environment_with(&sandbox, "--copies", "made") {
        return;
    }
    sandbox.imgb("pack ./made:/venv --entrypoint /venv/bin/greet -o image.tar").run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
}

#[test]
fn docker_runs_a_console_script_of_a_packed_environment() {
    let sandbox = Sandbox::new();
    let Some(docker) = engines::docker() else { return };
    if !environment(&sandbox, "env") {
        return;
    }
    sandbox.imgb("pack ./env:/venv --entrypoint /venv/bin/greet -t venv:1 -o venv.tar").run().ok();
    docker.load(&sandbox.path("venv.tar"));
    docker.cli("run --rm --network none venv:1").run().ok().prints_only(HELLO);
}

#[test]
fn a_console_script_alone_is_refused_with_the_whole_environment() {
    let sandbox = Sandbox::new();
    if !environment(&sandbox, "env") {
        return;
    }
    let env = sandbox.path("env").display().to_string();
    let hint = format!("imgb pack {env}:/env --entrypoint /env/bin/greet");
    sandbox.imgb("pack ./env/bin/greet -o o.tar").run().error(1, &[&env, &hint]);
    advised(&sandbox, &format!("{hint} -o image.tar")).run().ok();
    sandbox.imgb("run image.tar").run().ok().prints_only(HELLO);
    // A script that nobody named does not bring a part of it.
    sandbox.dir("dir").tool("cp", "env/bin/greet dir/").run().ok();
    let plan = sandbox.imgb("plan --all ./dir").run().ok();
    assert!(!plan.text().contains("bin/python3"), "{}", plan.show());
    assert!(plan.stderr().contains("runs in the virtual environment"), "{}", plan.show());
}

#[test]
fn what_only_directories_outside_the_images_path_have_is_not_packed() {
    let sandbox = Sandbox::new();
    if !have(&["dash", "env"]) {
        return;
    }
    sandbox.program("tools/interp", "#!/bin/sh\necho interpreted\n");
    let script = "#!/usr/bin/env interp\n";
    sandbox.program("script", script).program("dir/script", script);
    let tools = sandbox.path("tools").display().to_string();
    let path = format!("{tools}:{PATH}");
    let imgb = |args: &str| sandbox.imgb(args).env("PATH", &path).run();
    let outside = format!("installed in {tools}, which is not in the image's PATH");
    imgb("pack ./script -o o.tar").error(1, &["interp", &outside, "--env PATH="]);
    let plan = imgb("plan --all ./dir").ok();
    assert!(!plan.text().contains("/interp\t"), "{}", plan.show());
    assert!(plan.stderr().contains(&outside), "{}", plan.show());
    imgb(&format!("pack ./script --env PATH={tools}:/usr/bin -o o.tar")).ok();
    imgb("run o.tar").ok().prints_only("interpreted\n");
}
