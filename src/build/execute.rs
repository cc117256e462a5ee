//! The instructions, one after the other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    BuildError, BuildOptions, Cause, ContextDirectory, NamedContext, OpenSysroot,
    base::{self, BareName},
    config,
    copy::{self, Copying, changed},
    layer_writer::LayerWriter,
    owner, programs, secrets,
    stage::{OpenBase, Stage},
    suggest,
};
use crate::{
    digest::Digest,
    path::ImagePath,
    plan::{self, Instruction, Note},
    recipe::{
        Base, Recipe,
        action::{Action, CopyFiles, CopyFrom, CopySource, Mkdir, Pack},
        evaluate::{EvaluatedStage, EvaluatedStep},
    },
    source,
    tree::{Kind, Node, Tree, capability},
};

/// A recipe being built.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    recipe: &'a Recipe,
    options: &'a BuildOptions,
    /// Images that stages start from, by the stage's number.
    pub(super) bases: BTreeMap<usize, Stage>,
    /// Stages that are done, by their number.
    pub(super) stages: BTreeMap<usize, Stage>,
    /// Images that `--from` names.
    images: BTreeMap<String, Stage>,
    /// The context's files, read when an instruction first needs them.
    context: Option<Tree>,
    /// The files of other directories, by the name in `--from`.
    directories: BTreeMap<String, Tree>,
    /// Sysroots, by their names and by whether they may be the stage's base.
    sysroots: BTreeMap<(Option<PathBuf>, bool), Rc<OpenSysroot>>,
    pub(super) notes: Vec<Note>,
    /// Images that were opened, by their names.
    pub(super) opened: BTreeMap<String, Digest>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(recipe: &'a Recipe, options: &'a BuildOptions) -> Self {
        Self {
            recipe,
            options,
            bases: BTreeMap::new(),
            stages: BTreeMap::new(),
            images: BTreeMap::new(),
            context: None,
            directories: BTreeMap::new(),
            sysroots: BTreeMap::new(),
            notes: Vec::new(),
            opened: BTreeMap::new(),
        }
    }

    pub(super) fn image(&mut self, name: &str, platform: Option<&str>) -> Result<Stage, Cause> {
        let options = self.options.base_context();
        let open = match self.options.contexts.get(name) {
            Some(NamedContext::Directory(directory)) => {
                base::of_tree(name, self.files(directory)?, &options)?
            }
            Some(NamedContext::Image(image)) => {
                base::open(image, BareName::File, platform, &options)?
            }
            None => {
                self.refuse_misspelled(name, &["scratch"])?;
                base::open(name, BareName::FileOrRegistry, platform, &options)?
            }
        };
        let digest = open.image.as_ref().map(|image| image.image.digest());
        self.opened.extend(digest.map(|digest| (name.to_owned(), digest)));
        let stage = self.on(open);
        let notes = stage.image.iter().flat_map(|image| image.notes());
        self.notes.extend(notes.map(|text| Note::warning(format!("{name}: {text}"))));
        Ok(stage)
    }

    /// Refuses a word that is neither a file nor likely to be the name of an image in a registry,
    /// since it is close to one of `names`.
    fn refuse_misspelled(&self, name: &str, names: &[&str]) -> Result<(), Cause> {
        let near = crate::suggest::closest(name, names.iter().copied());
        let is_near = near.is_some_and(|near| !near.eq_ignore_ascii_case(name));
        let options = self.options.base_context();
        if is_near && base::place(Path::new(name), &options)?.is_none() {
            return Err(Cause::NoImage(name.into()));
        }
        Ok(())
    }

    /// A stage that starts from `open`. It has a PATH, as in Docker.
    fn on(&self, open: OpenBase) -> Stage {
        let mut stage = Stage::on(open, self.options.source.mtime, self.options.plan.layers);
        config::default_path(&mut stage.config);
        stage
    }

    /// Builds a stage, those that it needs being done.
    pub(super) fn stage(&mut self, evaluated: &EvaluatedStage) -> Result<(), BuildError> {
        let index = evaluated.needed.index;
        let known = match &evaluated.needed.base {
            Base::Scratch => None,
            Base::Image(_) => self.bases.remove(&index),
            Base::Stage(from) => self.stages.get(from).cloned(),
        };
        let mut stage = known.unwrap_or_else(|| {
            let base = base::scratch(&self.options.base_context());
            self.on(OpenBase { base, image: None })
        });
        stage.cmd_set = false;
        for step in &evaluated.steps {
            self.step(&mut stage, step)
                .map_err(|cause| BuildError::at(self.recipe, Some(step.span), cause))?;
        }
        self.stages.insert(index, stage);
        Ok(())
    }

    fn step(&mut self, stage: &mut Stage, step: &EvaluatedStep) -> Result<(), Cause> {
        let mut cmd_set = stage.cmd_set;
        config::apply(&mut stage.config, &mut cmd_set, &step.action);
        stage.cmd_set = cmd_set;
        let changes = match &step.action {
            Action::Copy(files) => self.copy(stage, files)?,
            Action::Pack(pack) => return self.pack(stage, pack, &step.text),
            Action::Mkdir(mkdir) => make_directories(stage, mkdir)?,
            Action::Workdir(dir) => {
                let mut layer = LayerWriter::new(&stage.tree, (0, 0), stage.mtime);
                layer.directory(dir)?;
                layer.finish()
            }
            Action::User(user) => self.user(stage, user)?,
            Action::Symlink { target, link } => symlink(stage, target, link)?,
            Action::Cap { file, capabilities } => {
                let (path, node) = capability(stage, file, capabilities)?;
                let instruction = Instruction { line: step.line, text: step.text.clone() };
                stage.change_metadata(instruction, path, node)?;
                return Ok(());
            }
            Action::Annotation(pairs) => {
                stage.annotations.extend(pairs.iter().cloned());
                return Ok(());
            }
            _ => Tree::new(),
        };
        stage.add(Instruction { line: step.line, text: step.text.clone() }, changes)?;
        Ok(())
    }

    fn copy(&mut self, stage: &Stage, files: &CopyFiles) -> Result<Tree, Cause> {
        let options = self.options;
        let owner = match &files.owner {
            Some(owner) => Some(owner::resolve(owner, &stage.tree)?),
            None => None,
        };
        let source = &options.source;
        let only_inline =
            files.sources.iter().all(|source| matches!(source, CopySource::Inline { .. }));
        let nothing = Tree::new();
        let own = (options.context.as_path(), &options.ignore);
        let (from, context) = match &files.from {
            CopyFrom::Context if only_inline => (&nothing, Some(own)),
            CopyFrom::Context => (self.context()?, Some(own)),
            CopyFrom::Stage(index) => {
                (self.stages.get(index).map_or(&nothing, |stage| &stage.tree), None)
            }
            CopyFrom::Image(name) => match options.contexts.get(name) {
                Some(NamedContext::Directory(directory)) => {
                    (self.directory(name, directory)?, Some((&*directory.path, &directory.ignore)))
                }
                _ => (self.files_of_image(name)?, None),
            },
        };
        let from_context = context.is_some();
        let copying = Copying { files, from, from_context, owner, options: source };
        let mut copied = copy::copy(&stage.tree, &copying).map_err(|mut cause| {
            suggest::explain(&mut cause, from, context);
            cause
        })?;
        plan::set_times(&mut copied.tree, source.mtime)?;
        let unmatched = copied.unmatched.as_ref();
        let unmatched = unmatched.map(|pattern| suggest::unmatched(pattern, from, context));
        self.notes.extend(unmatched);
        self.warn(&copied)?;
        self.notes.extend(replaced_links(&stage.tree, &copied.tree));
        Ok(copied.tree)
    }

    /// Tells of files that look like secrets and came along without being named.
    fn warn(&mut self, copied: &copy::Copied) -> Result<(), Cause> {
        let mut found = Vec::new();
        for (place, path) in &copied.swept {
            if secrets::is_suspect(&copied.tree, place, path)? {
                found.push(path.to_string().trim_start_matches('/').to_owned());
            }
        }
        if self.options.deny_secrets && !found.is_empty() {
            return Err(Cause::Secrets(found));
        }
        let hint = "leave it out with .dockerignore, or name it in a COPY if it belongs there";
        self.notes.extend(found.iter().map(|path| secrets::note(path, hint)));
        Ok(())
    }

    fn pack(&mut self, stage: &mut Stage, pack: &Pack, text: &str) -> Result<(), Cause> {
        self.context()?;
        let nothing = Tree::new();
        let sysroot = self.sysroot(stage, pack.sysroot.as_deref())?;
        let context = self.context.as_ref().unwrap_or(&nothing);
        let mut decision = programs::pack(pack, stage, (context, &sysroot), self.options)?;
        self.notes.append(&mut decision.notes);
        if !stage.platform_known {
            stage.config.platform = decision.platform.clone();
            stage.platform_known = true;
        }
        stage.config.add_variables(&decision.variables);
        stage.add_decision(text, decision);
        Ok(())
    }

    /// The tables of accounts with a user that PACK did not know of yet. Other images have the
    /// users that their tables name, as in Docker.
    fn user(&mut self, stage: &Stage, user: &str) -> Result<Tree, Cause> {
        if stage.inputs.is_empty() {
            return Ok(Tree::new());
        }
        let sysroot = self.sysroot(stage, None)?;
        let files = (&stage.tree, &stage.reasons);
        let added = plan::add_user(files, user, sysroot.files(&stage.tree), stage.mtime)?;
        Ok(added.unwrap_or_default())
    }

    /// The sysroot that PACK names, or the usual one. Each is opened once.
    fn sysroot(&mut self, stage: &Stage, name: Option<&str>) -> Result<Rc<OpenSysroot>, Cause> {
        let name = name.map(Path::new).or(self.options.sysroot.as_deref());
        let key = (name.map(Path::to_owned), stage.is_system);
        if let Some(known) = self.sysroots.get(&key) {
            return Ok(Rc::clone(known));
        }
        let open = OpenSysroot::try_open(name, stage.is_system, &self.options.base_context())?;
        let open = Rc::new(open);
        let shown = name.unwrap_or(Path::new("/")).display();
        let notes = open.notes().iter();
        self.notes.extend(notes.map(|text| Note::warning(format!("{shown}: {text}"))));
        if let (Some(name), Some(digest)) = (&key.0, open.digest()) {
            self.opened.insert(name.display().to_string(), digest);
        }
        self.sysroots.insert(key, Rc::clone(&open));
        Ok(open)
    }

    /// The context's files.
    fn context(&mut self) -> Result<&Tree, Cause> {
        if self.context.is_none() {
            let BuildOptions { context, ignore, .. } = self.options;
            let own = ContextDirectory { path: context.clone(), ignore: ignore.clone() };
            self.context = Some(self.files(&own)?);
        }
        Ok(self.context.get_or_insert_default())
    }

    /// The files of a directory that `--from` names.
    fn directory(&mut self, name: &str, directory: &ContextDirectory) -> Result<&Tree, Cause> {
        if !self.directories.contains_key(name) {
            let files = self.files(directory)?;
            self.directories.insert(name.into(), files);
        }
        Ok(self.directories.entry(name.into()).or_default())
    }

    /// The files of an image that `--from` names.
    fn files_of_image(&mut self, name: &str) -> Result<&Tree, Cause> {
        let stage = match self.images.remove(name) {
            Some(stage) => stage,
            None => {
                if self.options.contexts.get(name).is_none() {
                    let stages = self.recipe.stages.iter();
                    let stages = stages.filter_map(|stage| stage.from.alias.as_deref());
                    self.refuse_misspelled(name, &stages.collect::<Vec<_>>())?;
                }
                self.image(name, None)?
            }
        };
        Ok(&self.images.entry(name.into()).or_insert(stage).tree)
    }

    /// Reads the files of a directory.
    fn files(&mut self, directory: &ContextDirectory) -> Result<Tree, Cause> {
        let found = source::context(&directory.path, &directory.ignore, &self.options.source)?;
        if found.opened {
            let text = "group and others can read no file of the context: \
                they get the owner's permissions, as in a checkout with umask 022";
            self.notes.push(Note::hint(text.into(), "`--preserve-mode` keeps the modes".into()));
        }
        Ok(found.tree)
    }
}

