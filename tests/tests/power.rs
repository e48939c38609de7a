//! What a power cut leaves: everything that the real binary does to its files is recorded, and at random points of the
//! record the files are made as a disk may have them then. What was synced is there; of what was not, any sectors and
//! any part of the directories' entries may be missing (safety.md, H11: F11; G-R9).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use retake_core::run::RunState;
use retake_core::task::{TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_store::{RunFilter, RunRecord, SqliteStore, Store, upkeep};
use retake_tests::{Retake, component, preloaded};

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// After so many cuts the real binary goes on with what is left.
const GOES_ON: u64 = 10;

/// One entry of the record; tests/shim/record.c says what it holds.
struct Entry {
    kind: u8,
    inode: u64,
    offset: usize,
    path: PathBuf,
    data: Vec<u8>,
}

fn entries(mut record: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let text = |bytes: &[u8]| PathBuf::from(std::str::from_utf8(bytes).unwrap());
    while let [kind, rest @ ..] = record {
        let number = |at: usize| u64::from_ne_bytes(rest[at * 8..][..8].try_into().unwrap());
        let (path, data) = rest[32..].split_at(usize::try_from(number(2)).unwrap());
        let (data, rest_of_it) = data.split_at(usize::try_from(number(3)).unwrap());
        let offset = usize::try_from(number(1)).unwrap();
        entries.push(Entry { kind: *kind, inode: number(0), offset, path: text(path), data: data.to_owned() });
        record = rest_of_it;
    }
    entries
}

/// A change of a file that may be lost.
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone, Copy)]
enum Node {
    Directory,
    File(usize),
}

/// A change of a directory that may be lost.
enum Renaming {
    Made(PathBuf, Node),
    Renamed(PathBuf, PathBuf, Node),
    Removed(PathBuf),
}

/// The disk at one point of the record.
#[derive(Default)]
struct Disk {
    files: Vec<File>,
    directories: HashSet<PathBuf>,
    /// Which file an inode is now: numbers are given again.
    inodes: HashMap<u64, usize>,
    now: BTreeMap<PathBuf, Node>,
    synced: BTreeMap<PathBuf, Node>,
    /// By the directory whose sync makes it last.
    since: Vec<(PathBuf, Renaming)>,
    said: String,
}

