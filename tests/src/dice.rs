//! Pseudo-random numbers (xorshift64), the same ones in every run.

/// A die.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Thrown from `seed` on, which must not be 0.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which must not be 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
