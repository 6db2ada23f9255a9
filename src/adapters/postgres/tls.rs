//! TLS to the server, with the meanings that `sslmode` has everywhere else: `require` encrypts and trusts anyone, unless an authority is
//! named; `verify-ca` asks who signed the certificate, `verify-full` also for whom.

mod connector;
mod der;
mod end_point;
mod own;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use self::{connector::Rustls, own::Own};
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
        let known = match trust {
            Trust::Anyone => None,
            Trust::Authority | Trust::Host => Some(Known::read(authorities)?),
        };
        let verifier = Arc::new(Verifier { known, of_host: trust == Trust::Host, provider });
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
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

/// Authorities.
#[derive(Debug)]
struct Known {
    roots: RootCertStore,
    /// Those of `sslrootcert`, as they are written there.
    named: Vec<CertificateDer<'static>>,
}

impl Known {
    fn read(authorities: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        let Some(path) = authorities else {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
            return Ok(Self { roots, named });
        };
        let refuse =
            || Error::invalid("sslrootcert", "`sslrootcert` names a file that holds no certificate in PEM form");
        let file = std::fs::read(path).map_err(|error| refuse().cause(error))?;
        for certificate in rustls_pemfile::certs(&mut file.as_slice()) {
            let certificate = certificate.map_err(|error| refuse().cause(error))?;
            roots.add(certificate.clone()).map_err(|error| refuse().cause(error))?;
            named.push(certificate);
        }
        if roots.is_empty() {
            return Err(refuse());
        }
        Ok(Self { roots, named })
    }

    /// The server's certificate where it is itself among those that are named, and signs itself.
    fn own<'a>(&self, certificate: &'a CertificateDer<'_>) -> Option<Own<'a>> {
        let is_named = self.named.iter().any(|named| named.as_ref() == certificate.as_ref());
        is_named.then(|| Own::read(certificate))?.filter(Own::may_serve)
    }
}

/// `openssl req -x509` makes an authority of every certificate, also of a server's own. webpki says so of one whose time it found good.
fn is_only_an_authority(error: &TlsError) -> bool {
    match error {
        TlsError::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}

/// Asks who signed the certificate and for whom, or less.
#[derive(Debug)]
struct Verifier {
    /// None where anyone is trusted.
    known: Option<Known>,
    of_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        let parsed = ParsedCertificate::try_from(certificate)?;
        let own = known.own(certificate);
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&parsed, &known.roots, intermediates, now, algorithms) {
            Err(error) if own.is_some() && is_only_an_authority(&error) => {}
            signed => signed?,
        }
        if self.of_host && !own.is_some_and(|own| own.is_commonly(&server.to_str())) {
            verify_server_name(&parsed, server)?;
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
