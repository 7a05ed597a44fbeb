"""
What must never be in an error log, at any level: tokens, what identifies one (its jti, whole), and secrets. The tests' clients tell
what they send, the servers what they are configured with, and each line that the module has written is searched for all of it.
"""

import base64
import contextlib
import json
import re
import urllib.parse

GRAM = 16  # characters by which a longer piece is found
SHORT = 8  # what is shorter than this could be anything
MAX_LOOK = 100_000

JWT = re.compile(rb"eyJ[\w-]+\.([\w-]*)\.([\w-]*)")
FIELD = re.compile(rb'(?:^|[&?\s";,])(token|refresh_token|access_token|id_token|logout_token|client_secret|password)(?:=|"\s*:\s*")'
                   rb'([^&"\s;,]{%d,})' % SHORT)
BASIC = re.compile(rb"Authorization: *Basic +([\w+/]+=*)", re.I)
OCT = re.compile(rb'"k"\s*:\s*"([\w-]+)"')
PASSWORD = re.compile(rb"(?:password=|://[^/@\s:]*:)([^\s@&\"']{%d,})" % SHORT)

SHAPE = re.compile(r"eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]{4,}")
PIECE = re.compile(r"[\w+/=.~%%:@-]{%d,}" % GRAM)
BETWEEN = re.compile(r"[\s\"'=,;()<>&?]+")
WORDS = re.compile(r"[\w.-]+"), re.compile(r"[\w-]+")
OTHERS = re.compile(r"^\[[^\]]*\] \[(?!tokrevoke:)\w+:\w+\] ")
REFERER = re.compile(r", referer: .*$")  # httpd's own, behind each line of a request


class Known:
    """What was heard of. Longer pieces by their first characters, shorter ones whole."""

    def __init__(self):
        self.grams = set()
        self.words = set()  # found only as whole words: a jti may be the beginning of another
        self.texts = set()  # found anywhere
        self.signatures = set()

    def add_piece(self, piece):
        if len(set(piece[:GRAM])) < SHORT // 2:
            return  # one character again and again, as tests send it to see what is too long
        if len(piece) >= GRAM:
            self.grams.add(piece[:GRAM])
        elif len(piece) >= SHORT:
            self.words.add(piece)

    def add_secret(self, secret):
        """bytes, in each spelling that somebody might log."""
        if len(secret) < SHORT or len(set(secret)) < SHORT // 2:
            return
        self.texts.add(secret.decode("latin-1"))
        for text in (base64.urlsafe_b64encode(secret).decode(), base64.b64encode(secret).decode(), secret.hex()):
            self.add_piece(text.rstrip("="))

    def add_token(self, payload, signature):
        if signature in self.signatures:
            return
        self.signatures.add(signature)
        self.add_piece(signature.decode())
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            jti = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))).get("jti")
            if isinstance(jti, str) and len(jti) >= SHORT and len(set(jti)) >= SHORT // 2:
                (self.texts if BETWEEN.search(jti) else self.words).add(jti)

    def hear(self, data):
        """Bytes of a request."""
        data = data[:MAX_LOOK]
        for m in JWT.finditer(data):
            self.add_token(m[1], m[2])
        for m in FIELD.finditer(data):
            text = urllib.parse.unquote_to_bytes(m[2].replace(b"+", b" "))
            if m[1] in (b"client_secret", b"password"):
                self.add_secret(text)
            elif not JWT.match(text):
                self.add_piece(text.decode("latin-1"))
        for m in BASIC.finditer(data):
            with contextlib.suppress(ValueError):
                self.add_secret(base64.b64decode(m[1]).partition(b":")[2])

    def hear_file(self, name, content):
        """A file of a server's configuration."""
        if name.startswith("conf/") and name.endswith((".bin", ".secret")):
            self.add_secret(content.rstrip(b"\n")[:MAX_LOOK])
        for m in OCT.finditer(content[:MAX_LOOK]):
            self.add_piece(m[1].decode())
            with contextlib.suppress(ValueError):
                self.add_secret(base64.urlsafe_b64decode(m[1] + b"=" * (-len(m[1]) % 4)))
        for m in PASSWORD.finditer(content) if b"TokRevokeDatabase" in content else ():
            self.add_secret(m[1])

    def is_in(self, line):
        if SHAPE.search(line) or any(text in line for text in self.texts):
            return True
        words = {word.strip(".:") for word in BETWEEN.split(line)}.union(*(pattern.findall(line) for pattern in WORDS))
        if not self.words.isdisjoint(words):
            return True
        return any(m[0][i:i + GRAM] in self.grams for m in PIECE.finditer(line) for i in range(len(m[0]) - GRAM + 1))

    def leaks(self, text):
        """The lines that tell something: of those that the module or the reading of its configuration has written."""
        return [line for line in text.splitlines() if not OTHERS.match(line) and self.is_in(REFERER.sub("", line))]


known = Known()
