//! `imgb inspect --html`: the page in headless Chromium says what `--json` says, can be used with
//! pointer and keyboard, asks for nothing, and shows hostile names as text.

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    elf_builder::Elf,
    fixtures::{X86_64, static_elf},
    layouts::Parts,
    raw_tar::{MODE, RawTar, put},
    sandbox::Sandbox,
};

/// Names that mean something to HTML, to scripts, to terminals and to readers of lines.
const HOSTILE: [&str; 6] = [
    "</script><img src=x onerror=document.title='gone'>",
    "<!--<script>",
    "{{data}}",
    "a\"onmouseover=\"b'&amp;&lt;",
    "line\nbreak\u{1b}[31m",
    "\u{202e}gpj.exe",
];

/// Two layers: programs, a library, a rest that nothing leads to, hard links, copies, hidden files.
fn image(sandbox: &Sandbox) {
    let executable = |header: &mut [u8; 512]| put(header, MODE, b"0000755\0");
    let loader = Elf::library().soname("ld-linux-x86-64.so.2").build();
    let library = Elf::library().soname("libone.so.1").needed("libgone.so.2").build();
    let program = Elf::program("/lib64/ld-linux-x86-64.so.2").needed("libone.so.1").runpath("/opt");
    let program = program.build();
    let base = RawTar::new()
        .dir("usr/")
        .file("usr/replaced", "12345")
        .raw(b'0', b"lib64/ld-linux-x86-64.so.2", &loader, executable)
        .raw(b'0', b"opt/libone.so.1", &library, executable)
        .file("usr/share/doc/big", &"x".repeat(70_000))
        .file("usr/share/doc/copy", &"x".repeat(70_000));
    let mut top = RawTar::new()
        .raw(b'0', b"usr/bin/app", &program, executable)
        .raw(b'0', b"usr/bin/tool", &static_elf(X86_64), executable)
        .hard_link("usr/bin/tool-too", "usr/bin/tool")
        .symlink("usr/bin/link", "tool")
        .file("usr/replaced", "1");
    for name in HOSTILE {
        top = top.file(&format!("odd/{name}"), "12345678");
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/usr/bin/app"], "Env": ["A=</script><b>", "B=\u{202e}b"],
            "Labels": {"<b>x</b>": "</title><script>document.title='gone'</script>"},
        },
        "history": [{"created_by": "one <img src=x>"}, {"created_by": "two"}],
    });
    Parts { config, layers: vec![base.end(), top.end()] }.write(sandbox, "l");
}

/// The page of the image, and what `--json` says of it.
fn page(sandbox: &Sandbox) -> Value {
    image(sandbox);
    sandbox.imgb("inspect --html page.html l").run().ok().prints_only("");
    serde_json::from_str(&sandbox.imgb("inspect --json l").run().ok().text()).unwrap()
}

#[track_caller]
fn no_complaints(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The rows of the list beside the map: names, and what they count for.
fn listing(browser: &mut Browser) -> Vec<(String, String)> {
    let rows = browser.eval(
        "[...document.querySelectorAll('#listing tbody tr')].map((row) =>
           [row.querySelector('button').textContent, row.querySelector('[title]').title])",
    );
    serde_json::from_value(rows).unwrap()
}

