//! Rules for graphical programs, on a screen of Xvfb, and for what such programs load without a
//! screen.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{
    engines::have,
    rules_root::Root,
    sandbox::{Outcome, PATH, Run, Sandbox},
};

/// Ends the screen when standard input closes, which happens however the tests end.
const GUARD: &str = r#"
Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp -nolisten unix 3>&1 >/dev/null 2>&1 &
pid=$!
read -r _
kill -TERM "$pid"
wait "$pid"
"#;

/// A screen that programs in a root reach through an abstract socket, because they share the host's
/// network.
struct Screen {
    guard: Child,
    display: String,
}

impl Screen {
    fn new() -> Self {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD])
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb does not start");
        Self { guard, display: format!(":{}", number.trim()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The output of `command` in a root that `imgb pack` makes of `args`, without the rule and with
/// it.
fn both(rule: &str, args: &str, command: &dyn Fn(&Root) -> Run) -> Option<[Outcome; 2]> {
    let run = |option: &str| {
        let root = Root::pack(&[], &format!("{args} {option} {rule}"))?;
        Some(command(&root).run())
    };
    Some([run("--without")?, run("--with")?])
}

#[track_caller]
fn only_with(outcomes: Option<[Outcome; 2]>, wanted: &str) {
    let Some([without, with]) = outcomes else { return };
    assert!(!without.text().contains(wanted), "the rule is not needed\n{}", without.show());
    with.ok().prints(wanted);
}

#[test]
fn drivers_draw() {
    if !have(&["Xvfb", "glxinfo", "eglinfo", "/usr/lib/x86_64-linux-gnu/dri/swrast_dri.so"]) {
        return;
    }
    let screen = Screen::new();
    let at_screen =
        |run: Run| run.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    only_with(
        both("mesa", "glxinfo", &|root| at_screen(root.run("glxinfo")).arg("-B")),
        "llvmpipe",
    );
    let [without, with] = both("mesa", "eglinfo", &|root| at_screen(root.run("eglinfo"))).unwrap();
    assert!(!without.text().contains("EGL vendor string: Mesa Project"), "{}", without.show());
    // It fails if one of several platforms is missing, as on the host.
    with.prints("EGL vendor string: Mesa Project");
}

#[test]
fn qt_has_its_platform_and_what_is_asked_for() {
    const TOOLS: &str = "/usr/lib/qt5/bin";
    if !have(&["Xvfb", "/usr/lib/qt5/bin/qtdiag", "/usr/lib/qt5/bin/qmlscene"]) {
        return;
    }
    let screen = Screen::new();
    let args = format!("{TOOLS}/qtdiag:/usr/bin/qtdiag --without qt-plugins");
    let diagnose = |root: &Root| {
        root.run("qtdiag").env("DISPLAY", &screen.display).env("QT_XCB_GL_INTEGRATION", "none")
    };
    only_with(both("qt", &args, &diagnose), "on \"xcb\"");
    let sandbox = Sandbox::new();
    let scene = "import QtQuick 2.0\nItem { Component.onCompleted: { console.log(\"made \" + 6 * \
        7); Qt.quit() } }\n";
    sandbox.file("scene.qml", scene);
    let scene = sandbox.path("scene.qml");
    let args = format!("{TOOLS}/qmlscene:/usr/bin/qmlscene {}:/scene.qml", scene.display());
    let show = |root: &Root| {
        let run = root.run("sh").arg("-c").arg("qmlscene --quit /scene.qml 2>&1");
        run.env("QT_QPA_PLATFORM", "offscreen").env("QT_QUICK_BACKEND", "software")
    };
    only_with(both("qt-plugins", &format!("{args} sh"), &show), "made 42");
}

#[test]
fn gtk_has_input_methods() {
    const QUERY: &str = "/usr/lib/x86_64-linux-gnu/libgtk-3-0/gtk-query-immodules-3.0";
    if have(&[QUERY]) {
        let args = format!("{QUERY}:/usr/bin/query");
        only_with(both("gtk", &args, &|root| root.run("query")), "\"X Input Method\"");
    }
}

#[test]
fn text_is_drawn_with_a_font() {
    if !have(&["/usr/bin/convert", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"]) {
        return;
    }
    // The number of colours: a blank picture has one.
    let draw = |root: &Root| {
        let run = root.run("convert").args("-size 200x50 xc:white -font DejaVu-Sans -draw");
        run.arg("text 5,25 'hi'").args("-format colours=%k info:")
    };
    let Some([without, with]) = both("default-font", "/usr/bin/convert", &draw) else { return };
    assert_ne!(without.text().trim(), with.text().trim(), "{}", without.show());
    let text = with.ok().text();
    assert!(text.starts_with("colours=") && text.trim() != "colours=1", "{text}");
}

/// What a file chooser shows next to a name.
#[test]
fn types_of_files_have_names() {
    if !have(&["gcc", "/usr/lib/x86_64-linux-gnu/libgio-2.0.so.0", "/usr/share/mime/mime.cache"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let source = "char *g_content_type_get_description(const char *); int puts(const char *); \
        int main(void) { puts(g_content_type_get_description(\"text/x-python\")); return 0; }";
    sandbox.file("type.c", source);
    sandbox.tool("gcc", "-o type type.c -l:libgio-2.0.so.0").run().ok();
    let program = sandbox.path("type");
    let args = format!("{}:/usr/bin/type", program.display());
    only_with(both("mime-descriptions", &args, &|root| root.run("type")), "Python script\n");
}

/// A small server reports the type of a file that it serves.
#[test]
fn types_of_files_are_told_by_their_names() {
    if !have(&["webfsd", "curl", "/etc/mime.types"]) {
        return;
    }
    // The server listens before it goes into the background, and ends with the namespace.
    let sandbox = Sandbox::new();
    sandbox.file("srv/x.odt", "x");
    let args = format!("webfsd curl sh {}:/srv", sandbox.path("srv").display());
    let line = "webfsd -i 127.0.0.1 -p 8000 -r /srv && curl -sI http://127.0.0.1:8000/x.odt";
    let serve = |root: &Root| root.run_with(0, "sh", &["--unshare-net"]).arg("-c").arg(line);
    only_with(both("mime-types", &args, &serve), "application/vnd.oasis.opendocument.text");
}
