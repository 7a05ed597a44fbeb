"""docs/COOKBOOK.md does what it says: each configuration is served with the applications that it is for, and answers as the page has it."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

import apps
import httpd
from backend import Backend, reply
from httpd import Httpd
from pages import Shell, by_heading, pieces, read
from tokens import claims, fields, key_set

pytestmark = pytest.mark.h1("the page shows HTTP/1.1")
PAGE = read("docs/COOKBOOK.md")
COMMON = "What they have in common"
TEXT = by_heading(PAGE)
SECTIONS = {heading: pieces(text) for heading, text in TEXT.items()}
RECIPES = [heading for heading in SECTIONS if heading != COMMON]
SITE = "https://app.example.com"
BACKEND = "http://127.0.0.1:3000"
PROVIDER = re.compile(r"https://(?:sso\.example\.com|tenant\.eu\.auth0\.com|login\.microsoftonline\.com)")
# Modules that a configuration names by their directives.
MODULES = {"proxy:unix:": "proxy_fcgi", "\nAction ": "actions"}
PLACES = ("/usr/lib/", "/etc/", "/srv/")  # of the system, which the tests leave alone


def printed(request):
    """What the service of the page says: the headers that an application would believe."""
    kept = sorted(f"{name}: {value}\n" for name, value in request.headers
                  if re.fullmatch(r"X[-_](Remote[-_].*|Country)|Authorization|Cookie", name, re.I))
    return reply("".join(kept).encode())


class Recipe:
    """A server with what one section says, and the programs behind it."""

    def __init__(self, heading, keys, mint):
        self.pieces = SECTIONS[COMMON] + SECTIONS[heading]
        self.keys, self.mint = keys, mint
        self.server = Httpd(children=2)
        self.server.expect_log("AH01631", always=True)  # authorization failure
        self.programs = []
        self.backend = Backend()
        self.backend.answer = printed
        self.names = {}
        self.text = "".join(content for kind, content in self.pieces if kind == "apache")
        self.shell = Shell(self.server.root)
        for place in PLACES:
            (self.server.root / place[1:]).mkdir(parents=True, exist_ok=True)
        self.server.write("conf/idp.jwks.json", self.key_set())
        (self.server.root / "htdocs" / "index.html").unlink()

    def key_set(self):
        return key_set(fields(self.keys["p256"], kid="p256"), fields(self.keys["rsa"], kid="rsa", use="sig"))

    def here(self, text):
        """With the places of this test."""
        for place in PLACES:
            text = re.sub(rf"(?<![\w/]){place}(?!share/)", f"{self.server.root}{place}", text)
        text = text.replace("/run/php/php8.2-fpm.sock", f"{self.server.root}/run/php.sock")
        text = text.replace("modules/libphp.so", str(apps.php_module()))
        return text.replace(BACKEND, f"http://127.0.0.1:{self.backend.port}")

    def start(self):
        self.server.runs_scripts = "ScriptAlias" in self.text
        self.server.extra_modules = tuple(name for word, name in MODULES.items() if word in self.text)
        self.server.start(self.here(self.text))
        self.set("APP", f"http://127.0.0.1:{self.server.port}")

    def set(self, name, value):
        self.names[name] = value
        self.shell.must(f"export {name}='{value}'")

    # ---- steps: what the page's reader has done, or does beside the commands ----

    def token(self, name, alg="ES256", *other):
        """The JSON above, signed; with a time, and a name of its own unless the provider gives none. other: claims of another value."""
        now = int(time.time())
        given = {**json.loads(self.last["json"]), **dict(pair.split("=") for pair in other)}
        made = {**given, "iat": now - 5, "exp": now + 600}
        if "uti" not in given:
            made["jti"] = claims()["jti"]
        self.set(name, self.mint(alg, payload=made))

    def file(self, path):
        """The next block is a file."""
        kind, content = self.pieces.pop(0)
        assert kind not in ("step", "apache"), path
        where = self.server.root / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(self.here(content).replace(SITE, self.names.get("APP", SITE)))
        where.chmod(0o755 if content.startswith("#!") else 0o644)

    def fpm(self):
        self.programs.append(apps.start_fpm(self.server))

    def php_cgi(self, path):
        where = self.server.root / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(apps.php_cgi(), where)

    def give(self, path):
        apps.give(self.server.root / path.lstrip("/"))

    def provider(self, path):
        """Gives out the keys under this path."""
        keys = self.key_set().encode()
        self.backend.answer = lambda request: reply(keys if request.target == path else b"", "200 OK" if request.target == path else "404 Not Found")

    def backend_prints(self):
        self.backend.answer = printed

    def javascript(self, path, *call):
        code = f'import * as app from "./{path}"; const {{ {", ".join(self.exports(path))} }} = app; console.log(await {" ".join(call)});'
        done = subprocess.run(["node", "--input-type=module", "-e", code], cwd=self.server.root, env=os.environ | self.names,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        self.said += done.stdout.rstrip("\n") + "\n"

    def exports(self, path):
        return re.findall(r"^export (?:async )?function (\w+)", (self.server.root / path).read_text(), re.M)

    def step(self, text):
        what, *arguments = text.split(" ")
        {"backend": self.backend_prints, "php-cgi": self.php_cgi}.get(what, getattr(self, what.replace("-", "_"), None))(*arguments)

    # ---- the page ----

    def play(self):
        """All of it; the server starts before the first command that asks it."""
        self.last, self.said, compared, is_up = {}, "", 0, False
        while self.pieces:
            kind, content = self.pieces.pop(0)
            self.last[kind] = content
            if kind == "step":
                self.step(content)
            elif kind == "text":
                assert self.said, content
                said = self.said.replace(self.names["APP"], SITE)
                assert [line.rstrip() for line in said.splitlines()] == content.splitlines(), self.server.error_log()[-3000:]
                compared, self.said = compared + 1, ""
            elif kind == "sh":
                assert not self.said, self.said
                if not is_up and "$APP" in content:
                    self.start()
                    is_up = True
                self.said = self.shell.run(self.fetching(self.here(content)))[0]
            else:
                assert kind == "apache" or kind == "json" and self.pieces[0][1].startswith("token "), content
        assert not self.said and compared > 0
        return compared

    def fetching(self, commands):
        return PROVIDER.sub(f"http://127.0.0.1:{self.backend.port}", commands)

    def end(self):
        self.shell.close()
        self.server.stop()
        for program in self.programs:
            program.stop()
        self.backend.close()
        left = self.server.unexpected()
        self.server.remove()
        assert not left, "\n".join(left)


@pytest.mark.parametrize("heading", RECIPES)
def test_the_recipe_goes_as_the_page_says(keys, mint, heading, monkeypatch):
    if "mpm_prefork" in TEXT[heading]:
        monkeypatch.setattr(httpd, "MPM", "prefork")
    recipe = Recipe(heading, keys, mint)
    try:
        recipe.play()
    finally:
        recipe.end()


def test_each_recipe_has_a_configuration_and_answers_to_compare():
    assert len(RECIPES) >= 10
    for heading in RECIPES:
        kinds = [kind for kind, _ in SECTIONS[heading]]
        assert kinds.count("apache") == 1 and "text" in kinds, heading


def test_the_page_names_each_recipe_at_its_head():
    head = PAGE.partition("\n## ")[0]
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in RECIPES}
    assert anchors == set(re.findall(r"\]\(#([^)]+)\)", head))
