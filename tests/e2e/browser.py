"""
A real browser: chromium, driven by playwright-core (node/browser.mjs). Every name resolves to the server under test, so that its pages
come from https://app.test and the like, and nothing is fetched from anywhere else.
"""

import atexit
import base64
import datetime
import itertools
import json
import os
import re
import shutil
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from httpd import REPO, die_with_parent
from workers import lend

SHOTS = os.environ.get("TR_SHOTS")  # a folder for pictures
serial = itertools.count()


class Certificate:
    """A certificate for some names, which the browser is told to trust by its key, as if an authority had signed it."""

    def __init__(self, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        now = datetime.datetime.utcnow()
        self.pem = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                    .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                    .not_valid_after(now + datetime.timedelta(days=30))
                    .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
                    .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self.key = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
        self.pin = base64.b64encode(digest.finalize()).decode()


def program():
    found = os.environ.get("TR_BROWSER") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "no chromium here: tools/install-deps installs it, or TR_BROWSER names one"
    return found


class Chromium:
    """One browser. there: the folder with playwright-core. ports: {"443": where https goes, "80": where http goes, ...}."""

    def __init__(self, there, ports, certificate, history="dropped"):
        lend(REPO / "tests" / "e2e" / "node" / "browser.mjs", there)
        rules = ", ".join(f"MAP *:{port} 127.0.0.1:{to}" for port, to in ports.items())
        self.process = subprocess.Popen(["node", "browser.mjs"], cwd=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        atexit.register(self.stop)
        self.say(executable=program(), history=history,
                 arguments=[f"--host-resolver-rules={rules}", f"--ignore-certificate-errors-spki-list={certificate.pin}"])

    def say(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the browser ended with {self.process.poll()}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def person(self):
        return Person(self, f"person {next(serial)}")

    def forget(self):
        """Close all tabs, and with them their connections."""
        self.say(do="forget")

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process.stdout.close()


class Person:
    """Someone with cookies and storage of their own."""

    def __init__(self, browser, name):
        self.browser, self.name = browser, name

    def tab(self, url=None):
        tab = Tab(self, f"tab {next(serial)}")
        if url:
            tab.goto(url)
        return tab

    def cookies(self):
        return self.browser.say(do="cookies", person=self.name)

    def cookie_names(self):
        return {cookie["name"] for cookie in self.cookies()}

    def take_cookies(self, cookies):
        self.browser.say(do="set-cookies", person=self.name, cookies=cookies)


class Tab:
    def __init__(self, person, name):
        self.person, self.name = person, name
        self.say("open", person=person.name)

    def say(self, do, **more):
        return self.person.browser.say(do=do, tab=self.name, **more)

    def goto(self, url):
        """The status of the page that came in the end."""
        return self.say("goto", url=url)["status"]

    def back(self):
        return self.say("back")["status"]

    def reload(self):
        return self.say("reload")["status"]

    def click(self, selector, until="load"):
        return self.say("click", selector=selector, until=until)

    def run(self, code, argument=None):
        return self.say("evaluate", code=code, argument=argument)

    def look(self):
        return self.say("look")

    @property
    def url(self):
        return self.look()["url"]

    @property
    def text(self):
        return self.look()["text"]

    @property
    def title(self):
        return self.look()["title"]

    def requests(self):
        """[[method, url, status]] of what was asked over the network since the last call."""
        return self.say("requests")

    def shot(self, name):
        """A picture for whoever wants to look."""
        if SHOTS:
            os.makedirs(SHOTS, exist_ok=True)
            self.say("shot", path=os.path.join(os.path.abspath(SHOTS), re.sub(r"\W+", "-", name) + ".png"))

    def fetch(self, url, **options):
        """What a script in the page gets: {status, url, type, redirected, body}; or {error} where the browser gives it nothing."""
        return self.run("""async ({ url, options }) => {
            try {
                const answer = await fetch(url, options)
                const { status, type, redirected } = answer
                return { status, type, redirected, url: answer.url, challenge: answer.headers.get('WWW-Authenticate'), body: await answer.text() }
            } catch (error) { return { error: error.name } }
        }""", {"url": url, "options": options})
