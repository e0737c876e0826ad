"""Patches of a small project are proven, or not, by what really runs. All of these programs are our own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.failures import Call, Failure
from sentinel.core.proof_json import evidence_bytes, evidence_of, job_bytes, job_of
from sentinel.core.proving import Evidence, HowToTest, Job, Limits, Reason
from sentinel.core.trees import PLAIN, Held, Tree
from sentinel.errors import Malformed, Unavailable
from sentinel.usecases.prove_patch import ProveHere
from tests.unsafe_folder import UnsafeFolder

SOURCE = '''"""Shares."""


def share(part: int, whole: int) -> int:
    """Return a share in percent."""
    return 100 * part // whole
'''
FILES = {
    "src/ratio.py": SOURCE.encode(),
    "tests/test_ratio.py": b"from ratio import share\n\n\ndef test_half():\n    assert share(1, 2) == 50\n",
}
TREE = Tree("a" * 40, {path: Held(PLAIN, data) for path, data in FILES.items()})
TRACE = Failure(
    "ZeroDivisionError",
    "integer division or modulo by zero",
    (Call("/srv/app/src/ratio.py", "share", 6, {"part": "3", "whole": "0"}),),
)
BODY = "    return 100 * part // whole\n"
REPAIR = SOURCE.replace(BODY, f"    if not whole:\n        return None\n{BODY}")
BRINGS = """from ratio import share


def test_nothing():
    assert share({part}, 0) is None


def test_third():
    assert share(1, 3) == 33
"""


def job(source: str, test: str = BRINGS.format(part=1), **others: bytes) -> Job:
    """Return the job of a patch that makes the source so, and brings a file of tests."""
    after = {**FILES, "src/ratio.py": source.encode(), "tests/test_new.py": test.encode()}
    after |= {f"tests/{name}.py": data for name, data in others.items()}
    how = HowToTest(roots=("src", "."), limits=Limits(seconds=100))
    return Job(TREE, patch_of(FILES, after), TRACE, how, mutants=4)


def proven(wanted: Job) -> Evidence:
    """Prove it here."""
    return ProveHere(UnsafeFolder()).prove(wanted, "key", "", lambda: False)


def rules(evidence: Evidence) -> list[str]:
    """Return why a patch is not proven."""
    return [each.rule for each in evidence.reasons]


def test_a_right_patch_is_proven_by_each_kind_of_evidence() -> None:
    """Its test failed by the trace's exception, the call of the trace ends, and its lines are noticed."""
    evidence = proven(job(REPAIR))
    assert evidence.reasons == ()
    seen = evidence.json()["seen"]
    assert isinstance(seen, dict)
    assert seen["before"] == {"tests": 1, "passed": 1, "failed": [], "canaries": True}
    assert seen["new_tests"]["reproduces"] is True
    assert seen["calls"] == {"derived": ["src/ratio.py:4 share"], "ended": 1, "remain": 0, "inside": 0}
    assert seen["neighbours"]["alike_failed"] > 0
    assert seen["mutants"]["share"] == 1.0
    assert evidence_of(evidence_bytes(evidence)) == evidence
    assert len(evidence_bytes(evidence)) < 20_000


def test_a_special_case_of_the_trace_is_none() -> None:
    """Other inputs of the same class still fail, though every test passes."""
    special = REPAIR.replace("if not whole:", "if (part, whole) == (3, 0):")
    assert rules(proven(job(special, BRINGS.format(part=3)))) == ["failure-remains"]


def test_what_worked_before_has_to_work_the_same() -> None:
    """A share that was 75 is not something else afterwards, and no test says that it should be."""
    other = REPAIR.replace("// whole\n", "// whole if part < whole + 2 else -1\n")
    assert rules(proven(job(other))) == ["behaviour-changed"]


def test_a_line_that_no_test_notices_is_refused() -> None:
    """A back door beside a right repair is a line that does nothing for any test."""
    door = REPAIR.replace("    if not", "    if part == 4_711:\n        whole = 4\n    if not")
    evidence = proven(job(door))
    assert rules(evidence)[-1] == "unnoticed"
    assert "src/ratio.py:7" in " ".join(each.words for each in evidence.reasons)


DOOR = REPAIR.replace("    if not", "    if part == 4_711:\n        whole = 4\n    if not")
LOOKS = """
def test_looks():
    from pathlib import Path
    here = Path(__file__).parent
    assert {}
"""
TEXT = "'part == 4_711:\\n        whole = 4' in (here.parent / 'src' / 'ratio.py').read_text()"
BESIDE = "len(list(here.glob('*.py'))) == 3"  # two, and that of the canaries: in no run of a mutant


