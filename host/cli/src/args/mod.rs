//! What can be typed. The help texts teach; keep them true.

mod author;
mod define;
mod values;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use author::*;
use clap::{Parser, Subcommand, ValueEnum};
pub(crate) use define::*;
use retake_core::inject::Injection;
use retake_server::types::RunsFilter;
pub(crate) use values::typed;
use values::{duration, instant, size};

/// Runs flows that are WebAssembly components, each attempt in a fresh sandbox, and retries what failed.
#[derive(Debug, Parser)]
#[command(
    name = "retake",
    version,
    after_help = "Exit codes: 0 ok, 1 the run failed, 2 usage, 3 not found, 4 denied, 5 no server, 6 conflict, \
                  70 the database failed (start again: what was kept is there), 124 the wait ended before the run did, 130 interrupted (the run is left where it is)."
)]
pub(crate) struct Args {
    /// Where runs, results and components are kept [default: retake in the user's data directory]
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The server that is asked [default: the one that works on the data directory, if there is one]
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token that it is asked with [default: what the server left in the data directory]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "RETAKE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// The key that secrets are kept with; made when the first one is set [default: secret.key in the data directory]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "RETAKE_KEY_FILE",
        value_name = "FILE"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// A certificate authority, in PEM, by which the server is known too, beside those of this machine
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// The file with settings [default: retake/config.toml in the user's directory for configurations]
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which of the profiles of that file counts: `[profile.NAME]` with settings that count for every command
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Show instants in UTC, not in the zone of this machine (`TZ`); JSON has them in UTC always
    #[arg(long, global = true, help_heading = "Options of every command", env = "RETAKE_UTC")]
    pub(crate) utc: bool,
    /// How answers are written to stdout
    #[arg(short, long, global = true, help_heading = "Options of every command", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Say nothing but answers and errors
    #[arg(short, long, global = true, help_heading = "Options of every command")]
    pub(crate) quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, help_heading = "Options of every command", action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, help_heading = "Options of every command", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document on each line
    Jsonl,
    /// Only ids, one on each line
    Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a project: a small flow that shows what there is, ready to be run
    #[command(after_help = "\
Examples:
  retake new hello && cd hello
  retake run . -p name=Ann      build it and run it
  retake dev                    serve it, and deploy it again whenever a file changes
  retake new tidy --lang python

The directory holds all that it needs, the SDK too: compilers, tests and editors work in it as in any project.")]
    New(New),
    /// Build the component of a project, and inspect it; stdout has the path of the file
    #[command(after_help = "\
Examples:
  retake build
  retake build orders --out orders.wasm
  retake inspect \"$(retake build orders)\"

A directory with a `Cargo.toml` is built with cargo, for the target wasm32-wasip2. Where the compiler has no standard
library for it, rustup adds it, or Debian's packages are unpacked into your cache directory (RETAKE_TOOLS names another);
RETAKE_WASI_TOOLCHAIN=rustup or =debian chooses one.")]
    Build(Build),
    /// Build, deploy and serve a project, again whenever a file changes, until interrupted
    #[command(after_help = "\
Examples:
  retake dev
  retake dev orders -n trial

Each flow of the component is deployed under the name, and stays deployed at the end. When a build fails, what was built
last stays deployed. Where a server works on the data directory, or with `--server`, it is deployed there.")]
    Dev(Dev),
    /// Run a flow from a component file or a project, or by name once its component is known
    #[command(after_help = "\
Examples:
  retake run flow.wasm -p customer=acme
  retake run . -p customer=acme                   builds the project in this directory first
  retake run flow.wasm --flow main --retry-delay 0s
  retake run orders -p 'lines:=[1, 2]' -o json

Without a server the run is worked on until it ends. When there is nothing to do for 10 s or more, as before a distant
retry, the command says so and leaves; `retake watch RUN` goes on from there. With --wait it stays.
With a server the run is made there and the command leaves at once, with exit code 0; --wait stays until it has ended,
and then the exit code tells how.")]
    Run(Run),
    /// Run a run again that has ended: kept results are fed back, only the rest runs
    #[command(after_help = "\
Examples:
  retake retry brisk-otter --dry-run              what would be fed back, and what would run
  retake retry brisk-otter --from enrich          forget enrich, and whatever was first called after it
  retake retry brisk-otter --version flow.wasm    the mended code, with the results that are kept
  retake retry --state failed --since 2h --code 'http.*' --dry-run
  retake retry --deployment orders/nightly --since 1d")]
    Retry(Retry),
    /// Stop runs and their children for good; what they have done is kept
    #[command(after_help = "\
Examples:
  retake cancel brisk-otter
  retake cancel --deployment orders/nightly --dry-run     which those would be
  retake cancel --state scheduled,late --tag warehouse")]
    Cancel(Chosen),
    /// Let runs wait until they are resumed; task attempts that run may end within the grace time of the server (30 s),
    /// and begin again later if they do not; children go on
    Pause(Several),
    /// Let paused runs go on
    Resume(Several),
    /// Begin the next attempt of runs now, not when it is due; sleeps and delays within an attempt are not cut short
    RunNow(Several),
    /// Remove runs that have ended, with all that is kept of them; there is no way back
    #[command(after_help = "\
Examples:
  retake rm brisk-otter
  retake rm --state failed --flow orders --dry-run        which those would be
  retake rm --state completed --tag trial")]
    Rm(Chosen),
    /// Look after single tasks of a run
    #[command(subcommand)]
    Task(Task),
    /// Follow a run to its end; without a server, go on with one that was left
    Watch(Watch),
    /// Work on whatever is due, until interrupted
    Worker(Worker),
    /// List runs, newest first
    Ps(Ps),
    /// Show a run with its attempts and tasks
    Show(Target),
    /// Say in sentences where a run stands, why, and what can be done
    Explain(Target),
    /// Print what a run printed and logged
    Logs(Logs),
    /// Look into a component without running it; a file, or what is built of a project, is not kept
    Inspect(Inspect),
    /// Show when each attempt of a flow and its tasks would begin
    Policy(Policy),
    /// Put a flow under a name, ready to be run: `retake run FLOW/NAME`
    #[command(after_help = "\
Examples:
  retake deploy orders.wasm -n dev -q dev -p customer=acme
  retake deploy . -n dev                              what is built of the project in this directory
  retake deploy orders.wasm -n dev --dry-run          what would change: code, policies, schemas, capabilities
  retake deploy orders.wasm -n nightly --cron '0 6 * * 1-5' --tz Europe/Berlin

What is left out stays as it is where the deployment exists. Runs that were made before keep their code.")]
    Deploy(Deploy),
    /// Look after deployments
    #[command(subcommand)]
    Deployments(Deployments),
    /// Look after components
    #[command(subcommand)]
    Components(Components),
    /// List the flows that can be run
    Flows,
    /// Look after schedules
    #[command(subcommand)]
    Schedules(Schedules),
    /// Look after nodes, the processes that work on runs: so far the server itself
    #[command(subcommand, after_help = "Example: retake nodes ls && retake nodes drain worker-1")]
    Nodes(Nodes),
    /// Limit how many runs of a queue are worked on at once; children of runs are not counted
    #[command(subcommand, after_help = "Example: retake queues limit gpu 2")]
    Queues(Limits),
    /// Limit how many attempts of tasks with a tag are made at once, over all runs
    #[command(
        subcommand,
        after_help = "\
Example: retake task-tags limit warehouse 4

Tags are in a component's metadata: `retake inspect` shows them. An attempt of a task with several tags takes a place of
each."
    )]
    TaskTags(Limits),
    /// Look after secrets, which flows are given and nobody is shown
    #[command(
        subcommand,
        after_help = "\
Examples:
  retake secrets set shop-token < token.txt
  retake deploy orders.wasm -n dev --secret shop-token

