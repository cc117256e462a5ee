//! Large images are cut along their packages: few layers, which change only with what they hold,
//! and which every engine takes.

use serde_json::Value;

use crate::{
    elf_builder::Elf,
    engines::{self, have},
    fixtures,
    image_spec::Layout,
    sandbox::Sandbox,
};

/// An application with packages of npm, together 40 MiB.
fn application() -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 0..20_u8 {
        let content = vec![number; 2 << 20];
        sandbox.file(&format!("app/node_modules/p{number}/index.js"), content);
    }
    sandbox.file("app/main.js", "1").dir("app/empty");
    sandbox
}

fn layers(layout: &Layout) -> Vec<Value> {
    layout.manifest["layers"].as_array().unwrap().clone()
}

/// What the descriptors of the layers say in an annotation.
fn annotations(layout: &Layout, name: &str) -> Vec<String> {
    let text = |layer: &Value| layer["annotations"][name].as_str().unwrap_or_default().to_owned();
    layers(layout).iter().map(text).collect()
}

#[test]
fn an_update_of_one_package_changes_one_layer() {
    let sandbox = application();
    let pack = |out: &str, options: &str| {
        sandbox.imgb(&format!("pack app:/app -q -o oci:{out}")).args(options).run().ok();
        Layout::open(&sandbox.path(out))
    };
    let first = pack("first", "");
    let names = annotations(&first, "imgb.layer");
    assert!((12..=16).contains(&names.len()), "{names:?}");
    assert_eq!(names.last().unwrap(), "inputs");
    let all = annotations(&first, "imgb.components").join(", ");
    sandbox.imgb("inspect first/").run().ok().prints("\n     of npm:p");
    let shown = sandbox.imgb("inspect first/ --json").run().ok().json();
    assert_eq!(shown["layers"].as_array().unwrap().last().unwrap()["name"], "inputs");
    for number in 0..20 {
        assert_eq!(all.split(", ").filter(|one| *one == format!("npm:p{number}")).count(), 1);
    }
    sandbox.file("app/node_modules/p7/index.js", "changed").file("app/node_modules/p7/more", "");
    let second = pack("second", "");
    let new: Vec<Value> =
        layers(&second).into_iter().filter(|layer| !layers(&first).contains(layer)).collect();
    assert!(new.len() <= 2, "{new:?}");
    for (options, count) in [("--layers one", 1), ("--layers split", 1), ("--max-layers 4", 4)] {
        let found = layers(&pack(&options.replace(' ', "-"), options)).len();
        assert!(found <= count && found > count / 2, "{options}: {found}");
    }
}

/// What is compressed is counted: the time that it takes says nothing on a busy machine.
#[test]
fn a_second_run_compresses_only_the_layer_of_the_changed_file() {
    let sandbox = application();
    let compressed = || {
        let run =
            sandbox.imgb("pack app:/app -q --timing --json --cache cache -o x.tar").run().ok();
        let layers = run.json()["timing"]["layers"].as_array().unwrap().clone();
        let cached = layers.iter().filter(|layer| layer["cached"] == true).count();
        (layers.len() - cached, layers.len())
    };
    let (first, all) = compressed();
    assert_eq!((first, compressed().0), (all, 0));
    for path in ["node_modules/p3/index.js", "node_modules/p11/index.js", "main.js"] {
        sandbox
            .file(&format!("app/{path}"), vec![b'x'; sandbox.read(&format!("app/{path}")).len()]);
        assert_eq!(compressed(), (1, all), "{path}");
    }
}

/// A sysroot with the C library and three programs, of which packages own two.
fn system() -> Sandbox {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    let sandbox = Sandbox::new();
    let elf = |path: &str, elf: &Elf| {
        sandbox.program(&format!("root{path}"), elf.build());
    };
    elf(LOADER, &Elf::library().soname("ld-linux-x86-64.so.2"));
    elf("/usr/lib64/libc.so.6", &Elf::library().soname("libc.so.6"));
    elf("/usr/lib64/liba.so.1", &Elf::library().soname("liba.so.1").needed("libc.so.6"));
    elf("/usr/bin/a", &Elf::program(LOADER).needed("liba.so.1").needed("libc.so.6"));
    for path in ["/usr/bin/b", "/usr/local/bin/own"] {
        elf(path, &Elf::program(LOADER).needed("libc.so.6"));
    }
    let package =
        |name: &str| format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n\n");
    sandbox.file("root/var/lib/dpkg/status", package("a") + &package("b"));
    sandbox.file("root/var/lib/dpkg/info/a.list", "/usr/bin/a\n/usr/lib64/liba.so.1\n");
    sandbox.file("root/var/lib/dpkg/info/b.list", "/usr/bin/b\n/usr/lib64/libc.so.6\n");
    sandbox
}

