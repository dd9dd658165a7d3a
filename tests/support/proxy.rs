//! A TCP proxy between a role and its broker or database. A test can make it stall, delay, refuse or close connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct State {
    /// No data passes and no connection closes, as behind a firewall that drops packets.
    stalled: AtomicBool,
    /// The proxy closes new connections at once.
    refusing: AtomicBool,
    /// The delay of each chunk of data, in milliseconds.
    delay: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    opened: AtomicUsize,
}

#[derive(Clone)]
pub struct Proxy {
    state: Arc<State>,
    port: u16,
}

impl Proxy {
    /// Starts a proxy that forwards to this `host:port`.
    pub fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { state: Arc::default(), port: listener.local_addr().unwrap().port() };
        let state = proxy.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if state.refusing.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                state.opened.fetch_add(1, Ordering::Relaxed);
                let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                state.connections.lock().unwrap().extend(both);
                for (from, to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                    let state = state.clone();
                    thread::spawn(move || forward(&state, from, to));
                }
            }
        });
        proxy
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections were opened.
    pub fn opened_connections(&self) -> usize {
        self.state.opened.load(Ordering::Relaxed)
    }

    /// Replaces the host and the port of a URL with those of the proxy.
    pub fn rewrite_url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Closes all open connections.
    pub fn close_connections(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Refuses or accepts new connections.
    pub fn refuse_connections(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Stops or continues forwarding, on connections that stay open.
    pub fn stall(&self, stalled: bool) {
        self.state.stalled.store(stalled, Ordering::Relaxed);
    }

    pub fn delay(&self, delay: Duration) {
        self.state.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Forwards without faults again.
    pub fn clear_faults(&self) {
        self.refuse_connections(false);
        self.stall(false);
        self.delay(Duration::ZERO);
    }
}

fn forward(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(state.delay.load(Ordering::Relaxed)));
        while state.stalled.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
