//! The store as one SQLite file. Knows its schema and how an older one becomes today's. Every value goes in as a parameter, never as text of a
//! statement.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Hash, KeyRecord, Store, StoreError, Stored, TeamRecord, Terms};
use crate::gateway::time::Time;

/// One step of the schema each, from the version that is its place to the next. Never changed once released: a change is another step.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE teams (
        name TEXT PRIMARY KEY,
        alias TEXT,
        terms TEXT NOT NULL,
        blocked INTEGER NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        name TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
        hint TEXT NOT NULL,
        alias TEXT,
        team TEXT,
        user TEXT,
        expires INTEGER,
        terms TEXT NOT NULL,
        blocked INTEGER NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// How long a statement waits for another process that has the file, such as one that reads it for a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Keys and teams in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens a store, and makes it if there is none.
    ///
    /// # Errors
    /// If the file can't be opened, is no store, or is one of a later version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| StoreError(format!("can't open the store {}: {error}", path.display()));
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // A write-ahead log, so that reading it from outside holds up nothing. Every change is on the disk before it is answered: what an
        // administrator was told has to hold when the power has failed, and changes are few.
        connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        // What is deleted is gone from the file.
        connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let version = usize::try_from(version).unwrap_or(usize::MAX);
        if version > MIGRATIONS.len() {
            return Err(StoreError(format!("the store {} was written by a later gwsim (its version is {version})", path.display())));
        }
        for (next, statements) in (1_i64..).zip(MIGRATIONS).skip(version) {
            let transaction = connection.transaction().map_err(failed)?;
            transaction.execute_batch(statements).map_err(failed)?;
            transaction.pragma_update(None, "user_version", next).map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
        Ok(Self { connection })
    }
}

impl Sqlite {
    /// Does `write` in a transaction that stays open, if all goes well.
    fn stage(&mut self, write: impl FnOnce(&Connection) -> Result<(), StoreError>) -> Result<(), StoreError> {
        // A panic may have left one open.
        self.roll_back();
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(unwritten)?;
        write(&self.connection).inspect_err(|_| self.roll_back())
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Stored, StoreError> {
        let read = |connection: &mut Connection| -> rusqlite::Result<Stored> {
            let transaction = connection.transaction()?;
            let teams = "SELECT name, alias, terms, blocked, created, updated FROM teams ORDER BY name";
            let teams = transaction.prepare(teams)?.query_map([], team)?.collect::<Result<_, _>>()?;
            let keys = "SELECT name, hash, hint, alias, team, user, expires, terms, blocked, created, updated FROM keys ORDER BY name";
            let keys = transaction.prepare(keys)?.query_map([], key)?.collect::<Result<_, _>>()?;
            Ok(Stored { teams, keys })
        };
        read(&mut self.connection).map_err(|error| StoreError(format!("can't read the store: {error}")))
    }

    fn stage_key(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        self.stage(|connection| {
            let held = connection.query_row("SELECT name FROM keys WHERE hash = ?1", params![key.hash.0], |row| row.get::<_, String>(0));
            if held.optional().map_err(unwritten)?.is_some_and(|name| name != key.name) {
                return Err(StoreError("another key has the same secret".into()));
            }
            let statement = "INSERT OR REPLACE INTO keys (name, hash, hint, alias, team, user, expires, terms, blocked, created, updated) \
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            let values = params![
                key.name,
                key.hash.0,
                key.hint,
                key.alias,
                key.team,
                key.user,
                key.expires.map(instant),
                terms(&key.terms),
                key.blocked,
                instant(key.created),
                instant(key.updated)
            ];
            connection.execute(statement, values).map(drop).map_err(unwritten)
        })
    }

    fn stage_team(&mut self, team: &TeamRecord) -> Result<(), StoreError> {
        self.stage(|connection| {
            let statement = "INSERT OR REPLACE INTO teams (name, alias, terms, blocked, created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values = params![team.name, team.alias, terms(&team.terms), team.blocked, instant(team.created), instant(team.updated)];
            connection.execute(statement, values).map(drop).map_err(unwritten)
        })
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(unwritten).inspect_err(|_| self.roll_back())
    }

    fn roll_back(&mut self) {
        // Some failures have ended the transaction by themselves.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    fn delete_keys(&mut self, names: &[String]) -> Result<(), StoreError> {
        self.delete_teams(&[], names)
    }

    fn delete_teams(&mut self, names: &[String], keys: &[String]) -> Result<(), StoreError> {
        let delete = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for key in keys {
                transaction.execute("DELETE FROM keys WHERE name = ?1", params![key])?;
            }
            for team in names {
                transaction.execute("DELETE FROM teams WHERE name = ?1", params![team])?;
            }
            transaction.commit()
        };
        delete(&mut self.connection).map_err(unwritten)
    }
}

fn unwritten(error: rusqlite::Error) -> StoreError {
    StoreError(format!("can't write the store: {error}"))
}

/// Nanoseconds since the epoch; SQLite's integers end in the year 2262.
fn instant(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn terms(terms: &Terms) -> String {
    serde_json::to_string(terms).expect("terms can be written")
}

fn team(row: &Row<'_>) -> rusqlite::Result<TeamRecord> {
    Ok(TeamRecord {
        name: row.get(0)?,
        alias: row.get(1)?,
        terms: read_terms(row, 2)?,
        blocked: row.get(3)?,
        created: read_instant(row.get(4)?),
        updated: read_instant(row.get(5)?),
    })
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        name: row.get(0)?,
        hash: Hash(row.get(1)?),
        hint: row.get(2)?,
        alias: row.get(3)?,
        team: row.get(4)?,
        user: row.get(5)?,
        expires: row.get::<_, Option<i64>>(6)?.map(read_instant),
        terms: read_terms(row, 7)?,
        blocked: row.get(8)?,
        created: read_instant(row.get(9)?),
        updated: read_instant(row.get(10)?),
    })
}

fn read_instant(nanos: i64) -> Time {
    Time(u64::try_from(nanos).unwrap_or(0))
}

fn read_terms(row: &Row<'_>, column: usize) -> rusqlite::Result<Terms> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}
