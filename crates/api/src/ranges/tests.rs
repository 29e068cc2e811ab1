//! Reading `Range` and cutting pages.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row(i64);

impl Listed for Row {
    const SORTABLE: &'static [&'static str] = &["id", "version", "parity"];

    fn key(&self, attribute: &str) -> Key {
        match attribute {
            "version" => Key::Number(self.0),
            "parity" => Key::Number(self.0 % 2),
            _ => Key::Text(format!("{:04}", self.0)),
        }
    }
}

fn rows(count: i64) -> Vec<Row> {
    (1..=count).map(Row).collect()
}

fn numbers(page: &Page<Row>) -> Vec<i64> {
    page.rows.iter().map(|row| row.0).collect()
}

fn page(header: &str, count: i64) -> Page<Row> {
    Range::parse(header).page(rows(count)).unwrap_or_else(|_| panic!("a page for {header}"))
}

#[test]
fn every_form_the_cli_sends_is_understood() {
    for header in [
        "version ..; max=2, order=desc",
        "version ..; order=desc,max=2",
        "version ..;max=2;order=desc",
    ] {
        let page = page(header, 5);
        assert_eq!(numbers(&page), [5, 4], "{header}");
        assert_eq!(page.next.as_deref(), Some("version ]4..; max=2, order=desc"), "{header}");
    }
    for header in
        ["id ..; max=1000;", "id ..; max=1000", "id ..; ;", "domain ..; ;", "", "bytes=0-"]
    {
        let page = page(header, 5);
        assert_eq!(numbers(&page), [1, 2, 3, 4, 5], "{header}");
        assert_eq!(page.next, None, "{header}");
    }
}

#[test]
fn the_last_page_has_no_next() {
    assert_eq!(page("version ..; max=5", 5).next, None);
    assert_eq!(page("version ]4..; max=1", 5).next, None);
}

#[test]
fn ends_can_be_inclusive_and_exclusive() {
    assert_eq!(numbers(&page("version 2..4", 5)), [2, 3, 4]);
    assert_eq!(numbers(&page("version ]2..4[", 5)), [3]);
    assert_eq!(numbers(&page("version 4..2; order=desc", 5)), [4, 3, 2]);
}

#[test]
fn two_hundred_rows_are_a_page_and_a_thousand_the_most() {
    assert_eq!(page("", 300).rows.len(), 200);
    assert_eq!(page("id ..; max=5000", 1500).rows.len(), 1000);
    assert_eq!(page("id ..; max=0", 5).rows.len(), 1);
}

#[test]
fn a_value_that_is_not_of_the_attribute_is_refused() {
    assert!(Range::parse("version x..").page(rows(3)).is_err());
}

proptest! {
    #[test]
    fn following_next_range_yields_every_row_once(
        count in 0i64..40, max in 1usize..12, desc: bool, attribute in "id|version|parity",
    ) {
        let order = if desc { ", order=desc" } else { "" };
        let mut header = format!("{attribute} ..; max={max}{order}");
        let mut seen = Vec::new();
        loop {
            let page = page(&header, count);
            seen.extend(numbers(&page));
            match page.next {
                Some(next) => header = next,
                None => break,
            }
        }
        if attribute != "parity" && desc {
            seen.reverse();
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn no_header_makes_it_panic(header in ".{0,60}") {
        let _ = Range::parse(&header).page(rows(3));
    }
}
