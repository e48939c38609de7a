//! What can be typed to define things and to serve them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::values::{duration, instant, retention, size};
use super::{Parameters, PolicyOverrides};

#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7420", env = "RETAKE_LISTEN")]
    pub(crate) listen: std::net::SocketAddr,
    /// A name by which the server is called, besides localhost, with its port unless that is 443; may be given again
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// The certificate with which it speaks TLS, and its chain, in PEM; it is read at the start
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "RETAKE_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "RETAKE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen on an address that others reach, without TLS: tokens can be read on the way
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Work only on runs of this queue; may be given again; `-q QUEUE` is as good here
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Vec<String>,
    /// What it is called among the nodes [default: the machine's name]
    #[arg(long, value_name = "NAME", env = "RETAKE_NODE")]
    pub(crate) node: Option<String>,
    /// Flow runs that are worked on at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) flow_slots: u16,
    /// Task attempts at once
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub(crate) task_slots: u16,
    /// Flow runs that begin, or go on, in a second, children apart [default: as many as come]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Runs that are due and wait before no more are made: whoever asks for one is told to ask later (429)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) most_waiting: u64,
    /// Requests that each token may make in a second
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests: u32,
    /// Who takes notifications by e-mail on their way: smtp[s]://[USER@]HOST[:PORT]; the password is RETAKE_SMTP_PASSWORD
    #[arg(long, value_name = "URL", requires = "smtp_from", env = "RETAKE_SMTP_SERVER")]
    pub(crate) smtp_server: Option<String>,
    /// Whose e-mail it is
    #[arg(long, value_name = "ADDRESS", requires = "smtp_server", env = "RETAKE_SMTP_FROM")]
    pub(crate) smtp_from: Option<String>,
    /// Where traces are sent, by OTLP over HTTP: a collector's address, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL", env = "RETAKE_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
    /// How long runs are kept after they have ended, where their deployment does not say; a minute at least [default: for
    /// ever]
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    pub(crate) retention: Option<Duration>,
    /// How the log is written, to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// How long task attempts may go on when the server is to end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) grace: Duration,
}

