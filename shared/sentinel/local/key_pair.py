"""A private key and its certificate as two files of one folder, which always fit together in the end.

Two files cannot be replaced at once. So both are first written whole beside the old ones, then moved, the
key first; what was cut off in between is finished by `mend`, which sees from the files themselves how far it
came. Nothing is lost on the way: a certificate that was issued stays with the key it was issued for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.adapters import whole_files
from sentinel.errors import Missing

_MAX = 65_536
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of a key on P-256 (PKCS #8, PEM, for its owner only) and its certificate (PEM)."""

    folder: Path
    certificate_name: str = "certificate.pem"
    key_name: str = "key.pem"

    @property
    def certificate(self) -> Path:
        """Where the certificate is."""
        return self.folder / self.certificate_name

    @property
    def key(self) -> Path:
        """Where the private key is."""
        return self.folder / self.key_name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the pair. What was left half done is mended before and after."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self.mend()
            yield
        finally:
            self.mend()
            os.close(fd)
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # only where nothing came of it

    def pem(self) -> str:
        """Return the certificate, "" where there is none or where it does not fit the key."""
        if not _fit(self.certificate, self.key):
            return ""
        return self.certificate.read_text()

    def begin(self) -> bytes:
        """Make the next key; return a certificate request for it, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        sealed = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        whole_files.replace(self._next(self.key), sealed)
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def finish(self, pem: str) -> None:
        """Take the certificate of the next key, and make both the ones in use."""
        whole_files.replace(self._next(self.certificate), pem.encode(), whole_files.PUBLIC)
        self.mend()

    def put_certificate(self, pem: str) -> None:
        """Keep a certificate whose key is somewhere else."""
        whole_files.replace(self.certificate, pem.encode(), whole_files.PUBLIC)

    def mend(self) -> None:
        """Finish a change that was cut off after its certificate had come; forget one that was before."""
        certificate, key = self._next(self.certificate), self._next(self.key)
        if _fit(certificate, key):
            key.replace(self.key)
        if _fit(certificate, self.key):
            certificate.replace(self.certificate)
        certificate.unlink(missing_ok=True)
        key.unlink(missing_ok=True)

    def _next(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.new")


def spki_of(csr_pem: bytes) -> bytes:
    """Return the public key of a certificate request: SubjectPublicKeyInfo in DER form."""
    return x509.load_pem_x509_csr(csr_pem).public_key().public_bytes(serialization.Encoding.DER, _SPKI)


def _fit(certificate: Path, key: Path) -> bool:
    """Whether both files are there and are of one key."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(whole_files.read_private(key, _MAX), None)
    except (FileNotFoundError, Missing, ValueError, TypeError):
        return False
    ours = private.public_key().public_bytes(serialization.Encoding.DER, _SPKI)
    return found.public_key().public_bytes(serialization.Encoding.DER, _SPKI) == ours
