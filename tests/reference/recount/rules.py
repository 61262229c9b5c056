"""The rule files: classes, reflection ports and fingerprints, read from their text.

An expression becomes a tree; it is evaluated over many packets at once. A value is a pair of arrays:
what it is, and whether it is known (what was cut off is not).
"""

import re
import tomllib

import numpy as np

FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "CWR": 128}
TOKEN = re.compile(
    r"\s*(?:(?P<number>0x[0-9a-fA-F]+|[0-9]+)|(?P<pattern>\[[^\]]*\](?!\s*[&|^=!<>]))"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9.]*)"
    r"|(?P<sign>\.\.=|==|!=|<=|>=|<<|>>|[-+&|^<>(),\[\]]))"
)
COMPARE = {
    "==": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
    ">=": np.greater_equal,
}
# From loosest to tightest.
LEVELS = [("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-")]


class Parser:
    """Recursive descent over the language of rules."""

    def __init__(self, text):
        self.text = " ".join(text.split())
        self.at = 0
        tree = self.either()
        if self.peek():
            raise ValueError(f"cannot read the rule {self.text!r} from octet {self.at} on")
        self.tree = tree

    def peek(self):
        found = TOKEN.match(self.text, self.at)
        return found.group().strip() if found else ""

    def take(self, wanted=None):
        found = TOKEN.match(self.text, self.at)
        if not found or (wanted and found.group().strip() != wanted):
            raise ValueError(f"cannot read the rule {self.text!r} at octet {self.at}")
        self.at = found.end()
        return found.group().strip()

    def either(self):
        parts = [self.both()]
        while self.peek() == "or":
            self.take()
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else ("or", parts)

    def both(self):
        parts = [self.negated()]
        while self.peek() == "and":
            self.take()
            parts.append(self.negated())
        return parts[0] if len(parts) == 1 else ("and", parts)

    def negated(self):
        if self.peek() == "not":
            self.take()
            return ("not", self.negated())
        return self.comparison()

    def comparison(self):
        left = self.binary(0)
        sign = self.peek()
        if sign in COMPARE:
            self.take()
            if left in (("octets", "tcp.options"), ("octets", "payload")):
                tree = ("pattern", left[1], self.pattern())
                return tree if sign == "==" else ("not", tree)
            return ("compare", sign, left, self.binary(0))
        if sign == "in":
            self.take()
            return self.member(left)
        return left

    def member(self, left):
        if self.peek() == "(":
            self.take()
            values = [self.number()]
            while self.peek() == ",":
                self.take()
                values.append(self.number())
            self.take(")")
            return ("or", [("compare", "==", left, ("number", value)) for value in values])
        low = self.number()
        self.take("..=")
        high = self.number()
        ends = [("compare", ">=", left, ("number", low)), ("compare", "<=", left, ("number", high))]
        return ("and", ends)

    def number(self):
        return int(self.take(), 0)

    def pattern(self):
        octets = self.take()[1:-1].split()
        open_end = bool(octets) and octets[-1] == ".."
        octets = octets[:-1] if open_end else octets
        return [None if octet == "??" else int(octet, 16) for octet in octets], open_end

    def binary(self, level):
        if level == len(LEVELS):
            return self.atom()
        left = self.binary(level + 1)
        while self.peek() in LEVELS[level]:
            left = ("binary", self.take(), left, self.binary(level + 1))
        return left

    def atom(self):
        token = self.peek()
        if token == "(":
            self.take()
            inner = self.either()
            self.take(")")
            return inner
        if token[:1].isdigit():
            return ("number", self.number())
        name = self.take()
        if name == "swap":
            self.take("(")
            inner = self.binary(0)
            self.take(")")
            return ("swap", inner)
        if name in FLAGS:
            return ("number", FLAGS[name])
        if name == "payload" and self.text[self.at : self.at + 1] == "[":
            # The bracket of an index, which is an expression of its own.
            depth, end = 0, self.at
            while True:
                depth += {"[": 1, "]": -1}.get(self.text[end], 0)
                end += 1
                if depth == 0:
                    break
            index = Parser(self.text[self.at + 1 : end - 1]).tree
            self.at = end
            return ("octet", index)
        if name in ("tcp.options", "payload"):
            return ("octets", name)
        return ("field", name)


