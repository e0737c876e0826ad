from sessions.store import Store


def test_a_session_is_its_users_until_it_ends():
    store = Store(lifetime=100)
    key = store.begin("kim", 0)
    assert [store.user(key, now) for now in (0, 99, 100)] == ["kim", "kim", None]


def test_a_session_that_is_prolonged_ends_later():
    store = Store(lifetime=100)
    key = store.begin("kim", 0)
    assert store.prolong(key, 60)
    assert store.user(key, 159) == "kim"
    assert not store.prolong(key, 160)


def test_no_session_is_anybodys_without_its_key():
    assert Store(lifetime=100).user("s1", 0) is None


def test_sessions_that_go_on_are_not_swept():
    store = Store(lifetime=100)
    store.begin("kim", 1)
    assert (store.swept(100), len(store)) == ([], 1)
