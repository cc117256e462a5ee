//! End-to-end tests: one binary, a module for each subject.

mod pack;
