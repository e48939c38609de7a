//! A Rust compiler that can build for `wasm32-wasip2`.
//!
//! Where rustup can fetch targets that is one command. Where it cannot, as on a machine that reaches package registries
//! only, Debian has a compiler and a C library for the target. Its packages cannot be installed beside other Rust
//! packages, so they are unpacked into a private directory, and the standard library is built there once. From then
//! on the same cargo project is built by the same command, with another `RUSTC`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{During, Error, Kind, Result};
use crate::steps::{Tell, cargo, command, not_started, peek, read, tools_dir, work, work_at_most};

/// The target that components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// How long rustup may take to fetch the target. Where it cannot fetch at all it may try for ever.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Where the compiler comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that is used anyway.
    Own,
    /// Debian's, through this wrapper.
    Debian(PathBuf),
}

impl Toolchain {
    /// Returns a compiler for the target, and installs one if there is none. `dir` is where cargo will run: a project may
    /// name its own compiler.
    ///
    /// # Errors
    ///
    /// Cargo is missing, or neither way gave a compiler.
    pub fn ensure(dir: &Path, tell: Tell<'_>) -> Result<Self> {
        if peek(cargo(dir).arg("--version")).is_none() {
            return Err(Error::new(
                Kind::Missing,
                "`cargo` is missing: flows in Rust are built with it",
                "install Rust, `curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh`, or add the directory \
                 where it is to `PATH`: `export PATH=\"$HOME/.cargo/bin:$PATH\"`",
            ));
        }
        let choice = std::env::var("RETAKE_WASI_TOOLCHAIN").unwrap_or_default();
        match choice.as_str() {
            "" => {
                if own_has_target(dir) {
                    return Ok(Self::Own);
                }
                if let Some(rustc) = debian_installed(dir)? {
                    return Ok(Self::Debian(rustc));
                }
                if rustup_add(dir, tell)? {
                    return Ok(Self::Own);
                }
                debian_install(dir, tell).map_err(neither)
            }
            "rustup" if own_has_target(dir) || rustup_add(dir, tell)? => Ok(Self::Own),
            "rustup" => Err(neither(Error::machine("rustup could not add the target"))),
            "debian" => match debian_installed(dir)? {
                Some(rustc) => Ok(Self::Debian(rustc)),
                None => debian_install(dir, tell),
            },
            other => Err(Error::new(
                Kind::Usage,
                format!("RETAKE_WASI_TOOLCHAIN is `{other}`, and not `rustup` or `debian`"),
                "`unset RETAKE_WASI_TOOLCHAIN` lets one be found",
            )),
        }
    }

    /// Returns a `cargo build` for the target, and where it puts what it makes. The target directory is not the host's,
    /// and not the other compiler's: they would keep rebuilding each other's artefacts.
    pub fn build(&self, dir: &Path, target: &Path) -> (Command, PathBuf) {
        self.cargo("build", dir, target)
    }

    /// Returns another verb of cargo's that builds for the target, and where it puts what it builds.
    pub fn cargo(&self, verb: &str, dir: &Path, target: &Path) -> (Command, PathBuf) {
        let mut build = cargo(dir);
        let into = match self {
            Self::Own => target.join("wasm"),
            Self::Debian(rustc) => {
                build.env("RUSTC", rustc).env_remove("RUSTC_WRAPPER");
                target.join("wasm-debian")
            }
        };
        build.args([verb, "--target", TARGET, "--target-dir"]).arg(&into);
        (build, into.join(TARGET))
    }
}

fn neither(error: Error) -> Error {
    let message = format!(
        "the compiler has no standard library for {TARGET}, which flows are built for, and neither rustup nor Debian's \
         packages gave one"
    );
    Error { causes: [vec![error.message], error.causes].concat(), ..Error::new(Kind::Missing, message, ADD) }
}

/// What a person can do about a missing target.
const ADD: &str = "rustup target add wasm32-wasip2";

/// Whether the compiler that cargo uses anyway has a standard library for the target. Asks the compiler and not rustup,
/// which need not be where Rust came from.
fn own_has_target(dir: &Path) -> bool {
    let libdir = peek(command("rustc", dir).args(["--print=target-libdir", "--target", TARGET]));
    libdir.is_some_and(|it| has_std(Path::new(it.trim())))
}

