//! The Aho-Corasick automaton behind [`super::Words`]: every word in one pass, one table step a byte, whatever the text.
//!
//! Our own because a general-purpose one is larger than a whole plugin. It matches bytes and knows nothing of characters.

use super::Match;
use crate::types::Fault;

/// Cells of the table; at four bytes each this is 32 MiB, half of what a plugin may use.
const MAX_CELLS: usize = 8 << 20;
/// Marks a step into a state in which some word ends.
const HIT: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Automaton {
    /// Bytes that mean the same to every word share a class; class 0 is in no word.
    class: [u8; 256],
    /// Cells of one state.
    stride: usize,
    /// By state and class: the first cell of the next state, perhaps with `HIT`.
    next: Vec<u32>,
    states: Vec<State>,
    lengths: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// The word that ends here, or `NONE`.
    word: u32,
    /// The state of the longest shorter word that ends here too, or `NONE`.
    shorter: u32,
    /// Bytes from the beginning of a word to here.
    depth: u32,
    /// Bytes of the longest beginning of a word, not a whole one without continuation, that the text ends with here.
    open: u32,
}

/// Where a search stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    at: usize,
    cell: u32,
    /// A state whose words are still to be told.
    pending: u32,
}

impl Cursor {
    pub(super) fn at(at: usize) -> Self {
        Cursor { at, cell: 0, pending: NONE }
    }
}

impl Automaton {
    pub(super) fn new(words: &[Box<str>], any_case: bool) -> Result<Self, Fault> {
        let (class, stride) = classes(words, any_case);
        let mut build = Build { stride, next: Vec::new(), nodes: Vec::new() };
        build.node(0, 0)?;
        let mut lengths = Vec::with_capacity(words.len());
        for (index, word) in words.iter().enumerate() {
            build.add(word.as_bytes(), &class, u32::try_from(index).unwrap_or(NONE))?;
            lengths.push(u32::try_from(word.len()).unwrap_or(NONE));
        }
        let (next, states) = build.finish();
        Ok(Automaton { class, stride, next, states, lengths })
    }

    fn step(&self, cell: u32, byte: u8) -> u32 {
        let class = self.class.get(usize::from(byte)).copied().unwrap_or(0);
        self.next.get((cell & !HIT) as usize + usize::from(class)).copied().unwrap_or(0)
    }

    fn state(&self, cell: u32) -> Option<&State> {
        self.states.get((cell & !HIT) as usize / self.stride)
    }

    /// Whether any word ends in the text, which is searched from `at`.
    pub(super) fn is_match(&self, text: &[u8], at: usize) -> bool {
        let mut cell = 0;
        for byte in text.get(at..).unwrap_or_default() {
            cell = self.step(cell, *byte);
            if cell & HIT != 0 {
                return true;
            }
        }
        false
    }

    /// The next place where a word ends; the longest first where several do.
    pub(super) fn next(&self, text: &[u8], cursor: &mut Cursor) -> Option<Match> {
        while cursor.pending == NONE {
            let byte = text.get(cursor.at)?;
            cursor.at += 1;
            cursor.cell = self.step(cursor.cell, *byte);
            if cursor.cell & HIT != 0 {
                let index = (cursor.cell & !HIT) / u32::try_from(self.stride).unwrap_or(1);
                let own = self.states.get(index as usize)?;
                cursor.pending = if own.word == NONE { own.shorter } else { index };
            }
        }
        let state = self.states.get(cursor.pending as usize)?;
        cursor.pending = state.shorter;
        let length = *self.lengths.get(state.word as usize)? as usize;
        Some(Match { word: state.word as usize, range: cursor.at.checked_sub(length)?..cursor.at })
    }

    /// Whether the text begins with a word, and how many steps it took to tell.
    pub(super) fn begins(&self, text: &[u8]) -> (bool, usize) {
        let mut cell = 0;
        for (steps, byte) in (1..).zip(text) {
            cell = self.step(cell, *byte);
            match self.state(cell) {
                Some(state) if state.depth as usize == steps => {
                    if state.word != NONE {
                        return (true, steps);
                    }
                }
                _ => return (false, steps),
            }
        }
        (false, text.len())
    }

    /// How many bytes at the end could be the beginning of a word that goes on.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let cell = text.iter().fold(0, |cell, byte| self.step(cell, *byte));
        self.state(cell).map_or(0, |state| state.open as usize)
    }
}

