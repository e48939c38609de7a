//! A Rust compiler that can build for `wasm32-wasip2`.
//!
//! Where rustup can fetch targets that is one command. Where it cannot, as on a machine that reaches package registries
//! only, Debian has a compiler and a C library for the target. Its packages cannot be installed beside other Rust
//! packages, so they are unpacked into a private directory, and the standard library is built there once. From then
//! on the same cargo project is built by the same command, with another `RUSTC`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{cargo, command, peek, read, run, run_at_most, say};
use crate::tools;

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// How long rustup may take to fetch the target. Where it cannot fetch at all it may try for ever.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Where the compiler comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that is used anyway.
    Own,
    /// Debian's, through this wrapper.
    Debian(PathBuf),
}

impl Toolchain {
    /// Returns a `cargo build` for the target. The target directory is not the host's, and not the other compiler's:
    /// they would keep rebuilding each other's artefacts.
    pub(crate) fn build(&self, target: &Path) -> (Command, PathBuf) {
        let mut build = cargo();
        let dir = match self {
            Self::Own => target.join("wasm"),
            Self::Debian(rustc) => {
                build.env("RUSTC", rustc).env_remove("RUSTC_WRAPPER");
                target.join("wasm-debian")
            }
        };
        build.args(["build", "--target", TARGET, "--target-dir"]).arg(&dir);
        (build, dir.join(TARGET))
    }
}

/// Returns a compiler for the target, and installs one if there is none.
pub(crate) fn ensure_toolchain() -> Result<Toolchain> {
    let choice = std::env::var("RETAKE_WASI_TOOLCHAIN").unwrap_or_default();
    match choice.as_str() {
        "" => {
            if own_has_target() {
                return Ok(Toolchain::Own);
            }
            if let Some(rustc) = debian_installed()? {
                return Ok(Toolchain::Debian(rustc));
            }
            if rustup_add()? {
                return Ok(Toolchain::Own);
            }
            debian_install().context(
                "flows are built for wasm32-wasip2, and neither rustup nor Debian's packages gave a compiler for it; \
                 try `rustup target add wasm32-wasip2`",
            )
        }
        "rustup" => {
            ensure!(own_has_target() || rustup_add()?, "rustup could not add the target {TARGET}");
            Ok(Toolchain::Own)
        }
        "debian" => match debian_installed()? {
            Some(rustc) => Ok(Toolchain::Debian(rustc)),
            None => debian_install(),
        },
        other => bail!("RETAKE_WASI_TOOLCHAIN is `{other}`; it may be `rustup` or `debian`"),
    }
}

/// Whether the compiler that cargo uses anyway has a standard library for the target. Asks the compiler and not rustup,
/// which need not be where Rust came from.
fn own_has_target() -> bool {
    let libdir = peek(command("rustc").args(["--print=target-libdir", "--target", TARGET]));
    libdir.is_some_and(|it| has_std(Path::new(it.trim())))
}

fn has_std(libdir: &Path) -> bool {
    let entries = std::fs::read_dir(libdir).into_iter().flatten().flatten();
    entries.map(|it| it.file_name()).any(|it| it.to_string_lossy().starts_with("libstd-"))
}

fn rustup_add() -> Result<bool> {
    if peek(command("rustup").arg("--version")).is_none() {
        say("there is no rustup");
        return Ok(false);
    }
    say(format!("installing the target {TARGET} with rustup: flows are built for it"));
    run_at_most(command("rustup").args(["target", "add", TARGET]), RUSTUP_LIMIT)?;
    // Not its exit code: it can have said little and done the work, or the other way round.
    let added = own_has_target();
    if !added {
        say("rustup could not fetch it");
    }
    Ok(added)
}

fn debian_home() -> Result<PathBuf> {
    // A new way to set it up is a new name.
    Ok(tools::dir()?.join("wasi-rust-1"))
}

fn debian_installed() -> Result<Option<PathBuf>> {
    // The directory gets its name when all is done.
    let wrapper = debian_home()?.join("rustc-wasi");
    Ok(peek(command(&wrapper).arg("--version")).is_some().then_some(wrapper))
}

