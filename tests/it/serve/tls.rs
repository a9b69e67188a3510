//! Providers behind TLS: one that an authority of the operator's own vouches for is served from, one that nobody vouches for is not spoken to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gwsim::gateway::Outstanding;
use gwsim::serve::app::{App, Start};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::desk::{Desk, config, load, streamed};
use super::upstream::{self, Upstream};

/// A provider at `https://localhost:PORT`, whose certificate `authority` vouches for. Counts the connections that got past the handshake.
struct Safe {
    address: String,
    spoken_to: Arc<AtomicUsize>,
    _behind: Upstream,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Safe {
    async fn start(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> Self {
        let behind =
            Upstream::start(
                |_, seen| {
                    if seen.body.contains("\"stream\":true") { upstream::stream(&["one", " two"]) } else { upstream::completion("hello") }
                },
            )
            .await;
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = versions.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (acceptor, plain) = (TlsAcceptor::from(Arc::new(tls)), behind.address.trim_start_matches("http://").to_owned());
        let spoken_to = Arc::new(AtomicUsize::new(0));
        let counted = spoken_to.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, plain, counted) = (acceptor.clone(), plain.clone(), counted.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let mut behind = TcpStream::connect(plain).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut behind).await;
                });
            }
        });
        Self { address, spoken_to, _behind: behind }
    }
}

fn trusting(upstream: &str, ca_file: &Path) -> String {
    config(upstream, &format!("[attempts]\nper_deployment = 1\n[server]\nca_file = \"{}\"\n", ca_file.display()))
}

#[tokio::test]
async fn a_provider_is_believed_whom_the_operator_s_own_authority_vouches_for() {
    let (own, folder) = (authority(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.pem");
    // Several may be in a file, with words between them.
    std::fs::write(&file, format!("the one before\n{}\nthis year's\n{}", authority().pem(), own.pem())).unwrap();
    let provider = Safe::start(&own, "localhost").await;
    let desk = Desk::start(&trusting(&provider.address, &file)).await;
    let plain = desk.chat("hi").await;
    assert_eq!((plain.status, plain.body), (200, upstream::completion_body("hello")));
    assert!(desk.post("/v1/chat/completions", &streamed("hi")).await.body.ends_with("data: [DONE]\n\n"));
    assert!(provider.spoken_to.load(Ordering::SeqCst) > 0);
    assert_eq!(desk.settled().await, Outstanding::default());
}

#[tokio::test]
async fn who_nobody_vouches_for_is_not_spoken_to_and_it_is_said_why() {
    let (own, folder) = (authority(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, own.pem()).unwrap();
    let [ours, elsewhere] = [Safe::start(&own, "localhost").await, Safe::start(&own, "elsewhere.example").await];
    let without = config(&ours.address, "[attempts]\nper_deployment = 1\n");
    let cases = [(without, &ours, "UnknownIssuer"), (trusting(&elsewhere.address, &file), &elsewhere, "not valid for name")];
    for (toml, provider, why) in cases {
        let desk = Desk::start(&toml).await;
        let answer = desk.chat("hi").await;
        assert_eq!(answer.status, 502);
        let message = answer.message();
        assert!(message.starts_with("the provider could not be reached safely: invalid peer certificate") && message.contains(why), "{message}");
        assert_eq!(provider.spoken_to.load(Ordering::SeqCst), 0);
        assert_eq!(desk.settled().await, Outstanding::default());
    }
}

#[tokio::test]
async fn a_file_of_authorities_that_is_none_keeps_the_gateway_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let shown = file.display();
    let cases = [
        (None, format!("[server] ca_file: can't read {shown}: No such file or directory")),
        (Some("no certificate"), format!("[server] ca_file: {shown} has no certificate: each is PEM")),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), format!("[server] ca_file: {shown}: certificate 1 can't be read: ")),
    ];
    for (text, says) in cases {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let (_folder, loaded) = load(&trusting("https://localhost:1", &file));
        let start = Start { per_mille: 1000, seed: 1, journal: None, observers: Vec::new(), broken: Box::new(|| {}) };
        let Err(faults) = App::new(loaded, start) else { panic!("it starts with {text:?}") };
        assert!(matches!(&faults[..], [fault] if fault.starts_with(&says)), "{faults:?}");
    }
}
