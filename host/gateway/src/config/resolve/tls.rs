//! `server.tls:` the certificate that clients are shown, checked with its key to the point where a handshake can use it.
//!
//! The files are inputs of the configuration: a renewed certificate is an edit, and a bad one keeps the last good configuration.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::error::At;
use crate::config::file;
use crate::config::input::Input;
use crate::config::resolved::Tls;
use crate::config::secret::{Secret, Source};

use super::Context;

/// A certificate with its intermediates is a few KiB.
const LARGEST_CHAIN: u64 = 1 << 20;

impl Context<'_> {
    pub(super) fn tls(&mut self, tls: file::ServerTls, at: At<'_>) -> Option<Tls> {
        let cert = tls.cert.and_then(|path| self.chain(&path, at.key("cert")));
        let key = tls.key.and_then(|written| self.private_key(&written.0, at.key("key")));
        let (chain, key) = (cert?, key?);
        match show(chain, key) {
            Ok(show) => Some(Tls { show }),
            Err(why) => {
                let message = format!("the certificate cannot be used: {why}");
                self.report.error(at.key("cert").place(), message);
                None
            }
        }
    }

    fn chain(&mut self, path: &str, at: At<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let (input, content) = Input::read(&self.dir.join(path), LARGEST_CHAIN);
        self.report.inputs.push(input);
        let found = content.map_err(|error| error.to_string()).and_then(|bytes| {
            if bytes.len() as u64 > LARGEST_CHAIN {
                return Err("larger than 1 MiB".to_owned());
            }
            let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
            chain.map_err(|error| error.to_string())
        });
        match found {
            Ok(chain) if chain.is_empty() => {
                let message = format!("`{}` holds no PEM certificate", at.shown(path));
                self.report.suggest(at.place(), message, "name the file with the certificate and its intermediates");
                None
            }
            Ok(chain) => Some(chain),
            Err(why) => {
                self.report.error(at.place(), format!("cannot use the certificate file `{}`: {why}", at.shown(path)));
                None
            }
        }
    }

    fn private_key(&mut self, written: &str, at: At<'_>) -> Option<PrivateKeyDer<'static>> {
        let is_path = !written.contains(':') && !written.contains("-----BEGIN");
        if is_path && at.written().is_none() {
            let message = "expected where the private key is, found something else";
            self.report.suggest(at.place(), message, "write `file:PATH` or `env:NAME`");
            return None;
        }
        let place = at.place();
        let (secret, source): (Secret, Source) = self.secret(written, at)?;
        let key = PrivateKeyDer::from_pem_slice(secret.expose().as_bytes());
        if key.is_err() {
            // The parser's words may quote what it read.
            let whose = if source == Source::File { "the file holds" } else { "the secret is" };
            self.report.suggest(place, format!("{whose} no private key in PEM"), "encrypted keys are not supported");
        }
        key.ok()
    }
}

fn show(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the private key belongs to another certificate".to_owned(),
            error => error.to_string(),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use crate::config::{Config, ConfigErrors, Overrides, parse};

    fn read(folder: &Path, text: &str) -> Result<Config, ConfigErrors> {
        parse(&folder.join("sluice.yaml"), text, &|_| None, &Overrides::default()).result
    }

    fn write(folder: &Path, name: &str) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_certificate_and_its_key_are_read_and_prints_show_neither() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a");
        let reading = parse(
            &folder.path().join("sluice.yaml"),
            "server: { tls: { cert: a.pem, key: 'file:a.key' } }",
            &|_| None,
            &Overrides::default(),
        );
        let config = reading.result.unwrap();
        assert!(config.server.tls.is_some());
        assert_eq!(reading.inputs.len(), 2, "both files are followed");
        assert!(!format!("{config:?}").contains("PRIVATE"));
        assert!(read(folder.path(), "{}").unwrap().server.tls.is_none());
    }

    #[test]
    fn what_cannot_be_shown_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a");
        write(folder.path(), "b");
        for (tls, expected) in [
            ("{ cert: a.pem, key: 'file:b.key' }", "belongs to another certificate"),
            ("{ cert: none.pem, key: 'file:a.key' }", "none.pem"),
            ("{ cert: a.key, key: 'file:a.key' }", "holds no PEM certificate"),
            ("{ cert: a.pem, key: 'file:a.pem' }", "no private key in PEM"),
            ("{ cert: a.pem, key: a.key }", "file:PATH"),
            ("{ cert: a.pem }", "key"),
            ("{ key: 'file:a.key' }", "cert"),
        ] {
            let text = format!("server:\n  tls: {tls}\n");
            let error = read(folder.path(), &text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(":2:"), "{tls}: {error}");
        }
    }
}