impl Server {
    /// A server with nothing typed but where it listens.
    pub(crate) fn listening(address: std::net::SocketAddr) -> Self {
        use clap::{Args, FromArgMatches};
        let command = Self::augment_args(clap::Command::new("server"));
        let typed = command.try_get_matches_from(["server", "--listen", &address.to_string()]);
        let server = typed.and_then(|it| Self::from_arg_matches(&it));
        server.expect("each of the others has a default")
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ui {
    /// Print the address, and open nothing
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// A component file, the directory of a project, or the beginning of the digest of a component that is kept
    #[arg(value_name = "FILE.wasm|DIR|DIGEST")]
    pub(crate) target: String,
    /// Which flow of the component, when it has several [default: the one that is called like the component]
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// The deployment's name
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub(crate) name: String,
    /// Where workers look for its runs; `-q QUEUE` is as good here
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// For filters; may be given again
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    #[command(flatten)]
    pub(crate) policy: PolicyOverrides,
    /// Wall clock of one attempt of the flow, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Memory of one attempt, such as 128MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// How many of its runs are worked on at once; 0 for as many as there are slots
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// How long its runs are kept after they have ended, such as 30d; 0s for as long as the server keeps them
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) retention: Option<Duration>,
    /// A secret that its runs may have; may be given again. `--secret ''` takes all away
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Vec<String>,
    /// A variable that its runs may have; may be given again. `--variable ''` takes all away
    #[arg(long, value_name = "NAME")]
    pub(crate) variable: Vec<String>,
    #[command(flatten)]
    pub(crate) when: Slots,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// When runs begin by themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct Slots {
    /// At the times of this expression: minute, hour, day of the month, month, day of the week
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["every", "once"])]
    pub(crate) cron: Option<String>,
    /// The zone of the expression, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Again and again after this long, such as 15m
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "once")]
    pub(crate) every: Option<Duration>,
    /// Once at this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) once: Option<jiff::Timestamp>,
    /// What becomes of a slot while an earlier run has not ended [default: allow]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) overlap: Option<OverlapWord>,
    /// What becomes of slots that were missed [default: latest]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) catch_up: Option<CatchUpWord>,
    /// Begin each run later by up to this long [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) jitter: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverlapWord {
    /// Its run begins all the same
    Allow,
    /// It makes no run
    Skip,
    /// Its run begins when the earlier has ended
    Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CatchUpWord {
    /// No runs
    None,
    /// One run, of the last
    Latest,
    /// One run of each, 100 at most
    All,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deployments {
    /// List them
    Ls,
    /// Show one
    Show {
        /// As FLOW/NAME
        #[arg(value_name = "FLOW/NAME")]
        name: String,
    },
    /// Forget one and its schedules; its runs stay
    Rm {
        /// As FLOW/NAME
        #[arg(value_name = "FLOW/NAME")]
        name: String,
    },
    /// Let its schedules make no runs
    Pause {
        /// As FLOW/NAME
        #[arg(value_name = "FLOW/NAME")]
        name: String,
    },
    /// Let its schedules make runs again
    Resume {
        /// As FLOW/NAME
        #[arg(value_name = "FLOW/NAME")]
        name: String,
    },
    /// Remove its old runs, with all that is kept of them
    #[command(after_help = "\
Examples:
  retake deployments prune orders/dev --dry-run               how many have been kept for longer than its retention
  retake deployments prune orders/dev --ended-before 90d

A server does so by itself every ten minutes, from an hour after the retention was set.")]
    Prune {
        /// The deployment
        #[arg(value_name = "FLOW/NAME")]
        name: String,
        /// Those that ended longer ago than this [default: its retention]
        #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
        ended_before: Option<Duration>,
        /// Say how many, and remove none
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Components {
    /// List them, the newest upload first
    Ls,
    /// Keep a component file without deploying it
    Add {
        /// The file, or the directory of a project
        #[arg(value_name = "FILE.wasm|DIR")]
        file: PathBuf,
    },
    /// Remove those that nothing needs: not the newest of each name, not what a deployment refers to, nor what a run does
    /// that may be retried; a server does so by itself every ten minutes
    #[command(after_help = "Example: retake components prune --dry-run")]
    Prune {
        /// How many of the newest of each name stay
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        keep: u16,
        /// Say which, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove one that no deployment refers to, nor a run that may be retried
    Rm {
        /// Its digest, or the beginning of it
        #[arg(value_name = "DIGEST")]
        digest: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schedules {
    /// List them
    Ls,
    /// Show one with its next ten slots
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make or change one
    #[command(after_help = "Example: retake schedules add nightly orders/dev --cron '0 6 * * 1-5' --tz Europe/Berlin")]
    Add(Box<ScheduleAdd>),
    /// Forget one; its runs stay
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let one make no runs
    Pause {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let one make runs again
    Resume {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScheduleAdd {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Whose runs begin, as FLOW/NAME
    #[arg(value_name = "FLOW/NAME")]
    pub(crate) deployment: String,
    #[command(flatten)]
    pub(crate) when: Slots,
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    /// Say when its runs would begin, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Nodes {
    /// List them, with what they work on
    Ls,
    /// Let no run begin or go on there: what is worked on ends first
    Drain {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let a node that was drained take runs again
    Resume {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Limits {
    /// List those that have a limit
    Ls,
    /// Limit how much of one is worked on at once
    Limit {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// How many
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        concurrency: u32,
    },
    /// Lift the limit of one
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List them, never their values
    Ls,
    /// Make or change one; its value is read from stdin, or asked for on a terminal
    Set {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Read the value from this file; a line end at its end is not part of it
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Forget one that no deployment grants
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Variables {
    /// List them
    Ls,
    /// Print the value of one, as JSON
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make or change one
    Set {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// JSON, or a text where it is none
        #[arg(value_name = "JSON|TEXT|@FILE|-", allow_hyphen_values = true)]
        value: String,
    },
    /// Forget one that no deployment grants
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Notify {
    /// List the rules
    Ls,
    /// Make or change a rule, and print the secret that its messages are signed with where that is new
    #[command(after_help = "\
Examples:
  retake notify add night --webhook https://example.org/hook
  retake notify add orders --slack https://hooks.slack.com/services/… --deployment orders/dev --in-a-row 3
  retake notify add ops --email ops@example.org --state parked
  retake notify test night && retake notify deliveries")]
    Add(Box<NotifyAdd>),
    /// Forget a rule
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Send a test message, and say whether it arrived
    Test {
        /// The rule's name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List messages and what became of them, newest first
    Deliveries {
        /// Only of this rule
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// At most this many
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
        number: u16,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct NotifyAdd {
    /// The rule's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A webhook, signed as Standard Webhooks says
    #[arg(long, value_name = "URL", required_unless_present_any = ["slack", "apprise", "email"], conflicts_with_all = ["slack", "apprise", "email"])]
    pub(crate) webhook: Option<String>,
    /// A webhook of Slack, or of what understands the same
    #[arg(long, value_name = "URL", conflicts_with_all = ["apprise", "email"])]
    pub(crate) slack: Option<String>,
    /// An Apprise API server
    #[arg(long, value_name = "URL", conflicts_with = "email")]
    pub(crate) apprise: Option<String>,
    /// An e-mail address; may be given again. The server needs `--smtp-server`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,
    /// The secret of a webhook: `whsec_` and base64 [default: one is made]
    #[arg(long, value_name = "SECRET", requires = "webhook")]
    pub(crate) secret: Option<String>,
    /// The states that are told of [default: failed, timed-out, crashed, parked]
    #[arg(long, value_name = "STATES", value_delimiter = ',')]
    pub(crate) state: Vec<String>,
    /// Only runs of this flow
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// Only runs of this deployment
    #[arg(long, value_name = "FLOW/NAME")]
    pub(crate) deployment: Option<String>,
    /// Only runs of deployments with this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Only when so many runs came to such a state in a row
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) in_a_row: u32,
    /// Send no second message of the same deployment within this time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub(crate) quiet_for: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// List them: names, roles, and when they end
    Ls,
    /// Make one, and print it this once
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may ask for
        #[arg(long, value_enum, default_value_t = RoleWord::Operator)]
        role: RoleWord,
        /// How long it may be used
        #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
        expires_in: Option<Duration>,
    },
    /// Revoke one
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleWord {
    /// To look
    Viewer,
    /// To start, retry, cancel and pause runs
    Operator,
    /// To upload, deploy and schedule
    Deployer,
    /// Everything
    Admin,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Only about this run or this name
    #[arg(value_name = "RUN|NAME")]
    pub(crate) subject: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) number: u16,
}
