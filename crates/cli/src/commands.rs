//! The table of commands. One file per topic is in [`crate::topics`].

mod drains;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::drains::DrainCommand;
use crate::env::Env;
use crate::failure::Outcome;
use crate::screen::Screen;
use crate::session::Session;
use crate::topics::features::{Enabled, Shelf};
use crate::topics::{
    apps, auth, boot_timeout, certs, certs_auto, config, domains, features, git, inside,
    log_alerts, log_search, logs, maintenance, metrics, ps, releases, run,
};

/// The client of Hythe: apps, dynos, config, releases and logs of any server
#[derive(Parser)]
#[command(
    name = "hythe",
    version,
    after_help = "On a server's own machine there are also `hythe server`, `hythe admin` and `hythe doctor`.",
    max_term_width = 100,
    subcommand_value_name = "COMMAND"
)]
struct Line {
    /// Server to talk to: a name given by `hythe login`, or a URL
    #[arg(long, global = true, value_name = "SERVER")]
    server: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List your apps
    #[command(name = "apps", aliases = ["apps:list", "list"])]
    Apps(apps::List),
    /// Create a new app
    #[command(name = "apps:create", visible_alias = "create")]
    AppsCreate(apps::Create),
    /// Permanently destroy an app
    #[command(name = "apps:destroy", visible_alias = "destroy", alias = "apps:delete")]
    AppsDestroy(apps::Destroy),
    /// Show detailed app information
    #[command(name = "apps:info", visible_alias = "info")]
    AppsInfo(apps::Info),
    /// Open the app in a web browser
    #[command(name = "apps:open", visible_alias = "open")]
    AppsOpen(apps::Open),
    /// Rename an app
    #[command(name = "apps:rename", visible_alias = "rename")]
    AppsRename(apps::Rename),
    /// Log in to a server
    #[command(name = "auth:login", visible_alias = "login")]
    Login(auth::Login),
    /// Clear the login and invalidate its token
    #[command(name = "auth:logout", visible_alias = "logout")]
    Logout,
    /// Print the token in use
    #[command(name = "auth:token")]
    Token,
    /// Display the current logged in user
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    Whoami,
    /// List SSL certificates for an app
    #[command(name = "certs")]
    Certs(certs::List),
    /// Add an SSL certificate to an app
    #[command(name = "certs:add")]
    CertsAdd(certs::Add),
    /// Show how far an app's automatic certificates are
    #[command(name = "certs:auto")]
    CertsAuto(certs_auto::Show),
    /// Disable automatic certificates for an app
    #[command(name = "certs:auto:disable")]
    CertsAutoDisable(certs_auto::Disable),
    /// Enable automatic certificates for an app
    #[command(name = "certs:auto:enable")]
    CertsAutoEnable(certs_auto::Enable),
    /// Ask again for certificates that were refused
    #[command(name = "certs:auto:refresh")]
    CertsAutoRefresh(certs_auto::Refresh),
    /// Generate a key and a CSR or self-signed certificate
    #[command(name = "certs:generate")]
    CertsGenerate(certs::Generate),
    /// Show what an SSL certificate says
    #[command(name = "certs:info")]
    CertsInfo(certs::Info),
    /// Remove an SSL certificate from an app
    #[command(name = "certs:remove")]
    CertsRemove(certs::Remove),
    /// Update an SSL certificate on an app
    #[command(name = "certs:update")]
    CertsUpdate(certs::Update),
    /// Display the config vars for an app
    #[command(name = "config")]
    Config(config::Show),
    /// Display config values for an app
    #[command(name = "config:get")]
    ConfigGet(config::Get),
    /// Set one or more config vars
    #[command(name = "config:set", alias = "config:add")]
    ConfigSet(config::Set),
    /// Unset one or more config vars
    #[command(name = "config:unset", alias = "config:remove")]
    ConfigUnset(config::Unset),
    /// List domains for an app
    #[command(name = "domains")]
    Domains(domains::List),
    /// Add a domain to an app
    #[command(name = "domains:add")]
    DomainsAdd(domains::Add),
    /// Remove all custom domains from an app
    #[command(name = "domains:clear")]
    DomainsClear(domains::Clear),
    /// Show detailed information for a domain
    #[command(name = "domains:info")]
    DomainsInfo(domains::Named),
    /// Remove a domain from an app
    #[command(name = "domains:remove")]
    DomainsRemove(domains::Named),
    /// Serve a domain with a different certificate
    #[command(name = "domains:update")]
    DomainsUpdate(domains::Update),
    /// Wait for domains to be active
    #[command(name = "domains:wait")]
    DomainsWait(domains::Wait),
    /// List available app features
    #[command(name = "features")]
    Features(features::List),
    /// Enable an app feature
    #[command(name = "features:enable")]
    FeaturesEnable(features::Named),
    /// Disable an app feature
    #[command(name = "features:disable")]
    FeaturesDisable(features::Named),
    /// Display information about a feature
    #[command(name = "features:info")]
    FeaturesInfo(features::Named),
    /// Clone an app's repository to a directory
    #[command(name = "git:clone")]
    GitClone(git::Clone),
    /// Answer git's questions for credentials
    #[command(name = "git:credentials", hide = true)]
    GitCredentials(git::Credentials),
    /// Add a git remote of an app to the repository
    #[command(name = "git:remote")]
    GitRemote(git::Remote),
    /// List experimental features
    #[command(name = "labs")]
    Labs(features::List),
    /// Enable an experimental feature
    #[command(name = "labs:enable")]
    LabsEnable(features::Named),
    /// Disable an experimental feature
    #[command(name = "labs:disable")]
    LabsDisable(features::Named),
    /// Show feature info
    #[command(name = "labs:info")]
    LabsInfo(features::Named),
    /// Display recent log output
    #[command(name = "logs")]
    Logs(logs::Logs),
    /// List who is told of which log lines
    #[command(name = "logs:alerts")]
    LogsAlerts(log_alerts::List),
    /// Tell somebody when certain lines are logged
    #[command(name = "logs:alerts:add")]
    LogsAlertsAdd(log_alerts::Add),
    /// Remove a log alert
    #[command(name = "logs:alerts:remove")]
    LogsAlertsRemove(log_alerts::Named),
    /// Send a test message of a log alert
    #[command(name = "logs:alerts:test")]
    LogsAlertsTest(log_alerts::Named),
    /// Show how much of the log is kept, and what was lost or altered
    #[command(name = "logs:info")]
    LogsInfo(log_search::Info),
    /// Look for lines in all that is kept of the log
    #[command(name = "logs:search")]
    LogsSearch(log_search::Search),
    /// Display the current maintenance status of an app
    #[command(name = "maintenance")]
    Maintenance(maintenance::Only),
    /// Put the app into maintenance mode
    #[command(name = "maintenance:on")]
    MaintenanceOn(maintenance::Only),
    /// Take the app out of maintenance mode
    #[command(name = "maintenance:off")]
    MaintenanceOff(maintenance::Only),
    /// Show the requests, errors and response times of an app
    #[command(name = "metrics", visible_alias = "traffic")]
    Metrics(metrics::Metrics),
    /// List dynos for an app
    #[command(name = "ps")]
    Ps(ps::List),
    /// Show or set how many seconds web dynos have to listen
    #[command(name = "ps:boot-timeout")]
    PsBootTimeout(boot_timeout::BootTimeout),
    /// Scale dyno quantity up or down
    #[command(name = "ps:scale", visible_alias = "scale", alias = "dyno:scale")]
    PsScale(ps::Scale),
    /// Restart an app's dynos
    #[command(name = "ps:restart", visible_alias = "restart", alias = "dyno:restart")]
    PsRestart(ps::Which),
    /// Stop an app's dyno or process type
    #[command(name = "ps:stop", aliases = ["stop", "kill", "ps:kill", "dyno:stop", "dyno:kill"])]
    PsStop(ps::Which),
    /// Display the releases for an app
    #[command(name = "releases")]
    Releases(releases::List),
    /// View detailed information for a release
    #[command(name = "releases:info")]
    ReleasesInfo(releases::Info),
    /// View the release command output
    #[command(name = "releases:output")]
    ReleasesOutput(releases::Output),
    /// Roll back to a previous release
    #[command(name = "releases:rollback", visible_alias = "rollback")]
    Rollback(releases::Rollback),
    /// Run a one-off process inside a dyno
    #[command(name = "run")]
    Run(run::Run),
    /// Run a command inside a running dyno
    #[command(name = "run:inside")]
    RunInside(inside::Inside),
    /// Run a detached dyno, where output is sent to your logs
    #[command(name = "run:detached")]
    RunDetached(run::Detached),
    #[command(flatten)]
    Drains(DrainCommand),
}

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: Vec<OsString>, env: Env) -> ExitCode {
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Nobody may be reading; the exit status is right all the same.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let screen = Screen::detect(env.no_color);
    match Session::open(env, line.server).and_then(|session| line.command.run(&session)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.fail(&failure);
            failure.exit_code()
        }
    }
}

