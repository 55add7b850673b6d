//! One line of the table: a value, what it is set against, their ratio and the target.

use std::fmt;

/// What a row has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The ratio of value to reference, at least.
    RatioAtLeast(f64),
    /// The ratio of value to reference, at most.
    RatioAtMost(f64),
    /// The value itself, at least; the row needs no reference.
    AtLeast(f64),
    /// The value itself, at most.
    AtMost(f64),
    /// Nothing: shown for what it tells.
    Shown,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The unit of value and reference.
    pub unit: &'static str,
    /// With weir.
    pub value: f64,
    /// What it is set against, and its value.
    pub against: Option<(&'static str, f64)>,
    /// What to reach.
    pub target: Target,
}

impl Row {
    /// The heading of the table.
    #[must_use]
    pub fn header() -> String {
        let columns = ("what", "value", "against", "ratio", "target");
        let (what, value, against, ratio, target) = columns;
        format!("{what:<44} {value:>16} {against:>30} {ratio:>7} {target:>12}")
    }

    /// The same, and nothing to reach.
    #[must_use]
    pub fn untargeted(self) -> Self {
        Self { target: Target::Shown, ..self }
    }

    /// Value divided by reference.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.against.map(|(_, reference)| self.value / reference)
    }

    /// Whether the target was reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.target {
            Target::RatioAtLeast(least) => ratio >= least,
            Target::RatioAtMost(most) => ratio <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
            Target::Shown => true,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = format!("{:.1} {}", self.value, self.unit);
        let against = self
            .against
            .map_or_else(String::new, |(name, reference)| format!("{name} {reference:.1}"));
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.3}"));
        let target = match self.target {
            Target::RatioAtLeast(least) => format!(">= {least}"),
            Target::RatioAtMost(most) => format!("<= {most}"),
            Target::AtLeast(least) => format!(">= {least} {}", self.unit),
            Target::AtMost(most) => format!("<= {most} {}", self.unit),
            Target::Shown => String::new(),
        };
        let mark = match self.target {
            Target::Shown => "",
            _ if self.is_reached() => "ok",
            _ => "short",
        };
        write!(
            formatter,
            "{:<44} {value:>16} {against:>30} {ratio:>7} {target:>12}  {mark}",
            self.name
        )
    }
}

/// The middle of an odd number of values, the lower middle of an even one; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Row, Target, median};

    fn check(value: f64, reference: f64, target: Target, reached: bool) {
        let against = Some(("reference", reference));
        let row = Row { name: "row".to_owned(), unit: "x", value, against, target };
        assert_eq!(row.is_reached(), reached, "{row}");
    }

    #[test]
    fn targets_are_judged_by_ratio_or_value() {
        check(97.0, 100.0, Target::RatioAtLeast(0.97), true);
        check(96.0, 100.0, Target::RatioAtLeast(0.97), false);
        check(250.0, 100.0, Target::RatioAtMost(2.5), true);
        check(25.1, 1.0, Target::AtMost(25.0), false);
        check(25.1, 1.0, Target::AtLeast(25.0), true);
        check(24.9, 1.0, Target::AtLeast(25.0), false);
        check(25.1, 1.0, Target::Shown, true);
        check(1.0, f64::NAN, Target::RatioAtLeast(0.1), false);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
