//! The narrow engine: values, rows, and the two handles that queries are written against.
//!
//! A [`Reader`] sees one consistent snapshot and cannot write; a [`Tx`] is one transaction on the
//! one writer. SQL is kept to what SQLite and Postgres both take: parameters are `?1`, ids are
//! text, times are microseconds, JSON is text. The file of a noun writes its SQL beside the
//! function that needs it, and turns rows into `model` types at that line.

mod value;

use std::ops::Deref;

use rusqlite::Connection;

use crate::pokes::Poke;
use crate::vault::Vault;
use crate::{Error, Result};

pub use value::{Column, Row, Value};

/// Builds the parameters of a statement: `values![app.id, name, now]` are `?1`, `?2`, `?3`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::engine::Value::from($value)),*] };
}

/// One consistent view of the database.
pub struct Reader<'a> {
    connection: &'a Connection,
    vault: &'a Vault,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(connection: &'a Connection, vault: &'a Vault) -> Self {
        Self { connection, vault }
    }

    /// What seals and opens secrets.
    #[must_use]
    pub fn vault(&self) -> &'a Vault {
        self.vault
    }

    /// All rows, each turned by `convert`.
    ///
    /// # Errors
    /// When the statement fails or a row is not what `convert` expects.
    pub fn all<T>(
        &self,
        sql: &'static str,
        values: &[Value],
        mut convert: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let failed = |source| Error::Query { sql, source };
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let width = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let cells = (0..width).map(|index| Value::read(row, index));
            let cells = cells.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
            found.push(convert(&mut Row::new(sql, cells))?);
        }
        Ok(found)
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`Reader::all`].
    pub fn one<T>(
        &self,
        sql: &'static str,
        values: &[Value],
        convert: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.all(sql, values, convert)?.into_iter().next())
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// As [`Reader::all`].
    pub fn cell<T: Column>(&self, sql: &'static str, values: &[Value]) -> Result<Option<T>> {
        self.one(sql, values, Row::take)
    }
}

/// One transaction on the writer. It is committed when its closure returns `Ok`; its pokes are
/// delivered after that.
pub struct Tx<'a> {
    reader: Reader<'a>,
    after: After,
}

/// What is done once a transaction is committed.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) calls: Vec<Box<dyn FnOnce() + Send>>,
    pub(crate) pokes: Vec<Poke>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a Connection, vault: &'a Vault) -> Self {
        Self { reader: Reader::new(connection, vault), after: After::default() }
    }

    /// Runs a statement that changes something; answers the number of rows changed.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<usize> {
        let failed = |source| Error::Query { sql, source };
        let mut statement = self.reader.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(rusqlite::params_from_iter(values)).map_err(failed)
    }

    /// Wakes who waits for `poke`, after the commit; nobody is woken by a roll-back.
    pub fn poke(&mut self, poke: Poke) {
        if !self.after.pokes.contains(&poke) {
            self.after.pokes.push(poke);
        }
    }

    /// Calls `call` after the commit, before the pokes; never after a roll-back. It runs on the
    /// writer thread: it must be short and must not use the store.
    pub fn after_commit(&mut self, call: impl FnOnce() + Send + 'static) {
        self.after.calls.push(Box::new(call));
    }

    pub(crate) fn into_after(self) -> After {
        self.after
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = Reader<'a>;
    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}
