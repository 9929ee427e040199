"""Mutation testing of the money contracts: how many small faults do the tests notice?

Tests load contracts by the path of their artefacts, so a mutant is judged without forge compiling anything: a warm compiler
makes the code of what the mutated file is compiled into, unoptimized where that compiles, and the code replaces what is in
the artefacts. Tests that share a mutated library are mutated with it, or they would notice what nobody could. A mutant that
no test kills is compiled once more as it would be shipped: equal bytecode makes it an equivalent one.
"""

import hashlib
import json
import os
import re
import shutil
import time

import common
from common import Failed, TimedOut, say
from compiler import Compiler, Refused
from mutator import Mutator

MONEY = {
    f"contracts/src/{name}.sol"
    for name in (
        "Audits",
        "Checks",
        "DisputePayouts",
        "Disputes",
        "Lanes",
        "Ledger",
        "Sampling",
        "Staking",
        "arbiters/JuryArbiter",
        "libraries/AuditDraws",
        "libraries/Conditions",
        "libraries/Hashes",
        "libraries/Histories",
        "libraries/MountainRanges",
        "libraries/Panels",
        "libraries/PoolStore",
        "types/PoolParams",
    )
}
SAMPLE = 300
SEED = "assay"
ENOUGH = 0.9
# Size limits and gas are not what is tested here; the campaign is a short one.
SETTINGS = common.TESTS | {
    "FOUNDRY_CODE_SIZE_LIMIT": "10000000",
    "FOUNDRY_GAS_SNAPSHOT_CHECK": "false",
    "FOUNDRY_INVARIANT_RUNS": "8",
    "FOUNDRY_INVARIANT_DEPTH": "64",
    # A mutant that makes a test search without end fails at half of forge's own limit; no test needs as much.
    "FOUNDRY_GAS_LIMIT": str(1 << 29),
}
# Seconds that a test contract may take to count as quick.
SLOW = 2
# Test contracts that are tried before all others: those that killed mutants of the file before.
FAVOURITES = 2
DEPLOYMENT = "script/Deployment.sol"
VM = """
interface Artefacts {
    function getCode(string calldata) external view returns (bytes memory);
}

Artefacts constant ARTEFACTS = Artefacts(address(uint160(uint256(keccak256("hevm cheat code")))));
"""


def _loaded_by_path(path, text):
    """The deployment holds no code of contracts either, and asks for the artefacts."""
    if "/symbolic/" in path:
        return None
    if path == DEPLOYMENT:
        code = r'ARTEFACTS.getCode("target/forge/out/\1.sol/\1.json")'
        return re.sub(r"type\((\w+)\)\.creationCode", code, text) + VM
    return common.without_inline_config(path, text)


def _made_of(root, file, of_test=False):
    """A file and all that it imports. Of the contracts, a test holds interfaces only."""
    reached, ahead = set(), [file]
    while ahead:
        one = ahead.pop()
        if one in reached or of_test and one.startswith(("contracts/test/shipped/", "script/")):
            continue
        reached.add(one)
        for other in re.findall(r'^(?:import|\})[^;]*?"(\.[^"]+)";', (root / one).read_text(), flags=re.M):
            ahead.append(os.path.normpath(os.path.join(os.path.dirname(one), other)))
    return reached


