"""Mutants of Solidity sources, made from the compiler's syntax trees."""

import dataclasses
import hashlib
import json
import re

SWAPS = {
    "+": ["-"],
    "-": ["+"],
    "*": ["/"],
    "/": ["*"],
    "%": ["*"],
    "**": ["*"],
    "<<": [">>"],
    ">>": ["<<"],
    "&": ["|"],
    "|": ["&"],
    "^": ["&"],
    "<": ["<=", ">="],
    "<=": ["<", ">"],
    ">": [">=", "<="],
    ">=": [">", "<"],
    "==": ["!="],
    "!=": ["=="],
    "&&": ["||"],
    "||": ["&&"],
    "+=": ["-=", "="],
    "-=": ["+=", "="],
    "|=": ["&=", "="],
    "*=": ["/="],
    "/=": ["*="],
}
KINDS = {"+": "arithmetic", "-": "arithmetic", "*": "arithmetic", "/": "arithmetic", "%": "arithmetic", "**": "arithmetic"}
KINDS |= {sign: "bits" for sign in ("<<", ">>", "&", "|", "^", "|=")}
KINDS |= {sign: "relation" for sign in ("<", "<=", ">", ">=", "==", "!=")}
KINDS |= {"&&": "logic", "||": "logic", "+=": "assignment", "-=": "assignment", "*=": "assignment", "/=": "assignment"}
# A statement without effect; the tree leaves the semicolon out.
NOTHING = "true"
# Declarations and names have no behaviour of their own.
PASSED_OVER = {
    "EnumDefinition",
    "ErrorDefinition",
    "EventDefinition",
    "ImportDirective",
    "OverrideSpecifier",
    "PragmaDirective",
    "StructDefinition",
    "StructuredDocumentation",
    "UsingForDirective",
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    function: str
    kind: str
    start: int
    length: int
    old: str
    new: str
    line: int
    id: str

    def apply(self, source):
        return source[: self.start] + self.new.encode() + source[self.start + self.length :]


class Mutator:
    def __init__(self, trees):
        """`trees`: the syntax tree of every file, by path; references lead from one to another."""
        self.trees = trees
        self.declared = {}
        for tree in trees.values():
            for node in nodes(tree):
                if "id" in node:
                    self.declared[node["id"]] = node
        self.parents = {}
        for node in list(self.declared.values()):
            if node["nodeType"] in ("EnumDefinition", "StructDefinition"):
                for member in node["members"]:
                    self.parents[member["id"]] = node

    def mutants(self, file, source):
        self.file, self.source, self.found = file, source, {}
        self.visit(self.trees[file], "")
        made, seen = [], {}
        for (start, length, new), (kind, function) in self.found.items():
            old = source[start : start + length].decode()
            # By what it changes, not by where: an edit elsewhere in the file leaves the name alone.
            key = (file, function, kind, " ".join(old.split()), new)
            seen[key] = seen.get(key, 0) + 1
            name = hashlib.sha256(json.dumps([*key, seen[key]]).encode()).hexdigest()[:12]
            line = source[:start].count(b"\n") + 1
            made.append(Mutant(file, function, kind, start, length, old, new, line, name))
        return made

    # ------------------------------------------------------------------------------------------------- plumbing

    def add(self, kind, function, start, length, new):
        if self.source[start : start + length].decode() != new:
            self.found.setdefault((start, length, new), (kind, function))

    def text(self, node):
        start, length = range_of(node)
        return self.source[start : start + length].decode()

    def replace(self, kind, function, node, new):
        self.add(kind, function, *range_of(node), new)

    def between(self, kind, function, left, right, sign, new):
        """Replaces an operator that stands between two expressions."""
        begin, end = sum(range_of(left)), range_of(right)[0]
        at = self.source[begin:end].decode().index(sign)
        self.add(kind, function, begin + at, len(sign), new)

    # ------------------------------------------------------------------------------------------------ operators

    def visit(self, node, function):
        if isinstance(node, list):
            for one in node:
                self.visit(one, function)
            return
        if not isinstance(node, dict):
            return
        kind = node.get("nodeType", "")
        if kind in PASSED_OVER or kind.endswith("TypeName"):
            return
        if kind in ("FunctionDefinition", "ModifierDefinition"):
            function = node.get("name") or node.get("kind", "")
        if kind == "ContractDefinition" and node["contractKind"] == "interface":
            return
        handler = getattr(self, "on_" + kind, None)
        if handler:
            handler(node, function)
        for key, child in node.items():
            if key in ("typeDescriptions", "documentation", "nativeSrc", "nameLocation"):
                continue
            # Which values an error or an event carries moves no money.
            if kind == "FunctionCall" and key == "arguments" and _called(node) in ("require", "assert"):
                child = child[:1]
            if kind in ("EmitStatement", "RevertStatement"):
                continue
            self.visit(child, function)

    def on_BinaryOperation(self, node, function):
        sign, left, right = node["operator"], node["leftExpression"], node["rightExpression"]
        for new in SWAPS.get(sign, []):
            self.between(KINDS[sign], function, left, right, sign, new)
        if sign in ("&&", "||"):
            self.replace("operand", function, node, self.text(left))
            self.replace("operand", function, node, self.text(right))

    def on_Assignment(self, node, function):
        sign = node["operator"]
        for new in SWAPS.get(sign, []):
            self.between(KINDS[sign], function, node["leftHandSide"], node["rightHandSide"], sign, new)

    def on_UnaryOperation(self, node, function):
        sign, body = node["operator"], self.text(node["subExpression"])
        if sign in ("++", "--"):
            new = {"++": "--", "--": "++"}[sign]
            self.replace("assignment", function, node, new + body if node["prefix"] else body + new)
        elif sign == "!":
            self.replace("negation", function, node, body)

    def on_Conditional(self, node, function):
        self.replace("branch", function, node["condition"], f"!({self.text(node['condition'])})")

    def on_IfStatement(self, node, function):
        condition = node["condition"]
        for new in (f"!({self.text(condition)})", "true", "false"):
            self.replace("branch", function, condition, new)

    def on_WhileStatement(self, node, function):
        self.replace("branch", function, node["condition"], "false")

    def on_ForStatement(self, node, function):
        if node.get("condition"):
            self.replace("branch", function, node["condition"], "false")

    def on_Return(self, node, function):
        value = node.get("expression")
        if value and value["typeDescriptions"].get("typeString") == "bool":
            self.replace("negation", function, value, f"!({self.text(value)})")

    def on_ExpressionStatement(self, node, function):
        call = node["expression"]
        required = call["nodeType"] == "FunctionCall" and _called(call) in ("require", "assert")
        self.replace("requirement" if required else "statement", function, node, NOTHING)

    def on_EmitStatement(self, node, function):
        self.replace("statement", function, node, NOTHING)

    def on_RevertStatement(self, node, function):
        self.replace("requirement", function, node, NOTHING)

    def on_Literal(self, node, function):
        if node["kind"] == "number":
            text = self.text(node)
            self.replace("constant", function, node, f"({text} + 1)")
            if not re.fullmatch(r"0+|0x0+", text):
                self.replace("constant", function, node, f"({text} - 1)")
        elif node["kind"] == "bool":
            self.replace("constant", function, node, {"true": "false", "false": "true"}[node["value"]])
        elif node["kind"] == "string" and node.get("value"):
            self.replace("constant", function, node, json.dumps(node["value"] + "x"))

    def on_MemberAccess(self, node, function):
        """Another kind of account, another field of the same type."""
        owner = self.parents.get(node.get("referencedDeclaration"))
        if not owner:
            return
        members = owner["members"]
        at = next(i for i, m in enumerate(members) if m["id"] == node["referencedDeclaration"])
        if owner["nodeType"] == "EnumDefinition":
            others = {members[at - 1]["name"], members[(at + 1) % len(members)]["name"]}
            kind = "enum"
        else:
            of = members[at]["typeDescriptions"]["typeString"]
            alike = [m["name"] for m in members[at + 1 :] + members[:at] if m["typeDescriptions"]["typeString"] == of]
            others, kind = set(alike[:1]), "field"
        start, length, _ = map(int, node["memberLocation"].split(":"))
        for other in sorted(others):
            self.add(kind, function, start, length, other)

    def on_FunctionCall(self, node, function):
        """Two neighbouring arguments of one type, the other way round."""
        if node["kind"] == "typeConversion" or node.get("names"):
            return
        given = node["arguments"]
        for one, two in zip(given, given[1:]):
            same = one["typeDescriptions"].get("typeString") == two["typeDescriptions"].get("typeString")
            if same and self.text(one) != self.text(two) and one["nodeType"] != "Literal":
                start, end = range_of(one)[0], sum(range_of(two))
                gap = self.source[sum(range_of(one)) : range_of(two)[0]].decode()
                self.add("arguments", function, start, end - start, self.text(two) + gap + self.text(one))

    def on_ModifierInvocation(self, node, function):
        if function != "constructor":
            self.replace("modifier", function, node, "")

    # Assembly.

    def on_YulLiteral(self, node, function):
        if node["kind"] == "number":
            self.replace("constant", function, node, str(int(self.text(node), 0) + 1))

    def on_YulExpressionStatement(self, node, function):
        self.replace("statement", function, node, "{}")

    def on_YulAssignment(self, node, function):
        self.replace("statement", function, node, "{}")


def nodes(tree):
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if "nodeType" in node:
                yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def range_of(node):
    start, length, _ = map(int, node["src"].split(":"))
    return start, length


def _called(node):
    return node["expression"].get("name", "")
