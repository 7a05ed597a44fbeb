"""
The database as another program sees it: read with Python's sqlite3, and written by a second implementation of the row format. It
knows nothing of the module's code; its SipHash is held against the reference vectors in test_store.py.
"""

import contextlib
import hashlib
import re
import sqlite3
import struct
import time
import urllib.parse

KINDS = ("token", "session", "subject", "client", "issuer", "digest", "opaque", "family", "member", "logout")
COLUMNS = ("seq", "kind", "issuer", "value", "issued_before_us", "expires_at", "revoked_at", "actor", "client_address", "reason",
           "checksum")
FOREVER = 0x7FFFFFFFFFFFFFFF
WORD = 0xFFFFFFFFFFFFFFFF


def siphash128(data, key=bytes(16)):
    """SipHash-2-4 with 128 bits of output (Aumasson, Bernstein)."""
    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(i, by):
        v[i] = (v[i] << by | v[i] >> (64 - by)) & WORD

    def rounds(n):
        for _ in range(n):
            for a, b, by, after in ((0, 1, 13, 0), (2, 3, 16, None), (0, 3, 21, None), (2, 1, 17, 2)):
                v[a] = (v[a] + v[b]) & WORD
                turn(b, by)
                v[b] ^= v[a]
                if after is not None:
                    turn(after, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (m,) in struct.iter_unpack("<Q", padded):
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return struct.pack("<2Q", first, v[0] ^ v[1] ^ v[2] ^ v[3])


def signed(word):
    word &= WORD
    return word - (1 << 64) if word >> 63 else word


def checksum(seq, kind, issuer, value, issued_before_us, expires_at):
    def text(x):
        x = x.encode()
        return struct.pack("<Q", len(x)) + x

    data = (struct.pack("<qB", seq, KINDS.index(kind)) + text(issuer) + text(value)
            + struct.pack("<2q", issued_before_us, FOREVER if expires_at is None else expires_at))
    return struct.unpack("<q", siphash128(data)[:8])[0]


def digest(token):
    """What stands for a token without jti: the SHA-256 of its signing input, in small hexadecimal digits."""
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


class Database:
    """The one of a server, or any other by its path."""

    def __init__(self, server, path=None):
        self.path = path or server.root / "state" / "tokrevoke.db"

    def file(self, suffix):
        return self.path.with_name(self.path.name + suffix)

    @contextlib.contextmanager
    def connection(self, mode="ro"):
        c = sqlite3.connect(f"file:{urllib.parse.quote(str(self.path))}?mode={mode}", uri=True, timeout=10, isolation_level=None)
        try:
            yield c
        finally:
            c.close()

    def select(self, statement, *args):
        with self.connection() as c:
            return c.execute(statement, args).fetchall()

    def rows(self, where="1", *args):
        """[{column: value}], in the order of their numbers."""
        return [dict(zip(COLUMNS, row)) for row in
                self.select(f"SELECT {', '.join(COLUMNS)} FROM tokrevoke_revocations WHERE {where} ORDER BY seq", *args)]

    def row(self, value):
        """The only row with this value."""
        found = self.rows("value = ?", value)
        assert len(found) == 1, (value, found)
        return found[0]

    def state(self):
        (row,) = self.select("SELECT schema_version, database_id, last_seq, row_count, row_sum FROM tokrevoke_state")
        return dict(zip(("schema_version", "database_id", "last_seq", "row_count", "row_sum"), row))

    def is_whole(self):
        """Every checksum and the totals, in one state of the database."""
        with self.connection() as c:
            c.execute("BEGIN")
            rows = c.execute("SELECT seq, kind, issuer, value, issued_before_us, expires_at, checksum "
                             "FROM tokrevoke_revocations").fetchall()
            ((last_seq, count, total),) = c.execute("SELECT last_seq, row_count, row_sum FROM tokrevoke_state").fetchall()
        for *fields, stored in rows:
            assert checksum(*fields) == stored, fields
        assert count == len(rows)
        assert total == signed(sum(row[-1] for row in rows))
        assert last_seq >= max((row[0] for row in rows), default=0)
        return True

    def insert(self, *entries):
        """As docs/DATABASE.md tells another program to do it. entries: (kind, issuer, value, expires_at[, issued_before_us])."""
        with self.connection("rw") as c:
            c.execute("BEGIN IMMEDIATE")
            ((seq, count, total),) = c.execute("SELECT last_seq, row_count, row_sum FROM tokrevoke_state").fetchall()
            for kind, issuer, value, expires_at, *cut_off in entries:
                seq += 1
                count += 1
                before = cut_off[0] if cut_off else 0
                own = checksum(seq, kind, issuer, value, before, expires_at)
                total += own
                c.execute(f"INSERT INTO tokrevoke_revocations ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          (seq, kind, issuer, value, before, expires_at, int(time.time()), "tests", "", "by another program",
                           own))
            c.execute("UPDATE tokrevoke_state SET last_seq = ?, row_count = ?, row_sum = ?", (seq, count, signed(total)))
            c.execute("COMMIT")

    def insert_token(self, token, claims):
        """Revoke this token from outside."""
        if "jti" in claims:
            self.insert(("token", claims["iss"], claims["jti"], claims["exp"] + 61))
        else:
            self.insert(("digest", claims["iss"], digest(token), claims["exp"] + 61))

    def mark(self):
        """(id, number) of the mark, whose checksum is right."""
        text = self.file("-mark").read_text(encoding="ascii")
        found = re.fullmatch(r"(TR1 ([0-9a-f]{32}) (\d{20}) )([0-9a-f]{16})\n", text)
        assert found, text
        assert struct.unpack("<Q", siphash128(found[1].encode())[:8])[0] == int(found[4], 16)
        return found[2], int(found[3])
