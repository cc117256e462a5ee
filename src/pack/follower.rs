//! What goes on with layers while others are made.

use std::fmt;

use crate::store::Blob;

/// Takes the layers that the store has, while others are made: their upload begins.
#[derive(Clone, Copy)]
pub struct Follower<'a> {
    /// Is called with each layer, from any thread, in the order in which the store gets them.
    pub on_layer: &'a (dyn Fn(&Blob) + Sync),
    /// Whether the other layers are not wanted any more.
    pub is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl fmt::Debug for Follower<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}
