//! `secrets` and `variables`: what operators keep for flows.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anstream::println;
use retake_core::limits;
use retake_core::value::Json;
use retake_server::Client;

use crate::args::{Args, Format, Secrets, Variables};
use crate::out::{self, Exit, Trouble, instant, one_line};
use crate::{params, server};

pub(crate) async fn secrets(args: &Args, typed: &Secrets) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let value = match typed {
        Secrets::Set { name, from } => Some(read_secret(name, from.as_deref())?),
        _ => None,
    };
    server::with_client(args, async |client| secrets_of(args, client, typed, value).await).await
}

async fn secrets_of(args: &Args, client: &Client, typed: &Secrets, value: Option<String>) -> anyhow::Result<Exit> {
    match typed {
        Secrets::Ls => {
            let all = client.secrets().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no secrets yet\n  hint: retake secrets set NAME < FILE");
                return Ok(Exit::Ok);
            }
            let table = || {
                let mut table = out::table(&["SECRET", "GRANTED TO", "SET"]);
                for it in &all {
                    table.add_row([one_line(&it.name), one_line(&it.granted_to.join(", ")), instant(it.updated)]);
                }
                table
            };
            out::list(args.output, &all, |it| it.name.clone(), table);
        }
        Secrets::Set { name, .. } => {
            let set = client.put_secret(name, value.unwrap_or_default()).await?;
            out::one(args.output, &set, || set.name.clone(), || format!("secret {name} is set"));
            if !args.quiet && set.granted_to.is_empty() {
                anstream::eprintln!("  hint: retake deploy … --secret {name}    grants it to the runs of a deployment");
            }
        }
        Secrets::Rm { name } => {
            client.remove_value("secrets", name).await?;
            out::done(args.output, "removed", name, &format!("secret {name} is removed"));
        }
    }
    Ok(Exit::Ok)
}

/// Reads a secret. It is never an argument: other users of the machine could see it, and the shell would remember it.
fn read_secret(name: &str, from: Option<&Path>) -> anyhow::Result<String> {
    let failed = |what: &str, error: std::io::Error| {
        Trouble::new(Exit::Usage, format!("{what} cannot be read: {error}"))
            .hint(format!("retake secrets set {name} < FILE"))
    };
    let text = match from {
        Some(file) => std::fs::read_to_string(file).map_err(|error| failed(&format!("`{}`", file.display()), error))?,
        None if std::io::stdin().is_terminal() => {
            rpassword::prompt_password(format!("value of {name}: ")).map_err(|error| failed("the value", error))?
        }
        None => {
            let mut text = String::new();
            let most = limits::GRANTED_BYTES as u64 + 2;
            std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(|error| failed("stdin", error))?;
            text
        }
    };
    let text = text.strip_suffix('\n').map_or(text.as_str(), |it| it.strip_suffix('\r').unwrap_or(it));
    if text.is_empty() {
        let hint = format!("printf %s VALUE | retake secrets set {name}");
        return Err(Trouble::new(Exit::Usage, "the secret is empty").hint(hint).into());
    }
    Ok(text.to_owned())
}

pub(crate) async fn variables(args: &Args, typed: &Variables) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let value = match typed {
        Variables::Set { value, .. } => {
            let text = params::text(value)?;
            Some(Json::parse(text.trim(), limits::VALUE_BYTES).unwrap_or_else(|_| Json::of(&text)))
        }
        _ => None,
    };
    server::with_client(args, async |client| variables_of(args, client, typed, value).await).await
}

async fn variables_of(args: &Args, client: &Client, typed: &Variables, value: Option<Json>) -> anyhow::Result<Exit> {
    match typed {
        Variables::Ls => {
            let all = client.variables().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no variables yet\n  hint: retake variables set NAME JSON");
                return Ok(Exit::Ok);
            }
            let table = || {
                let mut table = out::table(&["VARIABLE", "VALUE", "GRANTED TO", "SET"]);
                for it in &all {
                    table.add_row([
                        one_line(&it.name),
                        one_line(&retake_core::failure::cut(it.value.as_str().to_owned(), 60)),
                        one_line(&it.granted_to.join(", ")),
                        instant(it.updated),
                    ]);
                }
                table
            };
            out::list(args.output, &all, |it| it.name.clone(), table);
        }
        Variables::Show { name } => {
            let it = client.variable(name).await?;
            out::one(args.output, &it, || it.name.clone(), || it.value.as_str().to_owned());
        }
        Variables::Set { name, .. } => {
            let set = client.put_variable(name, value.unwrap_or_else(|| Json::trusted("null"))).await?;
            out::one(args.output, &set, || set.name.clone(), || format!("variable {name} is {}", set.value.as_str()));
        }
        Variables::Rm { name } => {
            client.remove_value("variables", name).await?;
            out::done(args.output, "removed", name, &format!("variable {name} is removed"));
        }
    }
    Ok(Exit::Ok)
}
