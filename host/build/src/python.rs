//! Projects in Python: a module with flows, of which componentize-py makes a component, interpreter and all.
//!
//! It comes with pip and is installed once for all projects. The SDK is the one in the project's `retake-sdk`, or else
//! the one that this binary carries.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{During, Error, Kind, Result};
use crate::pip;
use crate::project::{Built, How};
use crate::steps::{Tell, WIT, command, sdk, work, work_until, write};
use crate::watch::Sources;

/// What makes components.
const COMPONENTIZE: &str = "0.25.1";
/// The Python that it puts into them: packages have to be for that one.
const PYTHON: &str = "3.14";
/// What `ZoneInfo` knows of time zones.
const ZONES: &str = "tzdata==2026.6";
/// Below the project's directory.
const OUT: &str = "target/retake";
/// What is in a project's `[project]` and `[tool.retake]`, as JSON. Before 3.11, pip has the reader.
const READ: &str = "
import json
try:
    import tomllib
except ModuleNotFoundError:
    from pip._vendor import tomli as tomllib
with open('pyproject.toml', 'rb') as file:
    read = tomllib.load(file)
print(json.dumps({'project': read.get('project', {}), 'retake': read.get('tool', {}).get('retake', {})}))
";

/// How componentize-py is called: with a component's own Python and packages, and with nothing that this machine, or the
/// author's environment, happens to have. It would look for `python3`, to add the packages of that. What the
/// component's Python could not do is in a file, because componentize-py cuts its output.
const COMPONENTIZE_IT: &str = r#"
import os, sys
home, said, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, home)
for name in list(os.environ):
    if name == 'VIRTUAL_ENV' or name.startswith('PYTHON'):
        del os.environ[name]
os.environ['PATH'] = os.path.join(home, 'no-programs')
from componentize_py import script
for attempt in range(2):
    if os.path.exists(said):
        os.remove(said)
    try:
        script()
        break
    except BaseException as error:
        text = str(error)
        if os.path.exists(said):
            with open(said, encoding='utf-8') as file:
                text = file.read()
    # The standard library was compiled, once for this machine.
    if text != 'again':
        print(text.strip(), file=sys.stderr)
        sys.exit(1)
"#;

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../guest-sdk/python/", $path)))),*]
    };
}

/// Each file of the SDK with its path. A test compares them with what lies in its directory.
pub(crate) const SDK: &[(&str, &str)] = carried![
    "README.md",
    "pyproject.toml",
    "src/retake/__init__.py",
    "src/retake/_body.py",
    "src/retake/_carried.py",
    "src/retake/_context.py",
    "src/retake/_declaration.py",
    "src/retake/_exports.py",
    "src/retake/_failure.py",
    "src/retake/_futures.py",
    "src/retake/_hints.py",
    "src/retake/_host.py",
    "src/retake/_kinds.py",
    "src/retake/_plain.py",
    "src/retake/_plugin.py",
    "src/retake/_policy.py",
    "src/retake/_sandbox.py",
    "src/retake/_schema.py",
    "src/retake/_source.py",
    "src/retake/_tls.py",
    "src/retake/_wire.py",
    "src/retake/_words.py",
    "src/retake/flows.py",
    "src/retake/futures.py",
    "src/retake/logging.py",
    "src/retake/py.typed",
    "src/retake/runtime.py",
    "src/retake/tasks.py",
    "src/retake/testing.py",
];

/// Checks that Python and pip are there, and installs componentize-py.
pub(crate) fn ensure(dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    let package = format!("componentize-py=={COMPONENTIZE}");
    pip::ensure(&[&package], "componentize-py", "it makes components of Python", dir, tell)
}

fn componentize(home: &Path, dir: &Path, said: &Path) -> Command {
    let mut componentize = command("python3", dir);
    componentize.args(["-I", "-S", "-c", COMPONENTIZE_IT]).arg(home).arg(said);
    // What Python says is for people; how it was called from Rust is not.
    componentize.env("RUST_BACKTRACE", "0");
    componentize
}

/// Returns where time zones are; installs them unless they are there.
fn zones(dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    pip::ensure(&[ZONES], "tzdata", "`ZoneInfo` reads it", dir, tell)
}

