//! The lab's certificate authority: a certificate for any name that a client asks for.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// A certificate authority that lives as long as its lab.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    addresses: Vec<IpAddr>,
    issued: Mutex<HashMap<Option<String>, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A fresh key; `addresses` go into the certificate of clients that send no name.
    pub(super) fn generate(addresses: &[IpAddr]) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "weir lab");
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        Ok(Self { issuer, addresses: addresses.to_vec(), issued: Mutex::default() })
    }

    /// The authority's own certificate.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A TLS server that shows each client a certificate for the name it asks for.
    pub(super) fn server_config(self) -> Result<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn issue(&self, name: Option<&str>) -> Result<Arc<CertifiedKey>> {
        let mut parameters =
            CertificateParams::new(name.map(str::to_owned).into_iter().collect::<Vec<_>>())?;
        if name.is_none() {
            let names = self.addresses.iter().copied().map(SanType::IpAddress);
            parameters.subject_alt_names.extend(names);
        }
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = ring::sign::any_supported_type(&der).context("loading a fresh key")?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_owned);
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(&name) {
            return Some(known.clone());
        }
        let fresh = self.issue(name.as_deref()).ok()?;
        issued.insert(name, fresh.clone());
        Some(fresh)
    }
}
