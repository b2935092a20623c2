"""Runs a command as systemd/attachsync.service confines it, without systemd: `python -m tests.confined COMMAND…`.

`python -m tests.confined --read-only` makes the mount namespace that it is run in read-only.

No new privileges, no capabilities, and a system call filter made by hand: what `@system-service` less `@privileged` and
`@resources` leaves out fails with EPERM, and so do namespaces, other address families, set-user-id bits, and memory
that is both written and executed, in the way systemd filters them.
"""

import ctypes
import os
import platform
import struct
import sys

_NR_X86_64 = {
    "mmap": 9, "mprotect": 10, "shmat": 30, "pkey_mprotect": 329, "socket": 41, "clone": 56, "clone3": 435,
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "mkdirat": 258, "openat": 257,
    "ptrace": 101, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "setuid": 105,
    "setreuid": 113, "setgroups": 116, "setresuid": 117, "capset": 126,
    "personality": 135, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "setrlimit": 160,
    "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "sched_setaffinity": 203, "clock_settime": 227, "mbind": 237,
    "set_mempolicy": 238, "kexec_load": 246, "add_key": 248, "ioprio_set": 251, "migrate_pages": 256, "unshare": 272,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304, "clock_adjtime": 305,
    "setns": 308, "finit_module": 313, "sched_setattr": 314,
    "kexec_file_load": 320, "bpf": 321, "pivot_root": 155, "adjtimex": 159, "syslog": 103,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_NR_AARCH64 = {
    "mmap": 222, "mprotect": 226, "shmat": 196, "pkey_mprotect": 288, "socket": 198, "clone": 220, "clone3": 435,
    "fchmod": 52, "fchmodat": 53, "mkdirat": 34, "openat": 56,
    "ptrace": 117, "fchown": 55, "fchownat": 54, "setuid": 146, "setreuid": 145,
    "setgroups": 159, "setresuid": 147, "capset": 91, "personality": 92, "setpriority": 140,
    "setrlimit": 164, "chroot": 51, "acct": 89, "settimeofday": 170, "mount": 40, "umount2": 39, "swapon": 224,
    "swapoff": 225, "reboot": 142, "sethostname": 161, "setdomainname": 162, "init_module": 105,
    "delete_module": 106, "quotactl": 60, "sched_setaffinity": 122, "clock_settime": 112, "mbind": 235,
    "set_mempolicy": 237, "kexec_load": 104, "ioprio_set": 30, "unshare": 97, "perf_event_open": 241,
    "fanotify_init": 262, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
    "finit_module": 273, "bpf": 280, "pivot_root": 41, "adjtimex": 171,
    "syslog": 116, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438,
}  # fmt: skip
MACHINES = {"x86_64": (0xC000003E, _NR_X86_64), "aarch64": (0xC00000B7, _NR_AARCH64)}
_WITH_ARGUMENTS = {
    "mmap", "mprotect", "shmat", "pkey_mprotect", "socket", "clone", "clone3", "chmod", "fchmod", "fchmodat", "mkdirat",
    "openat", "add_key",
}  # fmt: skip

_LOAD, _EQUAL, _ANY_OF, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NEW_NAMESPACES, _SET_ID, _EXEC, _WRITE_EXEC, _SHM_EXEC, _O_CREAT = 0x7E020080, 0o6000, 4, 6, 0o100000, 0o100
_Step = tuple[int, int, int, int]


def denied() -> set[str]:
    """Names of the system calls that the filter refuses whatever their arguments."""
    return set(MACHINES[platform.machine()][1]) - _WITH_ARGUMENTS


def _refuse(number: int) -> _Step:
    return _RETURN, 0, 0, _ERRNO | number


def _argument(index: int) -> _Step:
    return _LOAD, 0, 0, 16 + 8 * index


def _rules() -> dict[str, list[_Step]]:
    """System call -> what decides; it has to end by allowing or refusing."""
    allow = (_RETURN, 0, 0, _ALLOW)
    families = [(_EQUAL, 3 - at, 0, family) for at, family in enumerate((1, 2, 10))]  # AF_UNIX, AF_INET, AF_INET6
    rules = {name: [_refuse(_EPERM)] for name in denied()}
    rules["socket"] = [_argument(0), *families, _refuse(_EAFNOSUPPORT), allow]
    rules["clone3"] = [_refuse(_ENOSYS)]  # its flags are in memory, which a filter cannot see
    for name, index, bits in (
        ("clone", 0, _NEW_NAMESPACES),
        ("mprotect", 2, _EXEC),
        ("pkey_mprotect", 2, _EXEC),
        ("shmat", 2, _SHM_EXEC),
        ("chmod", 1, _SET_ID),
        ("fchmod", 1, _SET_ID),
        ("fchmodat", 2, _SET_ID),
        ("mkdirat", 2, _SET_ID),
    ):
        rules[name] = [_argument(index), (_ANY_OF, 0, 1, bits), _refuse(_EPERM), allow]
    both = [_argument(2), (_AND, 0, 0, _WRITE_EXEC), (_EQUAL, 0, 1, _WRITE_EXEC), _refuse(_EPERM), allow]
    made = [_argument(2), (_ANY_OF, 0, 3, _O_CREAT), _argument(3), (_ANY_OF, 0, 1, _SET_ID), _refuse(_EPERM), allow]
    return rules | {"mmap": both, "openat": made}


def _program() -> bytes:
    """The filter, as the kernel takes it (classic BPF)."""
    machine, numbers = MACHINES[platform.machine()]
    steps: list[_Step] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for name, rule in _rules().items():
        if name in numbers:
            steps += [(_EQUAL, 0, len(rule), numbers[name]), *rule]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def confine() -> None:
    """Confine this process, and all that it starts. Raises OSError where the kernel does not do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program()
    steps = ctypes.create_string_buffer(program, len(program))
    whole = _Filter(len(program) // 8, ctypes.addressof(steps))
    for option, *values in ((38, 1, 0, 0, 0), (22, 2, ctypes.byref(whole), 0, 0)):  # NO_NEW_PRIVS, SECCOMP_MODE_FILTER
        if libc.prctl(option, *values):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_only() -> None:
    """Make all that is mounted read-only (mount_setattr, Linux 5.12), in a mount namespace of one's own."""
    attributes = ctypes.create_string_buffer(struct.pack("=4Q", 1, 0, 0, 0), 32)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(442, -100, b"/", 0x8000, attributes, ctypes.c_size_t(32)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--read-only"]:
        read_only()
    else:
        os.umask(0o077)
        confine()
        os.execvp(sys.argv[1], sys.argv[1:])
