"""Mutation testing of the money contracts: how many small faults do the tests notice?

Compiling all contracts and tests takes minutes, a mutant must take seconds. So forge believes that it built a copy of the
sources; the warm compiler makes the code, for each mutant only what the mutated file is compiled into, and puts it among
forge's artefacts. Nothing is optimized, and tests are compiled by the older,
faster pipeline where it can; a mutant that no test kills is compared with the original once more as production compiles it:
equal bytecode makes it an equivalent one.
"""

import json
import os
import pathlib
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
        "Disputes",
        "Lanes",
        "Ledger",
        "Sampling",
        "Staking",
        "arbiters/JuryArbiter",
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
# The short campaign.
RUNS, DEPTH = 8, 64
# Seconds that a test contract may take to count as quick.
SLOW = 2
CHEATS = "address(uint160(uint256(keccak256('hevm cheat code'))))"
# So that calls of tests to the contracts' constructors find the artefacts of the mutant.
HELPER = """
interface Artefacts {
    function getCode(string calldata) external view returns (bytes memory);
    function deployCode(string calldata, bytes calldata) external returns (address);
}
"""


# --------------------------------------------------------------------------------------------------- the workspace


def _linked_at_run_time(contracts):
    """Rewrites tests so that none holds the code of a contract: `new X(…)` and `type(X).creationCode` ask forge for it."""
    names = "|".join(sorted(contracts))

    def edit(path, text):
        if path.startswith("contracts/src/"):
            return text
        if "/symbolic/" in path:
            return None
        text = before = common.without_inline_config(path, text)
        # What is added to a file must not make this ambiguous.
        text = re.sub(r'deployCode\("(\w+)\.sol"', r'deployCode("\1.sol:\1"', text)
        text = re.sub(
            rf"type\(({names})\)\.creationCode", lambda m: f'Artefacts({CHEATS}).getCode("{m[1]}.sol:{m[1]}")', text
        )
        while found := re.search(rf"\bnew\s+({names})\s*\(", text):
            name, depth, end = found[1], 1, found.end()
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            call = f'{name}(Artefacts({CHEATS}).deployCode("{name}.sol:{name}", abi.encode({text[found.end():end - 1]})))'
            text = text[: found.start()] + call + text[end:]
        return text if text == before else text + HELPER.replace("Artefacts", _helper(path))

    def named(path, text):
        text = edit(path, text)
        return text and text.replace("Artefacts(", _helper(path) + "(")

    return named


def _helper(path):
    """A name of its own in each file: files import each other."""
    return "Artefacts_" + re.sub(r"\W", "_", path)


def _imported(root, file, stops=()):
    """A file and all that it imports, but what only files of `stops` import."""
    reached, ahead = set(), [file]
    while ahead:
        one = ahead.pop()
        if one in reached or not (root / one).exists():
            continue
        reached.add(one)
        if one == file or one not in stops:
            for other in re.findall(r'^(?:import|\})[^;]*?"(\.[^"]+)";', (root / one).read_text(), flags=re.M):
                ahead.append(os.path.normpath(os.path.join(os.path.dirname(one), other)))
    return reached