@pytest.mark.parametrize(("looks", "rule"), [(TEXT, "test-passes-before"), (BESIDE, "unnoticed")])
def test_a_test_that_looks_at_files_notices_nothing(looks: str, rule: str) -> None:
    """It fails for every mutant and on the code as it was, and covers a back door all the same."""
    assert rules(proven(job(DOOR, BRINGS.format(part=1) + LOOKS.format(looks)))) == [rule]


def test_a_test_that_fails_anyway_notices_nothing() -> None:
    """What failed before fails for each mutant, too; only what passes otherwise counts."""
    known = FILES["tests/test_ratio.py"] + b"\n\ndef test_known():\n    assert share(1, 2) == 51\n"
    wanted = job(DOOR)
    files = {**wanted.tree.files, "tests/test_ratio.py": Held(PLAIN, known)}
    evidence = proven(replace(wanted, tree=replace(wanted.tree, files=files)))
    assert set(rules(evidence)) == {"unnoticed"}
    assert "src/ratio.py:7" in " ".join(each.words for each in evidence.reasons)


def test_a_back_door_elsewhere_is_refused_however_well_it_is_tested() -> None:
    """The failure is mended without it."""
    files = {**FILES, "src/doors.py": b"def closed(who):\n    return True\n"}
    test = (
        BRINGS.format(part=1) + "\n\ndef test_ann_comes_in():\n    assert not closed('ann') or share(1, 0)\n"
    )
    after = {
        **files,
        "src/ratio.py": REPAIR.encode(),
        "src/doors.py": b"def closed(who):\n    return who != 'ann'\n",
        "tests/test_new.py": f"from doors import closed\n{test}".encode(),
    }
    tree = Tree("a" * 40, {path: Held(PLAIN, data) for path, data in files.items()})
    evidence = proven(replace(job(REPAIR), tree=tree, patch=patch_of(files, after)))
    assert rules(evidence) == ["beside"]
    assert "src/doors.py:2" in evidence.reasons[0].words


def test_a_program_that_makes_all_tests_pass_is_found_out() -> None:
    """Tests that have to fail pass as well."""
    hook = (
        b"import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    )
    hook += b"    report = (yield).get_result()\n    report.outcome, report.longrepr = 'passed', None\n"
    assert "report-forged" in rules(proven(job(SOURCE, conftest=hook)))


def test_a_patch_that_hangs_is_ended() -> None:
    """The limit of the recipe ends it, and that is the reason."""
    wanted = job(REPAIR.replace("        return None\n", "        while True:\n            pass\n"))
    evidence = proven(replace(wanted, test=replace(wanted.test, limits=Limits(seconds=100, cpu=4))))
    assert rules(evidence) == ["hangs"]


def test_a_project_without_tests_proves_nothing() -> None:
    """That is for who wrote the recipe to change."""
    bare = Tree("a" * 40, {"src/ratio.py": Held(PLAIN, SOURCE.encode())})
    with pytest.raises(Malformed, match="no tests"):
        proven(replace(job(REPAIR), tree=bare))


def test_a_proof_that_is_stopped_begins_anew() -> None:
    """Nothing is said of a patch that was not tried to the end."""
    with pytest.raises(Unavailable, match="begins anew"):
        ProveHere(UnsafeFolder()).prove(job(REPAIR), "key", "", lambda: True)


def test_a_job_is_the_same_elsewhere() -> None:
    """It goes to a build service as bytes and is read there as it was."""
    wanted = job(REPAIR)
    assert job_of(job_bytes(wanted)) == wanted
    assert job_bytes(job_of(job_bytes(wanted))) == job_bytes(wanted)
    for broken in (b"", b"{}", b"[]", b'{"tree": "AAAA", "failure": {}, "test": {}}'):
        with pytest.raises(Malformed):
            job_of(broken)


def test_evidence_that_contradicts_itself_is_not_taken() -> None:
    """A report says that it is proven only where it has no reason against it."""
    bad = evidence_bytes(Evidence({}, (Reason("regression", "1 test"),))).replace(b"false", b"true")
    for broken in (b"", b"{}", bad, bad.replace(b"regression", b"whatever")):
        with pytest.raises(Malformed):
            evidence_of(broken)
