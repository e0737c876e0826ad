"""How an account of Falcon is asked: a sign-in, then one id of what each action reads.

Which scope is missing is told where its action could be asked for: an account that lists no hosts contains
none, so it is not asked for hosts. Whether the API client may write as well, Falcon tells nobody who only
reads.
"""

from __future__ import annotations

from sentinel.accounts import falcon
from sentinel.accounts.account import wrong
from sentinel.accounts.falcon import FalconConfig
from sentinel.errors import Forbidden, Rejected, Unavailable
from sentinel.ports import HttpResponse
from sentinel.siem.answers import passing
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, throttled

WHO = "Falcon"
_ALERTS, _HOSTS = "Alerts: Read and Write", "Hosts: Read and Write"
_WRITES = "whether it may write shows with the first step"


def signed_in(config: FalconConfig, response: HttpResponse) -> Finding:
    """Read the answer to the sign-in, and go on with its token."""
    try:
        access = falcon.token(response, 0).text
    except Unavailable:
        return throttled(response.status)
    except Forbidden as error:
        return _not_signed_in(response.status, str(error))
    if not config.hosts and not config.groups:
        return _alerts(config, access, hosts=None)
    request = falcon.hosts_request(config, access)
    return Question(request, lambda answer: _hosts(config, access, answer))


def _not_signed_in(status: int, words: str) -> Wrong:
    if status in {301, 302, 307, 308}:
        return Wrong(Level.PRODUCT, words, "write the cloud that it names, or its `url`")
    if status in {400, 401, 403}:
        return Wrong(Level.CREDENTIALS, words, "look at the secret that `token` names, and at `member_cid`")
    return elsewhere(status, "API of Falcon")


def _hosts(config: FalconConfig, access: str, response: HttpResponse) -> Finding:
    may = _may(response)
    return may if isinstance(may, Wrong) else _alerts(config, access, hosts=may)


def _alerts(config: FalconConfig, access: str, *, hosts: bool | None) -> Question:
    """Ask for alerts. `hosts` says whether hosts may be read, None where that was not asked."""

    def read(response: HttpResponse) -> Finding:
        may = _may(response)
        return may if isinstance(may, Wrong) else _judged(hosts, alerts=may)

    return Question(falcon.alerts_request(config, access), read)


def _judged(hosts: bool | None, *, alerts: bool) -> Finding:
    missing = [scope for scope, may in ((_HOSTS, hosts), (_ALERTS, alerts)) if may is False]
    if hosts is False or (hosts is None and not alerts):
        words = f"the API client signs in, and may not read all that it needs (403): {' and '.join(missing)}"
        return Wrong(Level.PERMISSION, words, "give the API client these scopes in the Falcon console")
    if missing:
        return Sound(f"it may read hosts, but not alerts: falcon.update_alert needs {_ALERTS}; {_WRITES}")
    if hosts is None:
        return Sound(f"it may read alerts; hosts are not asked for, since the account lists none; {_WRITES}")
    return Sound(f"it may read hosts and alerts; {_WRITES}")


def _may(response: HttpResponse) -> bool | Wrong:
    """Whether an answer lets the API client read; what is wrong where it says something else."""
    try:
        falcon.answered(response, 0, "")
    except Forbidden:
        return False
    except (Rejected, Unavailable):
        if passing(response):
            return throttled(response.status)
        return wrong(WHO, response, "")
    return True
