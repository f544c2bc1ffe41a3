//! Asking for documents, and what comes back taking over.

use super::{Call, CallStage, LineState};
use crate::flow::context::{FETCH_LIMIT, LOOP_LIMIT};
use crate::flow::event::{Action, Ended, Fetch, FetchId, Fetched, NextDocument, Purpose, Unwritten};
use crate::flow::link::Target;
use crate::form::Form;
use crate::mask::refused;
use crate::time::CallTime;
use crate::twiml::{Document, Method, Position, Redirect, Severity};

/// The most faults of one document that are told.
const FAULTS_TOLD: usize = 20;

impl Call {
    pub(super) fn redirect(&mut self, now: CallTime, position: Position, redirect: &Redirect) {
        match self.origin.resolve(&redirect.url, self.context.plain_http) {
            Ok(target) => self.fetch(now, Purpose::Redirect, target, redirect.method, Form::new()),
            Err(error) => {
                let message = format!("<Redirect>{}</Redirect>: {error}", refused(&redirect.url));
                self.apologize(now, 11100, Some(position), message);
            }
        }
    }

    /// Asks for a document and waits for it.
    pub(in crate::flow) fn fetch(
        &mut self,
        now: CallTime,
        purpose: Purpose,
        target: Target,
        method: Method,
        form: Form,
    ) {
        self.fetch_told(now, purpose, target, method, (form, None));
    }

    /// The same, with what is told of a payment for as long as its outcome is not written down.
    pub(super) fn fetch_told(
        &mut self,
        now: CallTime,
        purpose: Purpose,
        target: Target,
        method: Method,
        told: (Form, Option<Unwritten>),
    ) {
        let id = self.request(purpose, target, method, told);
        // A call that was sent elsewhere does not wait: `proceed` goes there, and the request is only told.
        if self.line == LineState::Up && self.elsewhere.is_none() {
            self.documents.stop(now);
            self.stage = CallStage::Fetching { id, until: now + FETCH_LIMIT };
        } else if self.line != LineState::Up {
            self.end(Ended::Caller);
        }
    }

    fn request(
        &mut self,
        purpose: Purpose,
        target: Target,
        method: Method,
        (form, unwritten): (Form, Option<Unwritten>),
    ) -> FetchId {
        self.fetches = self.fetches.saturating_add(1);
        let id = FetchId(self.fetches);
        let status = if self.line == LineState::Up { "in-progress" } else { "completed" };
        let whole = |form: &Form| {
            let mut fields = self.context.standard(status);
            fields.extend(form);
            fields
        };
        let unwritten = unwritten.map(|told| Box::new(Unwritten { form: whole(&told.form), ..told }));
        let answer_wanted = self.line == LineState::Up && self.elsewhere.is_none();
        // A flow that nobody hears is not run, but its request is still told.
        let parameters = self.context.parameters.clone();
        self.actions.push_back(Action::Fetch(Fetch {
            id,
            purpose,
            target,
            method,
            form: whole(&form),
            parameters,
            unwritten,
            answer_wanted,
        }));
        id
    }

    /// What a request tells joins the parameters that later flow documents are rendered with.
    pub(super) fn remember(&mut self, form: &Form) {
        self.context.parameters.extend(form.parameters());
    }

    pub(super) fn handle_fetched(&mut self, now: CallTime, fetched_id: FetchId, fetched: Fetched) {
        // The answer to a fetch that was given up, or that came after the call was sent elsewhere.
        if !matches!(&self.stage, CallStage::Fetching { id, .. } if *id == fetched_id) {
            return;
        }
        self.stage = CallStage::Ready;
        match fetched {
            Fetched::Document(next) => {
                self.documents.documents = self.documents.documents.saturating_add(1);
                if self.documents.documents > LOOP_LIMIT {
                    let message =
                        format!("{LOOP_LIMIT} documents in a row sent the call on without a word; it is cut here");
                    return self.apologize(now, 12400, None, message);
                }
                self.open(next);
            }
            Fetched::Failed(failure) => self.apologize(now, failure.code, None, failure.message),
            Fetched::NotAsked => {}
        }
    }

    /// A document takes over.
    pub(super) fn open(&mut self, next: NextDocument) {
        let Document { verbs, faults } = next.document;
        self.verbs = verbs.into();
        self.origin = next.origin;
        let errors = faults.into_iter().filter(|fault| fault.severity == Severity::Error);
        for fault in errors.take(FAULTS_TOLD) {
            self.warn(Some(fault.position), 12200, fault.message);
        }
    }
}
