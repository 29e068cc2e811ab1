//! Randomness for choosing dynos and naming requests: fast, per thread, not for secrets.

use uuid::Uuid;

/// A generator of its own (xorshift128+), seeded by the kernel.
#[derive(Clone, Debug)]
pub struct Dice {
    state: [u64; 2],
}

impl Dice {
    /// A generator that no other shares.
    pub fn new() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // A version 4 UUID has fixed bits, so neither half is ever zero for good.
        Self { state: [high | 1, low] }
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        let [mut a, b] = self.state;
        a ^= a << 23;
        let next = a ^ b ^ (a >> 18) ^ (b >> 5);
        self.state = [b, next];
        next.wrapping_add(b)
    }

    /// A number below `end`, which is not zero. The bias is below 2⁻³² for any number of dynos.
    pub const fn below(&mut self, end: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "the result is below `end`, a usize")]
        let chosen = (((self.next() >> 32) * end as u64) >> 32) as usize;
        chosen
    }

    /// A random UUID.
    pub fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.next(), self.next());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            .into_uuid()
    }
}
