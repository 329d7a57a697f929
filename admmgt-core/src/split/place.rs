//! Lines and columns.

/// The line and column of a byte. Only moves forwards, so that a text is counted once however many
/// statements stand in one line of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self { at: 0, line: 1, column: 1 }
    }
}

impl Place {
    pub(super) fn advance(&mut self, text: &str, to: usize) {
        let passed = &text.as_bytes()[self.at..to];
        let newlines = passed.iter().filter(|byte| **byte == b'\n').count();
        if newlines > 0 {
            self.line = self.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
            self.column = 1;
        }
        let last_line = passed.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let characters = text[self.at + last_line..to].chars().count();
        self.column = self.column.saturating_add(u32::try_from(characters).unwrap_or(u32::MAX));
        self.at = to;
    }
}
