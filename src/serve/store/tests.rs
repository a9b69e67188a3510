//! Both stores keep the same; the one in a file keeps it for the next process.

use super::*;
use crate::gateway::money::Money;
use crate::gateway::time::Time;

fn key(name: &str, secret: u8) -> KeyRecord {
    let terms = Terms {
        models: vec!["gpt-4o".into()],
        max_budget: Some(Money(50_000_000_000_001)),
        budget_duration: Some("30d".into()),
        rpm_limit: Some(100),
        tags: vec!["a'; DROP TABLE keys; --".into()],
        ..Terms::default()
    };
    KeyRecord {
        name: name.into(),
        hash: Hash([secret; 32]),
        hint: "sk-...abcd".into(),
        alias: Some("Robert'); DROP TABLE keys;--".into()),
        team: Some("ops".into()),
        user: None,
        expires: Some(Time(1_800_000_000_000_000_000)),
        terms,
        blocked: secret.is_multiple_of(2),
        created: Time(7),
        updated: Time(8),
    }
}

fn team(name: &str) -> TeamRecord {
    TeamRecord { name: name.into(), alias: None, terms: Terms::default(), blocked: true, created: Time(1), updated: Time(2) }
}

fn put_key(store: &mut dyn Store, key: &KeyRecord) -> Result<(), StoreError> {
    store.stage_key(key)?;
    store.commit()
}

fn put_team(store: &mut dyn Store, team: &TeamRecord) {
    store.stage_team(team).unwrap();
    store.commit().unwrap();
}

/// What any store does.
fn keeps(store: &mut dyn Store) {
    assert_eq!(store.load().unwrap(), Stored::default());
    for record in [key("b", 2), key("a", 1), key("c", 3)] {
        put_key(store, &record).unwrap();
    }
    put_team(store, &team("ops"));
    put_team(store, &team("ops"));
    assert!(put_key(store, &key("d", 1)).is_err(), "the secret is another key's");
    let regenerated = KeyRecord { hash: Hash([9; 32]), ..key("b", 2) };
    put_key(store, &regenerated).unwrap();
    // What is written is kept only where that is said.
    store.stage_key(&key("d", 4)).unwrap();
    store.roll_back();
    store.stage_team(&team("dev")).unwrap();
    store.roll_back();
    store.delete_keys(&["a".into(), "nobody".into()]).unwrap();
    assert_eq!(store.load().unwrap(), Stored { teams: vec![team("ops")], keys: vec![regenerated.clone(), key("c", 3)] });
    store.delete_teams(&["ops".into()], &["c".into()]).unwrap();
    assert_eq!(store.load().unwrap(), Stored { teams: vec![], keys: vec![regenerated] });
}

#[test]
fn both_stores_keep_the_same() {
    let folder = tempfile::tempdir().unwrap();
    keeps(&mut Memory::default());
    keeps(&mut Sqlite::open(&folder.path().join("store.db")).unwrap());
}

#[test]
fn a_file_keeps_it_for_the_next_process_and_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = Sqlite::open(&path).unwrap();
    put_key(&mut store, &key("a", 1)).unwrap();
    // A second one, as after a crash: the first was not closed.
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap().keys, [key("a", 1)]);
    drop(store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(Sqlite::open(&path).unwrap_err().0.contains("later gwsim"));
    std::fs::write(&path, "this is no database, however long it may be made to look like one").unwrap();
    assert!(Sqlite::open(&path).is_err());
}
