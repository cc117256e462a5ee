use imgb::{elf, path::ImagePath, source::host::HostView};
fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mode = args.remove(0);
    let root = args.remove(0);
    let view = HostView::new(root).unwrap();
    let roots: Vec<_> = args.iter().map(|a| elf::Root { path: ImagePath::new(a).unwrap() }).collect();
    let c = elf::closure(&roots, &elf::Options::default(), &view);
    match &*mode {
        "list" => print!("{}", String::from_utf8_lossy(&elf::render::list(&c))),
        "json" => println!("{:#}", elf::render::json(&c)),
        "dot" => print!("{}", elf::render::dot(&c)),
        "cache" => {
            use std::io::Write;
            for f in c.config_files() {
                eprintln!("{} {:?}", String::from_utf8_lossy(&f.path), f.needs.len());
                std::io::stdout().write_all(&f.bytes).unwrap();
            }
        }
        _ => print!("{}", elf::render::tree(&c)),
    }
}
