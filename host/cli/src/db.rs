//! `db`: the database's schema, copies of it, and a look at everything in it.

use retake_store::upkeep;
use serde_json::json;

use crate::args::{Args, Db, Format};
use crate::local::{self, data_dir};
use crate::out::{self, Exit, Trouble};

pub(crate) async fn db(args: &Args, typed: &Db) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let dir = data_dir(args)?;
    let trouble = |error| local::trouble(error, &dir);
    match typed {
        Db::Migrate => {
            let (before, known) = upkeep::schema_versions(&dir).map_err(trouble)?;
            drop(local::open(args, None).await?);
            let said = || match before == known {
                true => format!("the schema is version {known} already"),
                false => format!("the schema was version {before} and is version {known}"),
            };
            out::one(args.output, &json!({ "before": before, "schema": known }), || known.to_string(), said);
        }
        Db::Backup { to } => {
            if to.exists() {
                let message = format!("`{}` exists already, and a backup overwrites nothing", to.display());
                return Err(Trouble::new(Exit::Usage, message).hint("name a directory that does not exist yet").into());
            }
            upkeep::backup(&dir, to).map_err(|error| local::trouble(error, &dir))?;
            let shown = to.display().to_string();
            out::one(
                args.output,
                &json!({ "backup": to }),
                || shown.clone(),
                || format!("everything is copied to {shown}"),
            );
            if !args.quiet {
                anstream::eprintln!("  hint: retake db check --data '{}'", to.display());
            }
        }
        Db::Check => {
            let checked = upkeep::check(&dir).map_err(trouble)?;
            let counted = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
            let (runs, calls, files) = (checked.runs, checked.tasks, checked.files);
            let read =
                format!("read {}, {} and {}", counted(runs, "run"), counted(calls, "call"), counted(files, "file"));
            if checked.problems.is_empty() {
                let view = json!({ "runs": runs, "calls": calls, "files": files, "problems": [] });
                out::one(args.output, &view, || "ok".into(), || format!("{read}: all is well"));
                return Ok(Exit::Ok);
            }
            if matches!(args.output, Format::Json | Format::Jsonl) {
                let view = json!({ "runs": runs, "calls": calls, "files": files, "problems": checked.problems });
                out::one(args.output, &view, String::new, String::new);
            }
            let mut trouble = Trouble::new(Exit::Failed, format!("{read}, and something is wrong"));
            for problem in checked.problems {
                trouble = trouble.cause(problem);
            }
            return Err(trouble.hint("keep a copy of the directory, and go back to a backup").into());
        }
    }
    Ok(Exit::Ok)
}