class Workspace:
    """A built copy of the sources whose artefacts can be replaced."""

    def __init__(self):
        source = common.ROOT / "contracts/src"
        deployed = {}
        for file in source.rglob("*.sol"):
            for name in re.findall(r"^contract (\w+)", file.read_text(), flags=re.M):
                path = str(file.relative_to(common.ROOT))
                if _imported(common.ROOT, path) & MONEY:
                    deployed[name] = path
        self.tree, self.mark = common.workspace("mutants", _linked_at_run_time(deployed))
        self.compiler = Compiler(self.tree)
        full = common.settings()
        plain = full | {"optimizer": {"enabled": False}}
        # Fastest first.
        self.ways = {"legacy": plain | {"viaIR": False}, "plain": plain, "full": full}
        self.contracts = [(file, name) for name, file in deployed.items()]
        self.seconds, self.optimized = {}, {}
        self._build()
        # A test sees of a contract only its interface, so what that is made of does not concern it.
        stops = set(deployed.values())
        self.made_of = {
            (file, name): _imported(self.tree, file, () if file in stops else stops)
            for file, name in (whole.rsplit(":", 1) for whole in self.kept["code"])
        }

    def forge(self, *arguments, timeout=None, runs=RUNS, depth=DEPTH):
        """Size limits and gas are not what is tested here."""
        env = {
            "FOUNDRY_SOLC": str(common.HERE / "solc-interfaces.cjs"),
            "FOUNDRY_CODE_SIZE_LIMIT": "10000000",
            "FOUNDRY_GAS_SNAPSHOT_CHECK": "false",
            "FOUNDRY_INVARIANT_RUNS": str(runs),
            "FOUNDRY_INVARIANT_DEPTH": str(depth),
        }
        return common.run([common.FORGE, *arguments], cwd=self.tree, env=env, timeout=timeout)

    def _build(self):
        baseline = self.tree.parent / "baseline.json"
        kept = json.loads(baseline.read_text()) if baseline.exists() else {}
        fresh = kept.get("mark") == self.mark
        if not fresh:
            say("mutants: building the copy, once for each version of the sources")
            # Forge's incremental build must find the artefacts that it made.
            for path, text in kept.get("artefacts", {}).values():
                pathlib.Path(path).write_text(text)
            if not kept:
                shutil.rmtree(self.tree / "target", ignore_errors=True)
            baseline.unlink(missing_ok=True)
            code, output = self.forge("build")
            if code:
                raise Failed("the copy does not compile:\n" + output[-4000:])
        cache = json.loads((self.tree / "target/forge/cache/solidity-files-cache.json").read_text())
        self.paths = {}
        for file, entry in cache["files"].items():
            for name, versions in entry["artifacts"].items():
                path = next(iter(next(iter(versions.values())).values()))["path"]
                self.paths[file, name] = self.tree / "target/forge/out" / path
        if not fresh:
            kept = {"mark": self.mark, "code": {}, "way": {}}
            kept["artefacts"] = {":".join(key): (str(path), path.read_text()) for key, path in self.paths.items()}
            self._compile_baseline(kept)
            baseline.write_text(json.dumps(kept))
        self.kept, self.on_disk = kept, {}
        self.tests = [
            key
            for key in self.paths
            if key[0].endswith(".t.sol") and any(self._is_test(x) for x in self._artefact(key)["abi"])
        ]
        self.campaign = [key for key in self.tests if "/invariant/" in key[0]]
        # A mutant that is caught by its use of gas alone is not caught.
        self.units = [key for key in self.tests if key not in self.campaign and "gas" not in key[0].lower()]
        self.restore()

    @staticmethod
    def _is_test(item):
        return item["type"] == "function" and item["name"].startswith(("test", "invariant"))

    def _artefact(self, key):
        return json.loads(self.kept["artefacts"][":".join(key)][1])

    def _compile_baseline(self, kept):
        files = sorted({file for file, _ in self.paths if file.startswith(("contracts/test/", "script/"))})
        jobs = [[key] for key in self.contracts] + [[key for key in self.paths if key[0] == file] for file in files]
        for count, keys in enumerate(jobs):
            say(f"mutants: compiling {keys[0][0]} ({count + 1} of {len(jobs)})")
            for way, settings in self.ways.items():
                try:
                    codes = self.compiler.compile(keys, settings)
                    break
                except Refused:
                    # Out of stack, most likely.
                    if way == "full":
                        raise
            for key, code in codes.items():
                # Interfaces and abstract contracts have none.
                if code[0]:
                    kept["code"][":".join(key)], kept["way"][":".join(key)] = code, way

    def compile(self, keys, changed):
        """The code of `keys` with some files changed; raises Refused."""
        codes = {}
        for way, settings in self.ways.items():
            some = [key for key in keys if self.kept["way"][":".join(key)] == way]
            if some:
                codes |= self.compiler.compile(some, settings, changed)
        return codes

    def code(self, key):
        return self.kept["code"][":".join(key)]

    def is_equivalent(self, keys, changed):
        """Whether the optimizer makes the same of both. It takes its time, so only what no test kills is asked."""
        full = self.ways["full"]
        for key in keys:
            if key not in self.optimized:
                self.optimized[key] = self.compiler.compile([key], full)[key]
        return all(code == self.optimized[key] for key, code in self.compiler.compile(keys, full, changed).items())

    # ------------------------------------------------------------------------------------------------ replacing

    def restore(self):
        for name, code in self.kept["code"].items():
            self.put(tuple(name.rsplit(":", 1)), code)

    def put(self, key, code):
        self._write(key, code, self.on_disk.get(key, (None, True))[1])

    def show(self, tests):
        """Forge runs what artefacts say: those of other tests lose their functions. A filter on its command line would make
        it compile all tests once more to find out their names."""
        for key in self.tests:
            self._write(key, self.on_disk[key][0], key in tests)

    def _write(self, key, code, visible):
        if self.on_disk.get(key) == (code, visible):
            return
        artefact = self._artefact(key)
        if not visible:
            artefact["abi"] = []
        for part, text in zip(("bytecode", "deployedBytecode"), code):
            artefact[part] = {"object": "0x" + text, "sourceMap": "", "linkReferences": {}}
        self.paths[key].write_text(json.dumps(artefact))
        self.on_disk[key] = (code, visible)

    def test(self, tests, timeout):
        """The first failing test, or None."""
        self.show(tests)
        code, output = self.forge("test", "--fail-fast", timeout=timeout)
        failure = re.search(r"^Ran \d+ tests? for (\S+)$(?:(?!^Ran ).)*?^(\[FAIL[^\n]*)", output, flags=re.M | re.S)
        if "Compiling" in output:
            raise Failed("forge compiled again: its cache no longer fits; remove target/evidence/mutants")
        if code and not failure:
            raise Failed("forge failed without a failing test:\n" + output[-4000:])
        if not code and not re.search(r"[1-9]\d* tests passed", output):
            raise Failed("forge ran no test:\n" + output[-2000:])
        took = r"^Ran \d+ tests? for (\S+):(\w+)$(?:(?!^Ran ).)*?^Suite result: [^\n]* finished in ([\d.]+)(ms|s|µs)"
        for file, name, time_, unit in re.findall(took, output, flags=re.M | re.S):
            self.seconds[file, name] = float(time_) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
        return failure and f"{failure[1].split('/')[-1]} {' '.join(failure[2].split())}"[:300]


