//! The words of the machine and of the store, read, told and described as they are there.
//!
//! Shape:   `described!` gives a list of words that has `ALL` and `word` what serde and the description need of it.
//! Errors:  of a word that is none: which there are. What was given is not repeated.

use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use crate::connector::Mode;
use crate::connector::instance::{Origin, State};
use crate::pay::assisted::Capture;
use crate::pay::field::Field;
use crate::pay::gateway::{BankAccountType, PaymentMethod, TokenType};
use crate::store::{CallbackState, PaymentState, SessionState};

/// A text that is one of `words`.
pub(crate) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

macro_rules! described {
    ($($type:ty as $name:literal: $meaning:literal;)*) => {$(
        impl utoipa::PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                one_of(Self::ALL.iter().map(|each| each.word())).description(Some($meaning)).into()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let given = String::deserialize(deserializer)?;
                // Unlike in a document, a word has one spelling here.
                Self::ALL.iter().copied().find(|each| each.word() == given).ok_or_else(|| {
                    let words: Vec<&str> = Self::ALL.iter().map(|each| each.word()).collect();
                    serde::de::Error::custom(format_args!("must be one of {}", words.join(", ")))
                })
            }
        }
    )*};
}

described! {
    PaymentState as "BookedPaymentState": "How far a payment is.";
    SessionState as "BookedSessionState": "How far a session is.";
    CallbackState as "CallbackState": "How far a callback is.";
    Mode as "Mode": "Whether real money moves.";
    Origin as "Origin": "Where an instance comes from.";
    State as "State": "Whether payments can go through an instance.";
}

/// Words that the call's machine reads itself: they are described, and passed on as they came.
macro_rules! passed_on {
    ($($type:ty: $words:expr;)*) => {$(
        impl utoipa::PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let words: Vec<String> = $words;
                one_of(words.iter().map(String::as_str)).into()
            }
        }

        impl utoipa::ToSchema for $type {}
    )*};
}

fn all<T: ToString>(words: &[T]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

passed_on! {
    BankAccountType: all(Self::ALL);
    PaymentMethod: all(Self::ALL);
    TokenType: all(Self::ALL);
    Capture: all(&captures());
}

/// Every field, and once more each that may be keyed a second time.
fn captures() -> Vec<Capture> {
    let first = Field::ALL.iter().map(|field| Capture { field: *field, matcher: false });
    let second = Field::ALL.iter().filter(|field| field.has_matcher());
    first.chain(second.map(|field| Capture { field: *field, matcher: true })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::step::Step;

    #[test]
    fn every_word_that_capture_takes_is_described_and_no_other() {
        let steps = Step::ALL.iter().map(|step| step.word());
        let words = steps.flat_map(|step| [step.to_owned(), format!("{step}-matcher")]);
        let mut taken: Vec<String> = words.filter(|word| Capture::parse(word).is_some()).collect();
        let mut described: Vec<String> = all(&captures());
        taken.sort();
        described.sort();
        assert_eq!(taken, described);
    }
}
