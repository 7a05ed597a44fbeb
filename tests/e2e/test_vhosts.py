"""Virtual hosts: they see the main server's issuers, add their own, replace them; one table serves all."""

import pytest

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_accept import passes
from test_refuse import refused

PAGE = "/p/app/ok.txt"
MORE = "https://more.test/"


def host(name, *lines):
    return f"<VirtualHost 127.0.0.1:{{port}}>\nServerName {name}\n" + "".join(lines) + "</VirtualHost>\n"


@pytest.fixture(scope="module")
def site(new_server, keys):
    server = new_server()
    write_keys(server, keys)
    return server.start(
        issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app") + endpoint("/revoke") + host("plain.test")
        + host("adds.test", issuer(MORE, jwks("all"))) + host("replaces.test", issuer("https://idp.test/", jwks("second")))
        + host("star.test", issuer("*", jwks("second"))) + host("jti.test", issuer("https://idp.test/", jwks("all"), "TokRevokeRequireJti On"))
        + host("audience.test", issuer("https://idp.test/", jwks("all"), "TokRevokeAudience here")))


def passes_at(site, token, name):
    r = site.bearer(PAGE, token, host=name)
    assert (r.status, r.reason) == (200, None), r


def test_a_virtual_host_sees_the_issuers_of_the_main_server(site, mint):
    for name in ("plain.test", "adds.test", "jti.test"):
        passes_at(site, mint(), name)


def test_a_virtual_host_adds_issuers_of_its_own(site, mint):
    passes_at(site, mint(iss=MORE), "adds.test")
    refused(site, mint(iss=MORE), "unknown_issuer", host="plain.test")


def test_a_virtual_host_replaces_an_issuer_by_name(site, mint, keys):
    passes_at(site, mint(key=keys.other["p256"]), "replaces.test")
    refused(site, mint(), "bad_signature", host="replaces.test")
    refused(site, mint(key=keys.other["p256"]), "bad_signature", host="plain.test")
    refused(site, mint(), "audience", host="audience.test")
    passes_at(site, mint(aud="here"), "audience.test")


def test_the_star_issuer_of_a_virtual_host_leaves_the_named_ones_to_their_keys(site, mint, keys):
    passes_at(site, mint(iss="https://any.thing/", key=keys.other["p256"]), "star.test")
    passes_at(site, mint(), "star.test")
    refused(site, mint(key=keys.other["p256"]), "bad_signature", host="star.test")
    refused(site, mint(iss="https://any.thing/", key=keys.other["p256"]), "unknown_issuer", host="plain.test")


def test_a_jti_may_be_required_per_virtual_host(site, mint):
    token = mint(drop="jti")
    passes_at(site, token, "plain.test")
    r = site.bearer(PAGE, token, host="jti.test")
    assert (r.status, r.reason) == (401, "malformed"), r
    passes_at(site, mint(), "jti.test")


def test_a_token_is_revoked_on_every_host(site, mint):
    """The table belongs to the server, and a token is known by issuer and jti."""
    token = mint()
    passes_at(site, token, "adds.test")
    assert site.revoke(token, host="plain.test").status == 200
    for name in ("plain.test", "adds.test", "jti.test", "star.test"):
        refused(site, token, "revoked", host=name)


def test_a_host_revokes_only_what_its_issuers_signed(site, mint, keys):
    token = mint(iss=MORE)
    assert site.revoke(token, host="plain.test").status == 200
    passes_at(site, token, "adds.test")
    assert site.revoke(token, host="adds.test").status == 200
    refused(site, token, "revoked", host="adds.test")
    mine, forged = mint(jti="one-of-two"), mint(jti="one-of-two", key=keys.other["p256"])
    assert site.revoke(forged, host="plain.test").status == 200
    passes_at(site, mine, "plain.test")


def test_the_first_host_serves_names_that_nobody_has(site, mint):
    passes(site, mint())
    passes_at(site, mint(), "nobody.test")


def test_the_jti_that_a_host_requires_does_not_keep_others_from_revoking(site, mint):
    """Of all rules only format, issuer, key, signature and expiry matter to revoking."""
    token = mint(drop="jti")
    r = site.revoke(token, host="jti.test")
    assert r.status == 200
    refused(site, token, "revoked", host="plain.test")