A run has a secret when its metadata asks for it and its deployment grants it, from the next attempt on. Secrets are kept
sealed, with a key in a file beside the database that `--key-file` may put elsewhere: without the key they are lost."
    )]
    Secrets(Secrets),
    /// Look after variables, JSON values that flows read
    #[command(
        subcommand,
        after_help = "\
Examples:
  retake variables set batch-size 500
  retake variables set regions '[\"eu\", \"us\"]'
  retake deploy orders.wasm -n dev --variable batch-size"
    )]
    Variables(Variables),
    /// Tell people what becomes of runs
    #[command(subcommand)]
    Notify(Notify),
    /// Look after tokens
    #[command(subcommand)]
    Tokens(Tokens),
    /// List who did what, newest first
    Audit(Audit),
    /// Serve the HTTP API and work on whatever is due, until interrupted
    #[command(after_help = "\
The first start makes a token, of an admin, and leaves it in the data directory, where the other commands find it.
Ctrl-C or SIGTERM lets task attempts end within the grace time; what is open goes on at the next start.")]
    Server(Server),
    /// Open the web UI in a browser, signed in with the token that the other commands use
    #[command(after_help = "\
The address is good for one sign-in. Where no browser can be opened, it is printed: open it where there is one.")]
    Ui(Ui),
    /// Show what is set, and by whom: a flag counts for more than the environment, that for more than the file
    #[command(after_help = "\
