"""What all proofs share: where things are, how commands run, what every report says."""

import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import venv

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATE = ROOT / "target/evidence"
REPORTS = ROOT / "evidence"
FORGE = ROOT / "node_modules/.bin/forge"
HERE = pathlib.Path(__file__).resolve().parent
# What forge is told for tests; without it, it makes the contracts that they load.
TESTS = {"FOUNDRY_PROFILE": "test"}


class Failed(Exception):
    """A proof could not be carried out, or did not hold. The message says what to do."""


class TimedOut(Exception):
    pass


def say(text):
    print(f"evidence: {text}", flush=True)


def run(command, cwd=ROOT, env=None, timeout=None, log=None):
    """Runs a command and returns (exit code, output). What it started ends with it."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1"} | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except BaseException as stop:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(stop, subprocess.TimeoutExpired):
            raise TimedOut(f"{command[0]} took more than {timeout:.0f} s") from None
        raise
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(output)
    return process.returncode, output


def must(command, **options):
    code, output = run(command, **options)
    if code:
        raise Failed(f"{' '.join(map(str, command))} failed:\n{output[-4000:]}")
    return output


def settings():
    """The compiler's settings in foundry.toml, as standard JSON."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    return {
        "remappings": profile["remappings"],
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "viaIR": profile["via_ir"],
        "evmVersion": profile["evm_version"],
        "metadata": {"appendCBOR": profile["cbor_metadata"], "bytecodeHash": profile["bytecode_hash"]},
    }


# --------------------------------------------------------------------------------------------------------- sources


def sources():
    """Every file that decides what the contracts' tests say, by its path."""
    files = [ROOT / name for name in ("foundry.toml", "package-lock.json")]
    for folder in ("contracts/src", "contracts/test", "pools", "script", "tests/vectors"):
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    # The arithmetic's steps change with the engine, and no contract reads them.
    files = [path for path in files if path.name != "engine-steps.json" and path.parent.name != "families"]
    return {str(path.relative_to(ROOT)): path for path in sorted(files)}


def digest(*more):
    """Identifies the sources; results for other sources are not reused."""
    whole = hashlib.sha256(repr(more).encode())
    for name, path in sources().items():
        whole.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


def fingerprint(files):
    """Identifies files by their paths and contents."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


def workspace(name, edit=lambda path, text: text):
    """A copy of the contracts under target/evidence, so that nothing here touches the tree that others work in. Files that
    have not changed are left alone: forge compiles only what differs. `edit` returns None for files to leave out. Returns
    the place and what identifies its contents."""
    place = STATE / name / "tree"
    wanted = {}
    for path, file in sources().items():
        data = file.read_bytes()
        if path.endswith(".sol"):
            text = edit(path, data.decode())
            if text is None:
                continue
            data = text.encode()
        wanted[path] = data
    for folder in ("contracts", "pools", "script", "tests"):
        for file in (place / folder).rglob("*"):
            if file.is_file() and str(file.relative_to(place)) not in wanted:
                file.unlink()
    for path, data in wanted.items():
        file = place / path
        if not file.exists() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    for link in ("node_modules", "package.json"):
        if not (place / link).is_symlink():
            (place / link).symlink_to(ROOT / link)
    (place / "deployments").mkdir(exist_ok=True)
    return place, hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:16]


def build(tree):
    """The contracts as they are shipped, then the tests of a workspace."""
    must([FORGE, "build"], cwd=tree)
    must([FORGE, "build"], cwd=tree, env=TESTS)


def without_inline_config(path, text):
    """`forge-config` comments would override the runs and the depth that a proof asks for."""
    return re.sub(r"^\s*/// forge-config:.*\n", "", text, flags=re.M)


# ----------------------------------------------------------------------------------------------------- Python tools


def python_tool(name, requirements=HERE / "requirements.txt", environment="venv"):
    """A program of the requirements, installed on first use into an environment of this checkout's own."""
    wanted = requirements.read_bytes()
    home = STATE / environment
    mark = home / "installed"
    if not mark.exists() or mark.read_bytes() != wanted:
        say(f"installing {requirements.relative_to(ROOT)} into {home.relative_to(ROOT)}")
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        must([home / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements])
        mark.write_bytes(wanted)
    return home / "bin" / name


def pinned():
    lines = (HERE / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


class Results:
    """What a long proof has found so far, a line each, in evidence/<name>.jsonl: committed, it goes on on another machine. Results for
    other sources (`mark`) are dropped with the first new one."""

    def __init__(self, name, mark):
        self.file, self.mark = REPORTS / f"{name}.jsonl", mark
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.known = [row for row in map(json.loads, lines) if row["sources"] == mark]

    def add(self, result):
        self.known.append({"sources": self.mark} | result)
        text = "".join(json.dumps(row) + "\n" for row in self.known)
        self.file.write_text(text)


# --------------------------------------------------------------------------------------------------------- reports


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        names = re.findall(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        model = names[0] if names else model
    return {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "processor": model, "system": platform.system()}


def tools():
    package = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    return {
        "forge": must([FORGE, "--version"]).split("\n")[0].split()[-1],
        "solc": package["solc"],
        "node": must(["node", "--version"]).strip().lstrip("v"),
        "python": platform.python_version(),
    } | pinned()


def commit():
    head = must(["git", "rev-parse", "HEAD"]).strip()
    changed = must(["git", "status", "--porcelain", "--", ".", ":!evidence"])
    return head + (" with uncommitted changes" if changed.strip() else "")


def report(name, title, holds, figures, body, seconds, of=None):
    """Writes evidence/<name>.json and .md. `holds` is the claim's verdict, `figures` a flat table, `body` more Markdown. A report `of`
    one thing among several, none of which replaces another's, is evidence/<name>-<of>."""
    file = f"{name}-{of}" if of else name
    facts = {
        "name": name,
        "holds": holds,
        "commit": commit(),
        "sources": digest(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"make evidence ONLY={name}",
        "machine": machine(),
        "tools": tools(),
        "seconds": round(seconds),
        "figures": figures,
    }
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"{file}.json").write_text(json.dumps(facts, indent=1) + "\n")
    m = facts["machine"]
    lines = [
        f"# {title}",
        "",
        f"**{'Holds' if holds else 'Does not hold'}.** Written by `{facts['command']}`; the figures are also in {file}.json.",
        "",
        "| | |",
        "|---|---|",
        f"| commit | {facts['commit']} |",
        f"| date | {facts['date']} |",
        f"| machine | {m['cores']} cores ({m['processor']}), {m['memory_gib']} GiB, {m['system']} |",
        f"| tools | {', '.join(f'{k} {v}' for k, v in facts['tools'].items())} |",
        f"| time | {facts['seconds']} s |",
    ]
    lines += [f"| {key.replace('_', ' ')} | {value} |" for key, value in figures.items() if not isinstance(value, (list, dict))]
    (REPORTS / f"{file}.md").write_text("\n".join(lines) + "\n" + (f"\n{body.rstrip()}\n" if body else ""))
    say(f"{name}: {'holds' if holds else 'DOES NOT HOLD'}; see evidence/{file}.md")
    return holds


def reasons(name):
    """What a person wrote about the findings of a proof, by finding: evidence/reasons.toml."""
    file = REPORTS / "reasons.toml"
    return tomllib.loads(file.read_text()).get(name, {}) if file.exists() else {}
