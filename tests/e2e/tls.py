"""TLS for the servers of the tests: an authority made for the run, its certificate, and who trusts it."""

import atexit
import datetime
import ipaddress
import os
import shutil
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MODULES = ("ssl", "http2", "socache_shmcb")
HARMLESS = "AH01909"  # the one certificate names none of the virtual hosts of a test


class Certificate:
    """Made once for a run. The server reads it before it becomes another user."""

    at = None

    @classmethod
    def folder(cls):
        if cls.at is None:
            cls.at = Path(tempfile.mkdtemp(prefix="tokrevoke-e2e-tls-"))
            cls.at.chmod(0o755)
            atexit.register(shutil.rmtree, cls.at, ignore_errors=True)
            cls.make()
        return cls.at

    @classmethod
    def make(cls):
        authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of this test run")])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
                               "decipher_only", "digital_signature"), False) | {"key_cert_sign": True, "crl_sign": True}
        ca = (cls.builder(name, name, authority).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
              .add_extension(x509.KeyUsage(**usage), critical=True).sign(authority, hashes.SHA256()))
        leaf = (cls.builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), name, key)
                .add_extension(x509.SubjectAlternativeName(names), critical=False).sign(authority, hashes.SHA256()))
        for file, made in (("ca.pem", ca), ("cert.pem", leaf)):
            (cls.at / file).write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (cls.at / "key.pem").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    @staticmethod
    def builder(subject, issuer, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30)))


TRUST = {}  # what the environment says of it; nothing where there is no TLS


def trust_everywhere():
    """By whatever this run starts: curl, requests, node."""
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        TRUST[name] = str(Certificate.folder() / "ca.pem")
    os.environ.update(TRUST)


def configuration(root):
    return f"""
Protocols h2 http/1.1
SSLEngine On
SSLCertificateFile "{Certificate.folder()}/cert.pem"
SSLCertificateKeyFile "{Certificate.folder()}/key.pem"
SSLSessionCache "shmcb:{root}/run/sessions(64000)"
LogLevel ssl:warn http2:warn
"""