/// Builds the component of the project in `dir`.
pub(crate) fn build(dir: &Path, how: How<'_>) -> Result<Built> {
    let home = ensure(dir, how.tell)?;
    let about = About::read(dir)?;
    refuse_another_retake(dir)?;
    let out = dir.join(OUT);
    write(&out.join("wit/flow.wit"), WIT)?;
    write(&out.join("app/retake_app.py"), &about.app())?;
    if !how.quiet {
        (how.tell)("building the component, which takes some seconds: an interpreter is put into it, and started");
    }
    let file = dir.join("target").join(format!("{}.wasm", about.name));
    let mut build = componentize(&home, dir, &out.join("app/said.txt"));
    build.args(["--wit-path"]).arg(out.join("wit")).args(["--world", "flow", "componentize", "retake_app"]);
    let cache = home.join("standard-library");
    std::fs::create_dir_all(&cache).during(|| format!("`{}` cannot be made", cache.display()))?;
    // The application knows them by their place in this list.
    for path in [
        out.join("app"),
        dir.to_owned(),
        sdk(dir, &out, "src/retake/__init__.py", SDK)?.join("src"),
        packages(dir, &out, &about, how.tell)?,
        zones(dir, how.tell)?,
        cache,
    ] {
        build.arg("--python-path").arg(path);
    }
    build.arg("--output").arg(&file);
    if !work_until(&mut build, how.stop)?.success() {
        let message = format!("`{}` does not build", dir.display());
        let module = dir.join(about.module.replace('.', "/")).with_extension("py");
        let text = std::fs::read_to_string(module).unwrap_or_default();
        let hint = match text.lines().any(|it| it.starts_with("from prefect") || it.starts_with("import prefect")) {
            true => "write `from retake import flow, task` instead of Prefect's import, and build again",
            false => "fix what is reported above and build again",
        };
        return Err(Error::new(Kind::Sources, message, hint));
    }
    Ok(Built { file })
}

/// Refuses a module that Python would find in the place of the SDK, which then could not even say so. Those that have
/// names of the standard library are refused by the SDK.
fn refuse_another_retake(dir: &Path) -> Result<()> {
    let Some(found) = ["retake.py", "retake/__init__.py"].into_iter().find(|it| dir.join(it).is_file()) else {
        return Ok(());
    };
    let message = format!("`{}`: `import retake` would find it, and not the SDK", dir.join(found).display());
    let name = found.trim_end_matches("/__init__.py");
    Err(Error::new(Kind::Sources, message, format!("rename `{name}`, to `my_{name}` for example")))
}

/// Returns the files of the project.
pub(crate) fn sources(dir: &Path) -> Sources {
    Sources::new(vec![dir.to_owned()], vec![dir.join("target")])
}

/// What a project says about itself.
#[derive(Debug, PartialEq, Eq)]
struct About {
    name: String,
    version: String,
    description: String,
    /// The module that has the flows.
    module: String,
    packages: Vec<String>,
}

impl About {
    fn read(dir: &Path) -> Result<Self> {
        let wrong = |what: String| {
            let message = format!("`{}`: {what}", dir.join("pyproject.toml").display());
            Error::new(Kind::Sources, message, "`retake new NAME --lang python` makes a project to compare with")
        };
        let output =
            command("python3", dir).args(["-I", "-c", READ]).output().during(|| "`python3` does not run".into())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(wrong(said.trim().lines().last().unwrap_or("cannot be read").to_owned()));
        }
        let read: Value = serde_json::from_slice(&output.stdout).during(|| "`python3` printed no JSON".into())?;
        Self::of(&read, dir).map_err(wrong)
    }

    fn of(read: &Value, dir: &Path) -> std::result::Result<Self, String> {
        let text = |of: &Value, otherwise: &str| of.as_str().unwrap_or(otherwise).to_owned();
        let project = &read["project"];
        let name = project["name"].as_str().ok_or("there is no `name` below `[project]`")?;
        let module = text(&read["retake"]["module"], "flows");
        let is_word = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !module.split('.').all(is_word) {
            return Err(format!("`module` below `[tool.retake]` is no name of a module: `{module}`"));
        }
        let path = module.replace('.', "/");
        if !dir.join(&path).with_extension("py").is_file() && !dir.join(&path).join("__init__.py").is_file() {
            return Err(format!("there is no `{path}.py`; `module = \"…\"` below `[tool.retake]` names another"));
        }
        let packages = project["dependencies"].as_array().into_iter().flatten();
        Ok(Self {
            name: name.to_owned(),
            version: text(&project["version"], ""),
            description: text(&project["description"], ""),
            module,
            // The SDK itself is there.
            packages: packages.filter_map(|it| Some(it.as_str()?.to_owned())).filter(|it| !is_sdk(it)).collect(),
        })
    }

    /// The module that componentize-py begins with.
    fn app(&self) -> String {
        // JSON's texts are Python's, too.
        let text = |it: &str| Value::from(it).to_string();
        // What was compiled before is neither read nor written: it may be of a file that has changed since.
        format!(
            "import sys\n\nsys.dont_write_bytecode, sys.pycache_prefix = True, \"/none\"\nfrom retake._plugin import build\n\n\
             Plugin = build({}, ({}, {}, {}), project=\"/1\", packages=\"/3\", zones=\"/4\", cache=\"/5\", \
             said=\"/0/said.txt\")\n",
            text(&self.module),
            text(&self.name),
            text(&self.version),
            text(&self.description)
        )
    }
}