class Workspace:
    """A built copy of the sources whose artefacts can be replaced. Contracts and tests are (file, name)."""

    def __init__(self):
        self.tree, mark = common.workspace("mutants", _loaded_by_path)
        self._build(mark)
        self.compiler = Compiler(self.tree)
        full = common.settings()
        old = full | {"viaIR": False}
        off = {"optimizer": {"enabled": False}}
        # Fastest first; some run out of stack without this or that.
        self.ways = [old | off, old | {"optimizer": {"enabled": True, "runs": 1}}, full | off, full]
        self.way, self.shipped, self.replaced = {}, {}, {}

        files = [str(file.relative_to(self.tree)) for file in (self.tree / "contracts/src").rglob("*.sol")]
        declared = [
            (file, name)
            for file in files
            for name in re.findall(r"^contract (\w+)", (self.tree / file).read_text(), flags=re.M)
        ]
        self.tests = []
        for file in sorted((self.tree / "contracts/test").rglob("*.t.sol")):
            for name in re.findall(r"^contract (\w+)", file.read_text(), flags=re.M):
                key = (str(file.relative_to(self.tree)), name)
                abi = json.loads(self._artefact(key).read_text())["abi"]
                if any(x["type"] == "function" and x["name"].startswith(("test", "invariant")) for x in abi):
                    self.tests.append(key)
        self.made_of = {key: _made_of(self.tree, key[0]) for key in declared}
        self.contracts = [key for key in declared if self.made_of[key] & MONEY]
        self.made_of |= {key: _made_of(self.tree, key[0], of_test=True) for key in self.tests}
        say(f"mutants: compiling {len(self.contracts)} contracts")
        self.plain = {}
        for key in self.contracts:
            self.plain |= self.compile([key])
        self.replace(self.plain)

    def _build(self, mark):
        """Artefacts that an earlier run replaced give way to what forge made."""
        target, built = self.tree / "target", self.tree.parent / "built"
        shutil.rmtree(target, ignore_errors=True)
        if built.exists():
            shutil.copytree(built, target)
        if not (built / mark).exists():
            say("mutants: building, once for each version of the sources")
            common.build(self.tree)
            shutil.rmtree(built, ignore_errors=True)
            shutil.copytree(target, built)
            (built / mark).touch()

    def _artefact(self, key):
        file, name = key
        out = "target/forge/test/out" if file.endswith(".t.sol") else "target/forge/out"
        return self.tree / out / os.path.basename(file) / f"{name}.json"

    def compile(self, keys, changed=None):
        """The code of `keys`, with some files changed; raises Refused."""
        codes = {}
        for key in keys:
            for way in range(self.way.get(key, 0), len(self.ways)):
                try:
                    codes |= self.compiler.compile([key], self.ways[way], changed)
                    break
                except Refused:
                    # That a mutant does not compile is the mutant's fault.
                    if key in self.way or way == len(self.ways) - 1:
                        raise
            self.way.setdefault(key, way)
        return codes

    def is_equivalent(self, keys, changed):
        """Whether the same is shipped. It takes its time, so only what no test kills is asked."""
        for key in keys:
            if key not in self.shipped:
                self.shipped |= self.compiler.compile([key], self.ways[-1])
        return all(code == self.shipped[key] for key, code in self.compiler.compile(keys, self.ways[-1], changed).items())

    def replace(self, codes):
        for key, code in codes.items():
            path = self._artefact(key)
            self.replaced.setdefault(key, path.read_text())
            artefact = json.loads(path.read_text())
            for part, text in zip(("bytecode", "deployedBytecode"), code):
                artefact[part] = {"object": "0x" + text, "sourceMap": "", "linkReferences": {}}
            path.write_text(json.dumps(artefact))

    def restore(self):
        self.replace(self.plain)
        for key in [key for key in self.replaced if key not in self.plain]:
            self._artefact(key).write_text(self.replaced.pop(key))

    def test(self, tests, timeout):
        """The first failing test as (file, what), and how long each test contract took."""
        chosen = f"^({'|'.join(name for _, name in tests)})$"
        command = [common.FORGE, "test", "--fail-fast", "--match-contract", chosen]
        code, output = common.run(command, cwd=self.tree, env=SETTINGS, timeout=timeout)
        if "Compiling" in output:
            raise Failed("forge compiled again: remove target/evidence/mutants")
        failure = re.search(r"^Ran \d+ tests? for (\S+):\w+$(?:(?!^Ran ).)*?^(\[FAIL[^\n]*)", output, flags=re.M | re.S)
        if code and not failure or not code and not re.search(r"[1-9]\d* tests passed", output):
            raise Failed("forge ran no test, or failed without a failing one:\n" + output[-4000:])
        took = r"^Ran \d+ tests? for \S+:(\w+)$(?:(?!^Ran ).)*?^Suite result: [^\n]* finished in ([\d.]+)(ms|s|µs)"
        seconds = {
            name: float(time_) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
            for name, time_, unit in re.findall(took, output, flags=re.M | re.S)
        }
        return failure and (failure[1], " ".join(failure[2].split())[:300]), seconds


