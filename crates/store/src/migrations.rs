//! Migrations: numbered SQL files, forward only, each applied once in its own transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::{Error, Result};

/// All migrations, oldest first; number `n` is at index `n - 1`. Released files never change.
pub(crate) const ALL: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_features.sql"),
    include_str!("../migrations/0003_waiting_dynos.sql"),
    include_str!("../migrations/0004_certificates.sql"),
    include_str!("../migrations/0005_traffic.sql"),
    include_str!("../migrations/0006_drains.sql"),
    include_str!("../migrations/0007_log_rules.sql"),
    include_str!("../migrations/0008_one_offs.sql"),
    include_str!("../migrations/0009_slugs.sql"),
    include_str!("../migrations/0010_remote_sources.sql"),
];

/// Brings the database to the newest schema. The write lock keeps a second server out meanwhile.
///
/// # Errors
/// When a file fails, or when the database was written by a newer program.
pub(crate) fn apply(connection: &mut Connection) -> Result<()> {
    apply_all(connection, ALL)
}

fn apply_all(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let failed = |source| Error::Migrate { source };
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    tx.execute_batch("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY)")
        .map_err(failed)?;
    let newest = "SELECT COALESCE(MAX(version), 0) FROM schema_versions";
    let found: usize = tx.query_row(newest, [], |row| row.get(0)).map_err(failed)?;
    if found > migrations.len() {
        return Err(Error::Newer { found, known: migrations.len() });
    }
    for (index, sql) in migrations.iter().enumerate().skip(found) {
        tx.execute_batch(sql).map_err(failed)?;
        tx.execute("INSERT INTO schema_versions (version) VALUES (?1)", [index + 1])
            .map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> usize {
        connection
            .query_row("SELECT MAX(version) FROM schema_versions", [], |row| row.get(0))
            .expect("a version")
    }

    #[test]
    fn each_file_is_applied_once_and_in_order() {
        let mut connection = Connection::open_in_memory().expect("open");
        let first = "CREATE TABLE a (id TEXT)";
        let second = "INSERT INTO a (id) VALUES ('x')";
        apply_all(&mut connection, &[first]).expect("first");
        apply_all(&mut connection, &[first, second]).expect("second");
        apply_all(&mut connection, &[first, second]).expect("again");
        let rows: usize =
            connection.query_row("SELECT COUNT(*) FROM a", [], |row| row.get(0)).expect("count");
        assert_eq!((rows, version(&connection)), (1, 2));
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().expect("open");
        apply_all(&mut connection, &["CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)"])
            .expect("new");
        let refused = apply_all(&mut connection, &["CREATE TABLE a (id TEXT)"]);
        assert!(matches!(refused, Err(Error::Newer { found: 2, known: 1 })), "{refused:?}");
    }

    #[test]
    fn a_file_that_fails_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().expect("open");
        let half = "CREATE TABLE a (id TEXT); CREATE TABLE a (id TEXT)";
        assert!(matches!(apply_all(&mut connection, &[half]), Err(Error::Migrate { .. })));
        apply_all(&mut connection, &["CREATE TABLE a (id TEXT)"]).expect("mended");
        assert_eq!(version(&connection), 1);
    }
}
