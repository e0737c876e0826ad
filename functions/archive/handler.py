"""Moves old segments from the ledger's table to the archive: a schedule."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints import archive
from sentinel.entrypoints.aws import invoked

handler = invoked("archive", bootstrap, archive.run)