# ------------------------------------------------------------------------------------------------------ one mutant


class Judge:
    def __init__(self, workspace):
        self.w = workspace
        self.killers = {}
        # A mutant that is caught by its use of gas or its size alone is not caught.
        tests = [key for key in self.w.tests if not re.search(r"gas|bounds|sizes", key[0].lower())]
        start = time.monotonic()
        failure, seconds = self.w.test(tests, 3600)
        if failure or len(seconds) != len(tests):
            raise Failed(f"a test fails without a mutant, or does not run: {failure}")
        # Most mutants are killed by a quick test; the slow ones wait for those that are not.
        self.slow = [key for key in tests if seconds[key[1]] > SLOW]
        self.quick = [key for key in tests if key not in self.slow]
        # A multiple, as the machine may be busy: time is no proof of a fault anyway.
        self.limit = 120 + 10 * (time.monotonic() - start)
        say(f"mutants: without one, all tests take {time.monotonic() - start:.0f} s; slow: {', '.join(n for _, n in self.slow)}")

    def judge(self, mutant):
        """(verdict, detail): equivalent, invalid, killed, timeout or survived. The detail of a kill begins with the file."""
        changed = {mutant.file: mutant.apply((self.w.tree / mutant.file).read_bytes()).decode()}
        try:
            codes = self.w.compile([key for key in self.w.contracts if mutant.file in self.w.made_of[key]], changed)
            codes = {key: code for key, code in codes.items() if code != self.w.plain[key]}
            if not codes:
                return "equivalent", "the same bytecode"
            self.w.replace(codes)
            if killer := self._killer(mutant, changed):
                self.killers.setdefault(mutant.file, []).append(killer[0])
                return "killed", " ".join(killer)
            if self.w.is_equivalent(list(codes), changed):
                return "equivalent", "the same bytecode once optimized"
            return "survived", ""
        except Refused as error:
            return "invalid", str(error).split("\n")[0][:200]
        except TimedOut:
            return "timeout", ""
        finally:
            self.w.restore()

    def _killer(self, mutant, changed):
        """Tests that share the mutated code come after the others, as they must be compiled."""
        shares = {key: mutant.file in self.w.made_of[key] for key in self.quick + self.slow}
        own = mutant.file.split("/")[-1].removesuffix(".sol") + "."
        often = self.killers.get(mutant.file, [])
        promise = lambda key: (-often.count(key[0]), not key[0].split("/")[-1].startswith(own))
        best = sorted(self.quick, key=promise)[:FAVOURITES]
        rest = sorted((key for key in self.quick if key not in best), key=lambda key: shares[key])
        fresh = [key for key in rest if not shares[key]]
        for step in (best, fresh, [key for key in rest if key not in fresh], self.slow):
            if step:
                self.w.replace(self.w.compile([key for key in step if shares[key]], changed))
                if killer := self.w.test(step, self.limit)[0]:
                    return killer
        return None


# -------------------------------------------------------------------------------------------------------- the proof


def _print_of(workspace, file):
    """Identifies a test: what killed a mutant of the same contracts still does while this is the same."""
    whole = hashlib.sha256()
    for one in sorted(_made_of(workspace.tree, file, of_test=True)):
        whole.update((workspace.tree / one).read_bytes())
    return whole.hexdigest()[:16]


def _still_holds(workspace, result):
    if result["verdict"] == "killed":
        file = result["detail"].split()[0]
        return (workspace.tree / file).exists() and result["tests"] == _print_of(workspace, file)
    return result["verdict"] in ("invalid", "equivalent") or result["tests"] == common.digest()


