"""docs/FLOWS.md does what it says: its configurations are served, its commands are given in their order, its answers come back."""

import json
import os
import re
import subprocess
import time

import pytest

from pages import Shell, by_heading, pieces, read
from provider import SECRET, Browser, Provider
from tokens import unb64

PAGE = read("docs/FLOWS.md")
COMMON = "What they have in common"
BACKEND = "http://127.0.0.1:3000"  # where the page has the provider
SITE = "https://app.example.com"
TEXT = by_heading(PAGE)
SECTIONS = {heading: pieces(text) for heading, text in TEXT.items()}
FLOWS = [heading for heading in SECTIONS if heading != COMMON]


def blocks(heading, kind):
    return [content for k, content in SECTIONS[heading] if k == kind]


class Flow:
    """A server with the configuration of one section, a provider, and whoever has logged in."""

    def __init__(self, server, node_folder, heading):
        self.pieces = list(SECTIONS[heading])
        self.provider = Provider(node_folder, issuer="https://idp.example.com/")
        self.server = server
        server.write("conf/idp.jwks.json", self.provider.key_set())
        (server.root / "htdocs" / "app").mkdir()
        server.write("htdocs/app/index.html", "<p>the application</p>\n")
        self.browsers = {}
        self.names = {"WEB_SECRET": SECRET, "SHOP_SECRET": "the secret of the shop"}
        self.shell = Shell(server.root, **self.names)
        for commands in blocks(COMMON, "sh"):
            self.shell.must(commands)
        while self.pieces[0][0] != "apache":
            kind, commands = self.pieces.pop(0)
            assert kind == "sh", kind
            self.shell.must(commands)
        server.start(blocks(COMMON, "apache")[0] + self.pieces.pop(0)[1].replace(BACKEND, self.provider.url))
        self.set("APP", server.url)
        self.register(heading)
        for name, user in (("PHONE", "alice"), ("LAPTOP", "alice"), ("BOB", "bob")):
            self.login(user, name)

    def register(self, heading):
        """The client of the page; what the page has it registered with beside."""
        more = {}
        for text in blocks(heading, "json"):
            more.update(json.loads(text.replace(SITE, self.names["APP"])))
        self.provider.add_client("web", **more)

    def set(self, name, value):
        self.names[name] = str(value)
        self.shell.must(f"{name}='{value}'")

    # ---- steps ----

    def login(self, user, name):
        browser = Browser(self.provider, user)
        tokens = browser.login("web")
        self.browsers[name] = (browser, tokens)
        self.set(name, tokens["access_token"])
        self.set(name + "_REFRESH", tokens["refresh_token"])
        self.set(name + "_IAT", json.loads(unb64(tokens["access_token"].split(".")[1]))["iat"])

    def logout(self, name):
        browser, tokens = self.browsers[name]
        browser.logout(tokens)
        assert [sent["error"] for sent in self.provider.take_logouts()] == [None]

    def next(self, what):
        assert what == "second"
        time.sleep(1.01 - time.time() % 1)

    def python(self, *call):
        """A call of what the last block of Python defines."""
        subprocess.run(["/usr/bin/python3", "-c", self.code + "\n" + " ".join(call)], env=os.environ | self.names, check=True, timeout=60)

    def press(self, page):
        """The buttons of a page, by a browser that has logged in nowhere: they lead on."""
        forms = re.findall(r'<form method="post" action="([^"]+)"><button>', page)
        assert len(forms) == page.count("<form")
        for action in forms:
            assert self.server.get(action, "Accept: text/html", "Sec-Fetch-Site: same-origin", method="POST", body="").status == 303

    def step(self, text):
        what, *arguments = text.split(" ")
        getattr(self, what)(*arguments)

    def play(self):
        """Everything after the configuration."""
        compared = 0
        pieces = iter(self.pieces)
        said = None
        for kind, content in pieces:
            assert kind != "text" or said is not None, content
            if kind == "text":
                assert [line.rstrip() for line in said.splitlines()] == content.splitlines(), self.server.error_log()[-2000:]
                compared += 1
                said = None
                continue
            assert not said, said
            if kind == "sh":
                said = self.shell.run(content)[0]
            elif kind == "step":
                self.step(content)
            elif kind == "python":
                self.code = content
            elif kind == "html":
                self.press(content)
            else:
                assert kind in ("", "json"), kind  # a drawing; what register() has read
        assert not said and compared > 0
        return compared

    def end(self):
        self.shell.close()
        self.provider.stop()


SPELLED = pytest.mark.h1("the page prints the fields of an answer as HTTP/1.1 spells them")


@pytest.mark.parametrize("heading", [pytest.param(h, marks=SPELLED) if "HTTP/1.1" in TEXT[h] else h for h in FLOWS])
def test_the_flow_goes_as_the_page_says(new_server, node_folder, heading):
    """SBCP-03 for the guard, BCL-11 for the back channel."""
    flow = Flow(new_server(children=2), node_folder, heading)
    for warning in re.findall(r"`(TR\d{3})`", TEXT[heading]):
        flow.server.expect_log(warning + ": ")
    try:
        flow.play()
    finally:
        flow.end()


def test_each_flow_has_a_configuration_and_answers_to_compare():
    assert len(FLOWS) >= 5 and len(blocks(COMMON, "apache")) == 1
    for heading in FLOWS:
        assert len(blocks(heading, "apache")) == 1 and blocks(heading, "text"), heading


def test_the_page_names_each_flow_at_its_head():
    head = PAGE.partition("\n## ")[0]
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in FLOWS}
    assert anchors == set(re.findall(r"\]\(#([^)]+)\)", head))
