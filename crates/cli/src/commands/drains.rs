//! The commands about where lines go to and come from: drains, telemetry, inputs.

use clap::Subcommand;

use crate::failure::Outcome;
use crate::session::Session;
use crate::topics::{drains, log_inputs, telemetry};

#[derive(Subcommand)]
pub(super) enum DrainCommand {
    /// List an app's log drains, and how they fare
    #[command(name = "drains")]
    Drains(drains::List),
    /// Add a log drain to an app
    #[command(name = "drains:add")]
    DrainsAdd(drains::Add),
    /// Show how a log drain fares
    #[command(name = "drains:info")]
    DrainsInfo(drains::Named),
    /// Remove a log drain from an app
    #[command(name = "drains:remove")]
    DrainsRemove(drains::Named),
    /// List an app's log inputs
    #[command(name = "logs:inputs")]
    LogsInputs(log_inputs::List),
    /// Make a licence to post lines into an app's log
    #[command(name = "logs:inputs:add")]
    LogsInputsAdd(log_inputs::Add),
    /// Remove a log input
    #[command(name = "logs:inputs:remove")]
    LogsInputsRemove(log_inputs::Remove),
    /// List an app's telemetry drains
    #[command(name = "telemetry")]
    Telemetry(telemetry::List),
    /// Add a telemetry drain to an app
    #[command(name = "telemetry:add")]
    TelemetryAdd(telemetry::Add),
    /// Show a telemetry drain, and how it fares
    #[command(name = "telemetry:info")]
    TelemetryInfo(telemetry::Info),
    /// Remove one or all telemetry drains
    #[command(name = "telemetry:remove")]
    TelemetryRemove(telemetry::Remove),
    /// Change a telemetry drain
    #[command(name = "telemetry:update")]
    TelemetryUpdate(telemetry::Update),
}

impl DrainCommand {
    pub(super) fn run(self, session: &Session) -> Outcome {
        match self {
            Self::Drains(args) => args.run(session),
            Self::DrainsAdd(args) => args.run(session),
            Self::DrainsInfo(args) => args.info(session),
            Self::DrainsRemove(args) => args.remove(session),
            Self::LogsInputs(args) => args.run(session),
            Self::LogsInputsAdd(args) => args.run(session),
            Self::LogsInputsRemove(args) => args.run(session),
            Self::Telemetry(args) => args.run(session),
            Self::TelemetryAdd(args) => args.run(session),
            Self::TelemetryInfo(args) => args.run(session),
            Self::TelemetryRemove(args) => args.run(session),
            Self::TelemetryUpdate(args) => args.run(session),
        }
    }
}