def prove(sample=SAMPLE):
    start = time.monotonic()
    sample = int(sample)
    workspace = Workspace()
    files = sorted(MONEY)
    mutator = Mutator(workspace.compiler.trees(files))
    everything = [m for file in files for m in mutator.mutants(file, (workspace.tree / file).read_bytes())]
    # In an order that only the seed and the mutants decide, so that an edit moves few of them in or out of the sample.
    everything.sort(key=lambda m: hashlib.sha256(f"{SEED} {m.id}".encode()).digest())
    say(f"mutants: {len(everything)} of {len(files)} files; judging {sample} that change the bytecode")

    contracts = hashlib.sha256()
    for name, path in common.sources().items():
        if not name.startswith("contracts/test/"):
            contracts.update(name.encode() + path.read_bytes())
    log = common.Results("mutants", contracts.hexdigest()[:16])
    done = {r["id"]: r for r in log.known if _still_holds(workspace, r)}
    if done:
        say(f"mutants: {len(done)} results of an earlier run")
    judge = None
    judged, set_aside = [], []
    for mutant in everything:
        if len(judged) == sample:
            break
        result = done.get(mutant.id)
        if not result:
            judge = judge or Judge(workspace)
            began = time.monotonic()
            verdict, detail = judge.judge(mutant)
            tests = _print_of(workspace, detail.split()[0]) if verdict == "killed" else common.digest()
            result = {"id": mutant.id, "verdict": verdict, "detail": detail, "tests": tests}
            result["seconds"] = round(time.monotonic() - began, 1)
            log.add(result)
        keep = judged if result["verdict"] in ("killed", "survived", "timeout") else set_aside
        keep.append((mutant, result))
        killed = sum(r["verdict"] == "killed" for _, r in judged)
        place = f"{mutant.file.split('/')[-1]}:{mutant.line} {mutant.kind}"
        say(f"mutants: {len(judged)}/{sample}, {killed} killed; {place}: {result['verdict']} ({result['seconds']} s)")
    workspace.compiler.close()
    return _report(everything, judged, set_aside, time.monotonic() - start)


def _report(everything, judged, set_aside, seconds):
    count = lambda verdict, of: sum(r["verdict"] == verdict for _, r in of)
    killed = count("killed", judged)
    share = killed / len(judged) if judged else 0
    known = common.reasons("mutants")
    left = [(m, r) for m, r in judged if r["verdict"] != "killed"]
    figures = {
        "seed": SEED,
        "mutants_possible": len(everything),
        "judged": len(judged),
        "killed": killed,
        "killed_share": f"{share:.1%}",
        "survived": count("survived", judged),
        "timeouts": count("timeout", judged),
        "set_aside_equal_bytecode": count("equivalent", set_aside),
        "set_aside_not_compiling": count("invalid", set_aside),
        "survivors_without_reason": sum(m.id not in known for m, _ in left),
        "seconds_judging": round(sum(r["seconds"] for _, r in judged + set_aside)),
        "results": [
            {"id": m.id, "file": m.file, "function": m.function, "line": m.line, "operator": m.kind, "old": m.old, "new": m.new}
            | {"verdict": r["verdict"], "detail": r["detail"]}
            for m, r in judged
        ],
    }
    lines = ["## By file", "", "| file | judged | killed |", "|---|---|---|"]
    for file in sorted({m.file for m, _ in judged}):
        of = [(m, r) for m, r in judged if m.file == file]
        lines.append(f"| {file.removeprefix('contracts/src/')} | {len(of)} | {count('killed', of)} |")
    lines += ["", "## By operator", "", "| operator | judged | killed |", "|---|---|---|"]
    for kind in sorted({m.kind for m, _ in judged}):
        of = [(m, r) for m, r in judged if m.kind == kind]
        lines.append(f"| {kind} | {len(of)} | {count('killed', of)} |")
    lines += ["", "## Not killed", "", "Reasons are in reasons.toml, by id.", ""]
    for m, r in sorted(left, key=lambda pair: (pair[0].file, pair[0].line)):
        change = f"`{' '.join(m.old.split())}` → `{' '.join(m.new.split())}`"
        lines.append(
            f"- {m.id} {m.file.removeprefix('contracts/src/')}:{m.line}, `{m.function}`, {m.kind}: {change}; {r['verdict']}. "
            + known.get(m.id, "**No reason yet.**")
        )
    holds = share >= ENOUGH and len(judged) >= SAMPLE and figures["survivors_without_reason"] == 0
    return common.report("mutants", "Mutants of the money contracts", holds, figures, "\n".join(lines), seconds)