def evaluate(tree, packets, rows):
    """The value of a tree for some rows of packets, and whether it is known."""
    kind = tree[0]
    if kind == "number":
        return np.full(len(rows), tree[1], np.uint32), np.ones(len(rows), bool)
    if kind == "field":
        return packets.field(tree[1], rows)
    if kind == "octet":
        index, known = evaluate(tree[1], packets, rows)
        octet, there = packets.payload(index, rows)
        return octet.astype(np.uint32), there & known
    if kind == "pattern":
        return packets.begins(tree[1], tree[2][0], tree[2][1], rows)
    if kind == "swap":
        value, known = evaluate(tree[1], packets, rows)
        return value.byteswap(), known
    if kind == "not":
        value, known = evaluate(tree[1], packets, rows)
        return ~value, known
    if kind == "compare":
        left, known = evaluate(tree[2], packets, rows)
        right, there = evaluate(tree[3], packets, rows)
        return COMPARE[tree[1]](left, right), known & there
    if kind == "binary":
        left, known = evaluate(tree[2], packets, rows)
        right, there = evaluate(tree[3], packets, rows)
        return arithmetic(tree[1], left, right), known & there
    # `and` ends where a part is false, `or` where one is true; what is not known leaves it open.
    ends = kind == "or"
    value, known = np.full(len(rows), not ends), np.ones(len(rows), bool)
    alive = np.arange(len(rows))
    for part in tree[1]:
        if not len(alive):
            break
        part_value, part_known = evaluate(part, packets, rows[alive])
        decided = part_known & (part_value == ends)
        value[alive[decided]] = ends
        known[alive[decided]] = True
        known[alive[~part_known]] = False
        alive = alive[~decided]
    return value, known


def arithmetic(sign, left, right):
    """32 bits that wrap."""
    wide = left.astype(np.uint64)
    more = right.astype(np.uint64)
    if sign in ("<<", ">>"):
        shifted = wide << np.minimum(more, 32) if sign == "<<" else wide >> np.minimum(more, 32)
        return shifted.astype(np.uint32)
    one = {"|": np.bitwise_or, "^": np.bitwise_xor, "&": np.bitwise_and, "+": np.add,
           "-": np.subtract}[sign]
    return one(wide, more).astype(np.uint32)


class Fingerprint:
    """A rule over probes: TCP with SYN and without ACK, RST, FIN, over IPv4."""

    def __init__(self, entry):
        self.name, self.version = entry["name"], entry["version"]
        # A rule of the same name and another version is another one.
        self.key = self.name, self.version
        self.supersedes = entry.get("supersedes", [])
        self.telnet_mark = entry.get("telnet_mark", False)
        self.when = Parser(entry["when"]).tree if "when" in entry else None
        self.constant = Parser(entry["constant"]).tree if "constant" in entry else None


class Rules:
    """What the files say together."""

    def __init__(self, paths):
        self.classes, self.answers, prints, disabled = [], {}, {}, set()
        for path in paths:
            with open(path, "rb") as file:
                content = tomllib.load(file)
            self.classes += [Class(entry) for entry in content.get("class", [])]
            for entry in content.get("reflection", []):
                self.answers[entry["port"]] = Parser(entry["answer"]).tree
            disabled |= set(content.get("disable", []))
            for entry in content.get("fingerprint", []):
                prints[entry["name"]] = Fingerprint(entry)
                disabled.discard(entry["name"])
        self.known = prints
        prints = [rule for name, rule in prints.items() if name not in disabled]
        # By what they are: a condition with or without an expression, or nothing but an expression.
        self.matching = [rule for rule in prints if rule.when is not None]
        self.constant = [rule for rule in prints if rule.when is None]
        self.by_type = {}
        for rule in self.classes:
            for kind in rule.types:
                self.by_type.setdefault((rule.protocol, kind), rule.name)
        # The class of TCP by its flags.
        self.of_flags = ["other"] * 256
        for rule in reversed([rule for rule in self.classes if rule.protocol == "tcp"]):
            for flags in np.flatnonzero(evaluate(rule.when, AllFlags(), np.arange(256))[0]).tolist():
                self.of_flags[flags] = rule.name


def superseded_by(all_rules):
    """{rule: names of those that it supersedes, itself or by way of others}, as the last rules say that
    have it."""
    direct = {name: rule.supersedes for rules in all_rules for name, rule in rules.known.items()}

    def reached(name, found):
        for other in direct.get(name, ()):
            if other not in found:
                found.add(other)
                reached(other, found)
        return found - {name}

    return {name: reached(name, set()) for name in direct}


class Class:
    """A class of TCP by flags, or of ICMP by type."""

    def __init__(self, entry):
        self.protocol = entry["protocol"]
        self.name = entry["class"]
        self.when = Parser(entry["when"]).tree if "when" in entry else None
        self.types = entry.get("types", [])


class AllFlags:
    """256 packets, one of each set of TCP flags."""

    def field(self, name, rows):
        return rows.astype(np.uint32), np.full(len(rows), name == "tcp.flags")
