from helpdesk.passwords import hashed, matches


def test_only_the_password_that_was_kept_matches():
    kept = hashed("correct horse", b"salt")
    assert matches("correct horse", b"salt", kept)
    assert not matches("correct horsE", b"salt", kept)
    assert not matches("correct horse", b"other", kept)
