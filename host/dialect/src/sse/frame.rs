//! One block of an event stream and what its lines say.

use std::ops::Range;

use bytes::Bytes;

/// A block of the stream: its bytes as they came, and where its data and its event name stand in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The whole block with the blank line that ends it. A block may be only that blank line.
    pub raw: Bytes,
    data: Data,
    event: Option<Range<usize>>,
    has_field: bool,
    has_comment: bool,
    terminated: bool,
    /// The length of a byte order mark before the first line.
    mark: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    None,
    Line(Range<usize>),
    /// Several lines, joined.
    Joined(Bytes),
}

impl Frame {
    /// Reads a block that does not come from a framer. Blank lines inside `raw` are ignored.
    pub fn new(raw: Bytes) -> Frame {
        Frame::behind_mark(raw, 0)
    }

    pub(super) fn behind_mark(raw: Bytes, mark: usize) -> Frame {
        let mut frame = Frame {
            raw: Bytes::new(),
            data: Data::None,
            event: None,
            has_field: false,
            has_comment: false,
            terminated: true,
            mark,
        };
        let mut data = Vec::new();
        let mut single = None;
        for line in lines(&raw, mark) {
            match raw.get(line.text.clone()).unwrap_or_default() {
                [] => {}
                [b':', ..] => frame.has_comment = true,
                text => {
                    frame.has_field = true;
                    let (name, value) = field(text, line.text.start);
                    match name {
                        b"data" => match single.replace(value) {
                            None => {}
                            Some(before) => append_line(&raw, &before, &mut data),
                        },
                        b"event" => frame.event = Some(value),
                        _ => {}
                    }
                }
            }
        }
        if let Some(last) = single {
            frame.data = if data.is_empty() {
                Data::Line(last)
            } else {
                data.extend_from_slice(raw.get(last).unwrap_or_default());
                Data::Joined(Bytes::from(data))
            };
        }
        frame.raw = raw;
        frame
    }

    pub(super) fn set_terminated(&mut self, terminated: bool) {
        self.terminated = terminated;
    }

    /// The event's data: `None` where the block has no data line, several lines joined by line feeds. One line is not copied.
    pub fn data(&self) -> Option<Bytes> {
        match &self.data {
            Data::None => None,
            Data::Line(range) => Some(self.raw.slice(range.clone())),
            Data::Joined(bytes) => Some(bytes.clone()),
        }
    }

    /// Where in `raw` the data stands; `None` where it is not exactly one line.
    pub fn data_range(&self) -> Option<Range<usize>> {
        match &self.data {
            Data::Line(range) => Some(range.clone()),
            Data::None | Data::Joined(_) => None,
        }
    }

    /// The last `event:` line's value; `None` where there is none or it is empty, which means the same.
    pub fn event(&self) -> Option<&[u8]> {
        self.event.clone().and_then(|range| self.raw.get(range)).filter(|name| !name.is_empty())
    }

    /// At least one comment and no field at all.
    pub fn is_comment_only(&self) -> bool {
        self.has_comment && !self.has_field
    }

    pub fn has_comment(&self) -> bool {
        self.has_comment
    }

    /// False for a last block that the stream's end cut before its blank line: clients ignore such a block.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// The comment lines with their line ends, and a blank line: what is left to pass on of a block whose fields are dropped. Empty where
    /// the block has no comment.
    pub fn comments(&self) -> Bytes {
        if !self.has_comment {
            return Bytes::new();
        }
        if !self.has_field && self.terminated && self.mark == 0 && self.raw.first() == Some(&b':') {
            return self.raw.clone();
        }
        let mut out = Vec::with_capacity(self.raw.len() + 2);
        for line in lines(&self.raw, self.mark) {
            if self.raw.get(line.text.start) == Some(&b':') {
                out.extend_from_slice(self.raw.get(line.text.start..line.end).unwrap_or_default());
                if line.text.end == line.end {
                    out.push(b'\n');
                }
            }
        }
        out.push(b'\n');
        Bytes::from(out)
    }
}

struct Line {
    text: Range<usize>,
    /// Behind its line end.
    end: usize,
}

fn lines(raw: &[u8], start: usize) -> impl Iterator<Item = Line> + '_ {
    let mut at = start;
    std::iter::from_fn(move || {
        let rest = raw.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let stop = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line_end = match rest.get(stop..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            _ => 0,
        };
        at = start + stop + line_end;
        Some(Line { text: start..start + stop, end: at })
    })
}

/// A line's field name, and where its value stands given where the line does.
fn field(line: &[u8], at: usize) -> (&[u8], Range<usize>) {
    let end = at + line.len();
    let Some(colon) = memchr::memchr(b':', line) else { return (line, end..end) };
    let (name, rest) = line.split_at(colon);
    let space = usize::from(rest.get(1) == Some(&b' '));
    (name, at + colon + 1 + space..end)
}

fn append_line(raw: &[u8], line: &Range<usize>, data: &mut Vec<u8>) {
    data.extend_from_slice(raw.get(line.clone()).unwrap_or_default());
    data.push(b'\n');
}
