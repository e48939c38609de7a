//! `db`: the database's schema, copies of it, and a look at everything in it.

use std::fs;
use std::io::Read;
use std::path::Path;

use retake_store::{SqliteStore, Store, kind, upkeep};
use serde_json::json;

use crate::args::{Args, Db, Format};
use crate::local::{self, KEY, data_dir, key_file};
use crate::out::{self, Exit, Trouble};
use crate::private;
use crate::server;

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
        Db::Restore { from, dry_run } => return restore(args, &dir, from, *dry_run).await,
        Db::Backup { to, with_key } => {
            if to.exists() {
                let message = format!("`{}` exists already, and a backup overwrites nothing", to.display());
                return Err(Trouble::new(Exit::Usage, message).hint("name a directory that does not exist yet").into());
            }
            upkeep::backup(&dir, to).map_err(|error| local::trouble(error, &dir))?;
            let shown = to.display().to_string();
            let key = key_file(args, &dir);
            let copied = if *with_key && key.exists() {
                copy_key(&key, &to.join(KEY))?;
                true
            } else {
                false
            };
            let view = json!({ "backup": to, "key": copied });
            let with = if copied { ", with the key of the secrets" } else { "" };
            out::one(
                args.output,
                &view,
                || shown.clone(),
                || format!("the database and its files are copied to {shown}{with}"),
            );
            if !args.quiet {
                if key.exists() && !copied {
                    anstream::eprintln!("not in it: the key of the secrets, without which they are lost");
                    anstream::eprintln!("  hint: keep `{}` apart, or `--with-key` copies it too", key.display());
                }
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

/// Copies a key so that only its owner can read the copy.
fn copy_key(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copy = || {
        let mut key = Vec::new();
        // A key has 45 bytes: what is longer is none.
        fs::File::open(from)?.take(4096).read_to_end(&mut key)?;
        private::create(to, &key)
    };
    copy().map_err(|error: std::io::Error| {
        let message = format!("the key `{}` could not be copied to `{}`: {error}", from.display(), to.display());
        Trouble::new(Exit::Failed, message).hint("copy it by hand, with `cp -p`").into()
    })
}

/// Brings a backup back to a data directory in which nothing is kept yet.
async fn restore(args: &Args, dir: &Path, from: &Path, dry_run: bool) -> anyhow::Result<Exit> {
    if dir.join("retake.db").exists() {
        let message = format!("`{}` keeps something already, and a backup overwrites nothing", dir.display());
        return Err(Trouble::new(Exit::Conflict, message).hint("name an empty directory: `--data DIR`").into());
    }
    let of_backup = |error| local::trouble(error, from);
    let checked = upkeep::check(from).map_err(of_backup)?;
    if let Some(first) = checked.problems.first() {
        let trouble = Trouble::new(Exit::Failed, format!("`{}` is damaged", from.display())).cause(first.clone());
        let hint =
            format!("`retake db check --data '{}'` says what is wrong; go back to another backup", from.display());
        return Err(trouble.hint(hint).into());
    }
    let kept = SqliteStore::open_read_only(from).map_err(of_backup)?;
    let secrets = kept.definitions(kind::SECRET).await?.len();
    drop(kept);
    let dir = &std::path::absolute(dir)?;
    let key = key_file(args, dir);
    let same = || fs::read(&key).ok().zip(fs::read(from.join(KEY)).ok()).is_none_or(|(a, b)| a == b);
    if key.exists() && !same() {
        let message = format!("`{}` is another key than that of the backup", key.display());
        return Err(Trouble::new(Exit::Conflict, message)
            .hint("move it away, or name the key with `--key-file`")
            .into());
    }
    let has_key = key.exists() || from.join(KEY).exists();
    let view = json!({ "restored": !dry_run, "runs": checked.runs, "files": checked.files, "secrets": secrets, "key": has_key });
    let what = format!("{} runs, {} files and {secrets} secrets", checked.runs, checked.files);
    if !dry_run {
        // The directory may be there, with a key that was brought already: the copy is made beside it, and moved.
        let made = dir.with_extension(format!("restoring-{}", std::process::id()));
        upkeep::backup(from, &made).map_err(of_backup)?;
        if !key.exists() && from.join(KEY).exists() {
            let to = if args.key_file.is_some() { key.clone() } else { made.join(KEY) };
            copy_key(&from.join(KEY), &to)?;
        }
        move_into(&made, dir)?;
        server::new_token(args).await?;
    }
    out::one(
        args.output,
        &view,
        || dir.display().to_string(),
        || {
            let would = if dry_run { "would be" } else { "are" };
            format!("{what} {would} brought back to {}", dir.display())
        },
    );
    if !args.quiet {
        if !dry_run {
            anstream::eprintln!(
                "the commands of this machine have a new token, of an admin; those that people have count as before"
            );
        }
        if secrets > 0 && !has_key {
            anstream::eprintln!("not in it: the key of the secrets, without which runs are refused them");
            anstream::eprintln!("  hint: cp -p KEY '{}', or set them again with `retake secrets set`", key.display());
        }
        anstream::eprintln!("  hint: retake server");
    }
    Ok(Exit::Ok)
}

/// Moves what is in one directory to another, which is made if it is not there.
fn move_into(from: &Path, to: &Path) -> anyhow::Result<()> {
    let moved = || {
        if !to.exists() {
            return fs::rename(from, to);
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::rename(entry.path(), to.join(entry.file_name()))?;
        }
        fs::remove_dir(from)
    };
    moved().map_err(|error: std::io::Error| {
        let message = format!("`{}` could not be moved to `{}`: {error}", from.display(), to.display());
        Trouble::new(Exit::Failed, message).hint("name a directory that does not exist yet: `--data DIR`").into()
    })
}
