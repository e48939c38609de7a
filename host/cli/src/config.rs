//! The configuration file: what flags say unless they are typed or stand in the environment. And `config`, which shows
//! what is in force.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use etcetera::BaseStrategy;
use retake_server::types::Setting;
use toml::Value;

use crate::args::{Args, Format};
use crate::out::{self, Exit, Trouble, one_line};
use crate::params;

/// Commands whose own flags may stand in the file, each in a table of its own: `[command.server]`.
const COMMANDS: [&str; 2] = ["server", "worker"];
/// Flags that mean something where they are typed alone.
const TYPED_ALONE: [&str; 5] = ["help", "version", "config", "verbose", "profile"];
/// Whose values are not shown.
const SECRET: [&str; 1] = ["token"];

/// What a file says, by flag: those that count for every command, and those of one.
#[derive(Debug, Default)]
pub(crate) struct Config {
    file: Option<PathBuf>,
    global: BTreeMap<String, Vec<String>>,
    commands: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Which profile counts.
    profile: Option<String>,
}

/// Reads what was typed over what the environment and the file say.
pub(crate) fn parse(words: Vec<OsString>) -> Result<(Args, Config), Misread> {
    let config = Config::read(&words).map_err(Misread::File)?;
    let matches = config.command().try_get_matches_from(words).map_err(Misread::Typed)?;
    let args = Args::from_arg_matches(&matches).map_err(Misread::Typed)?;
    Ok((args, config))
}

/// Why nothing could be read.
pub(crate) enum Misread {
    /// What was typed is wrong.
    Typed(clap::Error),
    /// The file is.
    File(Trouble),
}

/// Returns what a flag says, or its variable in the environment, before the command line can be read.
fn early(words: &[OsString], flag: &str, variable: &str) -> Option<OsString> {
    let words: Vec<&str> = words.iter().filter_map(|it| it.to_str()).take_while(|it| *it != "--").collect();
    let typed = words.iter().enumerate().find_map(|(i, it)| match it.strip_prefix(flag)? {
        "" => words.get(i + 1).copied(),
        rest => rest.strip_prefix('='),
    });
    typed.map(OsString::from).or_else(|| std::env::var_os(variable)).filter(|it| !it.is_empty())
}

/// Returns the file that was named, and whether it was; the user's own otherwise.
fn file(words: &[OsString]) -> (Option<PathBuf>, bool) {
    match early(words, "--config", "RETAKE_CONFIG").map(PathBuf::from) {
        Some(named) => (Some(named), true),
        None => (etcetera::choose_base_strategy().ok().map(|it| it.config_dir().join("retake/config.toml")), false),
    }
}

impl Config {
    fn read(words: &[OsString]) -> Result<Self, Trouble> {
        let profile = early(words, "--profile", "RETAKE_PROFILE").map(|it| it.to_string_lossy().into_owned());
        let (Some(file), was_named) = file(words) else { return Ok(Self::default()) };
        let wrong = |what: String| {
            Trouble::new(Exit::Usage, format!("`{}`: {what}", file.display()))
                .hint("`retake config --help` says what it may hold")
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !was_named && profile.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        };
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        let mut config = Self { file: Some(file.clone()), ..Self::default() };
        let mut profiles = BTreeMap::new();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("command", Value::Table(commands)) => {
                    for (name, it) in commands {
                        if !COMMANDS.contains(&name.as_str()) {
                            let message = format!("`command.{name}`: only {} may have a table", COMMANDS.join(" and "));
                            return Err(wrong(message));
                        }
                        let flags = flags_of(&format!("command.{name}"), Some(&name), it).map_err(wrong)?;
                        config.commands.insert(name, flags);
                    }
                }
                ("profile", Value::Table(all)) => {
                    for (name, it) in all {
                        let flags = flags_of(&format!("profile.{name}"), None, it).map_err(wrong)?;
                        profiles.insert(name, flags);
                    }
                }
                (_, value) => {
                    let (key, values) = flag("", None, key, &value).map_err(wrong)?;
                    config.global.insert(key, values);
                }
            }
        }
        if config.global.contains_key("token") || profiles.values().any(|it| it.contains_key("token")) {
            warn_of_readers(&file);
        }
        if let Some(name) = profile {
            let known: Vec<String> = profiles.keys().map(|it| format!("`{it}`")).collect();
            let Some(flags) = profiles.remove(&name) else {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(wrong(format!("there is no profile `{name}`; known: {known}")));
            };
            config.global.extend(flags);
            config.profile = Some(name);
        }
        Ok(config)
    }

    /// Returns the command line with what the file says as defaults: what is typed and what stands in the environment
    /// count for more.
    fn command(&self) -> clap::Command {
        let command = with_defaults(Args::command(), &self.global);
        self.commands
            .iter()
            .fold(command, |command, (name, flags)| command.mut_subcommand(name, |it| with_defaults(it, flags)))
    }
}