fn change(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    content.resize(content.len().max(at + bytes.len()), 0);
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<PathBuf, Node>, renaming: &Renaming) {
    match renaming {
        Renaming::Made(path, node) => drop(names.insert(path.clone(), *node)),
        Renaming::Renamed(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
        Renaming::Removed(path) => drop(names.remove(path)),
    }
}

impl Disk {
    fn of(data: &Path, record: &[Entry]) -> Self {
        let mut disk = Self { directories: HashSet::from([data.to_owned()]), ..Self::default() };
        for entry in record {
            disk.take(entry);
        }
        disk
    }

    fn file(&mut self, entry: &Entry) -> &mut File {
        let file = self.inodes.get(&entry.inode).unwrap_or_else(|| panic!("{} was never made", entry.path.display()));
        &mut self.files[*file]
    }

    fn changed(&mut self, parent_of: &Path, it: Renaming) {
        rename(&mut self.now, &it);
        self.since.push((parent_of.parent().unwrap().to_owned(), it));
    }

    fn take(&mut self, entry: &Entry) {
        match entry.kind {
            b'c' => {
                self.inodes.insert(entry.inode, self.files.len());
                self.changed(&entry.path, Renaming::Made(entry.path.clone(), Node::File(self.files.len())));
                self.files.push(File::default());
            }
            b'd' => {
                // It may have the number of a file that is gone.
                self.directories.insert(entry.path.clone());
                self.changed(&entry.path, Renaming::Made(entry.path.clone(), Node::Directory));
            }
            b'w' => self.file(entry).since.push(Change::Write(entry.offset, entry.data.clone())),
            b't' => self.file(entry).since.push(Change::Cut(entry.offset)),
            b's' if !self.directories.contains(&entry.path) => {
                let file = self.file(entry);
                for it in std::mem::take(&mut file.since) {
                    match it {
                        Change::Write(at, bytes) => change(&mut file.synced, at, &bytes),
                        Change::Cut(length) => file.synced.resize(length, 0),
                    }
                }
            }
            b's' => {
                let since = std::mem::take(&mut self.since);
                for (parent, it) in since {
                    match parent == entry.path {
                        true => rename(&mut self.synced, &it),
                        false => self.since.push((parent, it)),
                    }
                }
            }
            b'r' => {
                let to = PathBuf::from(std::str::from_utf8(&entry.data).unwrap());
                let node = self.now[&entry.path];
                self.changed(&to, Renaming::Renamed(entry.path.clone(), to.clone(), node));
            }
            b'u' => self.changed(&entry.path, Renaming::Removed(entry.path.clone())),
            b'!' => self.said += std::str::from_utf8(&entry.data).unwrap(),
            kind => panic!("no entry is of kind {kind}"),
        }
    }

    /// Makes the files in `to` as a power cut may leave them. `from` is where they were.
    fn leave(&self, from: &Path, to: &Path, chance: &mut fastrand::Rng) {
        let mut names = self.synced.clone();
        // Directories last in the order in which they were changed, each up to some point.
        let mut until: HashMap<&Path, usize> = HashMap::new();
        for (parent, _) in &self.since {
            *until.entry(parent).or_default() += 1;
        }
        for left in until.values_mut() {
            *left = [0, chance.usize(..=*left), *left][chance.usize(..3)];
        }
        for (parent, it) in &self.since {
            let left = until.get_mut(parent.as_path()).unwrap();
            if *left > 0 {
                *left -= 1;
                rename(&mut names, it);
            }
        }
        let kept = [0.0, 0.5, 0.9, 1.0][chance.usize(..4)];
        for (path, node) in names {
            let path = to.join(path.strip_prefix(from).unwrap());
            // What is in a directory that was lost is lost with it.
            if !path.parent().unwrap().is_dir() {
                continue;
            }
            match node {
                Node::Directory => std::fs::create_dir_all(path).unwrap(),
                Node::File(file) => std::fs::write(path, self.files[file].left(kept, chance)).unwrap(),
            }
        }
    }
}

impl File {
    fn left(&self, kept: f64, chance: &mut fastrand::Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        for it in &self.since {
            match it {
                Change::Write(at, bytes) => {
                    let mut done = 0;
                    while done < bytes.len() {
                        let end = ((at + done) / SECTOR + 1) * SECTOR - at;
                        let sector = &bytes[done..end.min(bytes.len())];
                        if chance.f64() < kept {
                            change(&mut content, at + done, sector);
                        }
                        done += sector.len();
                    }
                }
                Change::Cut(length) if chance.f64() < kept => content.resize(*length, 0),
                Change::Cut(_) => {}
            }
        }
        content
    }
}

/// What was said of one run before the cut.
#[derive(Default)]
struct Told {
    name: String,
    kept: Vec<String>,
    completed: bool,
}

fn told(said: &str) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    // A line without its end was being written.
    for line in said.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
        if let Some(rest) = line.strip_prefix("run ")
            && let Some((name, _)) = rest.split_once(" of orders")
        {
            told.push(Told { name: name.to_owned(), ..Told::default() });
        } else if let Some((_, rest)) = line.split_once("✔ ") {
            told.last_mut().unwrap().kept.push(rest.split_whitespace().next().unwrap().to_owned());
        } else if line == "Completed\n" {
            told.last_mut().unwrap().completed = true;
        }
    }
    told
}

async fn read(dir: &Path) -> Vec<(RunRecord, Vec<TaskRun>)> {
    let store = SqliteStore::open(dir).unwrap();
    let filter = RunFilter { limit: 10, ..RunFilter::default() };
    let mut read = Vec::new();
    for run in store.list(filter, Timestamp::default()).await.unwrap() {
        let tasks = store.task_runs(run.asked.id).await.unwrap();
        for kept in tasks.iter().filter_map(|it| it.result.as_ref()) {
            store.value(kept).await.unwrap();
        }
        read.push((run, tasks));
    }
    read
}

