"""Signatures that only look good: confused algorithms, bent encodings, keys that the token brings along."""

import json
import socket
import threading

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from jwcrypto.jwk import JWK

import issuers as at
from test_accept import passes
from test_refuse import refused
from tokens import (MAIN, b64, certificate_pem, claims, compact, curve_point, der_signature, fields, other_spelling, private_object,
                    public_pem, unb64)


def public_forms(jwk):
    """Every byte string a careless verifier may take for a secret: all of them are public."""
    key = private_object(jwk).public_key()
    enc, fmt = serialization.Encoding, serialization.PublicFormat
    pem = public_pem(jwk)
    public = fields(jwk)
    forms = {
        "PEM": pem, "PEM without newline": pem.rstrip(b"\n"), "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "DER": key.public_bytes(enc.DER, fmt.SubjectPublicKeyInfo), "certificate": certificate_pem(jwk),
        "JWK": json.dumps(public).encode(), "JWK without spaces": json.dumps(public, separators=(",", ":")).encode(),
        "thumbprint": jwk.thumbprint().encode(), "empty": b"", "NUL bytes": bytes(64),
    }
    if jwk["kty"] == "RSA":
        forms["PKCS1"] = key.public_bytes(enc.PEM, fmt.PKCS1)
        forms["PKCS1 DER"] = key.public_bytes(enc.DER, fmt.PKCS1)
        forms["modulus"] = unb64(public["n"])
        forms["modulus as text"] = public["n"].encode()
    elif jwk["kty"] == "EC":
        forms["point"] = curve_point(jwk)
        forms["x"] = unb64(public["x"])
    else:
        forms["x"] = unb64(public["x"])
    return forms