/// Warnings for links to directories that are replaced by directories, as in Docker's classic
/// builder: everything that was reached through `/bin -> usr/bin` is then lost, which can be most
/// of an image.
fn replaced_links(stage: &Tree, changes: &Tree) -> Vec<Note> {
    let is_link =
        |path: &ImagePath| matches!(stage.get(path).map(|node| &node.kind), Some(Kind::Symlink(_)));
    let leads_to_directory = |path: &ImagePath| {
        let real = stage.resolve(path.as_bytes()).ok();
        real.is_some_and(|found| stage.get(&found.path).is_some_and(Node::is_directory))
    };
    let directories = changes.iter().filter(|(_, node)| node.is_directory()).map(|(path, _)| path);
    let note = |path: &ImagePath| {
        let text = format!(
            "the link `{path}` becomes a directory: files can no longer be reached through it"
        );
        Note::warning(text).about(path).with_hint(format!(
            "copy that directory in an instruction of its own: COPY DIR{path}/ {path}/"
        ))
    };
    directories.filter(|path| is_link(path) && leads_to_directory(path)).map(note).collect()
}

fn make_directories(stage: &Stage, mkdir: &Mkdir) -> Result<Tree, Cause> {
    let owner = match &mkdir.owner {
        Some(owner) => owner::resolve(owner, &stage.tree)?,
        None => (0, 0),
    };
    let mut layer = LayerWriter::new(&stage.tree, (0, 0), stage.mtime);
    for dir in &mkdir.dirs {
        let real = layer.directory(dir)?;
        if mkdir.mode.is_some() || mkdir.owner.is_some() {
            let mut node = Node::directory(changed(mkdir.mode.as_ref(), 0o755, true));
            (node.meta.uid, node.meta.gid) = owner;
            node.meta.mtime = stage.mtime;
            layer.put(real, node)?;
        }
    }
    Ok(layer.finish())
}

