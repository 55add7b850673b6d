//! The socket's place in the file system: made, kept to one agent, removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The lock beside the socket is held, or somebody answers at it.
    #[error("another agent is running: it serves {}; stop it first, or give this one another `control`", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is in its place.
    #[error("{} is there and is no socket; remove it, or give the agent another `control`", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// Others can write to the folder, and could put a socket of theirs in the place.
    #[error("the folder {} of the control socket must be root's and writable by nobody else; `control` in the configuration names a folder of its own", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A socket that listens; dropping it removes it.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Held for as long as the socket is this agent's. The file stays: to remove it would let two agents
    /// hold locks on two files of its name.
    _lock: Flock<File>,
}

impl ControlSocket {
    /// Makes the socket (mode 0600) and, where it is not there, its folder (0700). A socket that a dead
    /// agent has left is replaced. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("making", folder))?;
        let found = fs::metadata(folder).map_err(failed("reading", folder))?;
        let own = found.uid() == nix::unistd::geteuid().as_raw();
        if !own || found.mode() & 0o022 != 0 {
            return Err(ControlError::Open { path: folder.to_owned() });
        }
        let lock = lock(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path)
                    .map_err(failed("removing the socket of a dead agent", path))?;
            }
            Ok(_) => return Err(ControlError::Occupied { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("reading", path)(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed("listening at", path))?;
        let socket = Self { listener, path: path.to_owned(), _lock: lock };
        // Until here the process's umask decides; whoever came in then is told by the peer's credentials.
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path, private).map_err(failed("closing to others", path))?;
        Ok(socket)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// The lock that the kernel takes from a dead agent.
fn lock(path: &Path) -> Result<Flock<File>, ControlError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&name).map_err(failed("opening", &name))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::Error::EWOULDBLOCK => ControlError::Running { path: path.to_owned() },
        errno => failed("locking", &name)(errno.into()),
    })
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ControlError + 'a {
    move |source| ControlError::Io { doing, path: path.to_owned(), source }
}
