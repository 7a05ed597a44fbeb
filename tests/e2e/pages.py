"""The pages of the documentation as tests read them: blocks of code, steps between them, and a shell that goes through a page."""

import os
import re
import subprocess
import textwrap
from collections import namedtuple

import tls
from httpd import REPO

PIECE = re.compile(r"^```(\w*)\n(.*?)^```$|^<!-- step: (.*?) -->$", re.M | re.S)
END = "--- the end of these commands ---"


def read(name):
    return (REPO / name).read_text(encoding="utf-8")


def by_heading(page):
    """{heading of the second level: its text}."""
    return dict(part.split("\n", 1) for part in re.split(r"^## ", page, flags=re.M)[1:])


def pieces(text):
    """What there is to do, in order: (kind, content). kind is the language of a block, or step: what a person does."""
    return [(m[1], m[2]) if m[2] is not None else ("step", m[3]) for m in PIECE.finditer(text)]


class Shell:
    """One bash for a whole page, in ServerRoot."""

    def __init__(self, folder, **environment):
        self.process = subprocess.Popen(["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | tls.TRUST | environment)

    def run(self, commands):
        """What the commands print, and their status."""
        self.process.stdin.write(f"{commands}\necho '{END}' $?\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(END):
                return "".join(lines), int(line.split()[-1])
            lines.append(line)
        raise AssertionError("bash ended after: " + "".join(lines))

    def must(self, commands):
        said, status = self.run(commands)
        assert (said, status) == ("", 0), said

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class Block(namedtuple("Block", "page section language text line")):
    """A block of code; section is the heading above it."""

    def __str__(self):
        return f"{self.page}:{self.line}"

    def commands(self):
        """The lines of a shell block without their comments."""
        lines = (re.sub(r"(^|\s+)#.*", "", line) for line in self.text.replace("\\\n", " ").splitlines())
        return [line for line in lines if line]


FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)


def all_blocks():
    """Every one of README.md and docs/."""
    found = []
    for path in (REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))):
        page = path.read_text(encoding="utf-8")
        assert len(re.findall(r"^ *```", page, re.M)) == 2 * len(FENCED.findall(page)), path
        for m in FENCED.finditer(page):
            headings = re.findall(r"^#+ (.*)$", FENCED.sub(lambda b: "", page[:m.start()]), re.M)
            found.append(Block(path.name, headings[-1], m[2], textwrap.dedent(m[3]), page.count("\n", 0, m.start()) + 1))
    return found
