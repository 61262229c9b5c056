//! How the rows of a table are divided between classes of packets and of sources.

use noctule_packet::Class;

/// What is known about a source that needs a new row after the open rows are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionClass {
    /// Nothing.
    Unknown,
    /// It was refused a row a short time ago.
    Returning,
    /// It had a row in a recent interval.
    Known,
}

/// Rows of a table by who may take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Most open rows of each class of packets; each is at most `open`.
    pub by_class: [usize; Class::ALL.len()],
    /// Open rows: any source may take them.
    pub open: usize,
    /// Rows that returning sources may take, the open ones included.
    pub returning: usize,
    /// All rows; known sources may take any.
    pub all: usize,
}

impl Budget {
    /// Every row is open to every source and class.
    pub const fn undivided(rows: usize) -> Self {
        Self {
            by_class: [rows; Class::ALL.len()],
            open: rows,
            returning: rows,
            all: rows,
        }
    }

    /// The budget of a flow table.
    pub const fn divided(rows: usize) -> Self {
        let open = rows - rows / 8;
        let mut by_class = [0; Class::ALL.len()];
        by_class[Class::Scan as usize] = open - open / 8;
        by_class[Class::Backscatter as usize] = open - open / 4;
        by_class[Class::Other as usize] = open / 2;
        Self {
            by_class,
            open,
            returning: rows - rows / 16,
            all: rows,
        }
    }

    /// Rows in use below which a source of this class gets a row that is not open.
    pub const fn limit(&self, admission_class: AdmissionClass) -> usize {
        match admission_class {
            AdmissionClass::Unknown => 0,
            AdmissionClass::Returning => self.returning,
            AdmissionClass::Known => self.all,
        }
    }
}
