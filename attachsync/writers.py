"""Whether anybody has a file open for writing (contract 3).

A read lease (fcntl(2), F_SETLEASE) is the kernel's own answer, without a race; where it is not to be had (another
user's file without CAP_LEASE, a file system that knows none) the descriptors of all processes that we may look into
are read from /proc.
"""

import errno
import fcntl
import os
import signal

_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs"})
"""File systems that refuse a lease with EAGAIN also where nobody writes: no delegation, no oplock."""


def being_written(descriptor: int) -> bool:
    """Whether any process has this file open for writing. `descriptor` must be open for reading only. Blocking."""
    try:
        return _leased_away(descriptor)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
    return _seen_in_proc(descriptor)


def is_open_elsewhere(descriptor: int) -> bool:
    """Whether anybody else has this file open, be it for reading, or may have: where nobody can tell. Blocking."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return True
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _leased_away(descriptor: int) -> bool:
    # Who opens the file for writing while the lease is there makes the kernel signal us. SIGIO, the default, would
    # kill the process; SIGURG is ignored unless somebody asks for it.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return _seen_in_proc(descriptor) if _file_system(descriptor) in _REMOTE else True
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _file_system(descriptor: int) -> str:
    """The type of the file system that a file is on, by /proc/self/mountinfo; empty if it cannot be told."""
    device = os.fstat(descriptor).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                if before.split(" ")[2:3] == [wanted]:
                    return after.split(" ")[0]
    except OSError:
        return ""
    return ""


def _seen_in_proc(descriptor: int) -> bool:
    """Whether a process that we may look into has a descriptor of this file that can write."""
    found = os.fstat(descriptor)
    identity = found.st_dev, found.st_ino
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return False
    return any(_process_writes(process, identity) for process in processes)


def _process_writes(process: str, identity: tuple[int, int]) -> bool:
    try:
        descriptors = os.listdir(f"/proc/{process}/fd")
    except OSError:  # another user's, or gone
        return False
    return any(_descriptor_writes(process, number, identity) for number in descriptors)


def _descriptor_writes(process: str, number: str, identity: tuple[int, int]) -> bool:
    try:
        found = os.stat(f"/proc/{process}/fd/{number}")
        if (found.st_dev, found.st_ino) != identity:
            return False
        with open(f"/proc/{process}/fdinfo/{number}", encoding="ascii", errors="replace") as lines:
            flags = next((line.split()[1] for line in lines if line.startswith("flags:")), "0")
    except OSError:
        return False
    return int(flags, 8) & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)