/// Small images of programs that packages brought have what other images share in one layer. The
/// user's own programs stay apart from what the system gave.
#[test]
fn small_programs_share_the_layer_of_the_c_library() {
    let sandbox = system();
    let pack = |program: &str, options: &str| {
        let run = sandbox.imgb(&format!("pack {program} --sysroot root -q --no-check -o oci:out"));
        run.args(options).run().ok();
        let layout = Layout::open(&sandbox.path("out"));
        fs_err::remove_dir_all(sandbox.path("out")).unwrap();
        let digest = |layer: &Value| layer["digest"].as_str().unwrap().to_owned();
        let digests: Vec<String> = layers(&layout).iter().map(digest).collect();
        (annotations(&layout, "imgb.layer"), digests)
    };
    let ((names, a), (_, b)) = (pack("/usr/bin/a", ""), pack("/usr/bin/b", ""));
    assert_eq!(names, ["common", "inputs"]);
    assert_eq!((&a[0], a.len(), b.len()), (&b[0], 2, 2));
    let (names, large) = pack("/usr/bin/a", "--layers packages");
    assert_eq!((&*names[0], &large[0]), ("common", &a[0]));
    for (program, options) in [
        ("/usr/local/bin/own", ""),
        ("root/usr/bin/a:/bin/a", ""),
        ("/usr/bin/a", "--layers split"),
    ] {
        assert_eq!(pack(program, options).0, ["system", "inputs"], "{program} {options}");
    }
}

#[test]
fn small_packages_are_cut_if_the_user_says_so() {
    let sandbox = Sandbox::new();
    sandbox.file("app/node_modules/a/x", "1").file("app/node_modules/b/x", "2");
    let count = |options: &str| {
        let run = sandbox.imgb("pack app:/app -q --json --dry-run").args(options).run().ok();
        run.json()["layers"].as_array().unwrap().len()
    };
    assert_eq!((count(""), count("--layers packages"), count("--layers packages:2")), (1, 2, 1));
    let refused = sandbox.imgb("pack app --layers packages:0 -o x.tar").run();
    refused.error(2, &["packages:0", "not a number of layers"]);
    let refused = sandbox.imgb("pack app --layers many -o x.tar").run();
    refused.error(2, &["possible values: auto, one, split, packages[:MAX]"]);
}

#[test]
fn a_large_instruction_makes_several_layers() {
    let sandbox = application();
    sandbox.file("app/Buildfile", "FROM scratch\nCOPY main.js /\nCOPY . /app\nCOPY main.js /b\n");
    sandbox.file("app/.dockerignore", "Buildfile\n");
    sandbox.imgb("build app -q --no-check -o oci:out").run().ok();
    let layout = Layout::open(&sandbox.path("out"));
    let names = annotations(&layout, "imgb.layer");
    assert!((12..=17).contains(&names.len()), "{names:?}");
    assert_eq!((&*names[0], names.last().unwrap()), ("1", &names.len().to_string()));
    let history = layout.config["history"].as_array().unwrap();
    let made = history.iter().filter(|step| step["empty_layer"] != true);
    let texts: Vec<_> = made.map(|step| step["created_by"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), names.len());
    assert!(texts.iter().any(|text| text.starts_with("COPY . /app (npm:p")), "{texts:?}");
    sandbox.imgb("build app -q --no-check --layers one -o oci:one").run().ok();
    assert_eq!(layers(&Layout::open(&sandbox.path("one"))).len(), 3);
}

#[test]
fn instructions_without_files_stay_in_the_history() {
    let sandbox = Sandbox::new();
    sandbox.file("app/Buildfile", "FROM scratch\nCOPY x /x\nENV A=1\nWORKDIR /\n");
    sandbox.file("app/x", "1");
    sandbox.imgb("build app -q --no-check --layers packages -o oci:out").run().ok();
    let layout = Layout::open(&sandbox.path("out"));
    let steps = layout.config["history"].as_array().unwrap().iter();
    let texts: Vec<_> = steps.map(|step| step["created_by"].as_str().unwrap()).collect();
    assert!(texts.ends_with(&["ENV A=1", "WORKDIR /"]), "{texts:?}");
}

