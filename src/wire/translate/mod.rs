//! Requests, answers and streams of one dialect in the words of the other. What has none keeps the request away by its features.

use bytes::{Bytes, BytesMut};

use super::Inbound;
use super::answer::Broken;
use super::outbound::{CannotExpress, Target};
use super::relay::Rewrite;
use super::sse::Event;
use crate::gateway::failure::FailureClass;

/// The body of a request for a target of the other dialect.
///
/// # Errors
/// If it can't be said there.
pub fn request(inbound: &Inbound, _target: &Target<'_>) -> Result<Bytes, CannotExpress> {
    Err(CannotExpress { what: inbound.endpoint.path().to_owned() })
}

/// A whole answer of the other dialect in the words of the client.
///
/// # Errors
/// If it makes no sense.
pub fn answer(_inbound: &Inbound, _body: &[u8]) -> Result<Bytes, Broken> {
    Err(Broken { class: FailureClass::BadGateway, message: "no translation".into() })
}

/// What writes a stream of the other dialect in the words of the client.
pub fn stream(_inbound: &Inbound) -> Box<dyn Rewrite> {
    struct Untranslated;
    impl Rewrite for Untranslated {
        fn event(&mut self, _event: &Event<'_>, _out: &mut BytesMut) {}
    }
    Box::new(Untranslated)
}
