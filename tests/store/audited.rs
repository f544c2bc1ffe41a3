//! The rules of the audit trail, and of random values that are used once.

use touchtone::store::audit::{Actor, AuditAction, AuditFilter, AuditRow, ConnectorChange, NewAudit};
use touchtone::store::{Authorized, Backend, BackendError};
use uuid::Uuid;

use crate::contract::Books;
use crate::samples::at;

fn audit(number: u32, action: AuditAction, name: &str) -> NewAudit {
    NewAudit {
        token: Uuid::from_u128(number.into()),
        actor: Actor { name: format!("user {number}"), origin: "host ❤ \u{0}".to_owned() },
        action,
        target: format!("connector {name}"),
        old_value: number.is_multiple_of(2).then(|| format!("{{\"was\": {number}}}")),
        new_value: Some(format!("{{\"is\": {number}}}")),
    }
}

async fn trail(backend: &dyn Backend) -> Vec<AuditRow> {
    backend.audit(AuditFilter { limit: 99, ..AuditFilter::default() }).await.unwrap()
}

pub async fn changes(Books { here, there, .. }: Books) {
    let insert = || ConnectorChange::Insert { sealed: vec![1] };
    let update = |was| ConnectorChange::Update { was, sealed: vec![2], authorized: Authorized::AsBefore };
    let revision = here.connectors_revision().await.unwrap();
    let added = audit(1, AuditAction::ConnectorAdded, "a");
    here.change_connector("a", insert(), added.clone(), at(1)).await.unwrap();
    assert_ne!(there.connectors_revision().await.unwrap(), revision);
    let row = trail(&*there).await.remove(0);
    let AuditRow { at: when, actor, action, target, old_value, new_value, .. } = row.clone();
    assert_eq!((when, actor.as_str(), action.as_str()), (at(1), "user 1", "connector.add"));
    assert_eq!((target.as_str(), old_value, new_value.as_deref()), ("connector a", None, Some("{\"is\": 1}")));
    assert!(row.origin.starts_with("host ❤ "));
    // What is refused is not told.
    let other = || audit(2, AuditAction::ConnectorAdded, "a");
    assert_eq!(there.change_connector("a", insert(), other(), at(2)).await, Err(BackendError::Duplicate));
    assert_eq!(there.change_connector("a", update(vec![9]), other(), at(2)).await, Err(BackendError::NotFound));
    assert_eq!(there.change_connector("b", ConnectorChange::Remove, other(), at(2)).await, Err(BackendError::NotFound));
    assert_eq!(trail(&*here).await, [row]);
    // Again, as after an answer that was lost: told once.
    for _ in 0..2 {
        let changed = audit(4, AuditAction::ConnectorChanged, "a");
        here.change_connector("a", update(vec![1]), changed, at(3)).await.unwrap();
    }
    assert_eq!(there.connectors().await.unwrap()[0].sealed, [2]);
    let removed = audit(5, AuditAction::ConnectorRemoved, "a");
    there.change_connector("a", ConnectorChange::Remove, removed, at(4)).await.unwrap();
    assert!(here.connectors().await.unwrap().is_empty());
    let actions: Vec<String> = trail(&*here).await.into_iter().map(|row| row.action).collect();
    assert_eq!(actions, ["connector.remove", "connector.change", "connector.add"], "the newest first");
}

pub async fn lists(Books { here, there, .. }: Books) {
    for number in 1..=6 {
        let name = if number == 3 { "a" } else { "b" };
        let change = ConnectorChange::Insert { sealed: vec![1] };
        let told = audit(number, AuditAction::ConnectorAdded, name);
        here.change_connector(&number.to_string(), change, told, at(number.into())).await.unwrap();
    }
    let all = trail(&*there).await;
    assert!(all.is_sorted_by(|one, next| one.id > next.id));
    let list = async |filter: AuditFilter| {
        let rows = there.audit(filter).await.unwrap();
        rows.into_iter().map(|row| row.actor).collect::<Vec<_>>()
    };
    let some = |limit| AuditFilter { limit, ..AuditFilter::default() };
    assert_eq!(list(some(2)).await, ["user 6", "user 5"]);
    assert_eq!(list(AuditFilter { before_id: Some(all[1].id), ..some(2) }).await, ["user 4", "user 3"]);
    assert_eq!(list(AuditFilter { target: Some("connector a".to_owned()), ..some(9) }).await, ["user 3"]);
    let none = AuditFilter { target: Some("connector a".to_owned()), before_id: Some(all[3].id), ..some(9) };
    assert!(list(none).await.is_empty());
}

pub async fn nonces(Books { here, there, .. }: Books) {
    here.use_nonce("a", at(1000), at(1)).await.unwrap();
    for backend in [&here, &there] {
        assert_eq!(backend.use_nonce("a", at(1000), at(2)).await, Err(BackendError::Duplicate));
    }
    there.use_nonce("A", at(2000), at(999)).await.unwrap();
    assert_eq!(here.use_nonce("a", at(1000), at(1000)).await, Err(BackendError::Duplicate), "not expired yet");
    // Using one forgets those that have expired.
    here.use_nonce("b", at(3000), at(1001)).await.unwrap();
    here.use_nonce("a", at(3000), at(1002)).await.unwrap();
    assert_eq!(there.use_nonce("A", at(2000), at(1003)).await, Err(BackendError::Duplicate));
}
