//! The card and account numbers that vendors publish for tests, and which of them a connector takes.
//!
//! Shape:   [`AcceptedNumbers`] is what a connector says of itself; pure look-ups in lists.
//! Sources: spec/connectors.md, section 3 (Twilio's page on the Generic Pay Connector; it prints the Diners Club number as
//!          3065..., which fails its own check digit); Stripe's page "Testing" (docs.stripe.com/testing) and its page on ACH
//!          Direct Debit for the accounts; spec/interface.md, "Connector kinds", for the sandbox's five, which are Stripe's too.

/// Numbers that one vendor publishes for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestNumbers {
    /// Whose they are: the kind of connector, as call scripts name it.
    pub name: &'static str,
    /// Card numbers.
    pub cards: &'static [&'static str],
    /// Account numbers.
    pub accounts: &'static [&'static str],
}

/// Those of the generic contract.
pub const GENERIC: TestNumbers = TestNumbers { name: "generic", cards: GENERIC_CARDS, accounts: GENERIC_ACCOUNTS };

/// Stripe's.
pub const STRIPE: TestNumbers = TestNumbers { name: "stripe", cards: STRIPE_CARDS, accounts: STRIPE_ACCOUNTS };

/// What [`AcceptedNumbers::PublishedTest`] takes. The sandbox's five are among Stripe's.
const PUBLISHED: [TestNumbers; 2] = [GENERIC, STRIPE];

/// The cards of the generic contract.
const GENERIC_CARDS: &[&str] = &[
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "3566002020360505",
    "6200000000000005",
    "6771798021000008",
];

/// The accounts of the generic contract.
const GENERIC_ACCOUNTS: &[&str] = &["12345678", "123456789"];

/// Stripe's cards. Those whose check digit is wrong on purpose are no card numbers here.
#[rustfmt::skip]
const STRIPE_CARDS: &[&str] = &[
    // By brand.
    "4242424242424242", "4000056655665556", "5555555555554444", "2223003122003222", "5200828282828210", "5105105105105100",
    "378282246310005", "371449635398431", "6011111111111117", "6011000990139424", "6011981111111113", "3056930009020004",
    "36227206271667", "6555900000604105", "3566002020360505", "6200000000000005", "6200000000000047", "6205500000000000004",
    // By country: the Americas.
    "4000000320000021", "4000000760000002", "4000001240000000", "4000001520000001", "4000001700000003", "4000001880000005",
    "4000002180000000", "4000004840008001", "5062210000000009", "4000005910000000", "4000006000000066", "4000006040000068",
    "4000008580000003",
    // Europe and the Middle East.
    "4000007840000001", "5200007840000022", "4000000400000008", "4000000560000004", "4000001000000000", "4000001120000005",
    "4000001910000009", "4000001960000008", "4000002030000002", "4000002080000001", "4000002330000009", "4000002460000001",
    "4000002500000003", "4000002760000016", "4000002920000005", "4000003000000030", "4000003480000005", "4000003720000005",
    "4000003800000008", "4000004280000005", "4000004380000004", "4000004400000000", "4000004420000006", "4000004700000007",
    "4000005280000002", "4000005780000007", "4000006160000005", "4000006200000007", "4000006420000001", "4000006820000007",
    "4000007050000006", "4000007030000001", "4000007240000007", "4000007520000008", "4000007560000009", "4000008260000000",
    "4000058260000005", "5555558265554449",
    // Asia and the Pacific.
    "4000000360000006", "4000001560000002", "4000003440000004", "4000003560000008", "4000003920000003", "3530111333300000",
    "4000004580000002", "4000005540000008", "4000007020000003", "4000001580000008", "4000007640000003", "4000057640000008",
    // Health and flexible spending accounts.
    "4000051230000072", "5200828282828897",
    // Declined.
    "4000000000000002", "4000000000009995", "4000000000009987", "4000000000009979", "4000000000000069", "4000000000000127",
    "4000000000000119", "4000000000006975", "4000000000000341",
    // Fraud prevention.
    "4100000000000019", "4000000000004954", "4000000000009235", "4000000000000101", "4000000000000036", "4000058400307872",
    "4000058400306072", "4000000000000028", "4000000000000010", "4000000000000044",
    // Disputes, refunds, balance.
    "4000000000000259", "4000000000002685", "4000000000001976", "4000000000005423", "4000000404000079", "4000000404000038",
    "4000008400000779", "4000000000007726", "4000000000005126", "4000000000000077", "4000003720000278",
    // 3-D Secure.
    "4000002500003155", "4000002760003184", "4000003800000446", "4000008260003178", "4000000000003220", "4000008400001629",
    "4000008400001280", "4000000000003055", "4000000000003097",
];

