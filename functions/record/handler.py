"""Signs the records of erasures, whose text it makes itself: the role that erases invokes it."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.recording import records

handler = records(bootstrap)
