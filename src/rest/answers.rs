//! Answers that several requests have in common, for the description: whoever gives them says so once.
//!
//! Shape:   an extractor describes what it refuses, the [`guard`](super::guard) whom it keeps out; a handler adds what is its own.

use std::collections::BTreeMap;

use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::connectors::{ConnectorPath, KeysBody, SomeKeysBody};
use super::error::ApiError;
use super::fields::FormBody;
use super::path::{AccountPath, CallPath, PaymentPath, PaymentsPath};
use super::stored_payments::BookedPath;

/// Answers by their status.
pub(super) type Answers = BTreeMap<String, RefOr<Response>>;

/// An error, and when it is answered.
pub(super) fn error(description: &str) -> ResponseBuilder {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ApiError::name()))).build();
    ResponseBuilder::new().description(description).content("application/json", body)
}

macro_rules! answers {
    ($($type:ty: $($status:literal $description:literal),+;)*) => {$(
        impl IntoResponses for $type {
            fn responses() -> Answers {
                [$(($status.to_owned(), error($description).into())),+].into()
            }
        }
    )*};
}

/// No parameter is taken.
pub(super) struct UnknownParameter;

/// Parameters are taken.
pub(super) struct WrongParameter;

/// The database is asked.
pub(super) struct Unusable;

answers! {
    UnknownParameter: "400" "A parameter is unknown";
    WrongParameter: "400" "A parameter is unknown or has a wrong value";
    Unusable: "503" "The database cannot be used now";
    AccountPath: "404" "Not this account";
    CallPath: "404" "There is no such call";
    PaymentsPath: "404" "There is no such call";
    PaymentPath: "404" "There is no such payment";
    BookedPath: "404" "There is no such payment";
    ConnectorPath: "404" "There is no such connector";
    FormBody: "413" "The form is too long", "415" "The body is no form";
    KeysBody: "413" "The body is too long", "415" "The body is not JSON";
    SomeKeysBody: "413" "The body is too long", "415" "The body is not JSON";
}
