//! What can go wrong with a call, as classes that policies are written in. Decides nothing about what follows (`router` does).

use core::fmt;

use serde::{Deserialize, Serialize};

use super::time::Span;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A class of failure, the unit in which `retry_on`, `fallback_on` and cooldown rules are written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum FailureClass {
            $($(#[$doc])* $name,)*
        }

        impl FailureClass {
            /// Every class, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name used in configuration, journal and reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

classes! {
    /// 429 from the provider.
    RateLimited = "rate_limited",
    /// 408, or one of the gateway's own time-outs ran out.
    Timeout = "timeout",
    /// No response at all: connection refused, reset or closed before the status line.
    Connect = "connect",
    /// 500, and any 5xx without a class of its own.
    Internal = "internal",
    /// 502.
    BadGateway = "bad_gateway",
    /// 503, 504 and 529.
    Unavailable = "unavailable",
    /// 400, 422 and any 4xx without a class of its own.
    BadRequest = "bad_request",
    /// 400 because the input does not fit the model's context window.
    ContextWindow = "context_window",
    /// 400 because of the provider's content policy.
    ContentPolicy = "content_policy",
    /// 401.
    Unauthorized = "unauthorized",
    /// 403.
    Forbidden = "forbidden",
    /// 404.
    NotFound = "not_found",
    /// 409.
    Conflict = "conflict",
    /// The answer broke off after it had opened. Never retried: the client has seen a part of it.
    Cut = "cut",
    /// The gateway's own limit on the picked deployment refused (blind pick only); nothing was sent.
    Saturated = "saturated",
    /// No deployment of the group may be called: all are cooling, open, or retired; nothing was sent.
    NoDeployment = "no_deployment",
}

/// How many classes there are.
pub const CLASSES: usize = FailureClass::ALL.len();

impl FailureClass {
    /// The class of an HTTP status that is not a success.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            408 => Self::Timeout,
            409 => Self::Conflict,
            429 => Self::RateLimited,
            502 => Self::BadGateway,
            503 | 504 | 529 => Self::Unavailable,
            500.. => Self::Internal,
            _ => Self::BadRequest,
        }
    }

    /// The class called `name` in configuration.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }

    /// The HTTP status that a client sees for a failure of this class.
    pub const fn status(self) -> u16 {
        match self {
            Self::RateLimited | Self::Saturated | Self::NoDeployment => 429,
            Self::Timeout => 408,
            Self::Connect | Self::Internal | Self::Cut => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::BadRequest | Self::ContextWindow | Self::ContentPolicy => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
        }
    }

    /// Whether a call that ended so was answered by a provider, so that it may say something about the deployment's health.
    pub const fn is_from_provider(self) -> bool {
        !matches!(self, Self::Saturated | Self::NoDeployment)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of failure classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FailureSet(u32);

impl FailureSet {
    /// No class.
    pub const NONE: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self((1 << CLASSES) - 1);

    /// The set of the classes given.
    pub const fn of(classes: &[FailureClass]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < classes.len() {
            bits |= 1 << classes[i] as u32;
            i += 1;
        }
        Self(bits)
    }

    /// Whether `class` is in the set.
    #[inline]
    pub const fn has(self, class: FailureClass) -> bool {
        self.0 & (1 << class as u32) != 0
    }

    /// The classes of either set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The classes of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// How one call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class that policies look at.
    pub class: FailureClass,
    /// The HTTP status, for the client.
    pub status: u16,
    /// The provider's Retry-After, if it sent a usable one.
    pub retry_after: Option<Span>,
}

impl Failure {
    /// A failure of `class` with that class's own status and no Retry-After.
    pub const fn new(class: FailureClass) -> Self {
        Self { class, status: class.status(), retry_after: None }
    }

    /// The failure that an HTTP status means.
    pub const fn of_status(status: u16, retry_after: Option<Span>) -> Self {
        Self { class: FailureClass::of_status(status), status, retry_after }
    }
}
