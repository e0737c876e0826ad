"""TEMPORARY"""
import hashlib, json, os, secrets, sys, time
from dataclasses import replace
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sentinel.bootstrap import bootstrap
from sentinel.core import api_keys, tokens
from sentinel.core.access import ApiKey, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.ports_doors import Record

app = bootstrap()
what = sys.argv[1]
if what == "open":
    app.authority.create_root(app.settings.ca_key)
    app.trust_store.publish(app.authority.published())
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    ring = Ring((Key(secrets.token_hex(8), key, 0, 0),))
    t = str(secrets.token_hex(16))
    app.door_secrets.put(app.settings.signing_secret, t, ring.encode())
    app.door_secrets.promote(app.settings.signing_secret, t)
    app.registry.put(Record("jwks", "keys", orjson.dumps(tokens.jwks(ring, int(time.time())))))
elif what == "add":
    name, scopes = sys.argv[2], tuple(sys.argv[3].split())
    api = api_keys.make(secrets.token_hex(8), secrets.token_bytes(32))
    k = api_keys.of(api, name, int(time.time()))
    app.registry.put(Record("key", k.id, encode(k), service=name))
    usage = hashlib.sha256(api.encode()).hexdigest()
    import botocore.session
    gw = botocore.session.get_session().create_client("apigateway")
    kid = gw.create_api_key(name=name, value=usage, enabled=True)["id"]
    plans = dict(p.split("=") for p in app.settings.usage_plans.split(","))
    gw.create_usage_plan_key(usagePlanId=plans["standard"], keyId=kid, keyType="API_KEY")
    app.registry.put(Record("service", name, encode(Service(name, scopes=scopes, usage=usage))))
    print(json.dumps({"api_key": api, "usage": usage}))
elif what == "issue":
    print(app.authority.issue(sys.argv[2], sys.stdin.buffer.read()))
elif what == "revoke":
    app.authority.revoke(sys.argv[2])