/// A number as the page writes it.
fn grouped(number: &Value) -> String {
    let digits = number.as_u64().unwrap().to_string();
    let start = digits.len() % 3;
    let groups = digits.as_bytes()[start..].chunks(3).map(|group| str::from_utf8(group).unwrap());
    let first = (start > 0).then(|| &digits[..start]);
    first.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

fn counted(number: &Value, noun: &str) -> String {
    let plural = if *number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

#[test]
fn the_same_image_gives_the_same_page() {
    let sandbox = Sandbox::new();
    page(&sandbox);
    let first = sandbox.read("page.html");
    fs_err::rename(sandbox.path("l"), sandbox.path("moved")).unwrap();
    sandbox.imgb("inspect --html again.html oci:moved").run().ok();
    assert!(first == sandbox.read("again.html"));
    sandbox
        .imgb("inspect --html no/page.html moved")
        .run()
        .error(5, &["cannot create no/page.html"]);
    sandbox.imgb("inspect --html page.html --json moved").run().error(2, &["cannot be used with"]);
    let text = String::from_utf8(first).unwrap();
    let data = text.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["image"]["platform"], "linux/amd64");
    assert!(!text.contains("<img") && !text.contains("</script><b>"));
}

#[test]
fn numbers_are_those_of_json() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let value = page(&sandbox);
    browser.open(&sandbox.path("page.html"));
    let mut found = vec![("/".to_owned(), String::new())];
    let mut directories = vec![String::new()];
    while let Some(dir) = directories.pop() {
        let names: Vec<&str> = dir.split('/').filter(|name| !name.is_empty()).collect();
        browser.eval("document.querySelector('#crumbs button')?.click()");
        for name in names {
            let name = Value::from(format!("{name}/"));
            browser.eval(&format!(
                "[...document.querySelectorAll('#listing button')]
                   .find((button) => button.textContent === {name}).click()"
            ));
        }
        for (name, amount) in listing(&mut browser) {
            let path = format!("{dir}/{}", name.trim_end_matches('/'));
            if name.ends_with('/') {
                directories.push(path.clone());
            }
            found.push((path, amount));
        }
    }
    for one in value["directories"].as_array().unwrap().iter().skip(1) {
        let (_, amount) = found.iter().find(|(path, _)| one["path"] == **path).unwrap();
        let wanted =
            format!("{} in {}", counted(&one["size"], "byte"), counted(&one["files"], "file"));
        assert_eq!(*amount, wanted, "{}", one["path"]);
    }
    for file in value["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap();
        let (_, amount) = found.iter().find(|(found, _)| found == path).unwrap();
        if file["type"] == "file" && file["link_to"].is_null() {
            assert!(amount.starts_with(&counted(&file["size"], "byte")), "{path}: {amount}");
        }
    }
    let total = &value["directories"][0];
    let text = browser.eval("document.querySelector('#facts').innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains(&format!(" in {}", grouped(&total["files"]))), "{text}");
    let paths = value["files"].as_array().unwrap().len().into();
    let counts = browser.eval("document.querySelector('#files-count').textContent");
    assert!(counts.as_str().unwrap().starts_with(&counted(&paths, "path")), "{counts}");
    let layers = browser.eval(
        "[...document.querySelectorAll('#layers-table tbody tr')].map((row) =>
           [row.cells[3].textContent, row.cells[7].textContent])",
    );
    let wanted = value["layers"].as_array().unwrap().iter();
    let wanted: Vec<_> =
        wanted.map(|one| json!([one["paths"].to_string(), one["created_by"]])).collect();
    assert_eq!(layers, Value::from(wanted));
    let waste = browser.eval("document.querySelector('#waste').innerText");
    for part in ["/usr/replaced (layer 1, replaced later)", "/usr/share/doc/big", "70.0 kB"] {
        assert!(waste.as_str().unwrap().contains(part), "{waste}");
    }
    no_complaints(&browser);
}

