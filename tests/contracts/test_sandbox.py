"""The contract of `Sandbox`, over both that there are: what the caller gets, and what no program gets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks import patches_escapes as escapes
from benchmarks.patches_escapes_loud import left
from benchmarks.patches_escapes_quiet import NETWORK
from benchmarks.patches_escapes_world import World
from sentinel.adapters import sandbox_bwrap, sandbox_filter, sandbox_run, sandbox_view
from sentinel.adapters.sandbox_bwrap import Bubblewrap
from sentinel.adapters.sandbox_container import Container
from sentinel.core.proving import Limits, Ran
from sentinel.errors import Malformed, Unavailable
from sentinel.ports_patches import Sandbox

PYTHON = escapes.PYTHON
MARK = f"escape-{os.getpid()}"  # by which processes of these tests are found
ROOT = Path(__file__).resolve().parents[2]
SOON = Limits(seconds=20, cpu=20, memory=300_000_000, disk=50_000_000, file=10_000_000)
ADMIN = 21  # CAP_SYS_ADMIN


def _may_unshare() -> bool:
    rights = Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0]
    return bool(int(rights, 16) >> ADMIN & 1)


@pytest.fixture(params=["bubblewrap", pytest.param("container", marks=pytest.mark.nightly)], scope="module")
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox that can run on this machine."""
    if request.param == "container":
        if os.geteuid():
            pytest.skip("a build container's sandbox is made by root")
        return Container()
    return bubblewrap()


def bubblewrap() -> Bubblewrap:
    """That of this machine, or a skip that says why there is none."""
    try:
        return sandbox_bwrap.here()
    except Unavailable as error:
        pytest.skip(str(error))


def python(sandbox: Sandbox, program: str, limits: Limits = SOON, **more: object) -> Ran:
    """Run a program of Python."""
    return sandbox.run([], [PYTHON, "-c", program], limits, **more)  # type: ignore[arg-type]


def test_files_are_there_and_what_is_asked_for_is_brought_out(sandbox: Sandbox) -> None:
    """It runs in a folder with the files, their modes and links; files are brought out if they are there."""
    files = [
        ("src/deep/a.txt", "100644", b"text\0"),
        ("run", "100755", b"#!/bin/sh\n"),
        ("link", "120000", b"src/deep/a.txt"),
        ("module", "160000", b""),
    ]
    program = (
        "import os, sys; assert open('link', 'rb').read() == b'text\\0'; assert os.access('run', os.X_OK)\n"
        "assert not os.access('src/deep/a.txt', os.X_OK)\n"
        "assert sorted(os.listdir()) == ['link', 'run', 'src']\n"
        "os.mkdir('out'); open('out/b.txt', 'w').write('brought')\n"
        "print('said'); print('wrong', file=sys.stderr)"
    )
    ran = sandbox.run(files, [PYTHON, "-c", program], SOON, bring=["out/b.txt", "nothing", "link"])
    assert (ran.code, ran.out, ran.err, ran.ended) == (0, b"said\n", b"wrong\n", "")
    assert ran.files == {"out/b.txt": b"brought"}
    assert 0 < ran.seconds < 20