The file is `retake/config.toml` in the user's directory for configurations, or what `--config` or RETAKE_CONFIG names.
It holds flags by their long names:

  server = \"https://retake.example:7420\"
  output = \"json\"

  [command.server]
  listen = \"127.0.0.1:7421\"
  flow-slots = 64

  [profile.night]
  server = \"https://night.example:7420\"

A profile's settings count where `--profile night` or RETAKE_PROFILE chooses it.
Whoever keeps a `token` there lets nobody else read it. `retake config -o json` is for scripts.")]
    Config,
    /// Look after the database
    #[command(subcommand)]
    Db(Db),
    /// Check that this machine can run flows
    Doctor,
    /// Compile a component from stdin, in a process that is there for nothing else
    #[command(hide = true)]
    CompileComponent {
        /// The directory for compiled code
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print completions for a shell
    #[command(after_help = "Example: retake completions bash > ~/.local/share/bash-completion/completions/retake")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A component file (has a `.wasm` at its end), the directory of a project, the name of a flow, or a deployment as
    /// FLOW/NAME
    #[arg(value_name = "FILE.wasm|DIR|FLOW|FLOW/NAME")]
    pub(crate) target: String,
    /// Which flow of the component, when it has several [default: the one that is called like the component]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    #[command(flatten)]
    pub(crate) policy: PolicyOverrides,
    /// Memory of one attempt, such as 128MiB, instead of what the metadata says
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// What is to go wrong, to see what becomes of the run: `task:NAME=fail*2`, `fail:CODE`, `trap` or `hang`; of each run
    /// of the task, or of the flow as `flow:NAME=…`, the first attempts; may be given again
    #[arg(long, value_name = "task:NAME=WHAT*N")]
    pub(crate) inject: Vec<Injection>,
    /// Start the run at this instant, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "in_", value_parser = instant)]
    pub(crate) at: Option<jiff::Timestamp>,
    /// Start the run after this long, such as 10m
    #[arg(long = "in", id = "in_", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) in_: Option<Duration>,
    /// Do not make a second run under the same key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Parameters {
    /// A parameter: K=V takes the type of the flow's schema, K:=JSON is JSON. K=null is null where the schema allows that,
    /// and the text `null` is `K:="null"` then; what is left out has its default
    #[arg(short, long = "param", value_name = "K=V|K:=JSON")]
    pub(crate) param: Vec<String>,
    /// All parameters as a JSON object, from a file or from stdin
    #[arg(long, value_name = "@FILE|-|JSON")]
    pub(crate) params: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyOverrides {
    /// Retries of the flow, instead of what the metadata says; where a run is retried, in the round that begins
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) retries: Option<u32>,
    /// Delay before each retry of the flow, such as 0s or 5m; where a run is retried, in the round that begins
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) retry_delay: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Stay until the run has ended, however long its delays are
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// Stay at most this long, then leave the run where it is (exit code 124)
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The run: its name, its id, or an unambiguous beginning of its id
    #[arg(value_name = "RUN", conflicts_with_all = ["state", "flow", "deployment", "tag", "text", "since", "code"])]
    pub(crate) run: Option<String>,
    /// Forget the results of this task too, and of every call first made after it
    #[arg(long, value_name = "TASK")]
    pub(crate) from: Option<String>,
    /// Forget the results of these tasks too, by name, label or number; may be given again
    #[arg(long, value_name = "TASK,…", value_delimiter = ',')]
    pub(crate) rerun: Vec<String>,
    /// Forget all kept results, and run everything again, even if the run has completed
    #[arg(long)]
    pub(crate) all: bool,
    /// Run other code with the kept results: `latest`, a component file, the directory of a project, or the beginning of
    /// a digest
    #[arg(long, value_name = "latest|FILE|DIR|DIGEST")]
    pub(crate) version: Option<String>,
    /// Parameters that change; the others stay as they were
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    /// A parameter that the run has no more, so that the flow's default counts for it; may be given again
    #[arg(long, value_name = "NAME", requires = "run")]
    pub(crate) unset: Vec<String>,
    /// Say what would be fed back and what would run again, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Retry again and again until it succeeds, after waits from 1 s to 1 min; stays as with --wait, however long its
    /// own delays are, or until --timeout is over
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) until_success: bool,
    /// Refuse unless the run is at this attempt, so that two people do not retry it twice
    #[arg(long, value_name = "N", conflicts_with_all = ["state", "flow", "deployment", "tag", "text", "since", "code"])]
    pub(crate) expected_attempt: Option<u32>,
    #[command(flatten)]
    pub(crate) policy: PolicyOverrides,
    /// Memory of one attempt, such as 128MiB, from now on
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    // Last: its heading is for all that follows.
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Which runs, where none is named.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Instead of one run, all that")]
pub(crate) struct Which {
    /// are in these states, such as failed,crashed [default: those for which it makes sense: failed, timed-out, crashed and
    /// parked for `retry`, those that have not ended for `cancel`, those that have for `rm`]
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    pub(crate) state: Vec<String>,
    /// are of this flow
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// ended within this time, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) since: Option<Duration>,
    /// failed with this code; `http.*` is every code that begins with `http.`
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// are of this deployment
    #[arg(long, value_name = "FLOW/NAME")]
    pub(crate) deployment: Option<String>,
    /// are of deployments with this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// have this text in their name, flow, deployment or failure
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

impl Which {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { state, flow, since, code, deployment, tag, text } = self;
        let texts = [flow, code, deployment, tag, text];
        state.is_empty() && since.is_none() && texts.into_iter().all(Option::is_none)
    }

