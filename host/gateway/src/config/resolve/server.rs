//! `server:` and the command line's addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Overrides;
use crate::config::error::At;
use crate::config::file;
use crate::config::resolved::{Clients, Server, ServerLimits};
use crate::config::tree::shorten;

use super::Context;

const COMMAND_LINE: &str = "command line";
/// The HTTP parser's own floor.
const LEAST_HEAD: u64 = 8 << 10;
const MOST_HEAD: u64 = 16 << 20;

/// Whether only this machine reaches `address`.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Context<'_> {
    pub(super) fn server(&mut self, server: file::Server, at: At<'_>, overrides: &Overrides, keys: bool) -> Server {
        let listen = self.listen(&server, at.key("listen"), overrides);
        let clients = match server.clients {
            Some(file::Clients::Keys) => Clients::Keys,
            Some(file::Clients::Open) => Clients::Open,
            None => Clients::unwritten(keys, &listen),
        };
        let clients_written = server.clients.is_some();
        let admin_token = server.admin_token.and_then(|text| self.secret(&text.0, at.key("admin_token")));
        let tls = server.tls.and_then(|tls| self.tls(tls, at.key("tls")));
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(1024);
        let default_listen = overrides.listen.is_empty() && at.key("listen").is_absent();
        Server {
            listen,
            default_listen,
            tls,
            clients,
            clients_written,
            names: self.names(&server.names, at.key("names")),
            admin_token: admin_token.map(|(secret, _)| secret),
            threads: server.threads.map_or(cores, |threads| threads as usize),
            max_calls: server.max_calls as usize,
            max_connections: server.max_connections as usize,
            limits: self.limits(&server.limits, at.key("limits")),
            plugin_header: server.plugin_header,
            attempts_header: server.attempts_header,
        }
    }

    fn listen(&mut self, server: &file::Server, at: At<'_>, overrides: &Overrides) -> Vec<SocketAddr> {
        // The command line replaces the file's addresses, which are checked all the same.
        let mut listen = self.written_addresses(&server.listen.0, at);
        if !overrides.listen.is_empty() {
            listen = self.given_addresses(&overrides.listen);
        } else if server.listen.0.is_empty() && !at.has_broken() {
            self.report.suggest(at.place(), "`listen` is empty", "name an address or leave `listen` out");
        }
        let mut out = Vec::new();
        for mut address in listen {
            address.set_port(overrides.port.unwrap_or(address.port()));
            if !out.contains(&address) {
                out.push(address);
            }
        }
        out
    }

    fn written_addresses(&mut self, texts: &[String], at: At<'_>) -> Vec<SocketAddr> {
        let mut out = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let at = at.item(i);
            match addresses(text) {
                Ok(found) => out.extend(found),
                Err(suggestion) => {
                    let message = format!("expected an address with a port, found `{}`", at.shown(text));
                    self.report.suggest(at.place(), message, suggestion);
                }
            }
        }
        out
    }

    fn given_addresses(&mut self, texts: &[String]) -> Vec<SocketAddr> {
        let mut out = Vec::new();
        for text in texts {
            match addresses(text) {
                Ok(found) => out.extend(found),
                Err(suggestion) => {
                    let message = format!("`--listen {}` is not an address with a port, {suggestion}", shorten(text));
                    self.report.elsewhere(COMMAND_LINE, message);
                }
            }
        }
        out
    }

    fn names(&mut self, names: &[String], at: At<'_>) -> Vec<String> {
        let mut out = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let at = at.item(i);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                let message = format!("expected a host name, found `{}`", at.shown(name));
                self.report.suggest(at.place(), message, "write it without scheme, port and path");
            } else {
                out.push(name.trim_end_matches('.').to_ascii_lowercase());
            }
        }
        out
    }

    fn limits(&mut self, limits: &file::ServerLimits, at: At<'_>) -> ServerLimits {
        let head_size = limits.head_size.0;
        if !(LEAST_HEAD..=MOST_HEAD).contains(&head_size) {
            self.report.error(at.key("head_size").place(), "expected a size from 8KiB to 16MiB");
        }
        ServerLimits {
            head: limits.head.0,
            head_size: super::bytes(limits.head_size),
            body: limits.body.0,
            body_size: super::bytes(limits.body_size),
            idle: limits.idle.0,
            stall: limits.stall.0,
            shutdown: limits.shutdown.0,
        }
    }
}

/// The socket addresses a text stands for, or what to write instead.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let local = |port| vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok()) {
        return Ok(local(port));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let any = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
    Err(match (any.unwrap_or(text).parse::<u16>(), bare) {
        (Ok(port), _) if any.is_some() => format!("write `0.0.0.0:{port}`"),
        (Ok(port), _) => format!("write `127.0.0.1:{port}`"),
        (_, Ok(IpAddr::V4(address))) => format!("write `{address}:8080`"),
        (_, Ok(IpAddr::V6(address))) => format!("write `\"[{address}]:8080\"`"),
        _ => "write it as `127.0.0.1:8080` or `\"[::1]:8080\"`".to_owned(),
    })
}
