"""The database read by somebody else: Python's sqlite3 and a SipHash of its own, to check what the module has written."""

import sqlite3
import struct
import time

KINDS = {"token": 0, "session": 1, "subject": 2, "client": 3, "issuer": 4, "digest": 5, "opaque": 6, "family": 7, "member": 8,
         "logout": 9}
WORD = (1 << 64) - 1
NEVER = (1 << 63) - 1
EVERY_ROW = "SELECT seq, kind, issuer, value, issued_before_us, expires_at, checksum FROM tokrevoke_revocations"


def rotate(x, b):
    return (x << b | x >> (64 - b)) & WORD


def siphash(data, k0=0, k1=0):
    """The first word of SipHash-2-4 with 128 bits of output (Aumasson and Bernstein's reference, cROUNDS 2, dROUNDS 4)."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & WORD
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 = (v2 + v3) & WORD
            v3 = rotate(v3, 16) ^ v2
            v0 = (v0 + v3) & WORD
            v3 = rotate(v3, 21) ^ v0
            v2 = (v2 + v1) & WORD
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 255])
    for (m,) in struct.iter_unpack("<Q", padded):
        v3 ^= m
        rounds(2)
        v0 ^= m
    v2 ^= 0xEE
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def signed(word):
    return word - (1 << 64) if word >> 63 else word


def checksum(seq, kind, issuer, value, issued_before_us, expires_at):
    issuer, value = issuer.encode(), value.encode()
    return signed(siphash(struct.pack("<QB", seq, KINDS[kind]) + struct.pack("<Q", len(issuer)) + issuer
                          + struct.pack("<Q", len(value)) + value
                          + struct.pack("<QQ", issued_before_us, NEVER if expires_at is None else expires_at)))


def values(path):
    """Every jti, digest and other name that is stored; read beside a running server."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return {row[0] for row in db.execute("SELECT value FROM tokrevoke_revocations")}
    finally:
        db.close()


def revoke(path, issuer, jti, expires_at):
    """What another program does to revoke a token."""
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        seq, count, total = db.execute("SELECT last_seq + 1, row_count + 1, row_sum FROM tokrevoke_state").fetchone()
        mine = checksum(seq, "token", issuer, jti, 0, expires_at)
        db.execute("INSERT INTO tokrevoke_revocations VALUES (?, 'token', ?, ?, 0, ?, ?, 'audit.py', '', '', ?)",
                   (seq, issuer, jti, expires_at, int(time.time()), mine))
        total = signed((total + mine) & WORD)
        db.execute("UPDATE tokrevoke_state SET last_seq = ?, row_count = ?, row_sum = ?", (seq, count, total))
        db.execute("COMMIT")
    finally:
        db.close()


def deleted(path):
    """How many rows were ever deleted."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT last_seq - row_count FROM tokrevoke_state").fetchone()[0]
    finally:
        db.close()


def complaints(path):
    """What is wrong with a database that no server is using."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        bad = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found = db.execute(EVERY_ROW).fetchall()
        state = db.execute("SELECT id, schema_version, last_seq, row_count, row_sum FROM tokrevoke_state").fetchall()
    finally:
        db.close()
    bad += [f"checksum of row {row[0]}" for row in found if checksum(*row[:6]) != row[6]]
    if len(state) != 1:
        return bad + [f"{len(state)} rows of state"]
    _, _, last_seq, row_count, row_sum = state[0]
    if row_count != len(found):
        bad.append(f"row_count says {row_count}, there are {len(found)}")
    if row_sum != signed(sum(row[6] for row in found) & WORD):
        bad.append("row_sum is another one")
    if found and last_seq < max(row[0] for row in found):
        bad.append(f"last_seq {last_seq} is behind a row")
    return bad