#[test]
fn pointer_and_keyboard_go_through_directories() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    page(&sandbox);
    browser.open(&sandbox.path("page.html"));
    let crumbs = |browser: &mut Browser| {
        let text = browser.eval("document.querySelector('#crumbs ol').innerText");
        text.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(crumbs(&mut browser), "/");
    browser.click(".tile[data-path='/usr']");
    assert_eq!(crumbs(&mut browser), "/ usr");
    let said = browser.eval("document.querySelector('#status').textContent");
    assert!(said.as_str().unwrap().starts_with("/usr, 14"), "{said}");
    browser.click(".tile[data-path='/usr/share']");
    assert_eq!(crumbs(&mut browser), "/ usr share");
    browser.press("Escape");
    assert_eq!(crumbs(&mut browser), "/ usr");
    let focused = |browser: &mut Browser| {
        let path = browser.eval("document.activeElement.dataset.path ?? ''");
        path.as_str().unwrap().to_owned()
    };
    assert_eq!(focused(&mut browser), "/usr/share");
    browser.press("Enter");
    browser.press("Enter");
    assert_eq!(crumbs(&mut browser), "/ usr share doc");
    let first = focused(&mut browser);
    browser.press("End");
    let last = focused(&mut browser);
    assert_eq!((&*first, &*last), ("/usr/share/doc/big", "/usr/share/doc/copy"));
    browser.press("Enter");
    let title = browser.eval("document.querySelector('#details h3').textContent");
    assert_eq!(title, "/usr/share/doc/copy");
    browser.press("Backspace");
    browser.press("Backspace");
    browser.press("Backspace");
    browser.press("Backspace");
    assert_eq!(crumbs(&mut browser), "/");
    // Each tile has a name that says what it is.
    let label = browser.eval("document.querySelector('.tile').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().starts_with("usr, directory, 14"), "{label}");
    no_complaints(&browser);
}

#[test]
fn a_search_and_a_choice_filter_the_table() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    page(&sandbox);
    browser.open(&sandbox.path("page.html"));
    let shown = |browser: &mut Browser| -> Vec<String> {
        let rows = browser.eval(
            "[...document.querySelectorAll('#files-grid .lines [role=row]')].map((row) =>
               row.firstChild.textContent)",
        );
        serde_json::from_value(rows).unwrap()
    };
    browser.click("#search");
    browser.write("DOC usr/share");
    assert_eq!(shown(&mut browser), ["/usr/share/doc/big", "/usr/share/doc/copy"]);
    browser.eval("document.querySelector('#search').value = ''");
    browser.eval(
        "const show = document.querySelector('#show');
         show.value = 'links'; show.dispatchEvent(new Event('change'))",
    );
    assert_eq!(shown(&mut browser).len(), 2);
    browser.eval(
        "document.querySelector('#search').value = '';
         show.value = 'what nothing leads to'; show.dispatchEvent(new Event('change'))",
    );
    let unreached = sandbox.imgb("inspect --json l").run().ok().text();
    let unreached: Value = serde_json::from_str(&unreached).unwrap();
    let mut unreached: Vec<&str> = unreached["unreached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    unreached.sort_unstable();
    let mut found = shown(&mut browser);
    found.sort();
    assert_eq!(found, unreached);
    // The order follows the head of a column, and a row shows why its file is there.
    browser.eval("show.value = 'ELF objects'; show.dispatchEvent(new Event('change'))");
    browser.click("#files-grid [role=columnheader] button");
    let mut sorted = shown(&mut browser);
    let found = sorted.clone();
    sorted.sort();
    assert_eq!(found, sorted);
    browser.click("#files-grid");
    browser.eval("document.querySelector('#files-grid').focus()");
    browser.press("ArrowDown");
    browser.press("Enter");
    let details = browser.eval("document.querySelector('#details').innerText");
    assert!(details.as_str().unwrap().contains("Without it, "), "{details}");
    no_complaints(&browser);
}

/// Content that has another name stays with it: the page counts as `imgb why` does.
#[test]
fn what_would_go_is_what_why_says() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let executable = |header: &mut [u8; 512]| put(header, MODE, b"0000755\0");
    let tar = RawTar::new()
        .dir("bin/")
        .raw(b'0', b"bin/tool", &static_elf(X86_64), executable)
        .hard_link("other", "bin/tool")
        .raw(b'0', b"run", b"#!/bin/tool\n", executable)
        .file("data/x", "12345")
        .hard_link("data/y", "data/x")
        .end();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/run", "/data"]},
    });
    Parts { config, layers: vec![tar] }.write(&sandbox, "l");
    sandbox.imgb("inspect --html page.html l").run().ok();
    browser.open(&sandbox.path("page.html"));
    for path in ["/run", "/bin", "/bin/tool", "/data/x"] {
        browser.eval("document.querySelector('#search').value = ''");
        browser.click("#search");
        browser.write(path);
        browser.eval(&format!(
            "[...document.querySelectorAll('#files-grid .lines [role=row]')]
               .find((row) => row.firstChild.textContent === '{path}').click()"
        ));
        let said = browser.eval("document.querySelector('#details').innerText");
        let why = sandbox.imgb(&format!("why --json l {path}")).run().ok().json();
        let paths = why["goes"]["paths"].as_array().unwrap().len();
        let plural = if paths == 1 { "" } else { "s" };
        let size = imgb::quantity::bytes(why["goes"]["size"].as_u64().unwrap());
        let wanted = format!("Without it, {paths} path{plural} would go: {size}.");
        assert!(said.as_str().unwrap().contains(&wanted), "{path}: {wanted}: {said}");
    }
    no_complaints(&browser);
}

