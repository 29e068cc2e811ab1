//! `hythe admin`: what only the operator may do, on the server's own machine, beside a running
//! server or without one.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use control::Control;
use model::{Account, Secret};

use crate::settings::{Flags, Settings};
use crate::{certificates, environment, first_start, foundation, stop_dynos};

/// The longest password line taken from standard input, in bytes.
const MAX_PASSWORD: u64 = 4096;

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the private CA's certificate, for clients to trust
    Ca(Place),
    /// List the accounts
    Accounts(Place),
    /// List all certificates: when they expire, whose they are, what hinders them
    Certificates(Place),
    /// Make an account; prints its API token once
    #[command(name = "accounts:create")]
    CreateAccount(About),
    /// Make another API token for an account; prints it once
    #[command(name = "tokens:create")]
    CreateToken(About),
    /// Set an account's password, read as one line from standard input (for `heroku login -i`)
    #[command(name = "accounts:password")]
    Password(About),
    /// List the environment variables that Hythe reads
    Environment,
    /// Check the hash chain of every app's releases
    #[command(name = "releases:verify")]
    Verify(Place),
    /// Stop the dynos of a server that does not run
    StopDynos(Place),
}

/// Whose data.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The server's data directory [default: /var/lib/hythe]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Which account.
#[derive(Debug, Clone, clap::Args)]
pub struct About {
    /// The account's e-mail address
    email: String,
    #[command(flatten)]
    place: Place,
}

/// Runs a command.
///
/// # Errors
/// Says what was attempted.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ca(place) => ca(&place),
        Command::StopDynos(place) => stop(&place),
        Command::Environment => list_environment(),
        other => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(with_control(other))
        }
    }
}

async fn with_control(command: Command) -> anyhow::Result<()> {
    let place = match &command {
        Command::Accounts(place) | Command::Certificates(place) | Command::Verify(place) => place,
        Command::CreateAccount(about) | Command::CreateToken(about) | Command::Password(about) => {
            &about.place
        }
        Command::Ca(_) | Command::StopDynos(_) | Command::Environment => return Ok(()),
    };
    let control = foundation::open_existing(&settings(place)?)?;
    match &command {
        Command::CreateAccount(about) => create_account(&control, &about.email).await,
        Command::CreateToken(about) => create_token(&control, &about.email).await,
        Command::Password(about) => set_password(&control, &about.email).await,
        Command::Verify(_) => verify(&control).await,
        Command::Certificates(_) => list_certificates(&control).await,
        _ => list(&control).await,
    }
}

fn settings(place: &Place) -> anyhow::Result<Settings> {
    Settings::read(Flags { data_dir: place.data_dir.clone(), ..Flags::default() })
}

fn ca(place: &Place) -> anyhow::Result<()> {
    let pem = certificates::ca(&settings(place)?.data_dir)?;
    say(pem.trim_end());
    Ok(())
}

fn list_environment() -> anyhow::Result<()> {
    for variable in environment::ALL {
        say(&format!("{:<16} {}", variable.name, variable.help));
    }
    Ok(())
}

async fn list(control: &Control) -> anyhow::Result<()> {
    for account in control::accounts::list(control).await.context("list the accounts")? {
        say(&account.email);
    }
    Ok(())
}

async fn create_account(control: &Control, email: &str) -> anyhow::Result<()> {
    let (_, token) = control::accounts::create(control, email).await?;
    say(token.reveal());
    Ok(())
}

async fn create_token(control: &Control, email: &str) -> anyhow::Result<()> {
    let account = account(control, email).await?;
    let new = control::authorizations::NewAuthorization {
        description: "Made by the operator".to_owned(),
        scopes: vec!["global".to_owned()],
        expires_in: None,
    };
    let made = control::authorizations::create(control, &account, new).await?;
    say(made.token.as_ref().context("read the new token")?.reveal());
    Ok(())
}

async fn set_password(control: &Control, email: &str) -> anyhow::Result<()> {
    let account = account(control, email).await?;
    let mut line = String::new();
    std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut line).context("read the password")?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']));
    Ok(control::accounts::set_password(control, account.id, &password).await?)
}

async fn account(control: &Control, email: &str) -> anyhow::Result<Account> {
    let found = control::accounts::by_email(control, email).await?;
    found.with_context(|| format!("there is no account {email}; see hythe admin accounts"))
}

async fn list_certificates(control: &Control) -> anyhow::Result<()> {
    certificates::report::lines(control).await?.iter().for_each(|line| say(line));
    Ok(())
}

async fn verify(control: &Control) -> anyhow::Result<()> {
    let mut broken = 0;
    for account in control::accounts::list(control).await.context("list the accounts")? {
        for app in control::apps::list(control, &account).await.context("list the apps")? {
            match control::ledger::verify(control, &account, app.id).await? {
                Ok(()) => say(&format!("{}: ok", app.name)),
                Err(error) => {
                    broken += 1;
                    say(&format!("{}: {error}", app.name));
                }
            }
        }
    }
    if broken > 0 { bail!("{broken} ledgers do not verify") } else { Ok(()) }
}

fn stop(place: &Place) -> anyhow::Result<()> {
    let settings = settings(place)?;
    if first_start::is_locked(&settings.data_dir) {
        bail!("the server runs; stop it first, or run it with --stop-dynos");
    }
    let stopped = stop_dynos::all(&settings.run_dir)?;
    let group = foundation::cgroup_parent(&settings);
    sandbox::remove_groups(&group).context("remove the dynos' control group")?;
    sandbox::network::remove_host(&settings.run_dir).context("remove the dynos' network")?;
    // Sockets and markers of a server that is gone; the next start makes what it needs.
    let _in_use = fs::remove_dir_all(&settings.run_dir);
    say(&format!("Stopped {stopped} dynos."));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "an operator's command answers on standard output")]
fn say(line: &str) {
    println!("{line}");
}
