//! Starting, watching and ending a dyno.

use crate::house::House;

#[test]
fn a_command_runs_and_its_output_and_status_come_back() {
    let house = House::build();
    let (status, text) = house.output(&house.spec("echo hello; echo there >&2; exit 3"));
    assert_eq!((status, text.as_str()), (3, "hello\nthere\n"));
}