/// Reads a table of flags.
fn flags_of(place: &str, command: Option<&str>, table: Value) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Value::Table(table) = table else { return Err(format!("`{place}` is no table")) };
    table.into_iter().map(|(key, it)| flag(&format!("{place}."), command, key, &it)).collect()
}

/// Checks one flag as if it were typed.
fn flag(place: &str, command: Option<&str>, key: String, value: &Value) -> Result<(String, Vec<String>), String> {
    let known = flags(command);
    if !known.contains(&key) {
        let meant = params::meant(&key, &known)
            .map_or(format!("known are {}", known.join(", ")), |it| format!("did you mean `{it}`?"));
        return Err(format!("there is no `{place}{key}`; {meant}"));
    }
    let values = match value {
        Value::Array(all) => all.iter().map(scalar).collect::<Option<Vec<_>>>(),
        one => scalar(one).map(|it| vec![it]),
    };
    let values = values.ok_or_else(|| format!("`{place}{key}` is neither a value nor a list of values"))?;
    // A flag without a value cannot be typed with one.
    let typed: Vec<String> = match value {
        Value::Boolean(_) => values.iter().filter(|it| *it == "true").map(|_| format!("--{key}")).collect(),
        _ => values.iter().map(|it| format!("--{key}={it}")).collect(),
    };
    let words = ["retake", command.unwrap_or("version")].map(str::to_owned).into_iter().chain(typed);
    match Args::command().try_get_matches_from(words) {
        Err(error) if !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelp) => {
            let text = error.render().to_string();
            let text = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("`{place}{key}`: {text}"))
        }
        _ => Ok((key, values)),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Datetime(at) => Some(at.to_string()),
        Value::Array(_) | Value::Table(_) => None,
    }
}

/// Returns the flags that may stand in the file: those of a command, or those that count for all.
fn flags(command: Option<&str>) -> Vec<String> {
    let root = Args::command();
    let of = match command {
        Some(name) => root.find_subcommand(name).cloned().unwrap_or_default(),
        None => root,
    };
    let names = of.get_arguments().filter_map(|it| it.get_long()).filter(|it| !TYPED_ALONE.contains(it));
    names.map(str::to_owned).collect()
}

fn with_defaults(command: clap::Command, flags: &BTreeMap<String, Vec<String>>) -> clap::Command {
    let ids: Vec<(clap::Id, Vec<&'static str>)> = command
        .get_arguments()
        .filter_map(|it| {
            let values = flags.get(it.get_long()?)?;
            // For as long as the process lives, which is what a command line is made for.
            Some((it.get_id().clone(), values.iter().map(|it| &*it.clone().leak()).collect()))
        })
        .collect();
    ids.into_iter().fold(command, |command, (id, values)| command.mut_arg(id, |it| it.default_values(values)))
}

fn warn_of_readers(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(file).is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
        anstream::eprintln!("warning: `{}` holds a token, and others can read it: `chmod 600` it", file.display());
    }
}

