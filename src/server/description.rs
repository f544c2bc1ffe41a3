//! What is said of every route, for programs: OpenAPI 3.1, made from the handlers themselves.
//!
//! Sources: the OpenAPI Specification, version 3.1.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, OpenApi as Description, RefOr, Schema};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use crate::media::DIALECTS;
use crate::rest::error::ApiError;
use crate::rest::guard::SCHEME;

/// What is said of all routes together.
#[derive(OpenApi)]
#[openapi(
    info(title = "touchtone", license(name = "Apache-2.0", identifier = "Apache-2.0"), contact()),
    tags(
        (name = "calls", description = "Calls, as Twilio's REST API has them"),
        (name = "payments", description = "Payments on a live call that an agent leads, as Twilio's REST API has them; and how a call's payments stand"),
        (name = "books", description = "Every payment that a gateway was asked for, on any call, also after restarts"),
        (name = "connectors", description = "Pay Connectors: the ways to payment gateways"),
        (name = "media", description = "Media streams of telephony platforms"),
        (name = "operation", description = "For whoever runs this server"),
    ),
    components(schemas(ApiError)),
    modifiers(&AccountSecurity),
)]
struct Api;

struct AccountSecurity;

impl Modify for AccountSecurity {
    fn modify(&self, description: &mut Description) {
        let mut scheme = Http::new(HttpAuthScheme::Basic);
        scheme.description = Some("AccountSid and AuthToken".to_owned());
        let components = description.components.get_or_insert_default();
        components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
        description.info.contact = None;
    }
}

/// The description without any route yet.
pub(super) fn of_no_routes() -> Description {
    Api::openapi()
}

/// The description as it is served.
#[derive(Clone, Debug)]
pub(super) struct Served(Bytes);

impl Served {
    pub(super) fn new(mut description: Description) -> Self {
        let schemas = description.components.iter_mut().flat_map(|components| components.schemas.values_mut());
        schemas.for_each(join_meanings);
        // A description holds texts, numbers and names only, all of which JSON has.
        Self(description.to_json().unwrap_or_default().into())
    }
}

/// Moves the meaning of a member into the member. Of one whose type stands in its place, as words do, the generator makes all of
/// that type and an object that has the meaning: a text and an object at once, which nothing is.
fn join_meanings(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => object.properties.values_mut().for_each(join_meanings),
        Schema::OneOf(one) => one.items.iter_mut().for_each(join_meanings),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(join_meanings),
        Schema::AllOf(all) => {
            all.items.iter_mut().for_each(join_meanings);
            if let [RefOr::T(Schema::Object(member)), RefOr::T(Schema::Object(meaning))] = &mut *all.items
                && meaning.properties.is_empty()
            {
                member.description = meaning.description.take();
                *schema = Schema::Object(std::mem::take(member));
            }
        }
        _ => {}
    }
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)),
)]
pub(super) async fn openapi(Extension(Served(description)): Extension<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], description)
}

/// The dialects there are, by name.
pub(super) struct DialectName;

/// `Upgrade`, as a connection that becomes a WebSocket says it (RFC 6455, section 4.1).
pub(super) struct ConnectionUpgrade;

/// `websocket`, likewise.
pub(super) struct UpgradeWebSocket;

/// The protocol's version, likewise.
pub(super) struct WebSocketVersion;

/// The headers of an upgrade.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described: axum reads these headers")]
pub(super) struct UpgradeHeaders {
    /// RFC 6455
    #[param(rename = "Connection", inline)]
    connection: ConnectionUpgrade,
    /// RFC 6455
    #[param(rename = "Upgrade", inline)]
    upgrade: UpgradeWebSocket,
    /// RFC 6455
    #[param(rename = "Sec-WebSocket-Version", inline)]
    version: WebSocketVersion,
    /// RFC 6455
    #[param(rename = "Sec-WebSocket-Key", pattern = "^[A-Za-z0-9+/]{21}[AQgw]==$")]
    key: String,
    /// Of a Twilio stream; needed unless the configuration does without
    #[param(rename = "X-Twilio-Signature", pattern = "^[A-Za-z0-9+/]{27}=$")]
    signature: Option<String>,
}

/// The query of an upgrade.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: it is looked for in three places")]
pub(super) struct StreamSecret {
    /// The configuration's `media.secret`, of platforms that do not sign; it may also be sent as a bearer token, as the
    /// password of HTTP Basic, or at the end of the path
    secret: Option<String>,
}

impl PartialSchema for DialectName {
    fn schema() -> RefOr<Schema> {
        let told: Vec<String> = DIALECTS.iter().map(ToString::to_string).collect();
        let names = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(DIALECTS.iter().map(|dialect| dialect.name)));
        names.description(Some(told.join(". "))).into()
    }
}

impl ToSchema for DialectName {}

/// A type that is one of a few words.
macro_rules! words {
    ($($type:ident: $words:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some($words)).into()
            }
        }

        impl ToSchema for $type {}
    )*};
}

words! {
    ConnectionUpgrade: ["Upgrade"];
    UpgradeWebSocket: ["websocket"];
    WebSocketVersion: ["13"];
}
