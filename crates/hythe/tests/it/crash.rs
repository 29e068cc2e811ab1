//! The server is killed at random moments of everything it does. Whatever it was at, the next one
//! goes on from there: nothing is half done, nothing runs that nobody wants, nothing is missing.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Api, Bed};

/// Set it to repeat a run; the test prints it.
const SEED: &str = "HYTHE_TEST_SEED";

/// How often the server is killed: at each of the deeds three times.
const ROUNDS: usize = 3 * DEEDS.len();

/// What the server is at when it is killed, and the time within which it is. Short times, for most
/// that can be cut in half happens in the first tenth of a second: rows, processes, addresses.
const DEEDS: [(Deed, u64); 10] = [
    (Deed::Push, 2500),
    (Deed::Configure, 120),
    (Deed::Scale, 200),
    (Deed::Restart, 120),
    (Deed::Run, 300),
    (Deed::ConfigureOften, 200),
    (Deed::Push, 1500),
    (Deed::Rollback, 120),
    (Deed::Destroy, 300),
    (Deed::Configure, 800),
];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Push,
    Configure,
    ConfigureOften,
    Scale,
    Restart,
    Rollback,
    Run,
    Destroy,
}

/// Numbers that look random and can be had again (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Begins what the server is to be killed in. What comes of it is seen afterwards.
fn begin(api: &Api, deed: Deed, dice: &mut Dice) -> Result<(), String> {
    let set = |number: u64| json!({ "GREETING": number.to_string() });
    let web = |quantity: u64| json!({"updates": [{"type": "web", "quantity": quantity}]});
    let nothing = Value::Null;
    let vars = "/apps/demo/config-vars";
    match deed {
        Deed::Push => {}
        Deed::Configure => drop(api.ask("PATCH", vars, &set(dice.below(1000)))?),
        Deed::ConfigureOften => {
            for number in 0..6 {
                api.ask("PATCH", vars, &set(number))?;
            }
        }
        Deed::Scale => {
            api.ask("PATCH", "/apps/demo/formation", &web(1 + dice.below(3)))?;
        }
        Deed::Restart => drop(api.ask("DELETE", "/apps/demo/dynos", &nothing)?),
        Deed::Rollback => {
            let releases = api.list("/apps/demo/releases")?;
            let target = releases.iter().find(|release| !release["slug"].is_null());
            let target = target.ok_or("no release has a slug")?["id"].clone();
            api.ask("POST", "/apps/demo/releases", &json!({ "release": target }))?;
        }
        Deed::Run => {
            for _dyno in 0..2 {
                api.ask("POST", "/apps/demo/dynos", &json!({"command": "sleep 1"}))?;
            }
        }
        Deed::Destroy => {
            api.ask("POST", "/apps", &json!({"name": "doomed"}))?;
            api.ask("DELETE", "/apps/doomed", &nothing)?;
        }
    }
    Ok(())
}

/// Kills the server `after` having begun something, and starts it again.
fn round(bed: &mut Bed, deed: Deed, after: Duration, dice: &mut Dice) {
    let push = matches!(deed, Deed::Push).then(|| bed.push());
    let (api, mut its) = (bed.api.clone(), Dice(dice.below(u64::MAX)));
    let begun = thread::spawn(move || begin(&api, deed, &mut its));
    thread::sleep(after);
    bed.server.kill();
    let _cut_off = begun.join().expect("no panic");
    if let Some(mut push) = push {
        push.wait().expect("git ends");
    }
    bed.server.start_again();
    bed.check();
}

#[allow(clippy::disallowed_methods, reason = "whoever repeats a run gives its seed so")]
fn seed() -> u64 {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| std::process::id().into())
}

#[test]
fn a_server_killed_at_any_moment_goes_on_where_it_was() {
    let seed = seed();
    #[allow(clippy::print_stdout, reason = "a failure is repeated with it")]
    {
        println!("{SEED}={seed}");
    }
    let mut dice = Dice(seed);
    let mut bed = Bed::new("web: node server.js\n");
    for (deed, within) in DEEDS.into_iter().cycle().take(ROUNDS) {
        let after = Duration::from_millis(dice.below(within));
        #[allow(clippy::print_stdout, reason = "a failure is told apart by it")]
        {
            println!("{deed:?}, killed after {after:?}");
        }
        round(&mut bed, deed, after, &mut dice);
    }
    bed.check_log();
}
