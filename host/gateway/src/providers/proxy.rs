//! The way to a host: straight, or through the proxy that the network's rules name. TLS to the provider comes on top, in `client`.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::{Network, Proxy};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The proxy's credentials as a header; `None` where it wants none.
pub(super) fn authorization(proxy: &Proxy) -> Option<HeaderValue> {
    proxy.authorization.as_ref()?.header()
}

/// The proxy for an address, if one is set for it.
pub(super) fn for_address<'a>(network: &'a Network, address: &Uri) -> Option<&'a Proxy> {
    let https = address.scheme_str() == Some("https");
    let port = address.port_u16().unwrap_or(if https { 443 } else { 80 });
    network.proxy_for(https, address.host()?, port)
}

/// Connects to a host's address, or to its proxy and, for `https`, on through a tunnel.
#[derive(Clone)]
pub(super) struct Dialer {
    direct: HttpConnector,
    /// To proxies, which may be `https` themselves.
    proxy: HttpsConnector<HttpConnector>,
    network: Arc<Network>,
}

impl Dialer {
    pub(super) fn new(direct: HttpConnector, proxy: HttpsConnector<HttpConnector>, network: Arc<Network>) -> Dialer {
        Dialer { direct, proxy, network }
    }
}

impl Service<Uri> for Dialer {
    type Response = Dialed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Dialed, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Some(proxy) = for_address(&self.network, &address) else {
            let dialing = self.direct.call(address);
            return Box::pin(
                async move { Ok(Dialed { stream: MaybeHttpsStream::Http(dialing.await?), absolute: false }) },
            );
        };
        if address.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri.clone(), self.proxy.clone());
            if let Some(authorization) = authorization(proxy) {
                tunnel = tunnel.with_auth(authorization);
            }
            let dialing = tunnel.call(address);
            Box::pin(async move { Ok(Dialed { stream: dialing.await?, absolute: false }) })
        } else {
            let dialing = self.proxy.call(proxy.uri.clone());
            Box::pin(async move { Ok(Dialed { stream: dialing.await?, absolute: true }) })
        }
    }
}

/// A connection to the provider or to its proxy.
pub(super) struct Dialed {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// The other end is a proxy that wants whole addresses in request lines.
    absolute: bool,
}

impl Connection for Dialed {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.absolute)
    }
}

impl Read for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, target)
    }
}

impl Write for Dialed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
