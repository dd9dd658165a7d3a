//! The sockets of the connections, which libpq does not show. A connection whose server does not answer is closed by its socket.

use socket2::Socket;
use std::collections::HashSet;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The names of the sockets whose connection is known.
static CLAIMED: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

fn claimed() -> MutexGuard<'static, HashSet<PathBuf>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The socket of a connection.
pub(super) struct OwnSocket {
    socket: Socket,
    name: PathBuf,
}

impl OwnSocket {
    pub(super) fn claim((socket, name): (Socket, PathBuf)) -> Self {
        claimed().insert(name.clone());
        Self { socket, name }
    }

    /// Closes the connection, also while libpq uses it.
    pub(super) fn shut_down(&self) {
        // This fails if the socket is closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // Before the socket is closed: the system can give its name to the next one.
        claimed().remove(&self.name);
    }
}

/// Finds the sockets to a PostgreSQL server that were opened since a time and that no known connection has.
#[derive(Clone)]
pub(super) struct NewSockets {
    before: Arc<HashSet<PathBuf>>,
    ports: Vec<u16>,
}

impl NewSockets {
    pub(super) fn from_now(ports: &[u16]) -> Self {
        let before = open_sockets().into_iter().map(|(_, name)| name).collect();
        Self { before: Arc::new(before), ports: ports.to_vec() }
    }

    pub(super) fn find(&self) -> Vec<(Socket, PathBuf)> {
        let mut new = open_sockets();
        {
            let claimed = claimed();
            new.retain(|(_, name)| !self.before.contains(name) && !claimed.contains(name));
        }
        // Another thread may have a second descriptor of one.
        new.sort_by(|(_, left), (_, right)| left.cmp(right));
        new.dedup_by(|(_, left), (_, right)| left == right);
        let mut new: Vec<(Socket, PathBuf)> =
            new.into_iter().filter_map(|(number, name)| Some((duplicate(number)?, name))).collect();
        if new.len() > 1 {
            new.retain(|(socket, _)| leads_to(socket, &self.ports));
        }
        new
    }

    /// Closes them. Those of other connections that are being opened can be among them; they are opened again.
    pub(super) fn shut_down(&self) {
        for (socket, _) in self.find() {
            // This fails if the socket is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// The numbers and names of the sockets of this process. Linux names a socket after its inode: `socket:[12345]`. Empty on
/// other systems.
fn open_sockets() -> Vec<(RawFd, PathBuf)> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let socket = |entry: std::fs::DirEntry| {
        let name = std::fs::read_link(entry.path()).ok()?;
        let is_socket = name.to_str()?.starts_with("socket:");
        is_socket.then(|| Some((entry.file_name().to_str()?.parse().ok()?, name)))?
    };
    entries.flatten().filter_map(socket).collect()
}

/// A second descriptor of an open file of this process.
fn duplicate(number: RawFd) -> Option<Socket> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is not -1, and the borrow ends in this statement. If another thread closes the file before, the
    // system call fails or duplicates another file; the caller checks what it is.
    #[expect(unsafe_code, reason = "no library shows the socket of a connection")]
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned();
    descriptor.ok().map(Socket::from)
}

/// Whether the other end of a socket is a PostgreSQL server.
fn leads_to(socket: &Socket, ports: &[u16]) -> bool {
    let Ok(peer) = socket.peer_addr() else { return false };
    let is_server = |path: &Path| path.to_string_lossy().contains(".s.PGSQL.");
    peer.as_socket().is_some_and(|peer| ports.contains(&peer.port())) || peer.as_pathname().is_some_and(is_server)
}