/// Stripe's accounts, with the routing number 110000000.
#[rustfmt::skip]
const STRIPE_ACCOUNTS: &[&str] = &[
    "000123456789", "000111111113", "000000004954", "000111111116", "000222222227", "000333333335", "000444444440",
    "000666666661", "000555555559", "000000000009", "000777777771",
];

/// Which numbers a connector takes; others never leave this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptedNumbers {
    /// Every valid one.
    #[default]
    Any,
    /// Every published test number: those of the generic contract, Stripe's and the sandbox's.
    PublishedTest,
    /// As [`Self::PublishedTest`], and of tokens only those that the sandbox makes: it knows no gateway's.
    SandboxTest,
    /// One vendor's.
    Listed(&'static TestNumbers),
}

/// What a token of the sandbox's begins with; 32 hex digits follow.
pub(super) const SANDBOX_TOKEN: &str = "tok";

impl AcceptedNumbers {
    /// The test numbers of the generic contract.
    pub const GENERIC_TEST: Self = Self::Listed(&GENERIC);

    /// Whether a card number is among them.
    #[must_use]
    pub fn takes_card(self, number: &str) -> bool {
        match self {
            Self::Any => true,
            Self::PublishedTest | Self::SandboxTest => PUBLISHED.iter().any(|list| list.cards.contains(&number)),
            Self::Listed(list) => list.cards.contains(&number),
        }
    }

    /// Whether an account number is among them.
    #[must_use]
    pub fn takes_account(self, number: &str) -> bool {
        match self {
            Self::Any => true,
            Self::PublishedTest | Self::SandboxTest => PUBLISHED.iter().any(|list| list.accounts.contains(&number)),
            Self::Listed(list) => list.accounts.contains(&number),
        }
    }

    /// Whether a token made earlier is one that may be tried.
    #[must_use]
    pub fn takes_token(self, token: &str) -> bool {
        match self {
            // Made by the gateway itself: test credentials make and take test tokens only.
            Self::Any | Self::PublishedTest | Self::Listed(_) => true,
            Self::SandboxTest => token
                .strip_prefix(SANDBOX_TOKEN)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Digits;

    #[test]
    fn every_published_card_number_is_a_card_number() {
        for number in GENERIC_CARDS.iter().chain(STRIPE_CARDS) {
            let digits = Digits::of(number);
            assert!(digits.luhn() && (14..=19).contains(&number.len()), "{number}");
        }
    }

    #[test]
    fn the_lists_hold_what_their_owners_publish_and_nothing_else() {
        use AcceptedNumbers::{Any, PublishedTest};
        let generic_test = AcceptedNumbers::GENERIC_TEST;
        for (number, generic, published) in [
            ("4111111111111111", true, true),
            ("6771798021000008", true, true),
            ("4242424242424242", false, true),
            ("4000000000000119", false, true),
            ("36227206271667", false, true),
            ("4012888888881881", false, false),
            ("4929420573595709", false, false),
            ("411111111111111", false, false),
            ("", false, false),
        ] {
            let found = (generic_test.takes_card(number), PublishedTest.takes_card(number), Any.takes_card(number));
            assert_eq!(found, (generic, published, true), "{number}");
        }
        for (number, generic, published) in
            [("12345678", true, true), ("000123456789", false, true), ("987654321", false, false)]
        {
            let found = (generic_test.takes_account(number), PublishedTest.takes_account(number));
            assert_eq!(found, (generic, published), "{number}");
        }
    }
}
