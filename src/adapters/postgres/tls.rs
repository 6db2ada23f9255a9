//! TLS to the server, with the meanings that `sslmode` has everywhere else: `require` encrypts and trusts anyone, unless an authority is
//! named; `verify-ca` asks who signed the certificate, `verify-full` also for whom.

mod connector;
mod end_point;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use self::connector::Rustls;
use crate::error::{Code, Error};

/// How a connection is encrypted.
#[derive(Clone)]
pub enum Tls {
    /// Not at all: `sslmode=disable`, or a unix socket.
    Plain,
    /// By rustls.
    Rustls(Rustls),
}

/// What is asked of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing.
    Anyone,
    /// It is signed by a known authority.
    Authority,
    /// It is signed by a known authority for this host.
    Host,
}

/// PEM files by which the server knows this client: its certificate, with what leads to the authority, and the key.
#[derive(Debug)]
pub struct Identity {
    /// `sslcert`.
    pub certificate: PathBuf,
    /// `sslkey`.
    pub key: PathBuf,
}

/// What a connector is made for.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What is asked of the server's certificate.
    pub trust: Trust,
    /// `sslrootcert`; the system's authorities where it is none.
    pub authorities: Option<&'a Path>,
    /// `sslcert` and `sslkey`.
    pub identity: Option<&'a Identity>,
    /// Versions of TLS, at least one.
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// The server is not told which name it was called by.
    pub hides_name: bool,
    /// TLS begins at once, which takes the protocol's name.
    pub direct: bool,
}

impl Tls {
    /// A connector.
    ///
    /// # Errors
    /// `invalid` when a file cannot be used; the argument is its parameter.
    pub fn new(asked: &Asked<'_>) -> Result<Self, Error> {
        let Asked { trust, authorities, identity, versions, hides_name, direct } = *asked;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| Error::new(Code::Internal, "TLS cannot be set up").cause(error))?;
        let builder = match trust {
            Trust::Host => builder.with_root_certificates(roots(authorities)?),
            Trust::Authority => {
                let verifier = Arc::new(Signed { roots: Some(roots(authorities)?), provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            Trust::Anyone => {
                let verifier = Arc::new(Signed { roots: None, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    Error::invalid("sslkey", "`sslkey` and `sslcert` do not belong together").cause(error)
                })?
            }
        };
        config.enable_sni = !hides_name;
        if direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Self::Rustls(Rustls::new(config)))
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let wrong = |name: &'static str, what: &str| {
            Error::invalid(name, format!("`{name}` names a file that holds no {what}"))
        };
        let of_certificate = || wrong("sslcert", "certificate in PEM form");
        let of_key = || wrong("sslkey", "private key in PEM form without a passphrase");
        let file = std::fs::read(&self.certificate).map_err(|error| of_certificate().cause(error))?;
        let chain: Result<Vec<_>, _> = rustls_pemfile::certs(&mut file.as_slice()).collect();
        let chain = chain.map_err(|error| of_certificate().cause(error))?;
        if chain.is_empty() {
            return Err(of_certificate());
        }
        let file = std::fs::read(&self.key).map_err(|error| of_key().cause(error))?;
        let key = rustls_pemfile::private_key(&mut file.as_slice()).map_err(|error| of_key().cause(error))?;
        Ok((chain, key.ok_or_else(of_key)?))
    }
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        return Ok(roots);
    };
    let refuse = || Error::invalid("sslrootcert", "`sslrootcert` names a file that holds no certificate in PEM form");
    let file = std::fs::read(path).map_err(|error| refuse().cause(error))?;
    for certificate in rustls_pemfile::certs(&mut file.as_slice()) {
        let certificate = certificate.map_err(|error| refuse().cause(error))?;
        roots.add(certificate).map_err(|error| refuse().cause(error))?;
    }
    if roots.is_empty() {
        return Err(refuse());
    }
    Ok(roots)
}

/// Asks who signed the certificate, or nothing, but never for whom.
#[derive(Debug)]
struct Signed {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Signed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
