"""Escapes that harm nobody where they get through: the probes, and the program that tries each of them."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import Final

# Each probe in a child of its own, with what many need at hand. Its end says what became of it.
DRIVER: Final = '''
import ctypes, errno, fcntl, glob, json, os, platform, resource, signal, socket, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
STARTER = os.getppid()
NUMBERS = {
    "x86_64": {"bpf": 321, "perf_event_open": 298, "keyctl": 250, "io_uring_setup": 425, "userfaultfd": 323,
               "open_by_handle_at": 304, "clone": 56, "pidfd_getfd": 438},
    "aarch64": {"bpf": 280, "perf_event_open": 241, "keyctl": 219, "io_uring_setup": 425, "userfaultfd": 282,
                "open_by_handle_at": 265, "clone": 220, "pidfd_getfd": 438},
}[platform.machine()]

def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "denied")
    return result

def call(name, *values):
    return check(libc.syscall(NUMBERS[name], *values))

def denied(name, *values):
    """Raise where a call is denied for what it is, and not for its arguments."""
    try:
        call(name, *values)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            raise

def expect(true):
    if not true:
        raise OSError("it is not there")

def secret_in(path):
    expect(SECRET in open(path, "rb").read(4096))

def can_write(folder):
    try:
        open(folder + '/escaped', 'w').close()
    except OSError:
        return False
    return True

def try_one(program):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.alarm(5)
        try:
            exec(program, globals())
            said = "through"
        except OSError as error:
            said = f"stopped: {type(error).__name__} {error.errno or ''}"
        except BaseException as error:
            said = f"the probe is wrong: {type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 500).decode()
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    killed = "stopped: SIGSYS" if status == -signal.SIGSYS else f"the probe is wrong: it ended with {status}"
    return said or killed

probes = json.load(open(sys.argv[1]))
SECRET = eval(probes.pop("secret", "b''"))
sys.stdout.write(json.dumps({name: try_one(program) for name, program in probes.items()}))
'''


@dataclass(frozen=True, slots=True)
class Quiet:
    """One probe. `bare` says that it gets through without a sandbox, by root: the trial of the probe."""

    name: str
    program: str
    namespaces: bool = False
    bare: bool = True


def _q(name: str, program: str, *, namespaces: bool = False, bare: bool = True) -> Quiet:
    return Quiet(name, dedent(program).strip() + "\n", namespaces, bare)


NETWORK: Final = (
    _q("TCP to loopback", "assert socket.create_connection(('127.0.0.1', $tcp), 2).recv(9)"),
    _q("TCP to the machine's address", "assert socket.create_connection(($own, $tcp), 2).recv(9)"),
    _q("TCP over IPv6", "assert socket.create_connection(('::1', $tcp6), 2).recv(9)", bare=False),
    _q(
        "UDP",
        """
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.settimeout(1)
        probe.connect(('127.0.0.1', $udp))
        probe.send(b'x')
        assert probe.recv(9)
        """,
    ),
    _q("names of DNS", "socket.getaddrinfo('example.com', 443)", bare=False),
    _q("TCP to the internet", "socket.create_connection(('1.1.1.1', 53), 2)", bare=False),
    _q(
        "an abstract Unix socket",
        """
        probe = socket.socket(socket.AF_UNIX)
        probe.connect('\\0' + $abstract)
        assert probe.recv(9)
        """,
    ),
    _q(
        "a Unix socket in a folder",
        """
        probe = socket.socket(socket.AF_UNIX)
        probe.connect($folder + '/socket')
        assert probe.recv(9)
        """,
        namespaces=True,
    ),
    _q("raw sockets", "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)"),
    _q("packet sockets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    _q("vsock to the hypervisor", "socket.socket(40, socket.SOCK_STREAM)", bare=False),
    _q("the kernel's ciphers (AF_ALG)", "socket.socket(38, socket.SOCK_SEQPACKET)", bare=False),
)
FILES: Final = (
    _q("reading /etc/shadow", "open('/etc/shadow').read()"),
    _q("listing /root", "expect(os.listdir('/root') != ['.pyenv'] and os.listdir('/root'))"),
    _q("a file that is its owner's alone", "secret_in($folder + '/closed')"),
    _q("a file that all may read", "secret_in($folder + '/open')", namespaces=True),
    _q("the checkout", "open($root + '/README.md').read()", namespaces=True),
    _q("dots that lead out", "secret_in('../' * 30 + $folder + '/closed')"),
    _q("a symbolic link that leads out", "os.symlink($folder + '/closed', 'l'); secret_in('l')"),
    _q(
        "a symbolic link to what all may read",
        "os.symlink($folder, 'd'); secret_in('d/open')",
        namespaces=True,
    ),
    _q(
        "a hard link",
        "os.link($folder + '/open', '/tmp/escaped-link'); os.unlink('/tmp/escaped-link')",
        bare=False,
    ),
    _q(
        "files of another run",
        """
        found = []
        others = *glob.glob('/proc/[0-9]*/cwd'), *glob.glob('/proc/[0-9]*/root/tmp')
        for place in ('/tmp', '/dev/shm', '/var/tmp', *others):
            for folder, _, names in os.walk(place):
                found += [folder] if 'beside.txt' in names else []
        expect(found)
        """,
        bare=False,
    ),
    _q("the root of process 1", "expect(os.listdir('/proc/1/root/'))", bare=False),
    _q("the folder of process 1", "expect(os.listdir('/proc/1/cwd/'))", bare=False),
    _q("files by their handles", "denied('open_by_handle_at', -1, b'\\0' * 64, 0)", bare=False),
    _q("writing to /usr", "open('/usr/escaped', 'w')", bare=False),
    _q("writing to /etc", "open('/etc/escaped', 'w')", bare=False),
    _q("writing to /", "open('/escaped', 'w')", bare=False),
    _q(
        "writing to its interpreter",
        "open(os.path.realpath('/usr/lib/python3/dist-packages') + '/e', 'w')",
        bare=False,
    ),
    _q(
        "any folder that can be written to",
        """
        found = []
        for line in open('/proc/self/mountinfo'):
            folder = line.split()[4]
            if folder not in ('/tmp', '/dev/shm', '/proc') and os.path.isdir(folder):
                found += [folder] if can_write(folder) else []
        expect(found)
        expect(found)
        """,
        namespaces=True,
        bare=False,
    ),
    _q("settings of the kernel", "open('/proc/sys/kernel/core_pattern', 'r+')"),
    _q("the kernel's keys", "open('/proc/sysrq-trigger', 'w')", bare=False),
    _q("/sys", "expect(os.listdir('/sys'))", namespaces=True),
    _q("the machine's memory", "open('/dev/mem', 'rb')", bare=False),
    _q("making a device", "os.mknod('device', 0o60600, os.makedev(254, 0))"),
    _q(
        "a disk of the machine", "expect([open(each, 'rb') for each in glob.glob('/dev/[sv]d*')])", bare=False
    ),
    _q("a file larger than a file may be", "open('sparse', 'wb').truncate(1 << 31); os.unlink('sparse')"),
    _q(
        "descriptors of the caller",
        """
        seen = []
        for number in range(3, 256):
            try:
                seen.append(os.readlink(f'/proc/{os.getppid()}/fd/{number}'))
            except OSError:
                pass
        expect([each for each in seen if not each.startswith('pipe:')])
        """,
        bare=False,
    ),
    _q("input of the caller", "expect(os.read(0, 1) or os.isatty(0))", bare=False),
)
SECRETS: Final = (
    _q("its own environment", "expect($canary in os.environ)"),
    _q(
        "environments of all processes",
        """
        found = []
        for path in glob.glob('/proc/[0-9]*/environ'):
            try:
                found += [path] if $canary.encode() in open(path, 'rb').read() else []
            except OSError:
                pass
        expect(found)
        """,
    ),
    _q(
        "commands of the host's processes",
        "expect(b'sleep' in open('/proc/%d/cmdline' % $victim, 'rb').read())",
        namespaces=True,
    ),
)
RIGHTS: Final = (
    _q("becoming root", "os.setuid(0); os.setgroups([0])"),
    _q("rights by programs that have them", "check(-1 if libc.prctl(39, 0, 0, 0, 0) else 0)"),
    _q("a user namespace", "check(libc.unshare(0x10000000))"),
    _q(
        "a user namespace by clone",
        "expect(call('clone', 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0) is None)",
    ),
    _q("a mount namespace", "check(libc.unshare(0x00020000))"),
    _q(
        "mounting",
        "os.mkdir('m'); check(libc.mount(b'none', b'm', b'tmpfs', 0, None)); libc.umount2(b'm', 2)",
        bare=False,
    ),
    _q("a root folder of its own", "os.chroot('.')"),
    _q("tracing", "check(libc.ptrace(0, 0, 0, 0))"),
    _q("memory of its starter", "open(f'/proc/{STARTER}/mem', 'r+b')"),
    _q("descriptors of its starter", "expect(os.listdir(f'/proc/{STARTER}/fd'))"),
    _q("memory of process 1", "open('/proc/1/mem', 'rb')", bare=False),
    _q("a signal to the host's process", "os.kill($victim, 0)"),
    _q("loading code into the kernel", "denied('bpf', 0, 0, 0)", bare=False),
    _q("watching the machine", "denied('perf_event_open', 0, 0, -1, -1, 0)", bare=False),
    _q("the kernel's keyring", "call('keyctl', 0, -3, 1)", bare=False),
    _q("io_uring", "denied('io_uring_setup', 1, 0)", bare=False),
    _q("faults of pages in its hands", "denied('userfaultfd', 0)", bare=False),
    _q("descriptors of others", "denied('pidfd_getfd', -1, 0, 0)", bare=False),
    _q("setting the clock", "time.clock_settime(time.CLOCK_REALTIME, time.time())", bare=False),
    _q("a name for the machine", "socket.sethostname(socket.gethostname())", bare=False),
    _q("coming before others", "os.setpriority(os.PRIO_PROCESS, 0, -5)"),
    _q(
        "higher limits",
        """
        try:
            resource.setrlimit(resource.RLIMIT_NPROC, (1 << 20, 1 << 20))
        except ValueError:
            raise PermissionError('denied') from None
        """,
        bare=False,
    ),
    _q(
        "typing into a terminal",
        """
        import pty
        leader, follower = os.openpty()
        os.setsid()
        fcntl.ioctl(follower, 0x540E, 0)
        fcntl.ioctl(follower, 0x5412, b'x')
        """,
        bare=False,
    ),
    _q("the caller's terminal", "fcntl.ioctl(os.open('/dev/tty', os.O_RDWR), 0x5412, b'x')", bare=False),
    _q("memory of no process (memfd)", "os.memfd_create('escaped')"),
    _q("memory of no process (System V)", "check(libc.shmctl(check(libc.shmget(0, 4096, 0o1600)), 0, 0))"),
    _q("a core of what it knows", "expect(resource.getrlimit(resource.RLIMIT_CORE)[1])"),
)
QUIET: Final = (*NETWORK, *FILES, *SECRETS, *RIGHTS)
