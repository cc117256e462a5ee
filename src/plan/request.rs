//! What the planner is asked, and what it answers.

use std::borrow::Cow;

use super::{Note, PlanOptions, PlannedLayer, Reason, Reasons, Settings};
use crate::{
    image::Platform,
    path::{ImagePath, PathError},
    source::{Input, InputOptions, Sysroot},
    tree::Tree,
};

/// What a plan is made of.
#[derive(Debug)]
pub struct Request<'a> {
    /// The inputs, in order.
    pub inputs: Vec<Input>,
    /// What the new layers are put on.
    pub below: Below<'a>,
    /// Where files come from that neither the inputs nor what lies below them has.
    pub sysroot: Sysroot<'a>,
    /// How files of the sysroot become nodes.
    pub source: &'a InputOptions,
    /// How the plan is made.
    pub options: &'a PlanOptions,
}

/// What lies below the inputs, as far as the planner depends on it. Scratch is an empty image.
#[derive(Clone, Debug)]
pub struct Below<'a> {
    /// Its files, with their parents.
    pub tree: &'a Tree,
    /// The platform that is given, whatever the programs among the inputs are for.
    pub platform: Option<Platform>,
    /// Its environment, `NAME=VALUE`. [`Settings::env`] overrides it.
    pub env: &'a [String],
    /// Its user. [`Settings::user`] overrides it.
    pub user: Option<&'a str>,
    /// The working directory, which is made if it does not exist. [`Settings::workdir`] overrides
    /// it.
    pub workdir: Option<&'a str>,
}

/// What the planner decided.
#[derive(Debug)]
pub struct Decision {
    /// The new layers, lowest first. Each holds its paths' parents, as the image below has them.
    pub layers: Vec<PlannedLayer>,
    /// Why each path is in the layers.
    pub reasons: Reasons,
    /// How the inputs were written, by the numbers that reasons use.
    pub inputs: Vec<String>,
    /// Where each input is in the image: a file, or the directory that all of its files are in.
    pub places: Vec<ImagePath>,
    /// The files and commands that the user named, in order.
    pub named: Vec<ImagePath>,
    /// What the programs run on.
    pub platform: Platform,
    /// The only executable that the user named, if there is exactly one.
    pub entrypoint: Option<Vec<String>>,
    /// Variables of the environment, `NAME=VALUE`, for an image that does not set them.
    pub variables: Vec<String>,
    /// What the user should know.
    pub notes: Vec<Note>,
}

impl Below<'_> {
    /// `options` with the environment and the user of the image's processes.
    pub(super) fn under<'o>(&self, options: &'o PlanOptions) -> Cow<'o, PlanOptions> {
        if self.env.is_empty() && self.user.is_none() {
            return Cow::Borrowed(options);
        }
        let settings = &options.settings;
        let settings = Settings {
            env: self.env.iter().chain(&settings.env).cloned().collect(),
            user: settings.user.clone().or_else(|| self.user.map(str::to_owned)),
            ..settings.clone()
        };
        Cow::Owned(PlanOptions { settings, ..options.clone() })
    }
}

/// A path of the sysroot to add, with the links and directories on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    path: Vec<u8>,
    option: String,
    by: Option<ImagePath>,
}

impl Include {
    /// Adds `path`, which `option` names: a file, or a directory with its content. If it ends in
    /// `/.`, it is a directory whose content is left out. Its links and `..` are followed as
    /// open(2) does.
    ///
    /// # Errors
    /// [`PathError`] for a path that no image can have.
    pub fn new(path: impl Into<Vec<u8>>, option: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        ImagePath::new(&path)?;
        let path = if path.starts_with(b"/") { path } else { [b"/", &path[..]].concat() };
        Ok(Self { path, option: option.into(), by: None })
    }

    /// As [`Include::new`], for what a file of the image names.
    ///
    /// # Errors
    /// As [`Include::new`].
    pub fn named_by(path: impl Into<Vec<u8>>, by: ImagePath) -> Result<Self, PathError> {
        let option = format!("named by {by}");
        Ok(Self { by: Some(by), ..Self::new(path, option)? })
    }

    /// Why what it adds is in the image.
    pub fn reason(&self) -> Reason {
        match &self.by {
            Some(by) => Reason::Named(by.clone()),
            None => Reason::Included(self.option.as_str().into()),
        }
    }

    /// The path, which starts with a slash.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The option that names it.
    pub fn option(&self) -> &str {
        &self.option
    }

    /// Whether only the directory itself is added.
    pub fn is_empty_directory(&self) -> bool {
        self.path.ends_with(b"/.")
    }
}