/// Returns what counts for the server of this process, however it was started.
pub(crate) fn of_server() -> Vec<Setting> {
    let words: Vec<OsString> = crate::args::typed(std::env::args_os());
    let Ok(config) = Config::read(&words) else { return Vec::new() };
    let Ok(typed) = config.command().try_get_matches_from(words) else { return Vec::new() };
    let mut all = config.settings(None, &typed);
    match typed.subcommand() {
        Some((name, of)) if COMMANDS.contains(&name) => all.extend(config.settings(Some(name), of)),
        _ => {}
    }
    all
}

/// Shows what is in force.
pub(crate) fn show(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    // As it was typed, for the flags that count for every command; and each command as it would be typed alone.
    let typed = config.command().try_get_matches_from(crate::args::typed(std::env::args_os()))?;
    let mut settings = config.settings(None, &typed);
    for name in COMMANDS {
        let alone = config.command().try_get_matches_from(["retake", name])?;
        if let Some((_, of)) = alone.subcommand() {
            settings.extend(config.settings(Some(name), of));
        }
    }
    if args.output == Format::Table && !args.quiet {
        match &config.file {
            Some(file) => match &config.profile {
                Some(profile) => anstream::eprintln!("file {}, profile {profile}", file.display()),
                None => anstream::eprintln!("file {}", file.display()),
            },
            None => {
                let place = file(&[]).0.map_or_else(|| "--config FILE".to_owned(), |it| it.display().to_string());
                anstream::eprintln!("no file yet; it would be {place}");
            }
        }
    }
    let table = || {
        let mut table = out::table(&["SETTING", "VALUE", "FROM"]);
        for it in &settings {
            table.add_row([it.name.clone(), one_line(it.value.as_deref().unwrap_or("")), one_line(&it.from)]);
        }
        table
    };
    out::list(args.output, &settings, |it| it.name.clone(), table);
    Ok(Exit::Ok)
}

impl Config {
    fn settings(&self, command: Option<&str>, matches: &ArgMatches) -> Vec<Setting> {
        // What the file says is a default there, and may be secret.
        let plain = Args::command();
        let plain = command.and_then(|it| plain.find_subcommand(it)).unwrap_or(&plain);
        let root = self.command();
        let of = command.and_then(|it| root.find_subcommand(it)).unwrap_or(&root);
        let empty = BTreeMap::new();
        let in_file = command.map_or(&self.global, |it| self.commands.get(it).unwrap_or(&empty));
        let known = flags(command);
        let arguments = of.get_arguments().filter(|it| it.get_long().is_some_and(|it| known.iter().any(|k| k == it)));
        arguments
            .map(|it| {
                let flag = it.get_long().unwrap_or_default();
                let id = it.get_id().as_str();
                let values: Option<Vec<String>> =
                    matches.get_raw(id).map(|all| all.map(|it| it.to_string_lossy().into_owned()).collect());
                let from = match (matches.value_source(id), in_file.contains_key(flag)) {
                    (Some(ValueSource::CommandLine), _) => "flag".to_owned(),
                    (Some(ValueSource::EnvVariable), _) => {
                        format!("environment {}", it.get_env().unwrap_or_default().to_string_lossy())
                    }
                    (_, true) => self.file.as_ref().map_or("file".into(), |it| it.display().to_string()),
                    _ => "default".to_owned(),
                };
                let value = values.map(|it| it.join(", "));
                let value = if SECRET.contains(&flag) { value.map(|_| "(set)".to_owned()) } else { value };
                let without_file = plain.get_arguments().find(|known| known.get_id() == it.get_id()).unwrap_or(it);
                let defaults = without_file.get_default_values();
                let defaults: Vec<_> = defaults.iter().map(|it| it.to_string_lossy()).collect();
                Setting {
                    name: command.map_or(flag.to_owned(), |it| format!("command.{it}.{flag}")),
                    value,
                    from,
                    default: (!defaults.is_empty()).then(|| defaults.join(", ")),
                    what: it.get_help().map(ToString::to_string).unwrap_or_default(),
                }
            })
            .collect()
    }
}