# ------------------------------------------------------------------------------------------------------ one mutant


class Judge:
    def __init__(self, workspace):
        self.w = workspace
        self.killers = {}
        self.early, self.late = self.w.units, self.w.campaign
        units, campaign = self._baseline(self.early), self._baseline(self.late)
        say(f"mutants: without one, {len(self.early)} test contracts take {units:.1f} s, the short campaign {campaign:.1f} s")
        # Most mutants are killed by a quick test; the slow ones wait for those that are not.
        slow = [key for key in self.w.units if self.w.seconds[key] > SLOW]
        self.early, self.late = [key for key in self.w.units if key not in slow], slow + self.w.campaign
        say(f"mutants: slow, so run last: {', '.join(f'{name} {self.w.seconds[f, name]:.0f} s' for f, name in self.late)}")
        # A multiple, as the machine may be busy: time is no proof of a fault anyway.
        self.limit = 120 + 10 * (units + campaign)

    def _baseline(self, tests):
        start = time.monotonic()
        if failure := self.w.test(tests, 3600):
            raise Failed("a test fails without a mutant: " + failure)
        if silent := [name for file, name in tests if (file, name) not in self.w.seconds]:
            raise Failed("forge did not run " + ", ".join(silent))
        return time.monotonic() - start

    def judge(self, mutant):
        """(verdict, detail): equivalent, invalid, killed, timeout or survived."""
        changed = {mutant.file: mutant.apply((self.w.tree / mutant.file).read_bytes()).decode()}
        touched = [key for key in self.w.contracts if mutant.file in self.w.made_of[key]]
        try:
            codes = self.w.compile(touched, changed)
        except Refused as error:
            return "invalid", " ".join(str(error).split("\n")[:1])[:200]
        codes = {key: code for key, code in codes.items() if code != self.w.code(key)}
        if not codes:
            return "equivalent", "the same bytecode"
        try:
            for key, code in codes.items():
                self.w.put(key, code)
            if failure := self._tests(mutant, changed):
                return "killed", failure
            if self.w.is_equivalent(list(codes), changed):
                return "equivalent", "the same bytecode once optimized"
            return "survived", ""
        except TimedOut:
            return "timeout", ""
        finally:
            self.w.restore()

    def _tests(self, mutant, changed):
        """The first test that fails. One that shares the mutated code is mutated with it, or it would notice what nobody
        could."""
        stale = [key for key in self.w.made_of if key not in self.w.contracts and mutant.file in self.w.made_of[key]]
        fresh = [key for key in self.early if key not in stale]
        steps = [fresh] if fresh else []
        if stale:
            own = mutant.file.split("/")[-1].removesuffix(".sol") + "."
            often = self.killers.get(mutant.file, {})
            order = sorted(
                (key for key in stale if key in self.early),
                key=lambda key: (not key[0].split("/")[-1].startswith(own), -often.get(key[0], 0)),
            )
            steps += [order[:2], order[2:]]
        for step in [s for s in steps if s]:
            self._rebuild([key for key in stale if key in step or key not in self.w.tests], changed)
            if failure := self.w.test(step, self.limit):
                for file, _ in step:
                    self.killers.setdefault(mutant.file, {}).setdefault(file, 0)
                    self.killers[mutant.file][file] += failure.startswith(file.split("/")[-1])
                return failure
        self._rebuild([key for key in stale if key in self.late], changed)
        return self.w.test(self.late, self.limit)

    def _rebuild(self, keys, changed):
        for key, code in self.w.compile(keys, changed).items():
            self.w.put(key, code)


