//! The commands, one file each: arguments, the calls, the answer.

pub(crate) mod apply;
pub(crate) mod completion;
pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod graph;
pub(crate) mod kind;
pub(crate) mod kubeconfig;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod program;
pub(crate) mod resource;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod whoami;
