//! Finds what a program needs, as its loader would, without running anything.

mod absence;
pub mod cache;
mod closure;
pub mod conf;
pub mod dlopen;
mod loader;
mod lookup;
mod object;
pub mod render;
pub mod script;
mod tokens;

pub use absence::Absence;
pub use cache::Cache;
pub use closure::{
    CacheNeed, Closure, ConfigFile, Cpu, Edge, Fault, FaultKind, File, Hwcaps, LoaderOptions, Miss,
    Opens, Outcome, PRELOAD_FILE, Program, Root, SearchLogEntry, SearchRule, Suggestion, Tag,
    Warning, closure, preload_list,
};
pub use dlopen::{Dlopen, DlopenError, Priority};
pub use loader::{Dialect, Loader, LoaderMemo, usual_paths};
pub use lookup::{Answer, FileId, Found, FoundKind, Lookup, LookupError, ReadFailure};
pub use object::{
    Claims, Float, HEADER_LEN, Header, Kind, Linkage, Machine, NODEFLIB, NeededVersion, Object,
    ObjectError, PIE, ReadAt, Request, Sniffed, Verneed, claims, constants, exports, imports,
    layout, sniff,
};