@pytest.mark.parametrize("kid", ["", None], ids=["kid", "no-kid"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
@pytest.mark.parametrize("iss", [MAIN, at.NOKID, at.PEM, at.CERT_KID, at.NO_SUCH_KEY])
def test_a_public_key_is_never_an_hmac_secret(main, mint, keys, iss, kind, kid):
    """BCP-02, CVE-2015-9235 and its kin"""
    for name, secret in public_forms(keys[kind]).items():
        for alg in ("HS256", "HS512"):
            token = mint(alg, iss=iss, key=JWK(kty="oct", k=b64(secret)), kid=None if kid is None else kind)
            r = main.bearer("/p/app/ok.txt", token)
            assert (r.status, r.reason) in ((401, "algorithm"), (401, "unknown_key"), (401, "bad_signature")), (name, r)


@pytest.mark.parametrize("header_alg", ["RS256", "ES256", "EdDSA", "PS256"])
def test_a_secret_is_never_a_public_key(main, mint, header_alg):
    """The signature is a good HMAC under the issuer's secret."""
    r = main.bearer("/p/app/ok.txt", mint("HS256", iss=at.SECRET, header={"alg": header_alg}))
    assert (r.status, r.reason) == (401, "algorithm"), r


SWAPS = [("RS256", "RS384"), ("RS256", "RS512"), ("RS512", "RS256"), ("RS256", "PS256"), ("PS256", "RS256"), ("PS256", "PS384"),
         ("PS512", "PS256"), ("HS256", "HS384"), ("HS512", "HS256"), ("ES256", "ES256K"), ("ES256K", "ES256"), ("ES384", "ES256"),
         ("ES512", "ES384"), ("Ed25519", "Ed448"), ("Ed448", "Ed25519"), ("EdDSA", "Ed448"), ("EdDSA", "ES256")]


@pytest.mark.parametrize("iss", [MAIN, at.NOKID])
@pytest.mark.parametrize("kid", ["", None], ids=["kid", "no-kid"])
@pytest.mark.parametrize("signed, named", SWAPS)
def test_a_signature_counts_only_for_the_algorithm_it_was_made_with(main, mint, iss, signed, named, kid):
    """JWS-18, JWS-19, JWS-20"""
    r = main.bearer("/p/app/ok.txt", mint(signed, iss=iss, kid=kid, header={"alg": named}))
    assert (r.status, r.reason) in ((401, "unknown_key"), (401, "bad_signature")), r


@pytest.mark.parametrize("member", ["jwk", "x5c", "jku", "x5u"])
def test_a_key_that_the_token_brings_is_never_used(main, mint, keys, member):
    """JWS-10, BCP-08: no outbound connection either."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        caught = []

        def listen():
            try:
                caught.append(trap.accept())
            except OSError:
                pass

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/jwks.json"
        key = keys.other["rsa"]
        cert = "".join(certificate_pem(key).decode().splitlines()[1:-1])
        value = {"jwk": fields(key, kid="rsa"), "x5c": [cert], "jku": url, "x5u": url}[member]
        for kid in ("", None, "unknown"):
            r = main.bearer("/p/app/ok.txt", mint("RS256", key=key, kid=kid, header={member: value}))
            assert (r.status, r.reason) in ((401, "bad_signature"), (401, "unknown_key")), r
        assert not caught
        trap.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def with_signature(token, raw):
    return token.rpartition(".")[0] + "." + b64(raw)


def test_a_der_signature_is_refused(main, mint):
    """JWS-17"""
    for alg in ("ES256", "ES384", "ES512", "ES256K"):
        refused(main, der_signature(mint(alg)), "bad_signature")


@pytest.mark.parametrize("alg, half", [("ES256", 32), ("ES384", 48), ("ES512", 66), ("ES256K", 32)])
def test_a_bent_ecdsa_signature_is_refused(main, mint, alg, half):
    """JWS-17: exactly R and S, both between 1 and n - 1."""
    token = mint(alg)
    raw = unb64(token.rpartition(".")[2])
    r, s, zero, ones = raw[:half], raw[half:], bytes(half), b"\xff" * half
    for bent in (raw[:-1], raw + b"\0", b"\0" + raw, raw[1:], raw * 2, r, zero + zero, zero + s, r + zero, ones + ones, ones + s,
                 s + r, b"\0" + r + b"\0" + s, b"\1" * 9000):
        refused(main, with_signature(token, bent), "bad_signature")


def test_a_signature_value_outside_the_group_is_refused(main, mint):
    """JWS-17: s + n and r = n verify nothing."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = mint("ES256")
    raw = unb64(token.rpartition(".")[2])
    refused(main, with_signature(token, order.to_bytes(32, "big") + raw[32:]), "bad_signature")
    refused(main, with_signature(token, raw[:32] + order.to_bytes(32, "big")), "bad_signature")
    refused(main, with_signature(token, raw[:32] + (order + 1).to_bytes(32, "big")), "bad_signature")


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_a_bent_rsa_signature_is_refused(main, mint, keys, alg):
    token = mint(alg)
    raw = unb64(token.rpartition(".")[2])
    n = int.from_bytes(unb64(fields(keys["rsa"])["n"]), "big")
    value = int.from_bytes(raw, "big")
    bent = [raw[:-1], b"\0" + raw, raw + b"\0", bytes(256), b"\xff" * 256, (n - value).to_bytes(256, "big"), (1).to_bytes(256, "big")]
    if value + n < 1 << 2048:
        bent.append((value + n).to_bytes(256, "big"))
    for sig in bent:
        refused(main, with_signature(token, sig), "bad_signature")


@pytest.mark.parametrize("salt", [0, 20, 31, 33, padding.PSS.MAX_LENGTH], ids=lambda s: s if isinstance(s, int) else "max")
def test_a_pss_signature_with_another_salt_length_is_refused(main, keys, salt):
    """JWS-16"""
    key = private_object(keys["rsa"])
    head = b64(json.dumps({"alg": "PS256", "kid": "rsa"})) + "." + b64(json.dumps(claims()))
    good = key.sign(head.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    bad = key.sign(head.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    passes(main, head + "." + b64(good))
    refused(main, head + "." + b64(bad), "bad_signature")


def test_a_pss_signature_with_another_mask_hash_is_refused(main, keys):
    """JWS-16"""
    key = private_object(keys["rsa"])
    head = b64(json.dumps({"alg": "PS256", "kid": "rsa"})) + "." + b64(json.dumps(claims()))
    bad = key.sign(head.encode(), padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256())
    refused(main, head + "." + b64(bad), "bad_signature")


@pytest.mark.parametrize("alg, size", [("Ed25519", 64), ("Ed448", 114)])
def test_a_bent_edwards_signature_is_refused(main, mint, alg, size):
    """JWS-19"""
    token = mint(alg)
    raw = unb64(token.rpartition(".")[2])
    assert len(raw) == size
    half = size // 2
    for bent in (raw[:-1], raw + b"\0", bytes(size), raw[half:] + raw[:half], raw[:half] + bytes(half), b"\xff" * size):
        refused(main, with_signature(token, bent), "bad_signature")


def test_an_ed25519_signature_with_a_larger_scalar_is_refused(main, mint):
    """RFC 8032 5.1.7: s + L is another spelling of the same signature, and not allowed."""
    group = 2**252 + 27742317777372353535851937790883648493
    token = mint("Ed25519")
    raw = unb64(token.rpartition(".")[2])
    s = int.from_bytes(raw[32:], "little") + group
    refused(main, with_signature(token, raw[:32] + s.to_bytes(32, "little")), "bad_signature")


@pytest.mark.parametrize("alg, size", [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_cut_or_empty_mac_is_refused(main, mint, alg, size):
    token = mint(alg)
    raw = unb64(token.rpartition(".")[2])
    assert len(raw) == size
    for bent in (raw[:-1], raw[:16], raw[:1], raw + b"\0", bytes(size), raw + raw):
        refused(main, with_signature(token, bent), "bad_signature")


def test_another_spelling_of_the_signature_passes_before_and_falls_with_the_revocation(main, mint):
    """JWT-10, R7009-27: the identity of a token with no jti is its content."""
    token = mint("ES256", drop="jti")
    again = other_spelling(token)
    assert token != again
    passes(main, token)
    passes(main, again)
    assert main.revoke(token).status == 200
    refused(main, token, "revoked")
    refused(main, again, "revoked")


def test_a_token_signed_anew_with_the_same_content_falls_too(main, keys):
    """ECDSA signs differently each time."""
    body = claims(drop="jti")
    first, second = (compact({"alg": "ES256", "kid": "p256"}, body, "ES256", keys["p256"]) for _ in range(2))
    assert first != second
    assert main.revoke(other_spelling(first)).status == 200
    refused(main, second, "revoked")


def test_one_more_byte_of_content_is_another_token(main, keys):
    body = claims(drop="jti")
    first = compact({"alg": "ES256", "kid": "p256"}, body, "ES256", keys["p256"])
    second = compact({"alg": "ES256", "kid": "p256"}, json.dumps(body) + " ", "ES256", keys["p256"])
    assert main.revoke(first).status == 200
    refused(main, first, "revoked")
    passes(main, second)
