//! Splits a whole event stream into blocks for comparison. Quadratic where it likes; it shares no code with the gateway's framer.

/// What a client can see of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Comment(Vec<u8>),
    /// The event's name, if any, and its data lines joined by a line feed.
    Event {
        name: Option<Vec<u8>>,
        data: Vec<u8>,
    },
}

impl Item {
    pub fn data(&self) -> Option<&[u8]> {
        match self {
            Item::Event { data, .. } => Some(data),
            Item::Comment(_) => None,
        }
    }
}

/// Comments and events in order; blocks without data leave only their comments. An unterminated last block counts.
pub fn items(stream: &[u8]) -> Vec<Item> {
    let mut out = Vec::new();
    let mut data: Option<Vec<u8>> = None;
    let mut name = None;
    let flush = |data: &mut Option<Vec<u8>>, name: &mut Option<Vec<u8>>, out: &mut Vec<Item>| {
        let name = name.take();
        if let Some(data) = data.take() {
            out.push(Item::Event { name, data });
        }
    };
    for line in lines(stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream)) {
        if line.is_empty() {
            flush(&mut data, &mut name, &mut out);
        } else if let Some(comment) = line.strip_prefix(b":") {
            out.push(Item::Comment(comment.to_vec()));
        } else {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &line[..colon] {
                b"data" => match &mut data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => data = Some(value.to_vec()),
                },
                b"event" => name = Some(value.to_vec()),
                _ => {}
            }
        }
    }
    flush(&mut data, &mut name, &mut out);
    out
}

/// The data of all events.
pub fn data(stream: &[u8]) -> Vec<Vec<u8>> {
    items(stream).iter().filter_map(|item| item.data().map(<[u8]>::to_vec)).collect()
}

fn lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        out.push(&rest[..end]);
        let skip = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = rest.get(end + skip..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_every_line_ending() {
        for end in ["\n", "\r", "\r\n"] {
            let text = [": hi", "event: e", "data:a", "data: b", "", "id: 1", "", "data: [DONE]", ""].join(end);
            let event = Item::Event { name: Some(b"e".to_vec()), data: b"a\nb".to_vec() };
            let done = Item::Event { name: None, data: b"[DONE]".to_vec() };
            assert_eq!(items(text.as_bytes()), [Item::Comment(b" hi".to_vec()), event, done]);
        }
    }
}
