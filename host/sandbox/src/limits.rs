//! What one plugin may use, and the account that keeps it to its memory. Time is kept in `clock`.

use std::time::Duration;

use thiserror::Error;
use wasmtime::ResourceLimiter;

/// The table slots of one instance, over all its tables. Real guests need a few thousand.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Core instances, tables and memories of one component; a Python guest has 38 instances.
const MAX_CORE_INSTANCES: usize = 64;
const MAX_TABLES: usize = 64;
const MAX_MEMORIES: usize = 8;

/// The limits of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest `on-request` or `on-response`, waiting included.
    pub wall: Duration,
    /// Longest `on-delta`.
    pub delta_wall: Duration,
    /// Longest instantiation and `configure` together; also the limit of each hook of the dry run, so that a busy machine does not refuse
    /// a good file.
    pub start: Duration,
    /// Bytes, over all memories of one instance.
    pub memory: usize,
    /// Hooks at once; one more is an `Overload` at once, without waiting.
    pub concurrency: u32,
    /// An instance is replaced after about so many hooks (up to a quarter fewer, so that they do not all go at once).
    pub uses: u32,
    /// An instance is replaced when older.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wall: Duration::from_millis(50),
            delta_wall: Duration::from_millis(10),
            start: Duration::from_secs(1),
            memory: 64 << 20,
            concurrency: 64,
            uses: 10_000,
            age: Duration::from_secs(600),
        }
    }
}

/// Raised as a trap, so that a guest's own out-of-memory path cannot hide the reason.
#[derive(Debug, Error)]
pub(crate) enum Exceeded {
    #[error(
        "more memory than its limit of {limit} bytes (it asked for {wanted}); raise `limits.memory` if it needs it"
    )]
    Memory { limit: usize, wanted: usize },
    #[error("more than {MAX_TABLE_ELEMENTS} table elements (it asked for {wanted})")]
    Table { wanted: usize },
}

/// The account of one instance: sums over all its memories and tables, where the engine would limit each alone.
pub(crate) struct Account {
    limit: usize,
    memory: usize,
    elements: usize,
    /// What the last permitted growth added, for giving it back if the engine then could not.
    last_memory: usize,
    last_elements: usize,
    /// A growth was refused since the hook began: a trap that follows is about memory, whatever it looks like.
    pub(crate) refused: bool,
}

impl Account {
    pub(crate) fn new(limit: usize) -> Account {
        Account { limit, memory: 0, elements: 0, last_memory: 0, last_elements: 0, refused: false }
    }

    /// Bytes of linear memory now.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }
}

impl ResourceLimiter for Account {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let wanted = self.memory.saturating_add(added);
        if wanted > self.limit {
            self.refused = true;
            return Err(Exceeded::Memory { limit: self.limit, wanted }.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.memory = wanted;
        self.last_memory = added;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        self.memory = self.memory.saturating_sub(std::mem::take(&mut self.last_memory));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let wanted = self.elements.saturating_add(added);
        if wanted > MAX_TABLE_ELEMENTS {
            self.refused = true;
            return Err(Exceeded::Table { wanted }.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.elements = wanted;
        self.last_elements = added;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        self.elements = self.elements.saturating_sub(std::mem::take(&mut self.last_elements));
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