/// Whiteouts, owners, capabilities and hard links, as other tools make them.
#[test]
fn a_copy_in_other_layers_has_the_same_files_and_configuration() {
    let sandbox = application();
    sandbox.file("app/gone", "1").dir("app/private").mode("app/private", 0o700);
    sandbox.file("app/private/x", "1").hard_link("app/node_modules/p1/same", "app/main.js");
    sandbox
        .imgb("pack app:/app -q --layers one --no-check --env A=1 --label l=1 --annotation n=v")
        .args("--cap /app/node_modules/p2/index.js=cap_net_raw+ep --chown 7:8 --entrypoint /x")
        .args("-t one:1 -o base.tar")
        .run()
        .ok();
    sandbox.file("up/app/.wh.gone", "").file("up/app/node_modules/p3/index.js", "new");
    sandbox.tool("tar", "--owner=0 --group=0 --mtime=@5 -cf up.tar -C up app").run().ok();
    upper(&sandbox);
    sandbox.imgb("copy src/ out.tar --layers auto --max-layers 9 -q").run().ok();
    let out = Layout::unpack(&sandbox, "out.tar", "out");
    assert!((6..=9).contains(&layers(&out).len()));
    let diff = sandbox.imgb("diff src/ out.tar --json").run();
    let found = diff.json();
    assert_eq!(found["files"].as_array().unwrap().len(), 0, "{}", found["files"]);
    let fields = found["config"].as_array().unwrap().iter();
    let fields: Vec<_> = fields.map(|one| one["field"].as_str().unwrap()).collect();
    assert!(fields.iter().all(|field| field.starts_with("history[")), "{fields:?}");
    assert_eq!(out.manifest["annotations"]["n"], "v");
    let history = out.config["history"].as_array().unwrap();
    let made = history.iter().filter(|step| step["empty_layer"] != true).count();
    assert_eq!((made, history.len()), (layers(&out).len(), layers(&out).len() + 2));
    sandbox.imgb("copy out.tar one.tar --layers one -q").run().ok();
    assert_eq!(layers(&Layout::unpack(&sandbox, "one.tar", "one")).len(), 1);
    sandbox.imgb("copy out.tar two.tar --compress none -q").run().error(2, &["--layers"]);
}

/// Puts `up.tar` as a layer over the image in `base.tar`: `src/`.
fn upper(sandbox: &Sandbox) {
    let layout = Layout::unpack(sandbox, "base.tar", "src");
    let blobs = sandbox.path("src/blobs/sha256");
    let put = |bytes: &[u8]| {
        let (digest, size) = crate::image_spec::digest_of(bytes);
        fs_err::write(blobs.join(&digest[7..]), bytes).unwrap();
        (digest, size)
    };
    let tar = sandbox.read("up.tar");
    let (layer, size) = put(&tar);
    let mut config = layout.config.clone();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(layer.clone().into());
    let step = serde_json::json!({"created_by": "up"});
    config["history"].as_array_mut().unwrap().push(step);
    let (config, config_size) = put(config.to_string().as_bytes());
    let mut manifest = layout.manifest;
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    let descriptor = serde_json::json!({"mediaType": media_type, "digest": layer, "size": size});
    manifest["layers"].as_array_mut().unwrap().push(descriptor);
    manifest["config"]["digest"] = config.into();
    manifest["config"]["size"] = config_size.into();
    let (manifest, size) = put(manifest.to_string().as_bytes());
    let mut index: Value = serde_json::from_slice(&sandbox.read("src/index.json")).unwrap();
    index["manifests"][0]["digest"] = manifest.into();
    index["manifests"][0]["size"] = size.into();
    sandbox.file("src/index.json", index.to_string());
    fs_err::remove_file(sandbox.path("src/manifest.json")).unwrap();
}

#[test]
fn engines_run_an_image_of_sixteen_layers() {
    let sandbox = Sandbox::new();
    if !fixtures::busybox(&sandbox) {
        return;
    }
    for number in 0..88_u8 {
        let len = match number {
            ..24 => 600 << 10,
            24..56 => 100 << 10,
            _ => 1000,
        };
        sandbox.file(&format!("app/node_modules/p{number}/x"), vec![number; len]);
    }
    sandbox.file("app/main.js", "1");
    sandbox
        .imgb("pack bin/busybox:/app/busybox app:/app --no-deps --layers packages -q")
        .args("-t sixteen:1 -o image.tar --entrypoint")
        .arg(r#"["/app/busybox","cat","/app/node_modules/p15/x"]"#)
        .run()
        .ok();
    let archive = sandbox.path("image.tar");
    assert_eq!(layers(&Layout::unpack(&sandbox, "image.tar", "layout")).len(), 16);
    if have(&["skopeo"]) {
        let copy = "--insecure-policy copy -q docker-archive:image.tar oci:copied:1";
        sandbox.tool("skopeo", copy).run().ok();
        let shown = sandbox.imgb("inspect oci:copied:1 --json").run().ok().text();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["layers"].as_array().unwrap().len(), 16);
        sandbox.tool("skopeo", "--insecure-policy copy -q oci:layout dir:dir").run().ok();
    }
    let whole = |text: String| assert_eq!(text, "\u{f}".repeat(600 << 10));
    if let Some(docker) = engines::docker() {
        docker.load(&archive);
        whole(docker.image("sixteen:1").run().ok().text());
    }
    if let Some(podman) = engines::podman() {
        podman.load(&archive);
        whole(podman.image("sixteen:1").run().ok().text());
    }
    if let Some(containerd) = engines::containerd() {
        containerd.import(&archive);
        whole(containerd.image("docker.io/library/sixteen:1", "sixteen").run().ok().text());
    }
}
