//! Who is believed to be a provider: whom the authorities vouch for that browsers trust, and those that the operator names. Calls nobody.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How TLS to providers is set up: with the authorities that browsers trust (Mozilla's list, as `webpki-roots` has it), and those of `ca_file`, a
/// file of certificates in PEM.
///
/// # Errors
/// If the file can't be read, or anything in it is no certificate of an authority, in words.
pub fn tls(ca_file: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(|error| format!("can't read {path}: {error}"))?;
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            count += 1;
            let broken = |why: &dyn std::fmt::Display| format!("{path}: certificate {count} can't be read: {why}");
            roots.add(certificate.map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
        }
        if count == 0 {
            return Err(format!("{path} has no certificate: each is PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

/// Why a connection was not trusted, if that is what an error is about.
pub fn distrust<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an error of the system wraps is not among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}
