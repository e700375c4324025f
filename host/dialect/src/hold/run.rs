//! Stretches of text that know how much of the provider's text they stand for.

/// A stretch of text on its way through the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) text: String,
    /// How many bytes of the provider's decoded text this accounts for; 0 for text that a stage added.
    pub(super) src: usize,
    /// The provider's own text, byte for byte: `src` is the length of `text`.
    pub(super) same: bool,
}

impl Run {
    /// Stands for text that was taken away.
    pub(super) fn gap(src: usize) -> Run {
        Run { text: String::new(), src, same: false }
    }

    /// Cuts at a character boundary. Where the text is not the provider's, the second half answers for all of its source: a frame then stays
    /// until both halves are decided.
    fn split(mut self, at: usize) -> (Run, Run) {
        let rest = self.text.split_off(at);
        let src = if self.same { rest.len() } else { self.src };
        let second = Run { text: rest, src, same: self.same };
        self.src -= src;
        (self, second)
    }
}

/// Appends, joining the provider's own neighbouring text into one stretch.
pub(super) fn append(runs: &mut Vec<Run>, more: Vec<Run>) {
    if runs.is_empty() {
        *runs = more;
        return;
    }
    for run in more {
        match runs.last_mut() {
            Some(last) if last.same && run.same => {
                last.text.push_str(&run.text);
                last.src += run.src;
            }
            Some(last) if run.text.is_empty() && !last.same && !run.same => last.src += run.src,
            _ => runs.push(run),
        }
    }
}

pub(super) fn text(runs: &[Run]) -> String {
    match runs {
        [run] => run.text.clone(),
        _ => runs.iter().map(|run| run.text.as_str()).collect(),
    }
}

pub(super) fn bytes(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.text.len()).sum()
}

/// Leaves the last `hold` characters in `runs` and returns what stood before them.
pub(super) fn release(runs: &mut Vec<Run>, hold: u32) -> Vec<Run> {
    let mut left = usize::try_from(hold).unwrap_or(usize::MAX);
    let mut keep = runs.len();
    while left > 0 && keep > 0 {
        let Some(run) = runs.get(keep - 1) else { break };
        let characters = run.text.chars().count();
        if characters > left {
            let at = run.text.char_indices().nth(characters - left).map_or(0, |(at, _)| at);
            let (out, held) = runs.remove(keep - 1).split(at);
            runs.insert(keep - 1, held);
            runs.insert(keep - 1, out);
            left = 0;
        } else {
            left -= characters;
            keep -= 1;
        }
    }
    let held = runs.split_off(keep.min(runs.len()));
    std::mem::replace(runs, held)
}

/// The runs with their text replaced by `new`. What both texts have in common at the beginning and at the end stays as it was; says whether
/// anything else is left.
pub(super) fn replace(mut runs: Vec<Run>, new: &str) -> (Vec<Run>, bool) {
    let old = text(&runs);
    if old == new {
        return (runs, false);
    }
    let prefix = common_prefix(&old, new);
    let suffix = common_suffix(old.get(prefix..).unwrap_or_default(), new.get(prefix..).unwrap_or_default());
    let mut middle = cut(&mut runs, prefix);
    let mut tail = cut(&mut middle, old.len() - prefix - suffix);
    // Gaps at the seam belong to what was replaced.
    let gaps = tail.iter().take_while(|run| run.text.is_empty()).count();
    let src = middle.iter().chain(tail.iter().take(gaps)).map(|run| run.src).sum();
    runs.push(Run { text: new.get(prefix..new.len() - suffix).unwrap_or_default().to_owned(), src, same: false });
    runs.extend(tail.split_off(gaps));
    (runs, true)
}

/// Leaves the first `at` bytes of text and returns the rest; gaps at the seam are in the rest.
fn cut(runs: &mut Vec<Run>, at: usize) -> Vec<Run> {
    let mut left = at;
    let mut index = 0;
    while left > 0 {
        let Some(run) = runs.get(index) else { return Vec::new() };
        if run.text.len() > left {
            let (before, behind) = runs.remove(index).split(left);
            runs.insert(index, behind);
            runs.insert(index, before);
            left = 0;
        } else {
            left -= run.text.len();
        }
        index += 1;
    }
    runs.split_off(index.min(runs.len()))
}

fn common_prefix(old: &str, new: &str) -> usize {
    let mut length = old.bytes().zip(new.bytes()).take_while(|(old, new)| old == new).count();
    while !(old.is_char_boundary(length) && new.is_char_boundary(length)) {
        length -= 1;
    }
    length
}

fn common_suffix(old: &str, new: &str) -> usize {
    let mut length = old.bytes().rev().zip(new.bytes().rev()).take_while(|(old, new)| old == new).count();
    while !(old.is_char_boundary(old.len() - length) && new.is_char_boundary(new.len() - length)) {
        length -= 1;
    }
    length
}