fn has_std(libdir: &Path) -> bool {
    let entries = std::fs::read_dir(libdir).into_iter().flatten().flatten();
    entries.map(|it| it.file_name()).any(|it| it.to_string_lossy().starts_with("libstd-"))
}

fn rustup_add(dir: &Path, tell: Tell<'_>) -> Result<bool> {
    if peek(command("rustup", dir).arg("--version")).is_none() {
        tell("there is no rustup");
        return Ok(false);
    }
    tell(&format!("installing the target {TARGET} with rustup: flows are built for it"));
    work_at_most(command("rustup", dir).args(["target", "add", TARGET]), RUSTUP_LIMIT, tell)?;
    // Not its exit code: it can have said little and done the work, or the other way round.
    let added = own_has_target(dir);
    if !added {
        tell("rustup could not fetch it");
    }
    Ok(added)
}

fn debian_home() -> Result<PathBuf> {
    // A new way to set it up is a new name.
    Ok(tools_dir()?.join("wasi-rust-1"))
}

fn debian_installed(dir: &Path) -> Result<Option<PathBuf>> {
    // The directory gets its name when all is done.
    let wrapper = debian_home()?.join("rustc-wasi");
    Ok(peek(command(&wrapper, dir).arg("--version")).is_some().then_some(wrapper))
}

fn debian_install(dir: &Path, tell: Tell<'_>) -> Result<Toolchain> {
    for program in ["apt-get", "apt-cache", "dpkg", "tar"] {
        if peek(command(program, dir).arg("--version")).is_none() {
            let message = format!("`{program}` is missing: this is not a Debian");
            return Err(Error::new(Kind::Missing, message, ADD));
        }
    }
    let home = debian_home()?;
    let began = Instant::now();
    tell(&format!(
        "installing Debian's Rust compiler for {TARGET}: flows are built for it. About 140 MB are fetched and some \
         minutes are spent, once; everything goes into {}, nothing is installed system-wide",
        home.display()
    ));
    let parent = home.parent().expect("has a parent");
    make(parent)?;
    let partial = parent.join(format!("unfinished-{}", std::process::id()));
    let made = make(&partial).and_then(|()| unpack(&partial, tell)).and_then(|prefix| build_std(&prefix, tell));
    let placed = made.and_then(|()| match std::fs::rename(&partial, &home) {
        // Another process was faster, with the same.
        Err(_) if home.exists() => Ok(()),
        renamed => renamed.during(|| format!("`{}` cannot be made", home.display())),
    });
    let _ = std::fs::remove_dir_all(&partial); // Best effort: it is only space.
    placed?;
    tell(&format!("installed in {} s", began.elapsed().as_secs()));
    let installed = debian_installed(dir)?.map(Toolchain::Debian);
    installed.ok_or_else(|| Error::machine("the compiler that was just installed does not start"))
}

fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).during(|| format!("`{}` cannot be made", dir.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).during(|| format!("`{}` cannot be copied", from.display()))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(dir)?.map(|it| Ok(it?.path())).collect::<std::io::Result<_>>();
    read().during(|| format!("`{}` cannot be read", dir.display()))
}

/// apt-get and apt-cache with lists and cache of our own, so that neither root nor a fresh system is needed.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn command(&self, program: &str) -> Command {
        let mut it = command(program, &self.dir);
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
        found.map(str::to_owned).ok_or_else(|| Error::machine(format!("`{package}` does not depend on `{prefix}…`")))
    }
}

/// What was unpacked.
struct Prefix {
    dir: PathBuf,
    /// Such as `x86_64-unknown-linux-gnu`.
    host: String,
}

