//! Numbers that nobody publishes, other ones in every run.

use touchtone::secret::Digits;

/// splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Appends digits until there are `length`: none is the one before it and one more, so that no table of digits and no
    /// counter looks like them.
    fn fill(&mut self, number: &mut String, length: usize) {
        while number.len() < length {
            let last = number.bytes().last();
            let digit = b'0' + u8::try_from(self.below(10)).unwrap();
            if last.is_none_or(|last| digit != last + 1 && digit != last) {
                number.push(char::from(digit));
            }
        }
    }

    /// A card number with a right check digit and how long its security code is.
    pub fn card(&mut self) -> (String, usize) {
        let (prefix, length, code) = [("4", 16, 3), ("4", 16, 3), ("51", 16, 3), ("53", 16, 3), ("37", 15, 4)]
            [usize::try_from(self.below(5)).unwrap()];
        loop {
            let mut number = prefix.to_owned();
            self.fill(&mut number, length);
            if Digits::of(&number).luhn() {
                return (number, code);
            }
        }
    }

    /// A bank account number.
    pub fn account(&mut self) -> String {
        let mut number = (1 + self.below(9)).to_string();
        self.fill(&mut number, 12);
        number
    }

    /// A security code that is no HTTP status, no count of seconds and no error code's beginning.
    pub fn code(&mut self, length: usize) -> String {
        if length == 4 { (6600 + self.below(3300)).to_string() } else { (650 + self.below(350)).to_string() }
    }
}