fn debian_install() -> Result<Toolchain> {
    for program in ["apt-get", "apt-cache", "dpkg", "tar"] {
        ensure!(peek(command(program).arg("--version")).is_some(), "`{program}` is missing: this is not a Debian");
    }
    let home = debian_home()?;
    let began = Instant::now();
    say(format!(
        "installing Debian's Rust compiler for {TARGET}: flows are built for it. About 140 MB are fetched and some \
         minutes are spent, once; everything goes into {}, nothing is installed system-wide",
        home.display()
    ));
    let parent = home.parent().expect("has a parent");
    std::fs::create_dir_all(parent)?;
    let partial = parent.join(format!("unfinished-{}", std::process::id()));
    let made = unpack(&partial).and_then(|prefix| build_std(&prefix));
    let placed = made.and_then(|()| match std::fs::rename(&partial, &home) {
        // Another process was faster, with the same.
        Err(_) if home.exists() => Ok(()),
        renamed => renamed.with_context(|| home.display().to_string()),
    });
    let _ = std::fs::remove_dir_all(&partial); // Best effort: it is only space.
    placed?;
    say(format!("installed in {} s", began.elapsed().as_secs()));
    debian_installed()?.map(Toolchain::Debian).context("the compiler that was just installed does not start")
}

/// apt-get and apt-cache with lists and cache of our own, so that neither root nor a fresh system is needed.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn command(&self, program: &str) -> Command {
        let mut it = command(program);
        it.current_dir(&self.dir);
        // Root would drop its rights for an account that cannot write here.
        it.args(["-o", "APT::Sandbox::User=root", "-o"]);
        it.arg(format!("Dir::State::lists={}", self.dir.join("lists").display()));
        it.args(["-o"]).arg(format!("Dir::Cache={}", self.dir.join("cache").display()));
        it
    }

    /// Returns the first dependency of `package` that begins with `prefix` and goes on with digits.
    fn dependency(&self, package: &str, prefix: &str) -> Result<String> {
        let text = read(self.command("apt-cache").args(["depends", package]))?;
        let found = text
            .lines()
            .filter_map(|it| it.trim().strip_prefix("Depends: "))
            .find(|it| it.strip_prefix(prefix).is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit())));
        Ok(found.with_context(|| format!("`{package}` does not depend on `{prefix}…`"))?.to_owned())
    }
}

/// What was unpacked.
struct Prefix {
    dir: PathBuf,
    /// Such as `x86_64-unknown-linux-gnu`.
    host: String,
}

/// Fetches and unpacks the packages and puts their parts where the compiler looks for them.
fn unpack(dir: &Path) -> Result<Prefix> {
    let version = read(command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|it| it.strip_prefix("host: ")).context("rustc does not name its host")?;
    let prefix = Prefix { dir: dir.to_owned(), host: host.to_owned() };
    let apt = Apt { dir: dir.join("apt") };
    for dir in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.dir.join(dir))?;
    }
    say("fetching Debian's package lists and packages");
    run(apt.command("apt-get").args(["update", "-qq"]))?;
    // The numbers in the names move with the archive.
    let libstd = apt.dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = apt.dependency(&libstd, "libllvm")?;
    let lld = llvm.replace("libllvm", "lld-");
    let packages =
        ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "rust-web-llvm", "wasi-libc", &libstd, &llvm, &lld];
    run(apt.command("apt-get").args(["download", "-qq"]).args(packages))?;

    let mut debs: Vec<PathBuf> = std::fs::read_dir(&apt.dir)?.map(|it| Ok(it?.path())).collect::<Result<_>>()?;
    debs.retain(|it| it.extension().is_some_and(|it| it == "deb"));
    ensure!(debs.len() == packages.len(), "{} packages were fetched instead of {}", debs.len(), packages.len());
    for deb in &debs {
        if deb.file_name().is_some_and(|it| it.to_string_lossy().starts_with("rust-web-src_")) {
            unpack_source(deb, dir)?;
        } else {
            run(command("dpkg").arg("-x").arg(deb).arg(dir))?;
        }
    }
    std::fs::remove_dir_all(&apt.dir)?;

    let usr = dir.join("usr");
    let rustlib = usr.join("lib/rustlib");
    // `wasm-component-ld` looks for a linker of this name beside itself.
    let linker = usr.join("bin").join(lld.replace("lld-", "wasm-ld-"));
    ensure!(linker.exists(), "`{lld}` holds no wasm-ld");
    symlink(
        &Path::new("../../../../bin").join(linker.file_name().expect("has a name")),
        &rustlib.join(host).join("bin/wasm-ld"),
    )?;
    // The C library lies elsewhere in Debian.
    let libc = usr.join("lib/wasm32-wasi");
    let own = rustlib.join(TARGET).join("lib/self-contained");
    std::fs::create_dir_all(&own)?;
    for name in ["libc.a", "crt1-command.o", "crt1-reactor.o"] {
        std::fs::copy(libc.join(name), own.join(name)).with_context(|| format!("wasi-libc holds no `{name}`"))?;
    }
    write_wrapper(&prefix)?;
    Ok(prefix)
}

