//! Columns of text.

use std::fmt;

/// A table whose columns are as wide as they have to be.
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { lines: vec![heads.iter().map(|head| head.to_uppercase()).collect()] }
    }

    pub(crate) fn line<const N: usize>(&mut self, line: [String; N]) {
        self.lines.push(line.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        for line in &self.lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                text.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(formatter, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["user", "notes"]);
        table.line(["alexandra".to_owned(), "3".to_owned()]);
        assert_eq!(table.to_string(), "USER       NOTES\nalexandra  3\n");
    }
}
