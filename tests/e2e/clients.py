"""OAuth clients: their file, a server that asks for them, and requests in their name."""

import base64
import urllib.parse

from httpd import ALIAS, endpoint, protected
from issuers import issuer, jwks, write_keys
from test_refuse import refused
from test_revoke import WAYS, encode, is_answer

SECRET = "open sesame"
BCRYPT = "$2y$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc."
HASHES = {  # of SECRET, by the programs of httpd 2.4 and OpenSSL 3
    "htpasswd-B": BCRYPT,
    "bcrypt-2b": BCRYPT.replace("$2y$", "$2b$"),
    "htpasswd-m": "$apr1$O6Fpk2H/$s3UNBrJyrRFsTkBP8GKte1",
    "htpasswd-s": "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=",
    "htpasswd-d": "SfJB1juQGYY.6",
    "htpasswd-2": "$5$ei3kFg4OVwpaEUgn$bW0ZDFUlXPzlNrJ9DRkc/YCqR93H360yXDT.7XZooR5",
    "htpasswd-5": "$6$AzSTNWbdlCNnfCv4$Prc42.Xt3Gk2LPAVtkAhIsBlHywd4Wh/JY96FyDINoDdKAFF4W8zG/fBzLTOhx8mwWAbtecYXVB7tmyIQsWH60",
    "openssl-apr1": "$apr1$d5GiUJPM$k9aouUQwogFNrqcUdR34e.",
    "openssl-1": "$1$mZLHWmWm$dOqQpaK7YnYmnTp6kDlum/",
    "openssl-5": "$5$U9w4ZWQBHMnR6Nid$UGSa.y4fesRm/comQtaGK1m1RpQXRv1UKIj2UY/pMKD",
    "openssl-6": "$6$HyR62Y.HJfE4fE1m$oPz2BrYTH2j0YSShzH3cJvhKnZU82xZtkt0yENaMBn5xxbrWC8r9Wp/TKbDFVudkoo7DPOYskIQw.CQybPQji1",
}
CLIENTS = f"""# the clients of the tests
app:{BCRYPT}

other:{BCRYPT}\r
c%3A1:{{SHA}}G+vddEHO8j9rf5COhcXMvYga0fA=
raw+id:{{SHA}}kRtX0lNu58P2CfTQn/Hby84IaLE=
spa:
""" + "".join(f"{name}:{text}\n" for name, text in HASHES.items()) + "".join(f"busy-{i}:{BCRYPT}\n" for i in range(8))
SLOW = "$2y$09$qZ9TJXiCTH.Ol2RpdXZPA.kpjKASaRQuWZCU3tvRKt1XRIz5x4VsO"  # of "secret", cost 9
ODD = ("c:1", "p+ %ä")  # "c%3A1" in the file
RAW = ("raw+id", "a+b%41")

PATHS = {"form": "/revoke", "json": "/revoke", "strict form": "/strict", "strict json": "/strict"}


def file_line(path):
    return f'TokRevokeClients "{{root}}/conf/{path}"'


def configure(server, keys):
    write_keys(server, keys)
    server.write("conf/clients", CLIENTS)
    server.write("conf/edited", f"app:{BCRYPT}\n")
    server.write("conf/slow", f"known:{SLOW}\nelse:{SLOW.replace('H.Ol2R', 'H.Ol2S')}\npublic:\n")
    return server.start(issuer("https://idp.test/", jwks("all")) + ALIAS + protected("app")
                        + endpoint("/revoke", file_line("clients"), "TokRevokeOpaque 1h", 'AuthName "the \\"clients\\" of idp"')
                        + endpoint("/strict", file_line("clients"), "TokRevokeAnswers strict")
                        + endpoint("/edited", file_line("edited")) + endpoint("/slow", file_line("slow"))
                        + endpoint("/cors", file_line("clients"), "TokRevokeAllowOrigin https://app.test")
                        + endpoint("/relative", "TokRevokeClients conf/clients")
                        + endpoint("/both", file_line("clients"), "AuthType Bearer", "AuthName both", "Require valid-user"))


def raw_basic(id_, secret):
    return "Authorization: Basic " + base64.b64encode(f"{id_}:{secret}".encode()).decode()


def basic(id_, secret):
    """As RFC 6749 2.3.1 has it."""
    return raw_basic(urllib.parse.quote_plus(id_), urllib.parse.quote_plus(secret))


def ask(server, way, token, *headers, path=None, **more):
    kind = WAYS[way][1]
    return server.get(path or PATHS[way], kind, *headers, method="POST", body=encode(kind, {"token": token, **more}))


def by_body(id_, secret):
    return {"client_id": id_, "client_secret": secret}


def is_revoked(server, way, token, *headers, **more):
    is_answer(ask(server, way, token, *headers, **more), 200, WAYS[way][2])
    refused(server, token, "revoked")


def is_invalid_client(r, strict=False):
    is_answer(r, 401, None)
    assert r["WWW-Authenticate"].startswith('Basic realm="')
    assert len(r.all("WWW-Authenticate")) == 1
    if strict:
        assert r.json() == {"revoked": False, "error": "invalid_client"}
    else:
        assert r.json()["error"] == "invalid_client" and set(r.json()) == {"error", "error_description"}
    return r


def is_invalid_request(r, strict=False):
    is_answer(r, 400, None)
    if strict:
        assert r.json()["revoked"] is False and isinstance(r.json()["error"], str)
    else:
        assert r.json()["error"] == "invalid_request"
    return r
