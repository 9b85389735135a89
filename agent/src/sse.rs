//! Server-sent events, parsed from pieces of any size. Pure: bytes in, data of events out.
//!
//! Only the `data` field is used, because the Central API's envelope contains the rest.

/// The maximum size of an event.
const LONGEST_EVENT: usize = 1 << 20;

/// The beginning of an incomplete event.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: String,
}

/// An event is too long.
#[derive(Debug, thiserror::Error)]
#[error("an event is longer than {LONGEST_EVENT} bytes")]
pub(crate) struct TooLong;

impl Parser {
    /// Adds the next piece, and returns the data of the events that it completes. Comments are skipped.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for &byte in piece {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                events.extend(self.take_line(&String::from_utf8_lossy(&line)));
            } else {
                self.line.push(byte);
            }
            if self.line.len() + self.data.len() > LONGEST_EVENT {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn take_line(&mut self, line: &str) -> Option<String> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return data.strip_suffix('\n').map(str::to_owned);
        }
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            self.data.push('\n');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep-alive\n\nid: 1\nevent: x\ndata: {\"a\":\ndata:1}\n\n\r\ndata: second\r\n\r\ndata: unfinished";

    #[test]
    fn data_is_joined_and_comments_and_other_fields_are_skipped() {
        assert_eq!(
            Parser::default().feed(STREAM.as_bytes()).unwrap(),
            ["{\"a\":\n1}", "second"]
        );
    }

    #[test]
    fn pieces_can_end_anywhere() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let pieces = STREAM.as_bytes().chunks(size);
            let events: Vec<_> = pieces
                .flat_map(|piece| parser.feed(piece).unwrap())
                .collect();
            assert_eq!(events, ["{\"a\":\n1}", "second"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_rejected() {
        assert!(
            Parser::default()
                .feed(&vec![b'x'; LONGEST_EVENT + 1])
                .is_err()
        );
    }
}
