//! A TCP proxy that misbehaves when told to: between a role and its broker or its database.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Nothing passes and nothing ends, as behind a firewall that drops packets.
    swallowing: AtomicBool,
    /// New connections are closed at once.
    refusing: AtomicBool,
    /// How long each piece of data takes, in milliseconds.
    delay: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
}

#[derive(Clone)]
pub struct Proxy {
    state: Arc<State>,
    port: u16,
}

impl Proxy {
    /// Forwards to this `host:port`.
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

    /// The URL with the proxy in the place of the host.
    pub fn in_url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Relaxed);
    }

    pub fn swallow(&self, swallowing: bool) {
        self.state.swallowing.store(swallowing, Ordering::Relaxed);
    }

    pub fn delay(&self, delay: Duration) {
        self.state.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub fn heal(&self) {
        self.refuse(false);
        self.swallow(false);
        self.delay(Duration::ZERO);
    }
}

fn forward(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(state.delay.load(Ordering::Relaxed)));
        while state.swallowing.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
