//! A plan as a call script: what `touchtone replay` runs to the same end.

use std::fmt::Write;

use super::gateway::{Kind, Said, WORDS};
use super::{Move, Plan, Played};
use crate::pay::step::PayResult;

impl Plan {
    /// The call as a script; `played`: what came of it, as what is expected.
    #[must_use]
    pub fn script<F: super::Flows>(&self, played: &Played<'_, F>) -> String {
        let mut script = String::new();
        // Writing to a text cannot fail.
        let _ = self.write(&mut script);
        let mut expected = String::new();
        if let Some(result) = super::result(played).map(PayResult::word) {
            let _ = writeln!(expected, "  result: {result}");
        }
        if let Some(ended) = played.ended() {
            let _ = writeln!(expected, "  ended: {}", ended.word());
        }
        if !expected.is_empty() {
            script.push_str("expect:\n");
            script.push_str(&expected);
        }
        script
    }

    fn write(&self, script: &mut String) -> std::fmt::Result {
        writeln!(script, "flow: {}", self.flow)?;
        if self.telnyx {
            writeln!(script, "dialect: telnyx")?;
        }
        writeln!(script, "clock: {}Z", self.clock)?;
        if !self.parameters.is_empty() {
            writeln!(script, "parameters:")?;
            for (name, value) in &self.parameters {
                writeln!(script, "  {}: {}", quoted(name), quoted(value))?;
            }
        }
        if !self.documents.is_empty() {
            writeln!(script, "documents:")?;
            for (url, text) in &self.documents {
                writeln!(script, "  {}: {}", quoted(url.as_str()), quoted(text))?;
            }
        }
        if !self.answers.is_empty() {
            writeln!(script, "gateway:")?;
            for said in &self.answers {
                writeln!(script, "  - {}", answer(said))?;
            }
        }
        writeln!(script, "call:")?;
        for step in &self.moves {
            match step {
                Move::Press { keys, every } => {
                    let keys: String = keys.iter().map(|key| key.symbol()).collect();
                    writeln!(script, "  - press: {{ keys: \"{keys}\", every: {every}ms }}")?;
                }
                Move::Wait(millis) => writeln!(script, "  - wait: {millis}ms")?,
                Move::HangUp => writeln!(script, "  - hang up")?,
            }
        }
        if self.moves.is_empty() {
            writeln!(script, "  []")?;
        }
        Ok(())
    }
}

fn answer(said: &Said) -> String {
    let what = match said.what {
        Kind::Charges => "charge_id: ch_fuzz".to_owned(),
        Kind::Tokenizes => "token_id: tok_fuzz".to_owned(),
        Kind::Declines | Kind::Quotes => {
            let words = format!("{WORDS}{}", said.quoted);
            format!("error_code: card_declined, error_message: {}", quoted(&words))
        }
        Kind::Refuses(code) => format!("refused: {}, error_message: {}", code.number(), quoted(WORDS)),
        Kind::Unknown => "outcome: unknown".to_owned(),
        Kind::NotSent => "outcome: not-sent".to_owned(),
        Kind::Silent => "outcome: silent".to_owned(),
        Kind::BrokenDown => "outcome: broken-down".to_owned(),
    };
    format!("{{ {what}, after: {}ms }}", said.after)
}

/// A text in YAML's double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
