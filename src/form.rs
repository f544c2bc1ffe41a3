//! The fields of a request to the merchant's application: ordered names and values, some of them secret.
//!
//! Shape:   built by `flow` and `pay`, encoded where it is sent, compared where it is expected.
//! Secrets: a secret value is masked in `Debug` and in [`Form::shown`]; [`Value::expose`] is the way out.

use std::borrow::Cow;
use std::fmt;

use crate::secret::Secret;

/// One field's value.
#[derive(Clone)]
pub enum Value {
    /// May be printed and logged.
    Plain(String),
    /// A token, or keys a caller pressed.
    Secret(Secret),
}

impl Value {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }

    /// The text, or `•••` where it is secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(_) => "•••",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Plain(text.clone())
    }
}

impl From<Secret> for Value {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl From<&Secret> for Value {
    fn from(secret: &Secret) -> Self {
        Self::Secret(secret.clone())
    }
}

/// Names and values in the order they were set; a name stands once.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<(Cow<'static, str>, Value)>);

impl Form {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field, in its old place if the name is there already.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets a field unless there is nothing to set: a field without a value is left out.
    pub fn set_some(&mut self, name: impl Into<Cow<'static, str>>, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Sets every field of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.set(name.clone(), value.clone());
        }
    }

    /// Puts what `other` makes of it in place of each value; none: it stays. A secret stays a secret.
    pub fn replace(&mut self, other: impl Fn(&str, &str) -> Option<String>) {
        for (name, value) in &mut self.0 {
            if let Some(other) = other(name, value.expose()) {
                *value = match value {
                    Value::Plain(_) => Value::Plain(other),
                    Value::Secret(_) => Value::Secret(Secret::new(other)),
                };
            }
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The fields as they join a call's parameters.
    pub fn parameters(&self) -> impl Iterator<Item = (String, Value)> {
        self.iter().map(|(name, value)| (name.to_owned(), value.clone()))
    }

    /// `Name=value Name=value`, secrets masked: for people to read.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        for (name, value) in self.iter() {
            for part in [if shown.is_empty() { "" } else { " " }, name, "=", value.shown()] {
                shown.push_str(part);
            }
        }
        shown
    }

    /// The fields as `application/x-www-form-urlencoded`, secrets in the clear: the body of the request itself.
    #[must_use]
    pub fn encoded(&self) -> Secret {
        let mut encoder = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.iter() {
            encoder.append_pair(name, value.expose());
        }
        Secret::new(encoder.finish())
    }
}