impl Command {
    fn run(self, session: &Session) -> Outcome {
        match self {
            Self::Apps(args) => args.run(session),
            Self::AppsCreate(args) => args.run(session),
            Self::AppsDestroy(args) => args.run(session),
            Self::AppsInfo(args) => args.run(session),
            Self::AppsOpen(args) => args.run(session),
            Self::AppsRename(args) => args.run(session),
            Self::Login(args) => args.run(session),
            Self::Logout => auth::logout(session),
            Self::Token => auth::token(session),
            Self::Whoami => auth::whoami(session),
            Self::Certs(args) => args.run(session),
            Self::CertsAdd(args) => args.run(session),
            Self::CertsAuto(args) => args.run(session),
            Self::CertsAutoDisable(args) => args.run(session),
            Self::CertsAutoEnable(args) => args.run(session),
            Self::CertsAutoRefresh(args) => args.run(session),
            Self::CertsGenerate(args) => args.run(session),
            Self::CertsInfo(args) => args.run(session),
            Self::CertsRemove(args) => args.run(session),
            Self::CertsUpdate(args) => args.run(session),
            Self::Config(args) => args.run(session),
            Self::ConfigGet(args) => args.run(session),
            Self::ConfigSet(args) => args.run(session),
            Self::ConfigUnset(args) => args.run(session),
            Self::Domains(args) => args.run(session),
            Self::DomainsAdd(args) => args.run(session),
            Self::DomainsClear(args) => args.run(session),
            Self::DomainsInfo(args) => args.info(session),
            Self::DomainsRemove(args) => args.remove(session),
            Self::DomainsUpdate(args) => args.run(session),
            Self::DomainsWait(args) => args.run(session),
            Self::Features(args) => args.run(session, Shelf::General),
            Self::Labs(args) => args.run(session, Shelf::Labs),
            Self::FeaturesEnable(args) | Self::LabsEnable(args) => args.set(session, Enabled::Yes),
            Self::FeaturesDisable(args) | Self::LabsDisable(args) => args.set(session, Enabled::No),
            Self::FeaturesInfo(args) | Self::LabsInfo(args) => args.info(session),
            Self::GitClone(args) => args.run(session),
            Self::GitCredentials(args) => args.run(session),
            Self::GitRemote(args) => args.run(session),
            Self::Logs(args) => args.run(session),
            Self::LogsAlerts(args) => args.run(session),
            Self::LogsAlertsAdd(args) => args.run(session),
            Self::LogsAlertsRemove(args) => args.remove(session),
            Self::LogsAlertsTest(args) => args.test(session),
            Self::LogsInfo(args) => args.run(session),
            Self::LogsSearch(args) => args.run(session),
            Self::Maintenance(args) => args.show(session),
            Self::MaintenanceOn(args) => args.set(session, maintenance::Mode::On),
            Self::MaintenanceOff(args) => args.set(session, maintenance::Mode::Off),
            Self::Metrics(args) => args.run(session),
            Self::Ps(args) => args.run(session),
            Self::PsBootTimeout(args) => args.run(session),
            Self::PsScale(args) => args.run(session),
            Self::PsRestart(args) => args.restart(session),
            Self::PsStop(args) => args.stop(session),
            Self::Releases(args) => args.run(session),
            Self::ReleasesInfo(args) => args.run(session),
            Self::ReleasesOutput(args) => args.run(session),
            Self::Rollback(args) => args.run(session),
            Self::Run(args) => args.run(session),
            Self::RunInside(args) => args.run(session),
            Self::RunDetached(args) => args.run(session),
            Self::Drains(command) => command.run(session),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Line::command().debug_assert();
    }

    #[test]
    fn commands_are_written_as_herokus_are() {
        let parses = |line: &str| Line::try_parse_from(line.split(' ')).is_ok();
        for good in [
            "hythe create",
            "hythe create demo --no-remote",
            "hythe ps:scale web=2 worker+1:Standard-2X -a demo",
            "hythe ps:scale web-1",
            "hythe config:set A=-1 B=x=y -a demo",
            "hythe rollback v3",
            "hythe releases:rollback",
            "hythe metrics -a demo --step hour --from 2026-01-02T03:04:05Z",
            "hythe logs --tail -n 20 --ps web.1 --source app",
            "hythe logs:search timeout --exclude healthcheck -a demo --since 2h -n 20",
            "hythe logs:search --request-id 1-2-3 --dyno !web",
            "hythe logs:alerts:add out of memory --url https://example.com/hook --every 10",
            "hythe logs:alerts:add --regex ^E[0-9]+ --email ada@example.com",
            "hythe run -a demo -- bash -c true",
            "hythe run -a demo rake db:migrate --trace",
            "hythe destroy demo --confirm demo",
            "hythe apps:info -a demo --json",
            "hythe apps --server work",
            "hythe git:credentials get",
            "hythe labs:enable log-runtime-metrics -a demo",
            "hythe ps:boot-timeout 90 -a demo",
            "hythe drains",
            "hythe drains:add syslog://logs.example.com:514 -a demo",
            "hythe telemetry:add https://otel.example.com --signals logs -a demo",
            "hythe logs:inputs:add postgres -a demo",
            "hythe domains:add *.example.com --cert quiet-otter-1 --wait -a demo",
            "hythe certs:add a.crt a.key --domains a.example.com,b.example.com",
            "hythe certs:update a.crt a.key --name quiet-otter-1 --confirm demo",
            "hythe certs:auto:enable --wait",
        ] {
            assert!(parses(good), "{good}");
        }
        for bad in ["hythe", "hythe ps:scal", "hythe config:get", "hythe logs --nonsense"] {
            assert!(!parses(bad), "{bad}");
        }
    }
}