/// Opens what a cut has left and compares it with what had been said.
fn holds(data: &Path, said: &str, cut: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runs = runtime.block_on(read(data));
    let problems = upkeep::check(data).unwrap().problems;
    assert!(problems.is_empty(), "{cut}: {problems:?}");
    for told in told(said) {
        let found = runs.iter().find(|(run, _)| run.asked.id.friendly_name() == told.name);
        let (run, tasks) = found.unwrap_or_else(|| panic!("{cut}: run {} is lost", told.name));
        for name in &told.kept {
            let task = tasks.iter().find(|it| *it.identity.name == **name);
            let task = task.unwrap_or_else(|| panic!("{cut}: the result of {name} is lost"));
            assert!(task.state == TaskState::Completed && task.result.is_some(), "{cut}: {task:?}");
        }
        assert!(!told.completed || run.run.state == RunState::Completed, "{cut}: {:?}", run.run);
    }
}

/// Two processes work on one directory, one after the other; what they did is returned.
fn recorded(retake: &Retake) -> (PathBuf, Vec<Entry>) {
    let dir = retake.dir.path().canonicalize().unwrap();
    let (data, record) = (dir.join("data"), dir.join("record"));
    std::fs::create_dir_all(&data).unwrap();
    for key in ["one", "two"] {
        let mut command = retake.command(&["run", component("orders").to_str().unwrap(), "--key", key]);
        command.env("LD_PRELOAD", preloaded("record")).env("RECORD_DIR", &data).env("RECORD_TO", &record);
        assert!(command.output().unwrap().status.success());
    }
    (data, entries(&std::fs::read(record).unwrap()))
}

const REPLAY: &str = "cargo test -p retake-tests --test power -- --nocapture";

#[test]
fn f11_a_power_cut_loses_nothing_that_was_said_to_be_kept() {
    let began = Instant::now();
    let number = |name, or| std::env::var(name).map_or(or, |it: String| it.parse().unwrap());
    let (cuts, first): (u64, u64) = (number("RETAKE_CUTS", 300), number("RETAKE_SEED", 0));
    let retake = Retake::new();
    let (data, record) = recorded(&retake);
    let is_done = |it: &Entry| it.kind == b's';
    assert!(record.iter().filter(|it| is_done(it)).count() > 20, "hardly anything was recorded");
    let (mut lost, mut kept) = (0, 0);
    for seed in first..first + cuts {
        let mut chance = fastrand::Rng::with_seed(seed);
        let at = chance.usize(..=record.len());
        let cut = format!("cut {at} of {}; replay: RETAKE_SEED={seed} RETAKE_CUTS=1 {REPLAY}", record.len());
        let disk = Disk::of(&data, &record[..at]);
        lost += disk.files.iter().map(|it| it.since.len()).sum::<usize>() + disk.since.len();
        // In memory where there is room: it is thrown away at once, and syncing it would prove nothing.
        let memory = Path::new("/dev/shm");
        let left = match memory.is_dir() {
            true => Retake { dir: tempfile::tempdir_in(memory).unwrap(), ..Retake::new() },
            false => Retake::new(),
        };
        let after = left.dir.path().join("data");
        std::fs::create_dir(&after).unwrap();
        disk.leave(&data, &after, &mut chance);
        holds(&after, &disk.said, &cut);
        kept += told(&disk.said).iter().map(|it| it.kept.len()).sum::<usize>();
        if seed % GOES_ON == 0 {
            let orders = component("orders");
            let run = ["run", orders.to_str().unwrap(), "--key", "one", "-q"];
            assert_eq!(left.say(&run).exit, Some(0), "{cut}");
            let first = told(&disk.said).into_iter().next().unwrap_or_default();
            let run = left.json(&["ps", "--state", "completed"]);
            let run = run.as_array().unwrap().iter().find(|it| first.name.is_empty() || it["name"] == first.name);
            let run = left.json(&["show", run.unwrap()["id"].as_str().unwrap()]);
            for name in &first.kept {
                assert_eq!(retake_tests::task(&run, name)["attempts"], 1, "{cut}: {name} was done again");
            }
        }
    }
    assert!(lost > 0 && kept > 0, "nothing could have been lost");
    eprintln!(
        "power: {cuts} cuts of {} writes, with {lost} changes that were not synced, {kept} results said to be kept: \
         0 lost, in {:.0?}",
        record.len(),
        began.elapsed()
    );
}
