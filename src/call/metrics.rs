//! What is counted of calls. Labels are words of small sets: never a number, a name or a digit.

use crate::flow::Ended;
use crate::pay::outcome::Standing;
use crate::pay::session::{Progress, What};

/// A call began.
pub(super) fn call_began(live: usize) {
    metrics::counter!("touchtone_calls_started_total").increment(1);
    calls_live(live);
}

/// So many are live.
pub(super) fn calls_live(live: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float, and 2^52 calls are not live")]
    metrics::gauge!("touchtone_calls_live").set(live as f64);
}

/// A call ended.
pub(super) fn call_ended(how: Ended) {
    let how = match how {
        Ended::Hangup => "hangup",
        Ended::EndOfDocument => "end_of_document",
        Ended::Caller => "caller",
    };
    metrics::counter!("touchtone_calls_ended_total", "how" => how).increment(1);
}

/// A stream was ended for a fault of the other side.
pub(super) fn stream_refused(why: &'static str) {
    metrics::counter!("touchtone_streams_refused_total", "why" => why).increment(1);
}

/// A session that a server left behind was told.
pub(super) fn session_left() {
    metrics::counter!("touchtone_sessions_left_total").increment(1);
}

/// A message had no meaning for us.
pub(super) fn message_ignored(why: &'static str) {
    metrics::counter!("touchtone_media_messages_ignored_total", "why" => why).increment(1);
}

/// A Pay session went on.
pub(super) fn pay(progress: &Progress) {
    let step = progress.step.word();
    match progress.what {
        What::Begun => metrics::counter!("touchtone_pay_steps_total", "step" => step).increment(1),
        What::Failed(error) => {
            metrics::counter!("touchtone_pay_step_failures_total", "step" => step, "error" => error.word())
                .increment(1);
        }
        What::Keyed | What::Refused(_) => {}
        What::Captured => metrics::counter!("touchtone_pay_captures_total", "step" => step).increment(1),
        What::Finished(result) => {
            metrics::counter!("touchtone_pay_results_total", "result" => result.word()).increment(1);
        }
    }
}

/// The outcome of a payment was found out without its call.
pub(super) fn recovered(standing: Standing) {
    metrics::counter!("touchtone_payments_recovered_total", "standing" => standing.word()).increment(1);
}

/// Describes every metric once, for whoever reads `/metrics`.
pub fn describe() {
    metrics::describe_counter!("touchtone_calls_started_total", "Calls whose stream started");
    metrics::describe_counter!("touchtone_calls_ended_total", "Calls that ended, by how");
    metrics::describe_gauge!("touchtone_calls_live", "Calls that are live now");
    metrics::describe_counter!(
        "touchtone_streams_refused_total",
        "Streams ended for a fault of the other side, by why"
    );
    metrics::describe_counter!("touchtone_media_messages_ignored_total", "Stream messages without meaning, by why");
    metrics::describe_counter!("touchtone_pay_steps_total", "Pay steps begun");
    metrics::describe_counter!("touchtone_pay_captures_total", "Pay fields captured");
    metrics::describe_counter!("touchtone_pay_step_failures_total", "Failed attempts, by step and error");
    metrics::describe_counter!(
        "touchtone_payments_recovered_total",
        "Payments whose outcome was found out, or told as unknown, without their call"
    );
    metrics::describe_counter!("touchtone_pay_results_total", "Pay sessions finished, by result");
}
