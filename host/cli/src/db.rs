//! `db`: the database's schema, copies of it, and a look at everything in it.

use anstream::println;
use retake_store::upkeep;

use crate::args::{Args, Db};
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
            match before == known {
                true => println!("the schema is version {known} already"),
                false => println!("the schema was version {before} and is version {known}"),
            }
        }
        Db::Backup { to } => {
            upkeep::backup(&dir, to).map_err(|error| local::trouble(error, to))?;
            println!("everything is copied to {}", to.display());
            if !args.quiet {
                anstream::eprintln!("  hint: retake db check --data '{}'", to.display());
            }
        }
        Db::Check => {
            let checked = upkeep::check(&dir).map_err(trouble)?;
            let read = format!("{} runs, {} calls and {} files were read", checked.runs, checked.tasks, checked.files);
            if checked.problems.is_empty() {
                println!("{read}: all is well");
                return Ok(Exit::Ok);
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
