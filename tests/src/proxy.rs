//! A proxy of bytes: counts round trips, and cuts a connection, or holds it up, at a chosen moment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Passes on what goes to a server and comes back.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// How often a client spoke after the server had, on all connections.
    trips: AtomicUsize,
    connections: AtomicUsize,
    /// When a client says this, the connection is cut as soon as the server answers; once.
    cut_at: Mutex<Option<Vec<u8>>>,
    /// In how many round trips the connection is cut before the answer; 0 is never.
    cut_in: AtomicUsize,
    /// It was cut there.
    cut: AtomicBool,
    said: Mutex<Vec<u8>>,
    holds: Mutex<Holds>,
    held: Condvar,
}

#[derive(Debug, Default)]
struct Holds {
    /// When a client says this, the server hears it only later; once.
    at: Option<Vec<u8>>,
    is_held: bool,
}

impl Watch {
    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back when the server may hear it.
    fn hold(&self, bytes: &[u8]) {
        let mut holds = self.holds();
        if holds.at.as_ref().is_some_and(|words| bytes.windows(words.len()).any(|part| part == &**words)) {
            *holds = Holds { at: None, is_held: true };
            self.held.notify_all();
            drop(self.held.wait_while(holds, |holds| holds.is_held).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Proxy {
    /// In front of a server on 127.0.0.1.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let watch = Arc::new(Watch::default());
        let shared = Arc::clone(&watch);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connect(client, server, &shared);
            }
        });
        Self { port, watch }
    }

    /// A URL of the server, through it, unencrypted.
    pub fn url(&self, url: &str) -> String {
        let (user, place) = url.rsplit_once('@').expect("a user");
        let (_, database) = place.split_once('/').expect("a database");
        // Asking for encryption first would be a round trip more.
        format!("{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next time a client says this, the server does not hear it before [`Proxy::go_on`].
    pub fn hold_at(&self, words: &[u8]) {
        *self.watch.holds() = Holds { at: Some(words.to_vec()), is_held: false };
    }

    /// Waits until that has happened, for as long as a busy machine may take.
    pub fn wait_until_held(&self) {
        let minute = Duration::from_secs(60);
        let waited = self.watch.held.wait_timeout_while(self.watch.holds(), minute, |holds| !holds.is_held);
        let (holds, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(holds.is_held, "no client has said it");
    }

    /// What is held up goes on to the server.
    pub fn go_on(&self) {
        self.watch.holds().is_held = false;
        self.watch.held.notify_all();
    }

    /// How many round trips there were since this was asked last.
    pub fn trips(&self) -> usize {
        self.watch.trips.swap(0, Ordering::SeqCst)
    }

    /// How many connections there were since this was asked last.
    pub fn connections(&self) -> usize {
        self.watch.connections.swap(0, Ordering::SeqCst)
    }

    /// What clients have said since this was asked last.
    pub fn said(&self) -> String {
        let said = std::mem::take(&mut *self.watch.said.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The next time a client says this, the server hears it and its answer never arrives.
    pub fn cut_at(&self, words: &str) {
        *self.watch.cut_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.as_bytes().to_vec());
        self.watch.cut.store(false, Ordering::SeqCst);
    }

    /// The answer that ends so many round trips from now never arrives.
    pub fn cut_in(&self, trips: usize) {
        self.watch.cut_in.store(trips, Ordering::SeqCst);
        self.watch.cut.store(false, Ordering::SeqCst);
    }

    /// Whether that happened.
    pub fn was_cut(&self) -> bool {
        self.watch.cut.load(Ordering::SeqCst)
    }
}

fn connect(client: TcpStream, server: TcpStream, watch: &Arc<Watch>) {
    let heard = Arc::new(AtomicBool::new(true));
    let cuts = Arc::new(AtomicBool::new(false));
    let pipes = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    {
        let (watch, heard, cuts) = (Arc::clone(watch), Arc::clone(&heard), Arc::clone(&cuts));
        std::thread::spawn(move || {
            pass(client, server, |bytes| {
                // Nobody answers a goodbye.
                if !bytes.ends_with(b"X\0\0\0\x04") && heard.swap(false, Ordering::SeqCst) {
                    watch.trips.fetch_add(1, Ordering::SeqCst);
                    let left = |left: usize| left.checked_sub(1);
                    if watch.cut_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) == Ok(1) {
                        cuts.store(true, Ordering::SeqCst);
                    }
                }
                watch.hold(bytes);
                watch.said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                let mut cut_at = watch.cut_at.lock().unwrap_or_else(PoisonError::into_inner);
                if cut_at.as_ref().is_some_and(|words| bytes.windows(words.len()).any(|part| part == &**words)) {
                    *cut_at = None;
                    cuts.store(true, Ordering::SeqCst);
                }
                true
            });
        });
    }
    let watch = Arc::clone(watch);
    std::thread::spawn(move || {
        let (client, server) = pipes;
        pass(server, client, |_| {
            heard.store(true, Ordering::SeqCst);
            if cuts.load(Ordering::SeqCst) {
                watch.cut.store(true, Ordering::SeqCst);
                return false;
            }
            true
        });
    });
}

/// Passes bytes on until one side ends, or `look` says no; then both sides are closed.
fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 || !look(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
