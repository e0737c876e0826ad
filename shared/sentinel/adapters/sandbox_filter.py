"""Which system calls a program in the sandbox is denied: a seccomp filter, in the bytes that Linux loads.

Nothing that tests of a program need is in the list. What is: looking into other processes, mounting, making
namespaces, loading code into the kernel, parts of the kernel that had many bugs, families of sockets that no
network namespace holds back (vsock), and memory that is nobody's (memfd, System V), since memory is counted
by who has it. The constants are those of Linux's `linux/seccomp.h`, `linux/filter.h` and `asm/unistd.h`.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Final

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NR, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in `struct seccomp_data`; low halves of arguments
_NEW_NAMESPACES: Final = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_X32: Final = 0x40000000
_FAMILIES: Final = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# Since Linux 5.1 new calls have the same number on every machine.
_NEWER: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 447)
_ABSENT: Final = {"x86_64": (319, 323, 435), "aarch64": (279, 282, 435)}  # memfd_create, userfaultfd, clone3
_DENIED: Final = {
    # ptrace process_vm_readv process_vm_writev kcmp keyctl add_key request_key bpf perf_event_open mount
    # umount2 pivot_root chroot unshare setns swapon swapoff reboot init_module finit_module delete_module
    # kexec_load kexec_file_load quotactl acct open_by_handle_at syslog vmsplice shmget msgget semget mq_open
    # personality settimeofday clock_settime mbind set_mempolicy migrate_pages move_pages; modify_ldt iopl
    # ioperm
    "x86_64": (
        *(101, 310, 311, 312, 250, 248, 249, 321, 298, 165, 166, 155, 161, 272, 308, 167, 168, 169, 175, 313),
        *(176, 246, 320, 179, 163, 304, 103, 278, 29, 68, 64, 240, 135, 164, 227, 237, 238, 256, 279),
        *(154, 172, 173),
    ),
    "aarch64": (
        *(117, 270, 271, 272, 219, 217, 218, 280, 241, 40, 39, 41, 51, 97, 268, 224, 225, 142, 105, 273),
        *(106, 104, 294, 60, 89, 265, 116, 75, 194, 186, 190, 180, 92, 170, 112, 235, 237, 238, 239),
    ),
}
_SPECIAL: Final = {"x86_64": (0xC000003E, 56, 41, 16), "aarch64": (0xC00000B7, 220, 198, 29)}


def _deny(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | error)


def program(machine: str = "") -> bytes:
    """Return the filter for a machine ("": this one), or b"" where its calls are not known here."""
    machine = machine or platform.machine()
    if machine not in _SPECIAL:
        return b""
    arch, clone, socket, ioctl = _SPECIAL[machine]
    allow = (_RETURN, 0, 0, _ALLOW)
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NR)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _deny(errno.ENOSYS)]
    for number in _ABSENT[machine]:
        code += [(_EQUAL, 0, 1, number), _deny(errno.ENOSYS)]
    for number in (*_DENIED[machine], *_NEWER):
        code += [(_EQUAL, 0, 1, number), _deny(errno.EPERM)]
    code += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, _FIRST)]
    code += [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), _deny(errno.EPERM), allow]
    code += [(_EQUAL, 0, 2 + len(_FAMILIES) + 1, socket), (_LOAD, 0, 0, _FIRST)]
    code += [(_EQUAL, len(_FAMILIES) - at, 0, family) for at, family in enumerate(_FAMILIES)]
    code += [_deny(errno.EAFNOSUPPORT), allow]
    code += [(_EQUAL, 0, 4, ioctl), (_LOAD, 0, 0, _SECOND)]
    code += [(_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _deny(errno.EPERM), allow]
    return b"".join(struct.pack("<HBBI", *each) for each in code)
