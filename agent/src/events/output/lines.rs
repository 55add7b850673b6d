//! Standard output and the like: a line each.

use std::io::Write;

use super::{Line, Output, Refused};

/// Writes lines to where they are not kept by us.
#[derive(Debug)]
pub(in crate::events) struct Lines<W>(pub(in crate::events) W);

impl<W: Write + Send> Output for Lines<W> {
    fn take(&mut self, records: &[Line], _is_ending: &dyn Fn() -> bool) -> Result<(), Refused> {
        let mut refused = Ok(());
        for line in records {
            if let Err(error) = self.0.write_all(line).and_then(|()| self.0.flush()) {
                // It goes on trying: a full disk may have room again.
                let records =
                    refused.as_ref().map_or_else(|refused: &Refused| refused.records, |()| 0);
                refused = Err(Refused { records: records + 1, error });
            }
        }
        refused
    }
}