/// Fetches and unpacks the packages and puts their parts where the compiler looks for them.
fn unpack(dir: &Path, tell: Tell<'_>) -> Result<Prefix> {
    let version = read(command("rustc", dir).arg("-vV"))?;
    let host = version.lines().find_map(|it| it.strip_prefix("host: "));
    let host = host.ok_or_else(|| Error::machine("rustc does not name its host"))?;
    let prefix = Prefix { dir: dir.to_owned(), host: host.to_owned() };
    let apt = Apt { dir: dir.join("apt") };
    for dir in ["lists/partial", "cache/archives/partial"] {
        make(&apt.dir.join(dir))?;
    }
    tell("fetching Debian's package lists and packages");
    work(apt.command("apt-get").args(["update", "-qq"]))?;
    // The numbers in the names move with the archive.
    let libstd = apt.dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let llvm = apt.dependency(&libstd, "libllvm")?;
    let lld = llvm.replace("libllvm", "lld-");
    let packages =
        ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "rust-web-llvm", "wasi-libc", &libstd, &llvm, &lld];
    work(apt.command("apt-get").args(["download", "-qq"]).args(packages))?;

    let mut debs = entries(&apt.dir)?;
    debs.retain(|it| it.extension().is_some_and(|it| it == "deb"));
    if debs.len() != packages.len() {
        return Err(Error::machine(format!("{} packages were fetched instead of {}", debs.len(), packages.len())));
    }
    for deb in &debs {
        if deb.file_name().is_some_and(|it| it.to_string_lossy().starts_with("rust-web-src_")) {
            unpack_source(deb, dir)?;
        } else {
            work(command("dpkg", dir).arg("-x").arg(deb).arg(dir))?;
        }
    }
    remove(&apt.dir)?;
    arrange(&prefix, &lld)?;
    write_wrapper(&prefix)?;
    Ok(prefix)
}

fn remove(dir: &Path) -> Result<()> {
    std::fs::remove_dir_all(dir).during(|| format!("`{}` cannot be removed", dir.display()))
}

/// Puts the linker and the C library where the compiler looks for them.
fn arrange(prefix: &Prefix, lld: &str) -> Result<()> {
    let usr = prefix.dir.join("usr");
    let rustlib = usr.join("lib/rustlib");
    // `wasm-component-ld` looks for a linker of this name beside itself.
    let linker = usr.join("bin").join(lld.replace("lld-", "wasm-ld-"));
    if !linker.exists() {
        return Err(Error::machine(format!("`{lld}` holds no wasm-ld")));
    }
    symlink(
        &Path::new("../../../../bin").join(linker.file_name().expect("has a name")),
        &rustlib.join(&prefix.host).join("bin/wasm-ld"),
    )?;
    // The C library lies elsewhere in Debian.
    let libc = usr.join("lib/wasm32-wasi");
    let own = rustlib.join(TARGET).join("lib/self-contained");
    make(&own)?;
    for name in ["libc.a", "crt1-command.o", "crt1-reactor.o"] {
        copy(&libc.join(name), &own.join(name))?;
    }
    Ok(())
}

/// Unpacks only the library of 2 GB of sources.
fn unpack_source(deb: &Path, dir: &Path) -> Result<()> {
    let mut unpack = command("dpkg", dir);
    unpack.arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped());
    let mut dpkg = unpack.spawn().map_err(|it| not_started(&unpack, &it))?;
    let tar = dpkg.stdout.take().expect("was asked for");
    let wanted = ["--wildcards", "./usr/src/rustc-*/library", "./usr/lib/rustlib/src"];
    work(command("tar", dir).arg("-x").arg("-C").arg(dir).args(wanted).stdin(tar))?;
    match dpkg.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Error::machine(format!("`{}` could not be read", deb.display()))),
    }
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
    write(&wrapper, &text)?;
    work(command("chmod", &prefix.dir).arg("+x").arg(&wrapper))
}

/// Builds the standard library for the target and puts it where rustup would have put it.
fn build_std(prefix: &Prefix, tell: Tell<'_>) -> Result<()> {
    tell("building the standard library, once");
    let dir = prefix.dir.join("std-build");
    make(&dir.join("src"))?;
    write(&dir.join("src/lib.rs"), "")?;
    let manifest = "[package]\nname = \"sysroot_stub\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    write(&dir.join("Cargo.toml"), manifest)?;
    let mut build = cargo(&dir);
    build
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
    work(&mut build)?;
    let libraries = prefix.dir.join("usr/lib/rustlib").join(TARGET).join("lib");
    for path in entries(&dir.join("out").join(TARGET).join("release/deps"))? {
        let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libsysroot_stub") {
            copy(&path, &libraries.join(name))?;
        }
    }
    remove(&dir)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).during(|| format!("`{}` cannot be written", file.display()))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, link).during(|| format!("`{}` cannot be made", link.display()))
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> Result<()> {
    Err(Error::machine("Debian's packages are for Linux"))
}
