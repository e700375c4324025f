//! One connection of the mock provider: reads requests, plays scripts, notices a peer that leaves.
//!
//! It reads while it waits: a cancellation must be in the journal when it happens, not at the next write.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::journal::{Ending, Exchange};
use super::script::{Script, Step};
use crate::http::{Head, head_end};

/// The peer has closed or reset.
struct Gone;

enum Played {
    /// Ready for the next request.
    Kept,
    /// A step ended the connection.
    Ended,
}

struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    async fn fill(&mut self) -> Result<(), Gone> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }

    async fn head(&mut self) -> Result<Bytes, Gone> {
        loop {
            if let Some(end) = head_end(&self.buffer) {
                return Ok(self.buffer.split_to(end).freeze());
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, count: usize) -> Result<Bytes, Gone> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(count).freeze())
    }

    async fn line(&mut self) -> Result<Bytes, Gone> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn body(&mut self, head: &Head) -> Result<Bytes, Gone> {
        if !head.chunked() {
            return self.take(head.length().unwrap_or(0)).await;
        }
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(|_| Gone)?;
            let data = self.take(size + 2).await?;
            if size == 0 {
                return Ok(body.freeze());
            }
            body.extend_from_slice(&data[..size]);
        }
    }

    /// Waits for `until`, reading meanwhile.
    async fn watch(&mut self, until: impl Future<Output = ()>) -> Result<(), Gone> {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return Ok(()),
                more = self.stream.read_buf(&mut self.buffer) => {
                    if matches!(more, Ok(0) | Err(_)) {
                        return Err(Gone);
                    }
                }
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.stream.write_all(bytes).await.map_err(|_| Gone)
    }
}

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let connection = shared.journal.opened();
    let mut wire = Wire { stream, buffer: BytesMut::with_capacity(8 * 1024) };
    let mut sequence = 0;
    while let Ok(Played::Kept) = exchange(&mut wire, &shared, connection, sequence).await {
        sequence += 1;
    }
    drop(wire);
    shared.journal.closed(connection);
}

async fn exchange(wire: &mut Wire, shared: &Shared, connection: u64, sequence: u32) -> Result<Played, Gone> {
    let raw = wire.head().await?;
    let head = Head::parse(&raw);
    let mut words = head.first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let script = super::script_name(&target).to_owned();
    let started = Instant::now();
    let mut exchange = Exchange {
        connection,
        sequence,
        script,
        method,
        target,
        head,
        body: Vec::new(),
        body_complete: false,
        started,
        ended: None,
        ending: Ending::Running,
    };
    let index = shared.journal.begin(&exchange);
    let outcome = answer(wire, shared, &mut exchange, index).await;
    let ending = if outcome.is_ok() { Ending::Done } else { Ending::Cancelled };
    shared.journal.update(index, |entry| {
        entry.ending = ending;
        entry.ended = Some(Instant::now());
    });
    outcome
}

async fn answer(wire: &mut Wire, shared: &Shared, exchange: &mut Exchange, index: usize) -> Result<Played, Gone> {
    if let Some(script) = shared.early(&exchange.script) {
        return play(wire, &script).await;
    }
    let body = wire.body(&exchange.head).await?;
    exchange.body = body.to_vec();
    exchange.body_complete = true;
    let script = shared.pick(exchange);
    shared.journal.update(index, |entry| {
        entry.body.clone_from(&exchange.body);
        entry.body_complete = true;
        entry.script.clone_from(&exchange.script);
    });
    play(wire, &script).await
}

async fn play(wire: &mut Wire, script: &Script) -> Result<Played, Gone> {
    for step in &script.steps {
        match step {
            Step::Write(bytes) => wire.write(bytes).await?,
            Step::Delay(time) => wire.watch(tokio::time::sleep(*time)).await?,
            Step::Wait(gate) => wire.watch(gate.opened()).await?,
            Step::Stall => wire.watch(std::future::pending()).await?,
            Step::Forever(bytes, apart) => loop {
                wire.write(bytes).await?;
                wire.watch(tokio::time::sleep(*apart)).await?;
            },
            Step::HalfClose => wire.stream.shutdown().await.map_err(|_| Gone)?,
            Step::Close => return Ok(Played::Ended),
            Step::Reset => {
                wire.stream.set_zero_linger().ok();
                return Ok(Played::Ended);
            }
        }
    }
    Ok(Played::Kept)
}