# -------------------------------------------------------------------------------------------------------- the proof


def prove(sample=SAMPLE):
    start = time.monotonic()
    sample = int(sample)
    workspace = Workspace()
    files = sorted(file for file in MONEY if (workspace.tree / file).exists())
    mutator = Mutator(workspace.compiler.trees(files))
    everything = [m for file in files for m in mutator.mutants(file, (workspace.tree / file).read_bytes())]
    # In an order that only the seed and the mutants decide, so that an edit moves few of them in or out of the sample.
    everything.sort(key=lambda m: common.hashlib.sha256(f"{SEED} {m.id}".encode()).digest())
    say(f"mutants: {len(everything)} of {len({m.file for m in everything})} files; judging {sample} that change the bytecode")

    log = common.STATE / "mutants" / f"results-{common.digest()}.jsonl"
    done = {}
    if log.exists():
        for line in log.read_text().splitlines():
            result = json.loads(line)
            done[result["id"]] = result
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
            result = {"id": mutant.id, "verdict": verdict, "detail": detail, "seconds": round(time.monotonic() - began, 1)}
            with log.open("a") as out:
                out.write(json.dumps(result) + "\n")
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
    holds = share >= ENOUGH and figures["survivors_without_reason"] == 0
    return common.report("mutants", "Mutants of the money contracts", holds, figures, "\n".join(lines), seconds)
