//! Mutations, shapes, and texts made small.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use admmgt_tests::say;
use fastrand::Rng;

/// Longer ones take long and find nothing that shorter ones do not.
const LONGEST: usize = 4096;
/// How many texts a run of a fixed length tries.
const TEXTS: usize = 3_000;
/// How many texts are kept as seeds.
const KEPT: usize = 20_000;

/// A text that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The text that is tried, and since when.
type Watched = Arc<Mutex<Option<(Instant, String)>>>;

/// Something that reads texts.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What a mutation may put in.
    pub(crate) words: &'static [&'static str],
    pub(crate) seeds: Vec<String>,
    /// Panics where a promise is broken; else what was found in the text.
    pub(crate) check: fn(&str) -> u64,
}

/// A number for whatever was found.
pub(crate) fn shape(found: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    found.hash(&mut hasher);
    hasher.finish()
}

impl Target {
    /// Tries what was found before, then mutations.
    pub(crate) fn run(&self) {
        quiet();
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(self.folder()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        found.sort();
        let watched = self.watched();
        for path in &found {
            let text = std::fs::read_to_string(path).expect("a text that was found before");
            assert!(self.check(&watched, &text).is_some(), "{}: it breaks again", path.display());
        }
        let seconds = std::env::var("ADMMGT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
        let limit = seconds.map(Duration::from_secs);
        let mut random = if limit.is_some() { Rng::new() } else { Rng::with_seed(0x00ad_3397) };
        let start = random.get_seed();
        let clock = Instant::now();
        let mut pool: Vec<String> = self.seeds.clone();
        let mut shapes: HashSet<u64> = HashSet::new();
        let mut tried = 0;
        for seed in &self.seeds {
            assert!(self.check(&watched, seed).is_some(), "{}: a seed breaks: {seed:?}", self.name);
        }
        while limit.map_or(tried < TEXTS, |limit| clock.elapsed() < limit) {
            let text = self.mutated(&pool, &mut random);
            tried += 1;
            match self.check(&watched, &text) {
                Some(shape) => {
                    if shapes.insert(shape) && pool.len() < KEPT {
                        pool.push(text);
                    }
                }
                None => panic!("{}: {} (seed {start:#x})", self.name, self.keep(&watched, text)),
            }
        }
        say(format_args!(
            "{}: {tried} texts, {} shapes, {} found before, in {:.0} s: all promises kept",
            self.name,
            shapes.len(),
            found.len(),
            clock.elapsed().as_secs_f64()
        ));
        assert!(shapes.len() > 10, "{}: {} shapes", self.name, shapes.len());
    }

    /// Keeps a text that takes too long, and ends the process: nothing else can end what is in an endless loop.
    fn watched(&self) -> Watched {
        let watched = Watched::default();
        let (name, folder, watch) = (self.name, self.folder(), Arc::downgrade(&watched));
        std::thread::spawn(move || {
            while let Some(watched) = watch.upgrade() {
                let late = watched.lock().expect("no panic").take_if(|(since, _)| since.elapsed() > PATIENCE);
                drop(watched);
                if let Some((_, text)) = late {
                    let path = written(&folder, &text);
                    say(format_args!("{name}: no end after {PATIENCE:?}; the text is kept in {}", path.display()));
                    std::process::exit(101);
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        watched
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/found").join(self.name)
    }

    /// What was found in a text; `None` where a promise breaks.
    fn check(&self, watched: &Watched, text: &str) -> Option<u64> {
        *watched.lock().expect("no panic") = Some((Instant::now(), text.to_owned()));
        let shape = catch_unwind(AssertUnwindSafe(|| (self.check)(text))).ok();
        *watched.lock().expect("no panic") = None;
        shape
    }

    fn mutated(&self, pool: &[String], random: &mut Rng) -> String {
        let mut text: Vec<char> = pool[random.usize(0..pool.len())].chars().take(LONGEST).collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..=text.len());
            let end = (at + random.usize(0..=24)).min(text.len());
            match random.u8(0..8) {
                0..3 => {
                    let word = self.words[random.usize(0..self.words.len())];
                    text.splice(at..at, word.chars());
                }
                3 => drop(text.drain(at..end)),
                4 => {
                    let part: Vec<char> = text[at..end].to_vec();
                    text.splice(at..at, part);
                }
                5 => {
                    let other: Vec<char> = pool[random.usize(0..pool.len())].chars().take(LONGEST).collect();
                    let from = random.usize(0..=other.len());
                    text.splice(at..end, other[from..].iter().copied().take(64));
                }
                6 if at < text.len() => text[at] = random.char('\0'..='\u{2000}'),
                _ => text.truncate(at.max(1)),
            }
        }
        text.truncate(LONGEST);
        text.into_iter().collect()
    }

    /// Makes it small, and writes it down.
    fn keep(&self, watched: &Watched, text: String) -> String {
        let mut text: Vec<char> = text.chars().collect();
        let breaks = |text: &[char]| self.check(watched, &text.iter().collect::<String>()).is_none();
        let mut size = text.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < text.len() {
                let mut shorter = text.clone();
                shorter.drain(at..(at + size).min(text.len()));
                if breaks(&shorter) { text = shorter } else { at += size }
            }
            size /= 2;
        }
        let text: String = text.into_iter().collect();
        let path = written(&self.folder(), &text);
        format!("{text:?} breaks a promise; it is kept in {}", path.display())
    }
}

/// Writes a text down that breaks a promise.
fn written(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join(format!("{:016x}", shape(text)));
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&path, text).expect("the text is kept");
    path
}

/// A promise that breaks while a text is made small is not worth a message each time.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().ends_with("fuzz.rs")) {
                before(panic);
            }
        }));
    });
}
