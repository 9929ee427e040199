"""The pinned compiler in a process of its own, kept warm: starting it takes longer than compiling a small contract."""

import json
import subprocess

import common

# Its memory only grows.
MOST_CALLS = 150


class Refused(Exception):
    """The compiler's errors."""


class Compiler:
    def __init__(self, tree):
        """`tree`: the folder that paths and imports are relative to."""
        self.tree, self.process, self.calls = tree, None, 0

    def compile(self, wanted, settings, changed=None):
        """Creation and runtime code of `wanted`, a list of (file, contract). `changed`: texts that stand for files on disk."""
        select = {}
        for file, name in wanted:
            select.setdefault(file, {})[name] = ["evm.bytecode.object", "evm.deployedBytecode.object"]
        output = self._ask(list(select), settings | {"outputSelection": select}, changed or {})
        evm = {(f, n): output["contracts"][f][n]["evm"] for f, n in wanted}
        return {key: [e[part]["object"] for part in ("bytecode", "deployedBytecode")] for key, e in evm.items()}

    def trees(self, files):
        """Syntax trees of `files` and of all that they import, by path."""
        output = self._ask(files, {**common.settings(), "outputSelection": {"*": {"": ["ast"]}}}, {})
        return {file: source["ast"] for file, source in output["sources"].items()}

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def _ask(self, files, settings, changed):
        texts = {file: {"content": (self.tree / file).read_text()} for file in files}
        texts |= {file: {"content": text} for file, text in changed.items()}
        line = json.dumps({"language": "Solidity", "sources": texts, "settings": settings})
        if self.calls >= MOST_CALLS:
            self.close()
        if not self.process:
            self.process = subprocess.Popen(
                ["node", common.HERE / "solc-server.cjs"],
                cwd=self.tree,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self.calls = 0
        self.calls += 1
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.close()
            raise common.Failed("the compiler ended; is node_modules there? Run `make setup`")
        output = json.loads(answer)
        errors = [e["formattedMessage"] for e in output.get("errors", []) if e["severity"] == "error"]
        if errors:
            raise Refused("\n".join(errors))
        return output
