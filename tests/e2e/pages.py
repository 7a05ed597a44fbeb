"""The pages of the documentation as tests read them: blocks of code, steps between them, and a shell that goes through a page."""

import os
import re
import subprocess

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
                                        text=True, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"} | environment)

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
