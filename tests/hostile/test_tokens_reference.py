"""
Texts that are bent at random, and a second reader who must say the same of each as every child does. TR_HOSTILE_SEED= repeats a
run, TR_HOSTILE_COUNT= makes it longer.
"""

import json
import os
import random
import re
import time

import pytest

from tokens import b64, secret_bytes, signature
from tokens_case import PAGE, Spec
from tokens_reference import add_member, bend_text, bend_token, verdict
from tokens_site import Site, is_admitted, is_refused, start

COUNT = int(os.environ.get("TR_HOSTILE_COUNT", 2000))
BATCH = 20


@pytest.fixture(scope="module")
def site(new_server, keys):
    made = Site(start(new_server(), keys), keys)
    yield made
    made.close()


@pytest.fixture
def dice():
    seed = os.environ.get("TR_HOSTILE_SEED") or str(random.getrandbits(32))
    print(f"TR_HOSTILE_SEED={seed}")
    return random.Random(seed)


def bent(dice, forge, now):
    """A token by HS256; most are signed after they were bent. No digit less or more brings its times near to a limit."""
    spec = Spec(alg="HS256", claims=lambda now: {"iat": int(now) - 1000, "exp": int(now) + 5000})
    texts = [json.dumps(forge.header(spec)), json.dumps(forge.claims(spec, f"r{next(forge.serial)}", now))]
    how = dice.randrange(8)
    for place in (0, 1):
        if how in (0, 1, 2) and dice.random() < (0.3, 0.9)[place]:
            texts[place] = bend_text(dice, texts[place])
        elif how in (3, 4, 5) and dice.random() < (0.3, 0.9)[place]:
            texts[place] = add_member(dice, texts[place])
    signing_input = ".".join(map(b64, texts))
    token = signing_input + "." + b64(signature("HS256", forge.keys["oct"], signing_input))
    return bend_token(dice, token) if how == 6 else token


def shown(user, answer):
    """What the client does not trim off the answer's field, or read as another letter, can be compared."""
    return user if re.fullmatch("[!-~]+", user) else answer.user.encode("latin-1").decode(errors="replace")


def test_a_second_reader_says_the_same_of_every_text(site, keys, dice):
    """JWS-01 to JWS-13, JWT-01 to JWT-11: twice in a row, by each child."""
    secret, wrong, reasons = secret_bytes(keys["oct"]), [], set()
    for _ in range(COUNT // BATCH):
        now = time.time()
        tokens = [bent(dice, site.forge, now) for _ in range(BATCH)]
        for answers in site.show(*((PAGE, None, token) for token in tokens for _ in range(2))):
            for place, answer in enumerate(answers):
                token = tokens[place // 2]
                reason, user = verdict(token, secret, now)
                reasons.add(reason)
                if not (is_refused(answer, reason) if reason else is_admitted(answer, shown(user, answer))):
                    wrong.append(f"{reason or user}, but {answer!r}: {token}")
    assert not wrong, f"{len(wrong)} of {COUNT} are read otherwise:\n" + "\n".join(wrong[:10])
    assert {None, "malformed", "unknown_issuer", "bad_signature", "token_type", "token_use"} <= reasons