fn symlink(stage: &Stage, target: &str, link: &ImagePath) -> Result<Tree, Cause> {
    let mut layer = LayerWriter::new(&stage.tree, (0, 0), stage.mtime);
    let parent = layer.directory(&link.parent().unwrap_or_else(ImagePath::root))?;
    let path = parent.join(link.file_name()).map_err(|_| Cause::TooLong(link.clone()))?;
    if path.is_root() || stage.tree.get(&path).is_some_and(Node::is_directory) {
        return Err(Cause::Exists(path));
    }
    let mut node = Node::symlink(target.as_bytes());
    node.meta.mtime = stage.mtime;
    layer.put(path, node)?;
    Ok(layer.finish())
}

/// The real path of `file`, and its node with the capabilities.
fn capability(
    stage: &Stage,
    file: &ImagePath,
    capabilities: &str,
) -> Result<(ImagePath, Node), Cause> {
    let value = capability::parse(capabilities)?;
    let missing = || Cause::NoFile(file.clone());
    let path = stage.tree.resolve(file.as_bytes()).map_err(|_| missing())?.path;
    let mut node =
        stage.tree.get(&path).filter(|node| node.file().is_some()).ok_or_else(missing)?.clone();
    node.meta.xattrs = Some(Box::new([(capability::NAME.to_vec(), value)].into()));
    Ok((path, node))
}
