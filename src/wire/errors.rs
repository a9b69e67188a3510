//! The gateway's own errors in the caller's dialect, with the types that client libraries know. Decides no status of the core's outcomes.

/// Why the gateway says no, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can't be understood, or nothing can be done with it.
    BadRequest,
    /// No key, or one that is not known.
    Unauthorized,
    /// The key may not do that.
    Forbidden,
    /// No such model or address.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// A limit on requests or tokens.
    RateLimited,
    /// A budget is used up.
    BudgetExceeded,
    /// Broken inside.
    Internal,
    /// What the provider answered makes no sense, or it broke off.
    BadGateway,
    /// No provider can be reached now.
    Unavailable,
    /// It took too long.
    Timeout,
}

/// Stands in until the dialects are merged.
pub fn body(_: super::Dialect, kind: ErrorKind, message: &str, code: Option<&str>, param: Option<&str>) -> bytes::Bytes {
    serde_json::json!({ "error": { "message": message, "type": format!("{kind:?}"), "param": param, "code": code } }).to_string().into()
}

/// Stands in until the dialects are merged.
pub fn event(_: super::Endpoint, kind: ErrorKind, message: &str, code: Option<&str>) -> bytes::Bytes {
    format!("data: {}\n\n", serde_json::json!({ "error": { "message": message, "type": format!("{kind:?}"), "param": null, "code": code } })).into()
}
