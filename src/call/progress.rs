//! How a Pay session's progress is told to whoever watches.

use crate::feed::EventKind;
use crate::flow::PaymentId;
use crate::form::{Form, Value};
use crate::pay::session::{Progress, What};

/// The fields of a status callback that hold a number, as its mask.
const NUMBERS: [&str; 2] = ["PaymentCardNumber", "BankAccountNumber"];

/// The most digits that a mask shows: the last four.
const SHOWN_MAX: usize = 4;

/// The event; none for a session's end, which is told once it is written down.
pub(super) fn event(call_sid: &str, payment: &PaymentId, progress: &Progress, told: &Form) -> Option<EventKind> {
    let (what, error) = match progress.what {
        What::Begun => ("begun", None),
        What::Keyed => ("keyed", None),
        What::Captured => ("captured", None),
        What::Failed(error) => ("failed", Some(error.word())),
        What::Refused(error) => ("refused", Some(error.word())),
        // Told once it is written down (`EventKind::PaymentSettled`).
        What::Finished(_) => return None,
    };
    Some(EventKind::PayProgress {
        call_sid: call_sid.to_owned(),
        payment: payment.sid.clone(),
        step: progress.step.word(),
        attempt: progress.attempt,
        what,
        error,
        number: NUMBERS.iter().find_map(|name| mask(told.value(name)?)),
    })
}

/// Logs it in the words that a callback has for it.
pub(super) fn log(payment: &PaymentId, progress: &Progress) {
    let (payment, step, attempt) = (&payment.sid, progress.step.word(), progress.attempt);
    match progress.what {
        What::Begun => tracing::info!(payment, step, attempt, "payment step began"),
        What::Keyed => tracing::info!(payment, step, attempt, "payment step took a key"),
        What::Captured => tracing::info!(payment, step, attempt, "payment step captured its field"),
        What::Failed(error) => {
            tracing::info!(payment, step, attempt, error_type = error.word(), "payment step failed");
        }
        What::Refused(error) => {
            tracing::info!(payment, step, attempt, error_type = error.word(), "payment step could not begin");
        }
        What::Finished(result) => {
            tracing::info!(payment, step, attempt, result = result.word(), "payment session finished");
        }
    }
}

/// A mask, and nothing that shows more than a mask does.
fn mask(value: &Value) -> Option<String> {
    match value {
        Value::Plain(text) if text.chars().filter(char::is_ascii_digit).count() <= SHOWN_MAX => Some(text.clone()),
        Value::Plain(_) | Value::Secret(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::LedBy;
    use crate::pay::step::{PayResult, Step};
    use crate::secret::Secret;

    fn told(what: What, number: impl Into<Value>) -> Option<EventKind> {
        let mut form = Form::new();
        form.set("PaymentCardNumber", number);
        let payment = PaymentId { sid: "PK1".to_owned(), led_by: LedBy::Agent };
        event("CA1", &payment, &Progress { step: Step::PaymentCardNumber, attempt: 1, what }, &form)
    }

    #[test]
    fn a_number_is_told_as_its_mask_and_never_with_more_than_four_digits() {
        let number = |number: Value| match told(What::Captured, number) {
            Some(EventKind::PayProgress { number, .. }) => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(number("xxxxxxxxxxxx4242".into()).as_deref(), Some("xxxxxxxxxxxx4242"));
        assert_eq!(number("xxxxxxxxxxx54242".into()), None);
        assert_eq!(number(Secret::new("4242".to_owned()).into()), None);
    }

    #[test]
    fn a_session_s_end_is_not_told_before_it_is_written_down() {
        assert_eq!(told(What::Finished(PayResult::Success), ""), None);
    }
}
