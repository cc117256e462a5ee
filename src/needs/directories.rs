//! Directories that a program needs though nothing in them is: those that the configuration names,
//! and those that servers write to.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    elf::ReadFailure,
    image::Config,
    packages::PackageId,
    path::ImagePath,
    tree::{Kind, Node, Tree},
    view::View,
};

/// Directories that every program may write to.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/run"];
/// Where programs keep what they write (hier(7)).
const STATE: [&[u8]; 3] = [b"var", b"run", b"srv"];

/// What is known of an image.
pub(super) struct Known<'a> {
    pub(super) files: &'a Tree,
    pub(super) view: &'a View<'a>,
    pub(super) config: &'a Config,
    /// Directories that the command names.
    pub(super) arguments: &'a [ImagePath],
    /// The packages that have files in the smaller image.
    pub(super) packages: &'a BTreeSet<PackageId>,
}

impl Known<'_> {
    /// The directories, and links of the top level, and why each is kept.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn directories(&self) -> Result<BTreeMap<ImagePath, String>, ReadFailure> {
        let mut found = BTreeMap::new();
        let mut add = |path: &str, why: &str| self.add(path.as_bytes(), why, &mut found);
        add(self.config.workdir.as_deref().unwrap_or("/"), "WORKDIR of the image");
        for dir in self.arguments {
            self.add(dir.as_bytes(), "arguments of the image's command", &mut found);
        }
        let mut add = |path: &str, why: &str| self.add(path.as_bytes(), why, &mut found);
        for volume in &self.config.volumes {
            add(volume, "VOLUME of the image");
        }
        for path in SHARED {
            add(path, "programs write there");
        }
        self.homes(&mut found)?;
        self.of_packages(&mut found)?;
        self.of_users(&mut found);
        self.links(&mut found);
        Ok(found)
    }

    /// Adds the directory that `path` leads to, and the links on the way.
    fn add(&self, path: &[u8], why: &str, found: &mut BTreeMap<ImagePath, String>) {
        let Ok(resolved) = self.files.resolve(path) else { return };
        if resolved.is_directory {
            for path in resolved.links.into_iter().chain([resolved.path]) {
                found.entry(path).or_insert_with(|| why.to_owned());
            }
        }
    }

    /// The home of the image's user.
    fn homes(&self, found: &mut BTreeMap<ImagePath, String>) -> Result<(), ReadFailure> {
        let accounts = self.view.accounts()?;
        let name = self.config.user.as_deref().unwrap_or("root");
        let name = name.split(':').next().unwrap_or_default();
        let by_number = || accounts.user_numbered(name.parse().ok()?);
        if let Some(home) =
            accounts.user(name).or_else(by_number).and_then(|user| user.home.as_ref())
        {
            self.add(home.as_bytes(), "home of the image's user", found);
        }
        Ok(())
    }

    /// Directories for data that belong to packages with files in the image.
    fn of_packages(&self, found: &mut BTreeMap<ImagePath, String>) -> Result<(), ReadFailure> {
        let Some(database) = self.view.packages()? else { return Ok(()) };
        for id in self.packages {
            let Some(package) = database.package(*id) else { continue };
            for path in database.files(*id).filter(is_state) {
                let is_directory = self.files.get(&path).is_some_and(Node::is_directory);
                if is_directory {
                    let why = format!("the package {} keeps data there", package.name);
                    found.entry(path).or_insert(why);
                }
            }
        }
        Ok(())
    }

    /// Directories for data that belong to a user other than root: a package's script, or the
    /// author of the image, made them for a program.
    fn of_users(&self, found: &mut BTreeMap<ImagePath, String>) {
        for (path, node) in self.files.iter().filter(|(path, _)| is_state(path)) {
            let is_users =
                node.meta.uid != 0 || (node.meta.gid != 0 && node.meta.mode & 0o020 != 0);
            if node.is_directory() && is_users {
                found.entry(path.clone()).or_insert_with(|| "a user owns it".into());
            }
        }
    }

    /// The links of the top level (`/bin -> usr/bin`) and those in `/var`, by which paths lead to
    /// files that are kept elsewhere.
    fn links(&self, found: &mut BTreeMap<ImagePath, String>) {
        for dir in ["/", "/var"] {
            let Ok(dir) = ImagePath::new(dir) else { continue };
            for name in self.files.names(&dir) {
                let Ok(path) = dir.child(name) else { continue };
                let is_link =
                    matches!(self.files.get(&path).map(|node| &node.kind), Some(Kind::Symlink(_)));
                if is_link {
                    self.add(path.as_bytes(), "a link of the system", found);
                }
            }
        }
    }
}

fn is_state(path: &ImagePath) -> bool {
    path.components().next().is_some_and(|top| STATE.contains(&top))
}