#[test]
fn the_graph_tells_who_needs_whom() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    page(&sandbox);
    browser.open(&sandbox.path("page.html"));
    let tables = |browser: &mut Browser| -> Vec<Vec<String>> {
        let rows = browser.eval(
            "[...document.querySelectorAll('#graph-tables tbody tr')].map((row) =>
               [...row.cells].map((cell) => cell.textContent))",
        );
        serde_json::from_value(rows).unwrap()
    };
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    let library = "/opt/libone.so.1";
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let program = [
        row([loader, loader, "loader (PT_INTERP)"]),
        row([library, "libone.so.1", "NEEDED: RUNPATH of /usr/bin/app"]),
    ];
    assert_eq!(tables(&mut browser), program);
    let boxes = browser
        .eval("[...document.querySelectorAll('#graph .node')].map((box) => box.textContent)");
    // The whole graph, with what is lacking; what is around an object has no other program.
    assert_eq!(boxes.as_array().unwrap().len(), 6, "{boxes}");
    browser.click("#graph-whole");
    let boxes = browser
        .eval("[...document.querySelectorAll('#graph .node')].map((box) => box.textContent)");
    assert_eq!(boxes.as_array().unwrap().len(), 4, "{boxes}");
    browser.click("#graph-whole");
    browser.eval(&format!(
        "document.querySelector(\"#graph .node[aria-label^='{library}']\").focus()"
    ));
    browser.press("Enter");
    let wanted = [
        row(["not found", "libgone.so.2", "NEEDED: not found"]),
        row(["/usr/bin/app", "libone.so.1", "NEEDED: RUNPATH of /usr/bin/app"]),
    ];
    assert_eq!(tables(&mut browser), wanted);
    let chosen = browser.eval("document.querySelector('#graph .node.start text').textContent");
    assert_eq!(chosen, "libone.so.1");
    no_complaints(&browser);
}

#[test]
fn hostile_names_are_text() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let value = page(&sandbox);
    browser.open(&sandbox.path("page.html"));
    for name in ["odd/", "usr/"] {
        browser.eval(&format!(
            "document.querySelector('#crumbs button')?.click();
             [...document.querySelectorAll('#listing button')]
               .find((button) => button.textContent === {}).click()",
            Value::from(name)
        ));
        if name == "odd/" {
            let mut shown: Vec<_> =
                listing(&mut browser).into_iter().map(|(name, _)| format!("/odd/{name}")).collect();
            let files = value["files"].as_array().unwrap().iter();
            let mut wanted: Vec<_> = files
                .filter_map(|file| file["path"].as_str())
                .filter(|path| path.starts_with("/odd/"))
                .map(str::to_owned)
                .collect();
            shown.sort();
            wanted.sort();
            assert!(wanted.len() >= HOSTILE.len() && shown.join("\n").contains("<!--"));
            let top = |path: &String| path["/odd/".len()..].split('/').next().unwrap().to_owned();
            let tops =
                |paths: &[String]| paths.iter().map(top).collect::<std::collections::BTreeSet<_>>();
            assert_eq!(tops(&shown), tops(&wanted));
        }
    }
    let count = browser.eval("document.querySelectorAll('img, b, iframe').length");
    assert_eq!(
        (count, browser.eval("document.querySelectorAll('script').length")),
        (0.into(), 3.into())
    );
    let title = browser.eval("document.title");
    assert!(title.as_str().unwrap().starts_with("sha256:"), "{title}");
    // Nothing that changes the direction of a line is shown as it is.
    assert_eq!(browser.eval("/[\\u202e\\u001b]/.test(document.body.innerText)"), false);
    no_complaints(&browser);
}

#[test]
fn twenty_thousand_files_are_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let mut tar = RawTar::new();
    for at in 0..20_000 {
        let name = format!("d{}/e{}/file-{at}", at % 20, at % 400);
        tar = tar.file(&name, &"x".repeat(at % 97));
    }
    let config = json!({"architecture": "amd64", "os": "linux"});
    Parts { config, layers: vec![tar.end()] }.write(&sandbox, "l");
    sandbox.imgb("inspect --html page.html l").run().ok();
    browser.open(&sandbox.path("page.html"));
    let count = browser.eval("document.querySelector('#files-count').textContent");
    assert!(count.as_str().unwrap().starts_with("20,000 paths"), "{count}");
    // Only what is on the screen are elements.
    let elements = browser.eval("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(elements < 5000, "{elements}");
    browser.eval("document.querySelector('.lines').scrollTop = 1e9");
    browser.wait("document.querySelector('.lines [aria-rowindex=\"20001\"]') !== null");
    browser.click(".tile");
    browser.wait("document.querySelectorAll('#crumbs li').length === 2");
    no_complaints(&browser);
}