/// Unpacks only the library of 2 GB of sources.
fn unpack_source(deb: &Path, dir: &Path) -> Result<()> {
    let mut dpkg = command("dpkg").arg("--fsys-tarfile").arg(deb).stdout(std::process::Stdio::piped()).spawn()?;
    let tar = dpkg.stdout.take().context("dpkg has no output")?;
    let wanted = ["--wildcards", "./usr/src/rustc-*/library", "./usr/lib/rustlib/src"];
    run(command("tar").arg("-x").arg("-C").arg(dir).args(wanted).stdin(tar))?;
    ensure!(dpkg.wait()?.success(), "`{}` could not be read", deb.display());
    Ok(())
}

/// Writes a compiler that finds its private libraries without touching the caller's environment.
fn write_wrapper(prefix: &Prefix) -> Result<()> {
    let libraries = format!("usr/lib/{}", prefix.host.replace("-unknown-", "-"));
    let text = format!(
        "#!/bin/sh\n\
         here=$(dirname \"$(readlink -f \"$0\")\")\n\
         export LD_LIBRARY_PATH=\"$here/{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n\
         exec \"$here/usr/bin/rustc\" \"$@\"\n"
    );
    let wrapper = prefix.dir.join("rustc-wasi");
    std::fs::write(&wrapper, text)?;
    run(command("chmod").arg("+x").arg(&wrapper))
}

/// Builds the standard library for the target and puts it where rustup would have put it.
fn build_std(prefix: &Prefix) -> Result<()> {
    say("building the standard library, once");
    let dir = prefix.dir.join("std-build");
    std::fs::create_dir_all(dir.join("src"))?;
    std::fs::write(dir.join("src/lib.rs"), "")?;
    let manifest = "[package]\nname = \"sysroot_stub\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), manifest)?;
    let mut build = cargo();
    build
        .current_dir(&dir)
        .args([
            "build",
            "--quiet",
            "--release",
            "-Z",
            "build-std=std,panic_abort",
            "--target",
            TARGET,
            "--target-dir",
            "out",
        ])
        .env("RUSTC", prefix.dir.join("rustc-wasi"))
        // `-Z` on a stable compiler, for this one build.
        .env("RUSTC_BOOTSTRAP", "1")
        // So that the library takes part in link-time optimisation.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_TARGET_DIR");
    run(&mut build)?;
    let libraries = prefix.dir.join("usr/lib/rustlib").join(TARGET).join("lib");
    for entry in std::fs::read_dir(dir.join("out").join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libsysroot_stub") {
            std::fs::copy(&path, libraries.join(name))?;
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> Result<()> {
    Ok(std::os::unix::fs::symlink(target, link)?)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> Result<()> {
    bail!("Debian's packages are for Linux")
}
