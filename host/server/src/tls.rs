//! TLS: the server's certificate, and what a client trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{Error as BadPem, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("`{}` cannot be read: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: BadPem,
    },
    /// The file holds no certificate.
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
    /// They do not fit each other, or nobody could use them.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(rustls::Error),
}

/// Lets requests that we make use the same cryptography. Asked for again it is refused, which is as good.
pub(crate) fn use_ring() {
    let _ = ring::default_provider().install_default();
}

/// A server's certificate with its key.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// The certificate itself.
    leaf: CertificateDer<'static>,
}

impl Tls {
    /// Reads a certificate with its chain, and its key, both PEM.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let leaf = chain[0].clone();
        let key =
            PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File { file: key.to_owned(), source })?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), leaf })
    }

    /// The certificate, by which whoever has it knows the server.
    pub fn certificate(&self) -> &[u8] {
        &self.leaf
    }
}

/// Reads certificates from a PEM file.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { file: file.to_owned(), source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(TlsError::Empty(file.to_owned())) } else { Ok(found) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a client trusts besides what the machine does.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Nothing.
    #[default]
    Machine,
    /// Whoever has a certificate from one of these, too, each in DER.
    Also(Vec<Vec<u8>>),
    /// Whoever has this certificate, under whatever name, and nobody else.
    Only(Vec<u8>),
}

impl Trust {
    /// Reads certificates of authorities from a PEM file.
    pub fn read(file: &Path) -> Result<Self, TlsError> {
        Ok(Self::Also(certificates(file)?.iter().map(|it| it.to_vec()).collect()))
    }

    /// Tells a client whom to trust.
    pub(crate) fn told(&self, client: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, String> {
        match self {
            Self::Machine => Ok(client),
            Self::Also(roots) => {
                let roots: Result<Vec<_>, _> = roots.iter().map(|it| reqwest::Certificate::from_der(it)).collect();
                Ok(client.tls_certs_merge(roots.map_err(|error| error.to_string())?))
            }
            Self::Only(certificate) => {
                let only = Arc::new(Only { certificate: certificate.clone(), provider: provider() });
                let config = ClientConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?
                    .dangerous()
                    .with_custom_certificate_verifier(only)
                    .with_no_client_auth();
                Ok(client.tls_backend_preconfigured(config))
            }
        }
    }
}

/// Trusts one certificate. That the other side has its key too is shown by the signatures, which are checked as ever.
#[derive(Debug)]
struct Only {
    certificate: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match end_entity.as_ref() == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("it is not the server that works on this data directory".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