def test_variables_are_those_that_are_given(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees PATH, HOME, TMPDIR and LANG, and what the caller gave; home and temporary folder are usable."""
    monkeypatch.setenv("SENTINEL_TEST_CANARY", "secret")
    program = (
        "import os, tempfile; open(os.environ['HOME'] + '/x', 'w'); tempfile.NamedTemporaryFile()\n"
        "print(sorted(set(os.environ) - {'LC_CTYPE'}), os.environ['MINE'])"
    )
    ran = python(sandbox, program, variables=[("MINE", "a b")])
    assert ran.out.decode() == "['HOME', 'LANG', 'MINE', 'PATH', 'TMPDIR'] a b\n", ran.err


def test_exit_codes(sandbox: Sandbox) -> None:
    """An exit code is that of the command, negative for a signal, 127 for a command that is not there."""
    assert python(sandbox, "raise SystemExit(7)").code == 7
    killed = python(sandbox, "import os; os.kill(os.getpid(), 15)")
    assert (killed.code, killed.ended) == (-15, "")
    missing = sandbox.run([], ["no-such-program"], SOON)
    assert missing.code == 127
    assert b"no-such-program cannot be run" in missing.err


def test_no_shell(sandbox: Sandbox) -> None:
    """Words of the command are words, whatever is in them."""
    ran = sandbox.run([], [PYTHON, "-c", "import sys; print(sys.argv[1:])", "$(id); *", "a b"], SOON)
    assert ran.out == b"['$(id); *', 'a b']\n"


def test_output_is_kept_in_part(sandbox: Sandbox) -> None:
    """Beyond its bound the beginning and the end of output are kept, and how much is missing is said."""
    limits = Limits(seconds=20, output=4_000)
    ran = python(sandbox, "print('first'); print('x' * 9_000); print('last')", limits)
    assert ran.ended == ""
    assert ran.out.startswith(b"first\n")
    assert ran.out.endswith(b"last\n")
    assert b"[7012 bytes are left out here]" in ran.out


def test_the_order_to_stop(sandbox: Sandbox) -> None:
    """`stopped` is asked meanwhile, and ends the program; what it wrote until then is brought out."""
    since, word = time.monotonic(), f"begun-{os.getpid()}"
    sleep = f"[{PYTHON!r}, '-c', 'import time; time.sleep(60)', 'begun-' + '{os.getpid()}']"
    program = f"import os; open('begun', 'w').write('x'); os.execv({PYTHON!r}, {sleep})"
    ran = python(sandbox, program, Limits(seconds=55), stopped=lambda: bool(left(word)), bring=["begun"])
    assert (ran.ended, ran.files) == ("stopped", {"begun": b"x"})
    assert time.monotonic() - since < 50


def test_what_the_caller_raises_ends_it(sandbox: Sandbox) -> None:
    """Where the caller's thread raises, everything that ran is gone when that is seen."""

    def raising() -> bool:
        if left(MARK):
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        sandbox.run([], [PYTHON, "-c", "import time; time.sleep(60)", MARK], SOON, stopped=raising)
    assert left(MARK) == []


def test_a_path_that_leads_outside_is_refused(sandbox: Sandbox) -> None:
    """Files and what is brought out have paths below the folder."""
    for path in ("../x", "/etc/x", "a//b", "", "a/../../x", "a\0b"):
        with pytest.raises(Malformed):
            sandbox.run([(path, "100644", b"")], ["true"], SOON)
        with pytest.raises(Malformed):
            sandbox.run([], ["true"], SOON, bring=[path])
    with pytest.raises(Malformed):
        sandbox.run([], [], SOON)


def test_limits_of_processes_are_of_one_run(sandbox: Sandbox) -> None:
    """Runs at the same time do not take of each other's processes, and get nothing of each other."""
    program = (
        "import os, time\n"
        "for _ in range(20):\n    if not os.fork():\n        time.sleep(2)\n        os._exit(0)\n"
        "for _ in range(20):\n    os.wait()\nprint('all')"
    )
    limits = Limits(seconds=30, processes=24)
    found: list[Ran] = []
    run = partial(python, sandbox, program, limits)
    threads = [threading.Thread(target=lambda: found.append(run())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(ran.code, ran.out) for ran in found] == [(0, b"all\n")] * 3


@pytest.fixture(scope="module")
def came_to(sandbox: Sandbox) -> dict[str, str]:
    """What every escape came to in one sandbox."""
    return escapes.outcomes(sandbox, namespaces=isinstance(sandbox, Bubblewrap))


@pytest.mark.parametrize("name", [each.name for each in escapes.ESCAPES])
def test_escapes_are_stopped(name: str, sandbox: Sandbox, came_to: dict[str, str]) -> None:
    """Nothing of what a hostile program tries gets through."""
    if name not in came_to:
        pytest.skip("only namespaces stop this, and the container is what has them")
    if isinstance(sandbox, Container) and name in {each.name for each in NETWORK} and not _may_unshare():
        pytest.skip("the container's subnet keeps it from the network")
    assert came_to[name].startswith("stopped"), came_to[name]


@pytest.mark.skipif(os.geteuid() != 0, reason="what a program gets to without a sandbox is tried as root")
def test_escapes_get_through_without_a_sandbox() -> None:
    """The probes that harm nobody do get through where nothing stops them: they can fail."""
    bubblewrap()
    with World.made() as world:
        found = escapes.bare(world)
    assert len(found) > 15
    assert {name: said for name, said in found.items() if said != "through"} == {}


def test_a_caller_that_is_killed_leaves_nothing() -> None:
    """Killed with -9, the caller takes everything in the sandbox with it."""
    bubblewrap()
    program = (
        "from sentinel.adapters.sandbox_bwrap import here\nfrom sentinel.core.proving import Limits\n"
        f"here().run([], [{PYTHON!r}, '-c', 'import time; time.sleep(60)', {MARK!r}], Limits())"
    )
    with subprocess.Popen([sys.executable, "-c", program], env={"PYTHONPATH": f"{ROOT}/shared"}) as caller:
        try:
            until(lambda: bool(left(MARK)))
        finally:
            caller.kill()
    until(lambda: not left(MARK))


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_environment_is_seen_without_what_lies_beside_it() -> None:
    """An environment runs where it is, with the interpreter that it is of, and nothing of their homes."""
    program = (
        "import os, sys, orjson; print(sys.prefix, orjson.__file__.startswith(sys.prefix))\n"
        f"print(os.path.exists({str(ROOT / 'README.md')!r}))\n"
        "try:\n    open(sys.prefix + '/x', 'w')\nexcept OSError as error:\n    print(error.strerror)"
    )
    ran = bubblewrap().run([], ["python", "-c", program], SOON, environment=sys.prefix)
    said = [f"{sys.prefix} True", "False", "Read-only file system"]
    assert ran.out.decode().splitlines() == said, ran.err


def test_it_sees_itself_as_nobody_of_the_host() -> None:
    """It is an ordinary user in a place without names of the host, in UTC, with a loopback that works."""
    program = (
        "import os, pwd, socket, time\n"
        "print(os.getuid(), pwd.getpwuid(os.getuid()).pw_name, os.uname().nodename)\n"
        "print(time.tzname[0], [user.pw_name for user in pwd.getpwall()])\n"
        "server = socket.create_server(('localhost', 0))\n"
        "socket.create_connection(server.getsockname()); print('met')"
    )
    ran = python(bubblewrap(), program)
    said = ["1000 sandbox sandbox", "UTC ['root', 'sandbox']", "met"]
    assert ran.out.decode().splitlines() == said, ran.err


@pytest.fixture
def _forgotten() -> Iterator[None]:
    sandbox_bwrap._checked.cache_clear()
    yield
    sandbox_bwrap._checked.cache_clear()


@pytest.mark.usefixtures("_forgotten")
def test_without_bubblewrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no bubblewrap, or it cannot make namespaces, the error says what to do."""
    monkeypatch.setattr(sandbox_bwrap, "PROGRAMS", str(tmp_path))
    with pytest.raises(Unavailable, match="apt-get install bubblewrap"):
        sandbox_bwrap.here()
    for name in ("bwrap", "setpriv"):
        (tmp_path / name).write_text(
            "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
        )
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Unavailable, match=r"No permissions to create.*sysctl"):
        sandbox_bwrap.here()


def test_a_starter_that_answers_nonsense_is_a_program_that_was_killed() -> None:
    """What comes out of a sandbox is read as what a stranger says: numbers and bytes, or nothing."""
    task = sandbox_run.Task([], ["true"], SOON, {}, bring=["a"])
    for said in (b"!", b"!x", b"!0 - 1.0\n5 3\n\nabc", b"!0 - 1.0\n0 x\n\n", b"!0 - \xff\n\n"):
        command = [sys.executable, "-c", f"import os, sys; os.write(int(sys.argv[1]), {said!r})"]
        ours, theirs = os.pipe()
        with sandbox_run.started([*command, str(theirs)], [theirs]) as process:
            os.close(theirs)
            ran = sandbox_run.Supervised(task, lambda: False, process.kill).run(process, ours, [b"job"])
        os.close(ours)
        assert (ran.code, ran.files) == (-9, {}), said


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_one_that_a_kernel_takes(machine: str) -> None:
    """Filters are whole instructions, their jumps lead to instructions, and no call is listed twice."""
    code = sandbox_filter.program(machine)
    steps = [code[at : at + 8] for at in range(0, len(code), 8)]
    assert len(code) % 8 == 0
    assert all(
        at + 1 + max(step[2], step[3]) < len(steps) for at, step in enumerate(steps) if step[0] & 7 == 5
    )
    assert steps[-1][0] == 6
    assert len(set(sandbox_filter._DENIED[machine])) == len(sandbox_filter._DENIED[machine])


def test_an_unknown_machine_has_no_filter() -> None:
    """Where the numbers of system calls are not known none are guessed."""
    assert sandbox_filter.program("riscv64") == b""


def test_an_interpreter_far_from_the_system_is_shown_by_bin_and_lib_alone(tmp_path: Path) -> None:
    """Of the place where an interpreter lies only `bin` and `lib` are seen, however the links lead there."""
    base, environment = tmp_path / "base" / "3.11", tmp_path / "project" / ".venv"
    for folder in (base / "bin", base / "lib", base / "secrets", environment / "bin"):
        folder.mkdir(parents=True)
    (base / "bin" / "python3.11").write_text("")
    (environment / "bin" / "python").symlink_to("python3")
    (environment / "bin" / "python3").symlink_to(base / "bin" / "python3.11")
    (environment / "pyvenv.cfg").write_text("")
    seen = sandbox_view.of_environment(str(environment))
    bound = {seen[at + 2] for at, word in enumerate(seen) if word == "--ro-bind"}
    assert {str(base / "bin"), str(base / "lib"), str(environment)} <= bound
    assert not any(each in bound for each in (str(base), str(base / "secrets"), str(tmp_path)))
