//! How a step of the call is read.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::{EVERY, Length, ScriptStep, Text};
use crate::tone::Key;

impl<'de> Deserialize<'de> for ScriptStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneStep;
        impl<'de> Visitor<'de> for OneStep {
            type Value = ScriptStep;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(STEPS)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ScriptStep, E> {
                if text == "hang up" { Ok(ScriptStep::HangUp) } else { Err(unknown_step(text)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ScriptStep, A::Error> {
                let Some(name) = map.next_key::<String>()? else { return Err(unknown_step("{}")) };
                let step = match name.as_str() {
                    "hear" => ScriptStep::Hear(map.next_value::<Text>()?.0),
                    "wait" => ScriptStep::Wait(map.next_value::<Length>()?.0),
                    "press" => map.next_value::<Press>()?.0,
                    "agent" => ScriptStep::Agent(map.next_value()?),
                    "application" => ScriptStep::Application(map.next_value()?),
                    "hang up" => {
                        map.next_value::<de::IgnoredAny>()?;
                        ScriptStep::HangUp
                    }
                    other => return Err(unknown_step(other)),
                };
                match map.next_key::<String>()? {
                    None => Ok(step),
                    Some(extra) => Err(de::Error::custom(format!(
                        "one step a line: \"{extra}\" begins another one, put a - before it"
                    ))),
                }
            }
        }
        deserializer.deserialize_any(OneStep)
    }
}

/// Every step.
const STEPS: &str =
    "hear: TEXT, press: \"KEYS\", wait: 6s, hang up, agent: {capture: FIELD}, or application: {url: URL}";

fn unknown_step<E: de::Error>(text: &str) -> E {
    E::custom(format!("\"{text}\" is no step; there is {STEPS}"))
}

/// `press: "42 42"`, `press: {keys: "42", every: 40ms}` or `press: {keys: "421", gaps: [140ms, 95ms]}`.
struct Press(ScriptStep);

impl<'de> Deserialize<'de> for Press {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Press;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys as text, like \"4242\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Press, E> {
                Ok(Press(ScriptStep::Press { keys: keys(text)?, every: EVERY, gaps: Vec::new() }))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Press, E> {
                Err(E::custom(QUOTE_KEYS))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Press, E> {
                Err(E::custom(QUOTE_KEYS))
            }

            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Press, E> {
                Err(E::custom(QUOTE_KEYS))
            }

            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Press, E> {
                Err(E::custom(QUOTE_KEYS))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Press, E> {
                Err(E::custom(QUOTE_KEYS))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Press, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Timed {
                    keys: Text,
                    #[serde(default)]
                    every: Option<Length>,
                    gaps: Option<Vec<Length>>,
                }
                let timed = Timed::deserialize(de::value::MapAccessDeserializer::new(map))?;
                // With a gap for each key there is none after the last one.
                let usual = if timed.gaps.is_some() { Duration::ZERO } else { EVERY };
                let every = timed.every.map_or(usual, |every| every.0);
                let gaps = timed.gaps.unwrap_or_default().into_iter().map(|gap| gap.0).collect();
                Ok(Press(ScriptStep::Press { keys: keys(&timed.keys.0)?, every, gaps }))
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

const QUOTE_KEYS: &str = "keys are text, and a bare number would lose digits: quote it, like press: \"4242\"";

/// The keys of a text; blanks are passed over.
fn keys<E: de::Error>(text: &str) -> Result<Vec<Key>, E> {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| Key::parse(c).ok_or_else(|| E::custom("a key is one of 0-9 * # A-D")))
        .collect()
}
