//! What the router saw of each app, by minute and by hour.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use model::traffic::{Interval, Latencies, Step, Tally};
use model::{AppId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// Rows that one call of [`forget`] removes at most, so that nobody waits long for the writer.
const FORGOTTEN_AT_ONCE: u32 = 2_000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT at, class_1xx, class_2xx, class_3xx, class_4xx, class_5xx, bytes, longest,
                    codes, latencies
             FROM traffic ",
            $rest
        )
    };
}

/// Adds to what is known of the interval that begins at `at`.
///
/// # Errors
/// When a statement fails or the row cannot be read.
pub fn add(tx: &mut Tx<'_>, app: AppId, step: Step, interval: &Interval) -> Result<()> {
    let key = values![app, seconds(step), interval.at];
    let known = tx.one(select!("WHERE app_id = ?1 AND step = ?2 AND at = ?3"), key, read)?;
    let mut tally = interval.tally.clone();
    if let Some(known) = known {
        tally.merge(&known.tally);
    }
    let [one, two, three, four, five] = tally.classes;
    let longest = u64::try_from(tally.latencies.longest().as_micros()).unwrap_or(u64::MAX);
    let cells: Vec<(usize, u64)> = tally.latencies.cells().collect();
    tx.run(
        "INSERT INTO traffic (app_id, step, at, class_1xx, class_2xx, class_3xx, class_4xx,
             class_5xx, bytes, longest, codes, latencies)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (app_id, step, at) DO UPDATE SET
             class_1xx = excluded.class_1xx, class_2xx = excluded.class_2xx,
             class_3xx = excluded.class_3xx, class_4xx = excluded.class_4xx,
             class_5xx = excluded.class_5xx, bytes = excluded.bytes, longest = excluded.longest,
             codes = excluded.codes, latencies = excluded.latencies",
        values![
            app,
            seconds(step),
            interval.at,
            one,
            two,
            three,
            four,
            five,
            tally.bytes,
            longest,
            serde_json::to_string(&tally.codes).map_err(unreadable)?,
            serde_json::to_string(&cells).map_err(unreadable)?,
        ],
    )?;
    Ok(())
}

/// The intervals of an app that begin from `from` on and before `to`, oldest first; those without
/// traffic are left out.
///
/// # Errors
/// When the statement fails or a row cannot be read.
pub fn between(
    db: &Reader<'_>,
    app: AppId,
    step: Step,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Interval>> {
    db.all(
        select!("WHERE app_id = ?1 AND step = ?2 AND at >= ?3 AND at < ?4 ORDER BY at"),
        values![app, seconds(step), from, to],
        read,
    )
}

/// Removes intervals that begin before `before`; some of them, if there are very many. Answers how
/// many.
///
/// # Errors
/// When the statement fails.
pub fn forget(tx: &mut Tx<'_>, step: Step, before: Timestamp) -> Result<usize> {
    tx.run(
        "DELETE FROM traffic WHERE (app_id, step, at) IN
             (SELECT app_id, step, at FROM traffic WHERE step = ?1 AND at < ?2
              ORDER BY at LIMIT ?3)",
        values![seconds(step), before, FORGOTTEN_AT_ONCE],
    )
}

fn seconds(step: Step) -> u64 {
    step.length().as_secs()
}

fn read(row: &mut Row) -> Result<Interval> {
    let at = row.take()?;
    let classes = [row.take()?, row.take()?, row.take()?, row.take()?, row.take()?];
    let bytes = row.take()?;
    let longest = Duration::from_micros(row.take()?);
    let codes: BTreeMap<String, u64> =
        serde_json::from_str(&row.take::<String>()?).map_err(unreadable)?;
    let cells: Vec<(usize, u64)> =
        serde_json::from_str(&row.take::<String>()?).map_err(unreadable)?;
    let codes = codes.into_iter().map(|(code, count)| (Cow::Owned(code), count)).collect();
    let latencies = Latencies::from_cells(cells, longest);
    Ok(Interval { at, tally: Tally { classes, codes, bytes, latencies } })
}

fn unreadable(source: serde_json::Error) -> Error {
    Error::Json { place: "traffic".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use model::codes::HCode;
    use model::traffic::Outcome;

    use super::*;
    use crate::Store;

    fn interval(at: i64, status: u16, code: Option<HCode>, millis: u64) -> Interval {
        let mut tally = Tally::default();
        let took = Some(Duration::from_millis(millis));
        tally.add(&Outcome { status, code, bytes: 100, took });
        Interval { at: Timestamp::from_micros(at), tally }
    }

    fn all(store: &Store, app: AppId, step: Step) -> Vec<Interval> {
        let ends = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
        store.read_blocking(move |db| between(db, app, step, ends)).expect("read")
    }

    #[test]
    fn what_is_added_to_an_interval_is_summed() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("hythe.db"), [7; 32]).expect("opened");
        let (app, other) = (AppId::random(), AppId::random());
        let parts = [
            interval(60, 200, None, 3),
            interval(60, 503, Some(HCode::H12), 30_000),
            interval(120, 404, None, 7),
        ];
        let mut expected = parts[0].clone();
        expected.tally.merge(&parts[1].tally);
        let last = parts[2].clone();
        store
            .write_blocking(move |tx| {
                parts.iter().try_for_each(|part| add(tx, app, Step::Minute, part))?;
                add(tx, app, Step::Hour, &parts[0])?;
                add(tx, other, Step::Minute, &parts[0])
            })
            .expect("written");
        assert_eq!(all(&store, app, Step::Minute), [expected, last.clone()]);
        assert_eq!(all(&store, app, Step::Hour).len(), 1);

        let before = Timestamp::from_micros(100);
        let gone = store.write_blocking(move |tx| forget(tx, Step::Minute, before));
        assert_eq!(gone.expect("forgotten"), 2, "of both apps");
        assert_eq!(all(&store, app, Step::Minute), [last]);
        assert_eq!(all(&store, app, Step::Hour).len(), 1, "hours are kept longer");
    }
}
