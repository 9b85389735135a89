//! Runs a command of the matrix file after a phase. Its exit code is the verdict, and its output is the evidence.

use tokio_util::sync::CancellationToken;

use crate::cluster::{CommandEnd, CommandRun, Surroundings, run_command};
use crate::event::{Evidence, Failure, LogExcerpt, Symptom};
use crate::matrix::HostCommand;
use crate::suite::context::{Checked, Context};
use crate::suite::evidence;

/// How a successful command ends.
const SUCCESS: &str = "exited with code 0";

/// Why a command is stopped early.
enum Stop {
    Interrupted,
    /// Something that the cell needs has failed.
    Broken(Failure),
}

/// Runs `command` until it ends. Returns `None` if `interruption` is cancelled first.
pub(crate) async fn run(
    context: &mut Context,
    command: &HostCommand,
    interruption: &CancellationToken,
) -> Result<Option<Checked>, Failure> {
    let CommandRun { end, output } = execute(context, command, interruption).await?;
    let log = evidence::keep_output(context, command.name.as_str(), &output).await;
    outcome(command, end, log)
}

async fn execute(
    context: &mut Context,
    command: &HostCommand,
    interruption: &CancellationToken,
) -> Result<CommandRun<Stop>, Failure> {
    context.connect(command.after).await?;
    let surroundings = Surroundings {
        kubeconfig: context.cluster.kubeconfig().await?,
        mock_url: context.mock()?.url().to_owned(),
        nodes: context.nodes(),
    };
    let stop = async {
        tokio::select! {
            biased;
            () = interruption.cancelled() => Stop::Interrupted,
            failure = context.cluster.broken() => Stop::Broken(failure),
        }
    };
    let deadline = context.plan.clock.deadline(command.timeout);
    run_command(&context.plan, command, &surroundings, &deadline, stop).await
}

/// The result of the command; `None` if the run was interrupted.
fn outcome(
    command: &HostCommand,
    end: CommandEnd<Stop>,
    log: LogExcerpt,
) -> Result<Option<Checked>, Failure> {
    let name = &command.name;
    let failed = |message: String, evidence: Evidence| {
        Failure::new(Symptom::CommandFailed, message).with_evidence([evidence])
    };
    let mut failure = match end {
        CommandEnd::Succeeded => {
            return Ok(Some(Checked {
                evidence: vec![Evidence::new("end", SUCCESS, SUCCESS, true)],
                logs: vec![log],
                ..Checked::default()
            }));
        }
        CommandEnd::Failed(how) => failed(
            format!("`{name}` {how}"),
            Evidence::new("end", SUCCESS, &how, false),
        ),
        CommandEnd::TimedOut => {
            let timeout = humantime::format_duration(command.timeout);
            failed(
                format!("`{name}` did not finish within {timeout}"),
                Evidence::new("end", format!("within {timeout}"), "killed", false),
            )
        }
        CommandEnd::Stopped(Stop::Broken(failure)) => failure,
        CommandEnd::Stopped(Stop::Interrupted) => return Ok(None),
    };
    failure.logs.insert(0, log);
    Err(failure)
}
