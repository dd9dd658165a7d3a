//! Where a round runs: which broker and database it has, and which faults they allow.

use super::nodes::Nodes;
use super::services::Services;
use crate::support::Stack;

pub enum Environment {
    /// The services that other tests use, too.
    Shared,
    /// One broker and one database that the round may stop: `make chaos`.
    Private(Services),
    /// Three broker nodes, and a primary with a synchronous standby: `make cluster`.
    Nodes(Nodes),
}

/// What a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Proxies,
    PrivateServices,
    Nodes,
}

impl Environment {
    /// The environment of the Makefile target that runs the tests.
    pub fn from_variables() -> Self {
        if let Some(nodes) = Nodes::from_variables() {
            Self::Nodes(nodes)
        } else if let Some(services) = Services::from_environment() {
            Self::Private(services)
        } else {
            Self::Shared
        }
    }

    pub fn stack(&self) -> Stack {
        match self {
            Self::Shared => Stack::new(),
            Self::Private(services) => services.stack(),
            Self::Nodes(nodes) => nodes.stack(),
        }
    }

    pub fn has_proxies(&self) -> bool {
        !matches!(self, Self::Nodes(_))
    }

    pub fn provides(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Proxies => self.has_proxies(),
            Needs::PrivateServices => matches!(self, Self::Private(_)),
            Needs::Nodes => matches!(self, Self::Nodes(_)),
        }
    }

    pub fn services(&self) -> &Services {
        match self {
            Self::Private(services) => services,
            Self::Shared | Self::Nodes(_) => panic!("this environment has no private services"),
        }
    }

    /// Ends the faults that do not end by themselves.
    pub fn clear_faults(&self) {
        match self {
            Self::Shared => {}
            Self::Private(services) => services.clear_faults(),
            Self::Nodes(nodes) => nodes.run(&["settle"]),
        }
    }
}
