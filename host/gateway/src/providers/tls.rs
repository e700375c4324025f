//! Whose certificates are believed: the system's authorities and the operator's own.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The same, with these protocols offered to the other end, the first one preferred.
pub(super) fn offering(trust: &ClientConfig, protocols: &[&[u8]]) -> ClientConfig {
    let mut config = trust.clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

/// Reads the authorities. Costs milliseconds and a megabyte, so clients share the result.
///
/// # Errors
/// A file of `extra` that cannot be read or used. System certificates that cannot be used are left out: old ones are not rare.
pub fn trust(extra: &[PathBuf]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a system certificate store cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    for path in extra {
        let bad = |error: &dyn std::fmt::Display| format!("the certificate file {}: {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
        for certificate in certificates {
            roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        }
    }
    if roots.is_empty() {
        tracing::warn!(
            "no certificate authority is known: no https provider can be reached; name a file under network.ca"
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