fn is_sdk(package: &str) -> bool {
    package.split(|c: char| !c.is_alphanumeric()).next() == Some("retake")
}

/// Installs the packages that a project depends on, unless they are there, and returns where.
fn packages(dir: &Path, out: &Path, about: &About, tell: Tell<'_>) -> Result<PathBuf> {
    let (into, kept) = (out.join("packages"), out.join("packages.txt"));
    let wanted = about.packages.join("\n");
    if std::fs::read_to_string(&kept).is_ok_and(|it| it == wanted) && into.is_dir() {
        return Ok(into);
    }
    // What is no dependency any more must not be there, and a half of what is neither.
    let _ = std::fs::remove_file(&kept);
    let _ = std::fs::remove_dir_all(&into);
    std::fs::create_dir_all(&into).during(|| format!("`{}` cannot be made", into.display()))?;
    if wanted.is_empty() {
        return Ok(into);
    }
    tell(&format!("installing {} for Python {PYTHON}", about.packages.join(", ")));
    let mut pip = pip::pip(&into, dir);
    pip.args(["--only-binary", ":all:", "--platform", "any", "--implementation", "py", "--abi", "none"]);
    pip.args(["--python-version", PYTHON]).args(&about.packages);
    if work(&mut pip).is_err() {
        let message = format!("the packages of `{}` cannot be had in pure Python", dir.display());
        let hint = "what pip says stands above; a package with compiled parts has no place in a sandbox";
        return Err(Error::new(Kind::Sources, message, hint));
    }
    write(&kept, &wanted)?;
    Ok(into)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_file_of_the_sdk_is_carried() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/python/src/retake");
        for entry in std::fs::read_dir(sdk).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("src/retake/{name}");
            assert!(name == "__pycache__" || SDK.iter().any(|(it, _)| *it == path), "`{path}` is missing in SDK");
        }
    }

    #[test]
    fn a_module_with_the_name_of_the_sdk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        // Without `__init__.py` it is no package that goes before another.
        std::fs::create_dir(dir.path().join("retake")).unwrap();
        refuse_another_retake(dir.path()).unwrap();
        for name in ["retake/__init__.py", "retake.py"] {
            std::fs::write(dir.path().join(name), "").unwrap();
            let refused = refuse_another_retake(dir.path()).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("not the SDK"), "{refused}");
        }
    }

    #[test]
    fn a_project_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let of = |read: Value| About::of(&read, dir.path());
        assert!(of(json!({})).unwrap_err().contains("no `name`"));
        let project = json!({ "name": "a", "version": "1.2", "dependencies": ["retake>=0.1", "attrs==24"] });
        assert!(of(json!({ "project": project })).unwrap_err().contains("no `flows.py`"));
        std::fs::write(dir.path().join("flows.py"), "").unwrap();
        let about = of(json!({ "project": project })).unwrap();
        assert_eq!((about.version.as_str(), about.packages.as_slice()), ("1.2", &["attrs==24".to_owned()][..]));
        let wrong = of(json!({ "project": { "name": "a" }, "retake": { "module": "a b; import os" } }));
        assert!(wrong.unwrap_err().contains("no name of a module"));
        let quoted = About { description: "a \"b\"\n".into(), ..about };
        assert!(quoted.app().contains(r#"build("flows", ("a", "1.2", "a \"b\"\n"), "#), "{}", quoted.app());
    }
}
