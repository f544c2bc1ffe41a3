//! Routes and what is said of them, from one declaration each.
//!
//! Shape:   [`Routes::with`] takes what `routes!` makes of handlers that carry `#[utoipa::path]`; [`Routes::into_parts`] gives
//!          the router and the description of exactly that router.

use axum::Router;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{OpenApi, OpenApiBuilder, RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

/// Routes, and the description of each.
#[derive(Clone)]
pub struct Routes<S = ()> {
    router: Router<S>,
    description: OpenApi,
}

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("paths", &self.description.paths.paths.keys()).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::described(OpenApiBuilder::new().build())
    }

    /// None yet, and what is to be said of all of them together.
    #[must_use]
    pub fn described(description: OpenApi) -> Self {
        Self { router: Router::new(), description }
    }

    /// Adds the handlers of one path.
    #[must_use]
    pub fn with(mut self, (schemas, paths, methods): UtoipaMethodRouter<S>) -> Self {
        for path in paths.paths.keys() {
            self.router = self.router.route(&routed(path), methods.clone());
        }
        self.describe(schemas, paths);
        self
    }

    /// What is to be said of all routes so far.
    #[must_use]
    pub fn each_described(mut self, describe: impl FnOnce(&mut OpenApi)) -> Self {
        describe(&mut self.description);
        self
    }

    /// Adds routes that have another state.
    #[must_use]
    pub fn merge<T: Clone + Send + Sync + 'static>(mut self, other: Routes<T>, state: T) -> Self {
        self.router = self.router.merge(other.router.with_state(state));
        let components = other.description.components.unwrap_or_default();
        self.describe(components.schemas, other.description.paths);
        self
    }

    /// The router and its description.
    pub fn into_parts(self) -> (Router<S>, OpenApi) {
        (self.router, self.description)
    }

    fn describe(&mut self, schemas: impl IntoIterator<Item = (String, RefOr<Schema>)>, paths: Paths) {
        let known = &mut self.description.components.get_or_insert_default().schemas;
        for (name, schema) in schemas {
            // Two types of one name would pass for each other.
            debug_assert!(known.get(&name).is_none_or(|first| *first == schema), "{name} is two things");
            known.insert(name, schema);
        }
        self.description.paths.paths.extend(paths.paths);
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// The router's word for a described path: a parameter is a whole segment there, so its `.json` is left to the handler.
fn routed(path: &str) -> String {
    path.replace("}.json", "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_takes_its_suffix_with_it() {
        assert_eq!(routed("/A/{Sid}/Calls/{CallSid}.json"), "/A/{Sid}/Calls/{CallSid}");
        assert_eq!(routed("/A/{Sid}/Calls.json"), "/A/{Sid}/Calls.json");
    }
}
