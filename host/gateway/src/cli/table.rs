//! Texts for a terminal: aligned columns, times and counts as people read them, and nothing in them that could drive the terminal.

/// Rows under a heading, each column as wide as its widest cell; the last one is not padded.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers stand right.
    right: &'static [usize],
}

impl Table {
    pub fn new(heading: &[&str], right: &'static [usize]) -> Table {
        Table { rows: vec![heading.iter().map(|name| (*name).to_owned()).collect()], right }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// A line of its own below the last row.
    pub fn note(&mut self, text: &str) {
        self.rows.push(vec![format!("  {}", clean(text))]);
    }

    pub fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let full = || self.rows.iter().filter(|row| row.len() == columns);
        let widths: Vec<usize> = (0..columns)
            .map(|at| full().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let width = if row.len() == columns { widths.get(at).copied().unwrap_or(0) } else { 0 };
                if at > 0 {
                    line.push_str("  ");
                }
                line.push_str(&pad(cell, width, self.right.contains(&at)));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// To at least `to` characters.
pub fn pad(text: &str, to: usize, right: bool) -> String {
    let space = " ".repeat(to.saturating_sub(width(text)));
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

/// A client's or a file's words may not drive a terminal, nor make a second line of one.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Microseconds.
pub fn time(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.1} us"),
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e5 => format!("{:.1} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Seconds.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "N"], &[1]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.note("why: a long line that widens no column");
        table.row(["\u{d55c}\u{1b}[31mlong".to_owned(), "1234".to_owned()]);
        let lines = [
            "NAME           N",
            "a              1",
            "  why: a long line that widens no column",
            "\u{d55c} [31mlong  1234",
        ];
        assert_eq!(table.render(), format!("{}\n", lines.join("\n")));
    }

    #[test]
    fn times_are_short() {
        for (us, text) in
            [(0.94, "0.9 us"), (143.2, "143 us"), (1500.0, "1.5 ms"), (812_345.0, "812 ms"), (4.14e6, "4.14 s")]
        {
            assert_eq!(time(us), text);
        }
        for (seconds, text) in [(5, "5 s"), (125, "2 min"), (3661, "1 h 1 min"), (93_784, "1 d 2 h")] {
            assert_eq!(span(seconds), text);
        }
    }
}
