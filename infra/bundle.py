"""Builds what the functions run on, without Docker: the dependency layers and the `sentinel` layer.

A build is a folder named by everything that went into it (sources, pins, target, this file), so that a
second build of the same is a look-up and two synthesized templates of the same tree are the same. It knows
nothing of CDK: `layers.py` hands the folders over, and tests and benchmarks build the same folders for
their own host.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.util
import os
import platform
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "layers"
REQUIREMENTS = ROOT / "layers" / "runtime" / "requirements.txt"
AI_REQUIREMENTS = ROOT / "layers" / "ai" / "requirements.txt"
PACKAGE = ROOT / "shared" / "sentinel"
# Neither folder is of use in a function: one is the local runner, the other the command line.
LEFT_OUT = frozenset({"local", "cli"})
# Amazon Linux 2023 (Python 3.12 and later) has glibc 2.34.
LAMBDA_PLATFORMS = tuple(f"{tag}_aarch64" for tag in ("manylinux_2_34", "manylinux_2_28", "manylinux2014"))
# The AWS clients that adapters make. The models of all the others are nine tenths of botocore.
AWS_SERVICES = frozenset(
    {
        "apigateway",
        "codebuild",
        "dynamodb",
        "ecs",
        "kms",
        "lambda",
        "s3",
        "secretsmanager",
        "sns",
        "ssm",
        "sts",
    }
)


class BuildFailed(RuntimeError):
    """A layer could not be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a layer is built for. No `platforms`: the machine and the Python that build it."""

    python: str
    platforms: tuple[str, ...] = ()

    @classmethod
    def aws(cls, python: str) -> Target:
        """Return the target of functions on arm64 with this Python, such as "3.13"."""
        return cls(python, LAMBDA_PLATFORMS)

    @classmethod
    def host(cls) -> Target:
        """Return the machine and the Python that run this."""
        return cls(building_python())

    @property
    def compiles(self) -> bool:
        """Whether .pyc files can be made: only by the Python that will read them."""
        return self.python == building_python()

    @property
    def label(self) -> str:
        """Say what sets builds for different targets apart."""
        where = ",".join(self.platforms) or f"{sys.platform}-{platform.machine()}"
        magic = importlib.util.MAGIC_NUMBER.hex() if self.compiles else "source"
        return f"{self.python} {where} {magic}"


def building_python() -> str:
    """Return the Python that runs this, as "3.13"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def dependencies_hash(target: Target) -> str:
    """Return the hash that names the dependency layer for a target."""
    return _hash("dependencies", target, [REQUIREMENTS])


def ai_hash(target: Target) -> str:
    """Return the hash that names the layer with the SDKs of models for a target."""
    return _hash("ai", target, [AI_REQUIREMENTS])


def package_hash(target: Target) -> str:
    """Return the hash that names the `sentinel` layer for a target."""
    return _hash("package", target, package_files())


def build_dependencies(target: Target) -> Path:
    """Return the folder of the dependency layer, built if it is not in the cache. Raises `BuildFailed`."""
    return _cached(dependencies_hash(target), lambda out: _install(target, out, REQUIREMENTS))


def build_ai(target: Target) -> Path:
    """Return the folder of the layer with the SDKs, built if it is not in the cache. Raises `BuildFailed`."""
    return _cached(ai_hash(target), lambda out: _install(target, out, AI_REQUIREMENTS))


def build_package(target: Target) -> Path:
    """Return the folder of the `sentinel` layer, built if it is not in the cache."""
    return _cached(package_hash(target), lambda out: _stage(target, out))


def package_files() -> list[Path]:
    """Return the files of the `sentinel` layer, sorted."""
    return sorted(
        path
        for path in (each for kind in ("py", "yaml", "json") for each in PACKAGE.rglob(f"*.{kind}"))
        if path.relative_to(PACKAGE).parts[0] not in LEFT_OUT and "__pycache__" not in path.parts
    )


def _hash(kind: str, target: Target, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{kind} {target.label}\n".encode())
    for path in [Path(__file__), *files]:
        body = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT).as_posix()} {len(body)}\n".encode() + body)
    return digest.hexdigest()


def _cached(name: str, build: Callable[[Path], None]) -> Path:
    final = CACHE / name
    if final.is_dir():
        return final
    CACHE.mkdir(parents=True, exist_ok=True)
    # Built beside its place and renamed, so that a folder of that name is always whole.
    work = Path(tempfile.mkdtemp(prefix="building-", dir=CACHE))
    try:
        build(work / "python")
        try:
            work.rename(final)
        except OSError:
            if not final.is_dir():  # else another process was faster with the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def _install(target: Target, out: Path, requirements: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:"]
    command += ["--target", str(out), "--requirement", str(requirements)]
    if target.platforms:
        command += ["--implementation", "cp", "--python-version", target.python]
        command += [part for tag in target.platforms for part in ("--platform", tag)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise BuildFailed(f"pip could not install {requirements.name} for {target.label}:\n{done.stderr}")
    _prune(out)
    _compile(target, out)


def _prune(out: Path) -> None:
    """Remove what no function can use; what is left still imports, and still carries its licences."""
    shutil.rmtree(out / "bin", ignore_errors=True)
    for path in [*out.rglob("*.pyi"), *out.rglob("py.typed"), *out.glob("*.dist-info/*")]:
        if path.suffix == ".pyi" or path.name in {"py.typed", "RECORD", "INSTALLER", "REQUESTED", "WHEEL"}:
            path.unlink()
    # CPython uses zstandard's other backend; this one is 11 MB.
    for path in out.glob("zstandard/*cffi*"):
        path.unlink()
    for path in (out / "botocore" / "data").glob("*"):
        if path.is_dir() and path.name not in AWS_SERVICES:
            shutil.rmtree(path)


def _stage(target: Target, out: Path) -> None:
    for path in package_files():
        copy = out / "sentinel" / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    _compile(target, out)


def _compile(target: Target, out: Path) -> None:
    """Add .pyc files where this Python can: importing from source takes about twice as long.

    They are unchecked: in a zip of CDK every file has the same time, which would make each of them stale.
    """
    if not target.compiles:
        return
    compileall.compile_dir(
        out,
        quiet=2,
        stripdir=os.fspath(out),
        prependdir="/opt/python",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
