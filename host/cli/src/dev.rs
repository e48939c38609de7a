//! `dev`: builds, deploys and serves a project, again whenever a file changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retake_build::{Look, Project, Sources};
use retake_core::component::FlowInfo;
use retake_core::id::ContentDigest;
use retake_server::Client;
use retake_server::types::{DeploymentAsk, DeploymentChange};
use serde_json::Value;

use crate::args::{Args, Dev, Server, Ui};
use crate::follow::interrupted;
use crate::out::{Exit, one_line};
use crate::{author, inspect, local, out, server};

/// How often the sources are looked at.
const LOOK: Duration = Duration::from_millis(300);

pub(crate) async fn dev(args: &Args, typed: &Dev) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let project = Project::find(&typed.dir).map_err(author::told)?;
    // Before anything is served: without a compiler there is nothing to serve.
    project.prepare(&|text| author::tell(args.quiet, text)).map_err(author::told)?;
    let Some(client) = server::found(args)? else {
        let own = Server::listening(typed.listen);
        return server::serve_beside(args, &own, |own| async move {
            let ask = move || own.client();
            keep_deployed(args, typed, &project, ask).await
        })
        .await;
    };
    author::tell(args.quiet, &format!("the server at {} is deployed to", client.base()));
    tokio::select! {
        ended = keep_deployed(args, typed, &project, || Ok(client.clone())) => ended?,
        () = interrupted() => author::tell(args.quiet, "stopping: what was deployed stays"),
    }
    Ok(Exit::Ok)
}

/// Builds and deploys, and again after each change. What goes wrong is told, and the next change is waited for.
async fn keep_deployed(
    args: &Args,
    typed: &Dev,
    project: &Project,
    ask: impl Fn() -> anyhow::Result<Client>,
) -> anyhow::Result<()> {
    let mut sources = sources(args, project)?;
    let (mut deployed, mut opened) = (None, !typed.open);
    loop {
        let (same, before) = look(sources).await;
        match build_and_deploy(args, typed, project, &ask, deployed).await {
            Ok(digest) => {
                deployed = Some(digest);
                if !std::mem::replace(&mut opened, true) {
                    server::ui(args, &Ui { print: false }).await?;
                }
            }
            Err(error) => {
                out::report(&error);
                let rest = if deployed.is_some() { "; what was built last stays deployed" } else { "" };
                author::tell(args.quiet, &format!("waiting for a change{rest}"));
            }
        }
        sources = changed(same, before).await;
        author::tell(args.quiet, "a file has changed");
        // A crate beside this one may have come or gone. What cannot be read is told by the build.
        if let Ok(new) = self::sources(args, project) {
            sources = new;
        }
    }
}

fn sources(args: &Args, project: &Project) -> anyhow::Result<Sources> {
    let data = local::data_dir(args)?;
    // The database changes all the time.
    let data = std::path::absolute(&data).unwrap_or(data);
    Ok(project.sources().map_err(author::told)?.without(data))
}

/// Looks at the sources, on a thread that may wait for the disk.
async fn look(sources: Sources) -> (Sources, Look) {
    let looking = tokio::task::spawn_blocking(move || {
        let look = sources.look();
        (sources, look)
    });
    looking.await.expect("a look does not panic")
}

/// Waits until the sources have changed, and change no more: an editor writes several files, or one in several steps.
async fn changed(sources: Sources, before: Look) -> Sources {
    let (mut sources, mut last) = (sources, None);
    loop {
        tokio::time::sleep(LOOK).await;
        let (same, now) = look(sources).await;
        sources = same;
        if now != before && last.as_ref() == Some(&now) {
            return sources;
        }
        last = Some(now);
    }
}

/// Ends a build when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn build_and_deploy(
    args: &Args,
    typed: &Dev,
    project: &Project,
    ask: &impl Fn() -> anyhow::Result<Client>,
    deployed: Option<ContentDigest>,
) -> anyhow::Result<ContentDigest> {
    let stop = StopOnDrop(Arc::default());
    let (quiet, of_build, project) = (args.quiet, stop.0.clone(), project.clone());
    let building = tokio::task::spawn_blocking(move || author::run(quiet, &project, &of_build));
    let content = inspect::read_file(&building.await.expect("a build does not panic")?.file)?;
    let digest = ContentDigest::of(&content);
    if deployed == Some(digest) {
        author::tell(args.quiet, &format!("built the same again ({})", digest.short()));
        return Ok(digest);
    }
    let client = ask()?;
    let found = client.upload(content, false).await?;
    for flow in &found.info.flows {
        let full = deploy(&client, &flow.name, &typed.name, digest).await?;
        author::tell(args.quiet, &format!("deployed {} ({})", one_line(&full), digest.short()));
        if deployed.is_none() {
            author::tell(args.quiet, &format!("  hint: {}", next(args, &full, flow)));
        }
    }
    Ok(digest)
}

/// Puts a flow under a name. Whatever else people have defined of the deployment stays.
async fn deploy(client: &Client, flow: &str, name: &str, digest: ContentDigest) -> anyhow::Result<String> {
    let component = digest.to_string();
    let deployed = match client.has_deployment(flow, name).await? {
        true => {
            let change = DeploymentChange { component: Some(component), ..DeploymentChange::default() };
            client.change_deployment(flow, name, &change, false).await?
        }
        false => {
            let ask = DeploymentAsk { component, ..DeploymentAsk::default() };
            client.deploy(flow, name, &ask, false).await?
        }
    };
    Ok(deployed.deployment.full_name)
}

/// Returns what to type next: a run with the parameters that have to be given.
fn next(args: &Args, full: &str, flow: &FlowInfo) -> String {
    let quoted = retake_build::steps::quoted;
    let mut words = vec!["retake".to_owned()];
    // Where it was typed the next command needs it, too.
    if let Some(data) = args.data.as_deref().filter(|_| std::env::var_os("RETAKE_DATA").is_none()) {
        let data = std::path::absolute(data).unwrap_or_else(|_| Path::new(data).to_owned());
        words.extend(["--data".to_owned(), quoted(&data.to_string_lossy())]);
    }
    words.extend(["run".to_owned(), format!("'{full}'")]);
    let schema = flow.parameters.to_value();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words.extend(["-p".to_owned(), quoted(&example(name, &schema["properties"][name]))]);
    }
    words.push("-w".to_owned());
    words.join(" ")
}

/// Returns a parameter with a value that its schema may let pass.
fn example(name: &str, schema: &Value) -> String {
    let choice = schema["enum"].get(0).and_then(Value::as_str);
    match (choice, schema["type"].as_str()) {
        (Some(choice), _) => format!("{name}={choice}"),
        (None, Some("integer" | "number")) => format!("{name}=1"),
        (None, Some("boolean")) => format!("{name}=true"),
        (None, Some("array")) => format!("{name}:=[]"),
        (None, Some("string")) => format!("{name}=text"),
        (None, _) => format!("{name}:={{}}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_example_of_a_parameter_is_of_its_type() {
        assert_eq!(example("n", &json!({ "type": "integer" })), "n=1");
        assert_eq!(example("to", &json!({ "type": "string" })), "to=text");
        assert_eq!(example("how", &json!({ "type": "string", "enum": ["ok", "fail"] })), "how=ok");
        assert_eq!(example("urls", &json!({ "type": "array" })), "urls:=[]");
        assert_eq!(example("it", &json!({ "$ref": "#/$defs/it" })), "it:={}");
    }
}
