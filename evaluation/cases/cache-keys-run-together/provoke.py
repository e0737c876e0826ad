from accounts.cache import Cache
from accounts.profiles import Profiles
from accounts.store import Store

store = Store(
    profiles={
        ("nordwind", "de:418"): {"tenant": "nordwind", "user": "de:418", "name": "Jonas"},
        ("nordwind:de", "418"): {"tenant": "nordwind:de", "user": "418", "name": "Mira"},
    },
    roles={},
)
profiles = Profiles(store, Cache())
for tenant, user in [("nordwind", "de:418"), ("nordwind:de", "418")]:
    profiles.profile(tenant, user)
