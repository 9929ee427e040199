//! Durable state: what is owed, signed or due survives a kill -9.
//!
//! A [`Record`] is a JSON document with a key and a state. A write is on disk when the call returns (SQLite, write-ahead log,
//! full synchronisation), and [`Store::write`] makes several of them one. Nothing here knows what the records mean.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Schema of the file; another one is refused, never migrated silently.
const SCHEMA: i64 = 1;

/// A document that outlives the process.
pub trait Record: Serialize + DeserializeOwned {
    /// Names the kind; unique within a program.
    const KIND: &'static str;
    /// Identifies the record within its kind.
    fn key(&self) -> Vec<u8>;
    /// What the record waits for. Records are listed by it.
    fn state(&self) -> &'static str;
}

/// Why the store can't answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused: disk full, file damaged, or another process holds it. Stop.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A record is not what this version writes. Stop.
    #[error("record {kind}: {error}")]
    Record {
        /// The record's kind.
        kind: &'static str,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The file was written by another version. Stop.
    #[error("database has schema {found}, this program writes {SCHEMA}")]
    Schema {
        /// What the file says.
        found: i64,
    },
    /// A record with this key exists already. Give up: somebody was first.
    #[error("{0} exists already")]
    Exists(&'static str),
}

/// One database file, held by one process.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

/// Several writes that happen together or not at all.
#[derive(Debug)]
pub struct Write<'a> {
    transaction: rusqlite::Transaction<'a>,
}

impl Store {
    /// Opens or makes the file at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with(Connection::open(path)?)
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(connection: Connection) -> Result<Self, StoreError> {
        // One process a file: two would give one sequence number to two requests.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS record (
                 kind TEXT NOT NULL, key BLOB NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)
             ) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS record_by_state ON record (kind, state);",
        )?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => connection.pragma_update(None, "user_version", SCHEMA)?,
            SCHEMA => {}
            found => return Err(StoreError::Schema { found }),
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves no half-done write behind: transactions that are not committed roll back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record with this key.
    pub fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT body FROM record WHERE kind = ?1 AND key = ?2")?;
        let body: Option<String> = statement.query_row(params![R::KIND, key], |row| row.get(0)).optional()?;
        body.map(|body| parse(&body)).transpose()
    }

    /// All records of a kind that are in `state`, in order of their keys.
    pub fn list<R: Record>(&self, state: &str) -> Result<Vec<R>, StoreError> {
        self.select(
            "SELECT body FROM record WHERE kind = ?1 AND state = ?2 ORDER BY key",
            params![R::KIND, state],
        )
    }

    /// All records of a kind, in order of their keys.
    pub fn all<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        self.select("SELECT body FROM record WHERE kind = ?1 ORDER BY key", params![R::KIND])
    }

    fn select<R: Record>(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<R>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let bodies = statement.query_map(params, |row| row.get::<_, String>(0))?;
        bodies.map(|body| parse(&body?)).collect()
    }

    /// Writes a record, replacing the one with its key.
    pub fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        self.write(|w| w.put(record))
    }

    /// Writes a new record; [`StoreError::Exists`] if there is one with its key.
    pub fn insert<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        self.write(|w| w.insert(record))
    }

    /// Runs `f`; what it writes is on disk as a whole when this returns, or not at all if it fails.
    pub fn write<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&mut Write<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let mut write = Write { transaction };
        let value = f(&mut write)?;
        write.transaction.commit().map_err(StoreError::from)?;
        Ok(value)
    }
}

impl Write<'_> {
    /// As [`Store::get`], and sees what was written before in the same closure.
    pub fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT body FROM record WHERE kind = ?1 AND key = ?2")?;
        let body: Option<String> = statement.query_row(params![R::KIND, key], |row| row.get(0)).optional()?;
        body.map(|body| parse(&body)).transpose()
    }

    /// As [`Store::put`].
    pub fn put<R: Record>(&mut self, record: &R) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO record (kind, key, state, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, key) DO UPDATE SET state = excluded.state, body = excluded.body",
            record,
        )?;
        Ok(())
    }

    /// As [`Store::insert`].
    pub fn insert<R: Record>(&mut self, record: &R) -> Result<(), StoreError> {
        let inserted = self.execute(
            "INSERT INTO record (kind, key, state, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            record,
        )?;
        if inserted == 0 { Err(StoreError::Exists(R::KIND)) } else { Ok(()) }
    }

    fn execute<R: Record>(&mut self, sql: &str, record: &R) -> Result<usize, StoreError> {
        let body =
            serde_json::to_string(record).map_err(|error| StoreError::Record { kind: R::KIND, error })?;
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.execute(params![R::KIND, record.key(), record.state(), body])?)
    }
}

fn parse<R: Record>(body: &str) -> Result<R, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::Record { kind: R::KIND, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Note {
        id: u8,
        text: String,
        done: bool,
    }

    impl Record for Note {
        const KIND: &'static str = "note";
        fn key(&self) -> Vec<u8> {
            vec![self.id]
        }
        fn state(&self) -> &'static str {
            if self.done { "done" } else { "open" }
        }
    }

    fn note(id: u8, done: bool) -> Note {
        Note { id, text: format!("text {id}"), done }
    }

    #[test]
    fn records_survive_and_move_between_states() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        {
            let store = Store::open(&path).unwrap();
            store.insert(&note(1, false)).unwrap();
            store.insert(&note(2, false)).unwrap();
            store.put(&note(1, true)).unwrap();
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.get::<Note>(&[1]).unwrap(), Some(note(1, true)));
        assert_eq!(store.list::<Note>("open").unwrap(), [note(2, false)]);
        assert_eq!(store.all::<Note>().unwrap().len(), 2);
        assert_eq!(store.get::<Note>(&[3]).unwrap(), None);
    }

    #[test]
    fn the_second_insert_of_a_key_is_refused() {
        let store = Store::in_memory().unwrap();
        store.insert(&note(1, false)).unwrap();
        assert!(matches!(store.insert(&note(1, true)), Err(StoreError::Exists("note"))));
        assert_eq!(store.get::<Note>(&[1]).unwrap(), Some(note(1, false)));
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let store = Store::in_memory().unwrap();
        store.insert(&note(1, false)).unwrap();
        let failed: Result<(), StoreError> = store.write(|w| {
            w.put(&note(2, false))?;
            assert!(w.get::<Note>(&[2])?.is_some());
            w.insert(&note(1, true))
        });
        assert!(matches!(failed, Err(StoreError::Exists(_))));
        assert_eq!(store.get::<Note>(&[2]).unwrap(), None);
    }

    #[test]
    fn a_second_process_and_another_schema_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = Store::open(&path).unwrap();
        store.insert(&note(1, false)).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Database(_))));
        drop(store);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Schema { found: 7 })));
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let store = Store::in_memory().unwrap();
        store.insert(&note(1, false)).unwrap();
        store.lock().execute("UPDATE record SET body = '{'", []).unwrap();
        assert!(matches!(store.get::<Note>(&[1]), Err(StoreError::Record { kind: "note", .. })));
    }
}
