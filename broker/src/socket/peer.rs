//! Who is at the other end of a socket: the questions to the kernel that no safe library asks for us.

#![expect(unsafe_code, reason = "the call is C's; what it asks of its callers is kept beside it")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// The user of the process at the other end, when it connected or began to listen.
///
/// Asked here, since the library at hand makes an error of a process that is in a namespace outside of this one's, whose
/// number is 0: such as the host's daemon, seen from a container.
pub fn user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut found = [libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX }];
    match option(socket, libc::SO_PEERCRED, &mut found)? {
        Told::All(1) => Ok(found[0].uid),
        Told::All(_) | Told::More(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The groups that the process at the other end had beside its own when it connected.
pub fn groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; AS_A_RULE];
    loop {
        match option(socket, libc::SO_PEERGROUPS, &mut groups)? {
            Told::All(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Told::More(count) => groups.resize(count, 0),
        }
    }
}

/// The process at the other end, when it connected: also where its number is another's by now. `None` where this kernel tells of
/// numbers alone (before 6.5).
pub fn process(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut found = [-1_i32];
    match option(socket, libc::SO_PEERPIDFD, &mut found) {
        // SAFETY: the kernel has made this descriptor for this call, and nobody else knows of it.
        Ok(Told::All(1)) if found[0] >= 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(found[0]) })),
        Ok(Told::All(_) | Told::More(_)) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel gave.
enum Told {
    /// So many parts, and these are all.
    All(usize),
    /// Nothing, since it has so many.
    More(usize),
}

/// Plain numbers, or a structure of such: any bytes make one.
trait Plain: Copy {}
impl Plain for u32 {}
impl Plain for i32 {}
impl Plain for libc::ucred {}

fn option<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int, parts: &mut [T]) -> io::Result<Told> {
    let mut bytes = libc::socklen_t::try_from(size_of_val(parts)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed and so open; the pointers are those of live numbers, of which any bytes make some, and
    // of their length in bytes, which the kernel keeps to, and sets to what it wrote or would have to write.
    let answer = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, parts.as_mut_ptr().cast(), &raw mut bytes)
    };
    let count = bytes as usize / size_of::<T>();
    if answer == 0 {
        return Ok(Told::All(count.min(parts.len())));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() == Some(libc::ERANGE) && count > parts.len() {
        true => Ok(Told::More(count)),
        false => Err(error),
    }
}

/// More are asked for a second time.
const AS_A_RULE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::{fd::AsFd, unix::net::UnixStream};

    #[test]
    fn one_s_own_other_end_is_of_one_s_own_user_and_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(user(one.as_fd()).unwrap(), rustix::process::geteuid().as_raw());
        let mut told = groups(one.as_fd()).unwrap();
        let mut own: Vec<u32> = rustix::process::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        told.sort_unstable();
        own.sort_unstable();
        assert_eq!(told, own);
        if let Some(process) = process(one.as_fd()).unwrap() {
            assert!(process.as_raw_fd() >= 0);
        }
        let file = tempfile::tempfile().unwrap();
        assert!(
            user(file.as_fd()).is_err() && groups(file.as_fd()).is_err() && process(file.as_fd()).is_err(),
            "it is no socket"
        );
    }
}
