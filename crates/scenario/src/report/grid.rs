//! The matrix as pictures show it: one panel for each technique, boxes by boxes.

use crate::cell::{Cell, Way};
use crate::result::{CellResult, Rate, Results, Verdict};

/// The matrix as pictures show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The boxes' names, in the order of rows (before `a`) and columns (before `b`).
    pub boxes: Vec<String>,
    /// One for each way and set of conditions.
    pub panels: Vec<Panel>,
    /// Cells in which forging was withheld: they must fail, and are no row of a panel.
    pub controls: Vec<Entry>,
}

/// One way to open a connection, between all boxes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The way, and the conditions where there are several.
    pub title: String,
    /// Its cells.
    pub entries: Vec<Entry>,
}

/// One cell of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in [`Results::cells`].
    pub cell: usize,
    /// The place of the box before `a`.
    pub row: usize,
    /// The place of the box before `b`.
    pub column: usize,
    /// What it says beside the grid: `direct, no-box to cgn-port-block`.
    pub title: String,
    /// What came of it.
    pub mark: Mark,
}

/// What came of a cell, as one sign can say it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mark {
    /// Nothing yet.
    Pending,
    /// Too few runs counted.
    Void,
    /// Runs counted.
    Tried {
        /// How often it succeeded.
        success: Rate,
        /// How that stands to the prediction.
        standing: Standing,
    },
}

/// How an outcome stands to its prediction. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As predicted.
    AsPredicted,
    /// Nobody predicted anything, or too little has been run to judge.
    Unjudged,
    /// Not as predicted, and a fact about a kernel explains it.
    Explained,
    /// Not as predicted.
    Surprise,
}

/// How often a cell connects. Complete: it will not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// In every run.
    Always,
    /// In some.
    Sometimes,
    /// In none.
    Never,
}

impl Grid {
    /// The grid of these results.
    #[must_use]
    pub fn of(results: &Results) -> Self {
        let names = results.boxes.iter().map(|named| named.name.clone());
        let mut grid = Self { boxes: names.collect(), panels: Vec::new(), controls: Vec::new() };
        let several_conditions =
            results.cells.windows(2).any(|pair| pair[0].cell.conditions != pair[1].cell.conditions);
        for (number, result) in results.cells.iter().enumerate() {
            grid.add(number, result, several_conditions);
        }
        grid
    }

    fn add(&mut self, number: usize, result: &CellResult, several_conditions: bool) {
        let cell = &result.cell;
        let [row, column] = [0, 1].map(|side: usize| self.place(&cell.boxes[side].name));
        let title = title(cell);
        let entry = Entry { cell: number, row, column, title, mark: Mark::of(result) };
        if is_control(cell) {
            self.controls.push(entry);
            return;
        }
        let mut title = cell.way.to_string();
        if several_conditions {
            title = format!("{title}, {}", super::words::conditions(&cell.conditions));
        }
        match self.panels.iter_mut().find(|panel| panel.title == title) {
            Some(panel) => panel.entries.push(entry),
            None => self.panels.push(Panel { title, entries: vec![entry] }),
        }
    }

    /// The place of that box, a new one if it has none.
    fn place(&mut self, name: &str) -> usize {
        self.boxes.iter().position(|known| known == name).unwrap_or_else(|| {
            self.boxes.push(name.to_owned());
            self.boxes.len() - 1
        })
    }

    /// Puts another mark on a cell.
    pub fn update(&mut self, cell: usize, mark: Mark) {
        let entries = self.panels.iter_mut().flat_map(|panel| &mut panel.entries);
        if let Some(entry) = entries.chain(&mut self.controls).find(|entry| entry.cell == cell) {
            entry.mark = mark;
        }
    }

    /// All cells, controls last.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.panels.iter().flat_map(|panel| &panel.entries).chain(&self.controls)
    }
}

impl Panel {
    /// In how many cells of those that were tried it connects always, sometimes, never.
    #[must_use]
    pub fn tally(&self) -> [usize; 3] {
        let count = |wanted| {
            let frequencies = self.entries.iter().filter_map(|entry| entry.mark.frequency());
            frequencies.filter(|frequency| *frequency == wanted).count()
        };
        [Frequency::Always, Frequency::Sometimes, Frequency::Never].map(count)
    }
}

impl Mark {
    /// What came of this cell.
    #[must_use]
    pub const fn of(result: &CellResult) -> Self {
        let standing = match &result.verdict {
            Verdict::Void => return Self::Void,
            Verdict::Pending | Verdict::Unpredicted => Standing::Unjudged,
            Verdict::Agrees => Standing::AsPredicted,
            Verdict::Surprise { .. } if result.explained.is_some() => Standing::Explained,
            Verdict::Surprise { .. } => Standing::Surprise,
        };
        if result.success.runs == 0 {
            return Self::Pending;
        }
        Self::Tried { success: result.success, standing }
    }

    /// How often it connects, if it was tried.
    #[must_use]
    pub const fn frequency(self) -> Option<Frequency> {
        match self {
            Self::Pending | Self::Void => None,
            Self::Tried { success, .. } => Some(match success.successes {
                0 => Frequency::Never,
                some if some < success.runs => Frequency::Sometimes,
                _ => Frequency::Always,
            }),
        }
    }

    /// How it stands to the prediction, if it was tried.
    #[must_use]
    pub const fn standing(self) -> Option<Standing> {
        match self {
            Self::Pending | Self::Void => None,
            Self::Tried { standing, .. } => Some(standing),
        }
    }
}

/// Whether forging was withheld from a technique that needs it.
#[must_use]
pub fn is_control(cell: &Cell) -> bool {
    match &cell.way {
        Way::Own(technique) => technique.needs_forging() && !cell.forging,
        Way::Program(_) => false,
    }
}

/// What to call a cell: `direct, no-box to cgn-port-block`.
#[must_use]
pub fn title(cell: &Cell) -> String {
    let withheld = if is_control(cell) { ", forging withheld" } else { "" };
    format!("{}{withheld}, {} to {}", cell.way, cell.boxes[0].name, cell.boxes[1].name)
}