    /// Returns the same as a server is asked for it.
    pub(crate) fn filter(&self) -> RunsFilter {
        RunsFilter {
            flow: self.flow.clone(),
            deployment: self.deployment.clone(),
            tag: self.tag.clone(),
            text: self.text.clone(),
            state: (!self.state.is_empty()).then(|| self.state.join(",")),
            ended_since: self.since.map(|it| crate::look::ago(crate::local::now(), it)),
            code: self.code.clone(),
            ..RunsFilter::default()
        }
    }
}

/// Runs that are named, or all that a filter finds.
#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// The runs: names, ids, or unambiguous beginnings of ids
    #[arg(value_name = "RUN", conflicts_with_all = ["state", "flow", "deployment", "tag", "text", "since", "code"])]
    pub(crate) runs: Vec<String>,
    /// Say which runs, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    // Last: its heading is for all that follows.
    #[command(flatten)]
    pub(crate) which: Which,
}

impl Parameters {
    pub(crate) fn is_empty(&self) -> bool {
        self.param.is_empty() && self.params.is_none()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Several {
    /// The runs: names, ids, or unambiguous beginnings of ids
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Set the result of a task that has none: the next attempt is fed it, and the run shows that it was set by hand
    #[command(after_help = "Example: retake task set-result brisk-otter count --json 3 && retake retry brisk-otter")]
    SetResult(SetResult),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetResult {
    /// The run: its name, its id, or an unambiguous beginning of its id
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The task: its name or label where only one call has it, or the number of the call
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// The result, as JSON
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) json: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Bring the database to the schema of this version; any command that works on runs does so, too
    Migrate,
    /// Write a copy of the database and its files to another directory, also while runs are worked on
    #[command(after_help = "\
Examples:
  retake db backup /backups/monday
  retake db backup /backups/monday --with-key       with the key of the secrets, which opens them: keep it safe

Not in it: the key of the secrets, unless --with-key; this machine's token and settings; compiled code, which is made
again. `retake db restore` brings it back.")]
    Backup {
        /// Where to; it must not exist yet
        #[arg(value_name = "DIR")]
        to: PathBuf,
        /// Copy the key of the secrets too
        #[arg(long)]
        with_key: bool,
    },
    /// Bring a backup back to a data directory in which nothing is kept yet, with a new token for this machine
    #[command(after_help = "\
Examples:
  retake db restore /backups/monday --dry-run       what is in it, and what would be missing
  retake db restore /backups/monday
  retake db restore /backups/monday --key-file /keys/retake.key

Runs that were worked on when the backup was made go on when somebody works on the data directory: stop the old server
first, or both work on the same runs.")]
    Restore {
        /// The backup
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// Say what would be brought back, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Read everything and check it: the database's structure, its rules, and every file's digest
    Check,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// The run: its name, its id, or an unambiguous beginning of its id
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Worker {
    /// Work only on runs of this queue; may be given again; `-q QUEUE` is as good here
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Vec<String>,
    /// Leave when nothing is due
    #[arg(long)]
    pub(crate) drain: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    /// Only runs of this deployment
    #[arg(long, value_name = "FLOW/NAME")]
    pub(crate) deployment: Option<String>,
    /// Only runs of deployments with this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Only runs whose name, flow, deployment, or the message or code of whose failure holds this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only runs of this flow
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// Only runs whose last attempt failed with this code; `http.*` is every code that begins with `http.`
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only runs in these states, such as failed,running
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    pub(crate) state: Vec<String>,
    /// Only runs made within this time, such as 24h
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) since: Option<Duration>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 20, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) number: u16,
    /// Show child runs too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show the list again every second
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The run: its name, its id, or an unambiguous beginning of its id
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The run: its name, its id, or an unambiguous beginning of its id
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Go on printing until the run has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Also the lines of its children, and of theirs, in the order in which they were written
    #[arg(long)]
    pub(crate) tree: bool,
    /// Only lines of this task
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// Only lines of this attempt of the task, or of the flow where the flow itself wrote them
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// Only lines written within this time, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) since: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// A component file (has a `.wasm` at its end), the directory of a project, or the name of a flow
    #[arg(value_name = "FILE.wasm|DIR|FLOW")]
    pub(crate) target: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    /// A component file (has a `.wasm` at its end), the directory of a project, or the name of a flow
    #[arg(value_name = "FILE.wasm|DIR|FLOW")]
    pub(crate) target: String,
    /// Which flow of the component, when it has several [default: the one that is called like the component]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyOverrides,
}
