//! Between a provider and a client of different dialects, and between a stream and the plugins that read it block by block.
//!
//! Requests are translated in an attempt, whole replies behind it; what is here keeps the state of a stream. Chat in and chat out never
//! comes here.

use bytes::Bytes;
use sluice_dialect::Dialect;
use sluice_dialect::dialect::{Decode, Encode};
use sluice_dialect::failure::Failure;
use sluice_dialect::guard::Released;
use sluice_dialect::hub::{Asked, Delta, Losses};
use sluice_dialect::sse::Frame;

/// When a frame of the provider's may be sent as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raw {
    /// The client speaks another dialect.
    Never,
    /// Whenever none of its text was changed.
    Unchanged,
    /// As long as no text was changed: later events repeat the text of earlier ones.
    UntilChange,
}

/// One stream on its way from one dialect to another, or to itself.
pub struct Translation {
    decoder: Box<dyn Decode>,
    encoder: Box<dyn Encode>,
    raw: Raw,
    /// The end has been told to the client.
    done: bool,
}

impl Translation {
    /// From the provider's dialect to the client's. `asked.sse` is said of the client.
    pub fn new(from: Dialect, to: Dialect, asked: &Asked) -> Translation {
        let array = to == Dialect::Gemini && !asked.sse;
        let raw = match (from == to && !array, to) {
            (false, _) => Raw::Never,
            (true, Dialect::OpenaiResponses) => Raw::UntilChange,
            (true, _) => Raw::Unchanged,
        };
        Translation { decoder: from.api().decoder(), encoder: to.api().encoder(asked), raw, done: false }
    }

    /// What an event of the provider tells.
    pub fn decode(&mut self, frame: &Frame, data: &[u8]) -> Vec<Delta> {
        let mut told = Vec::new();
        self.decoder.event(frame.event(), data, &mut told);
        told
    }

    /// What the end of the provider's stream tells.
    pub fn decode_end(&mut self) -> Vec<Delta> {
        let mut told = Vec::new();
        self.decoder.end(&mut told);
        told
    }

    /// The bytes of the frame if they may be sent should nothing be changed.
    pub fn raw(&self, frame: &Frame) -> Option<Bytes> {
        (self.raw != Raw::Never).then(|| frame.raw.clone())
    }

    /// Writes one step for the client.
    ///
    /// # Errors
    /// The provider failed inside its stream.
    pub fn encode(&mut self, delta: Delta, out: &mut Vec<Bytes>) -> Result<(), Failure> {
        if let Delta::Failed(failure) = delta {
            return Err(*failure);
        }
        let mut bytes = Vec::new();
        self.done |= delta == Delta::Done;
        self.encoder.delta(&delta, &mut bytes);
        if !bytes.is_empty() {
            out.push(Bytes::from(bytes));
        }
        Ok(())
    }

    /// Writes what plugins have released.
    ///
    /// # Errors
    /// As [`Translation::encode`].
    pub fn release(&mut self, released: Released, out: &mut Vec<Bytes>) -> Result<(), Failure> {
        match released {
            Released::Frame(raw, deltas) if self.raw != Raw::Never => {
                // The writer has to know what was said, for what it may have to say itself later on.
                let mut unsent = Vec::new();
                for delta in deltas {
                    if let Delta::Failed(failure) = delta {
                        return Err(*failure);
                    }
                    self.done |= delta == Delta::Done;
                    self.encoder.delta(&delta, &mut unsent);
                }
                out.push(raw);
                Ok(())
            }
            Released::Frame(_, deltas) => deltas.into_iter().try_for_each(|delta| self.encode(delta, out)),
            Released::Delta(delta) => {
                if self.raw == Raw::UntilChange {
                    self.raw = Raw::Never;
                }
                self.encode(delta, out)
            }
        }
    }

    /// Ends a stream that a plugin has ended, in the dialect's own way.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if !self.done {
            // Only a failure can fail.
            let _ = self.encode(Delta::Done, out);
        }
    }

    /// The error event that ends a stream which cannot go on.
    pub fn fail(&mut self, failure: &Failure) -> Bytes {
        let mut bytes = Vec::new();
        self.encoder.delta(&Delta::Failed(Box::new(failure.clone())), &mut bytes);
        Bytes::from(bytes)
    }

    pub fn losses(&self) -> &Losses {
        self.encoder.losses()
    }
}