/// Gives every byte that stands in a word a class of its own, the two cases of a letter one where case does not matter.
fn classes(words: &[Box<str>], any_case: bool) -> ([u8; 256], usize) {
    let fold = |byte: u8| if any_case { byte.to_ascii_lowercase() } else { byte };
    let mut used = [false; 256];
    for byte in words.iter().flat_map(|word| word.bytes()) {
        if let Some(slot) = used.get_mut(usize::from(fold(byte))) {
            *slot = true;
        }
    }
    // No text has the bytes 0xC0, 0xC1 and 0xF5 to 0xFF, so there are never more than 243 classes.
    let mut numbers = [0u8; 256];
    let mut count = 0u8;
    for (number, _) in numbers.iter_mut().zip(used).filter(|(_, used)| *used) {
        count = count.saturating_add(1);
        *number = count;
    }
    let mut class = [0u8; 256];
    for (byte, slot) in (0u8..=255).zip(class.iter_mut()) {
        *slot = numbers.get(usize::from(fold(byte))).copied().unwrap_or(0);
    }
    (class, usize::from(count) + 1)
}

struct Build {
    stride: usize,
    /// Node numbers while building, `NONE` where no word goes on.
    next: Vec<u32>,
    nodes: Vec<Node>,
}

struct Node {
    word: u32,
    shorter: u32,
    depth: u32,
    fail: u32,
    goes_on: bool,
    open: u32,
}

impl Build {
    fn node(&mut self, depth: u32, fail: u32) -> Result<u32, Fault> {
        if self.next.len() + self.stride > MAX_CELLS {
            return Err(Fault::config("words: too many or too long for one search; use fewer or shorter ones"));
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.next.resize(self.next.len() + self.stride, NONE);
        self.nodes.push(Node { word: NONE, shorter: NONE, depth, fail, goes_on: false, open: 0 });
        Ok(index)
    }

    fn cell(&mut self, node: u32, class: usize) -> Option<&mut u32> {
        self.next.get_mut(node as usize * self.stride + class)
    }

    fn add(&mut self, word: &[u8], class: &[u8; 256], index: u32) -> Result<(), Fault> {
        let mut node = 0;
        for (depth, byte) in (1u32..).zip(word) {
            let class = usize::from(class.get(usize::from(*byte)).copied().unwrap_or(0));
            if let Some(parent) = self.nodes.get_mut(node as usize) {
                parent.goes_on = true;
            }
            let known = self.cell(node, class).map_or(NONE, |cell| *cell);
            node = if known == NONE {
                let fresh = self.node(depth, 0)?;
                if let Some(cell) = self.cell(node, class) {
                    *cell = fresh;
                }
                fresh
            } else {
                known
            };
        }
        // Of two equal words the first keeps its index.
        if let Some(end) = self.nodes.get_mut(node as usize).filter(|end| end.word == NONE) {
            end.word = index;
        }
        Ok(())
    }

    /// Breadth first: where no word goes on, the state goes where the longest suffix of its text goes.
    fn finish(mut self) -> (Vec<u32>, Vec<State>) {
        let mut queue = std::collections::VecDeque::from([0u32]);
        while let Some(node) = queue.pop_front() {
            let fail = self.nodes.get(node as usize).map_or(0, |it| it.fail);
            let (fail_word, fail_shorter, fail_open) =
                self.nodes.get(fail as usize).map_or((NONE, NONE, 0), |it| (it.word, it.shorter, it.open));
            if let Some(it) = self.nodes.get_mut(node as usize)
                && node != 0
            {
                it.shorter = if fail_word == NONE { fail_shorter } else { fail };
                it.open = if it.goes_on { it.depth } else { fail_open };
            }
            for class in 0..self.stride {
                let by_fail = if node == 0 { 0 } else { self.cell(fail, class).map_or(0, |cell| *cell) };
                let Some(cell) = self.cell(node, class) else { continue };
                if *cell == NONE {
                    *cell = by_fail;
                } else {
                    let child = *cell;
                    queue.push_back(child);
                    if let Some(child) = self.nodes.get_mut(child as usize) {
                        child.fail = by_fail;
                    }
                }
            }
        }
        let Build { stride, mut next, nodes } = self;
        for cell in &mut next {
            let hit = nodes.get(*cell as usize).is_some_and(|it| it.word != NONE || it.shorter != NONE);
            let at = *cell * u32::try_from(stride).unwrap_or(1);
            *cell = if hit { at | HIT } else { at };
        }
        let states = nodes
            .iter()
            .map(|it| State { word: it.word, shorter: it.shorter, depth: it.depth, open: it.open })
            .collect();
        (next, states)
    }
}
