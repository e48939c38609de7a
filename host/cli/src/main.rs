//! `retake`: runs flows that are WebAssembly components, each attempt in a fresh sandbox, and retries what failed.
//!
//! This crate puts the others together. It alone reads the environment, knows the real clock and talks to people.

mod act;
mod admin;
mod args;
mod author;
mod config;
mod db;
mod dev;
mod doctor;
mod explain;
mod follow;
mod inspect;
mod limit;
mod local;
mod look;
mod nodes;
mod notify;
mod out;
mod params;
mod policy;
mod private;
mod progress;
mod remote;
mod retry;
mod run;
mod server;
mod values;

use std::process::ExitCode;

use args::{Args, Command};
use out::{Exit, Trouble};

#[global_allocator]
static ALLOCATOR: retake_process::MiMalloc = retake_process::MiMalloc;

fn main() -> ExitCode {
    retake_process::keep_free_pages();
    end_with_the_reader();
    // Secrets are in memory: no other program of the same user may look, and none of it is left behind by a crash.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let (args, config) = match config::parse(args::typed(std::env::args_os())) {
        Ok(read) => read,
        Err(config::Misread::Typed(error)) => return out::misread(&error).into(),
        Err(config::Misread::File(trouble)) => return out::report(&trouble.into()).into(),
    };
    let as_json = matches!(&args.command, Command::Server(it) if it.log_format == args::LogFormat::Json);
    start_tracing(&args, as_json);
    let done = match &args.command {
        Command::Config => config::show(&args, &config),
        _ => dispatch(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => out::report(&error).into(),
    }
}

/// Who reads what is printed may have read enough, as `head` has: then the process ends without a word. What cannot be
/// written for another reason, as to a full disk, ends it with one.
fn end_with_the_reader() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to") && message.contains("Broken pipe") {
            // As if by the signal.
            std::process::exit(141);
        }
        if message.starts_with("failed printing to") {
            use std::io::Write;
            // Perhaps stderr can still be written.
            let _ = writeln!(std::io::stderr(), "error: {message}\nhint: look at where the output goes");
            std::process::exit(Exit::Failed as i32);
        }
        told(panic);
    }));
}

fn dispatch(args: &Args) -> anyhow::Result<Exit> {
    if args.utc {
        out::show_utc();
    }
    let format = args.output;
    if args.server.is_some() && matches!(args.command, Command::Db(_) | Command::Worker(_)) {
        let message = "this command works on a data directory, and not through a server";
        return Err(Trouble::new(Exit::Usage, message)
            .hint("name the directory with `--data`, without `--server`")
            .into());
    }
    match &args.command {
        Command::Completions { shell } => {
            use clap::CommandFactory;
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "retake", &mut script);
            anstream::print!("{}", String::from_utf8_lossy(&script));
            Ok(Exit::Ok)
        }
        Command::Version => look::version(format),
        Command::CompileComponent { dir } => match retake_sandbox::compile(dir, std::io::stdin().lock()) {
            Ok(()) => Ok(Exit::Ok),
            Err(why) => {
                // For the process that started it, as it is.
                anstream::eprintln!("{why}");
                Ok(Exit::Failed)
            }
        },
        Command::New(it) => author::new(args, it),
        Command::Build(it) => runtime()?.block_on(author::build(args, it)),
        command => runtime()?.block_on(async {
            match command {
                Command::Run(it) => run::run(args, it).await,
                Command::Retry(it) => retry::retry(args, it).await,
                Command::Cancel(it) => act::cancel(args, it).await,
                Command::Pause(it) => act::several(args, it, act::Act::Pause).await,
                Command::Resume(it) => act::several(args, it, act::Act::Resume).await,
                Command::RunNow(it) => act::several(args, it, act::Act::RunNow).await,
                Command::Rm(it) => act::remove(args, it).await,
                Command::Task(args::Task::SetResult(it)) => act::set_result(args, it).await,
                Command::Explain(it) => explain::explain(args, it).await,
                Command::Deploy(it) => admin::deploy(args, it).await,
                Command::Deployments(it) => admin::deployments(args, it).await,
                Command::Components(it) => admin::components(args, it).await,
                Command::Flows => admin::flows(args).await,
                Command::Schedules(it) => admin::schedules(args, it).await,
                Command::Queues(it) => limit::limits(args, limit::QUEUES, it).await,
                Command::Nodes(it) => nodes::nodes(args, it).await,
                Command::TaskTags(it) => limit::limits(args, limit::TASK_TAGS, it).await,
                Command::Secrets(it) => values::secrets(args, it).await,
                Command::Variables(it) => values::variables(args, it).await,
                Command::Notify(it) => notify::notify(args, it).await,
                Command::Tokens(it) => admin::tokens(args, it).await,
                Command::Audit(it) => admin::audit(args, it).await,
                Command::Dev(it) => dev::dev(args, it).await,
                Command::Server(it) => server::server(args, it).await,
                Command::Ui(it) => server::ui(args, it).await,
                Command::Db(it) => db::db(args, it).await,
                Command::Watch(it) => run::watch(args, it).await,
                Command::Worker(it) => run::worker(args, it).await,
                Command::Ps(it) => look::ps(args, it).await,
                Command::Show(it) => look::show(args, it).await,
                Command::Logs(it) => look::logs(args, it).await,
                Command::Inspect(it) => inspect::inspect(args, it).await,
                Command::Policy(it) => policy::policy(args, it).await,
                Command::Doctor => doctor::doctor(args).await,
                Command::Completions { .. }
                | Command::Version
                | Command::Config
                | Command::CompileComponent { .. }
                | Command::New(_)
                | Command::Build(_) => {
                    unreachable!("were answered above")
                }
            }
        }),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = retake_process::runtime(retake_process::threads()).map_err(|error| {
        Trouble::new(Exit::Failed, format!("the runtime could not be started: {error}"))
            .hint("`ulimit -u` says how many threads may be started, `ulimit -n` how many files may be open")
    })?;
    Ok(runtime)
}

/// Our own log goes to stderr, and only when something is wrong or was asked for.
fn start_tracing(args: &Args, as_json: bool) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (false, 0) if !as_json => "warn",
        (false, 0 | 1) => "retake=info,warn",
        (false, _) => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RETAKE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(out::colors_stderr(args.color))
        // Whoever read stderr may be gone: a server goes on without.
        .log_internal_errors(false);
    match as_json {
        true => log.json().flatten_event(true).init(),
        false => log.init(),
    }
}
