"""Works out every figure of a `noctule report` a second time, from the captures alone.

    recount_report.py --report DIR/report.json --prefix SENSOR=CIDR --capture SENSOR=FILE ...
        --interval 3600 --country country.csv --asn asn.csv --research-list research.txt

Captures of one sensor are one replay, merged by time. Where a sensor was replayed in several runs, such
as under several lists of prefixes, they have names: `--capture SENSOR/2=FILE --prefix SENSOR/2=CIDR`.
What the report was asked for must be given here too (`--port`, `--peak`, `--country-port`, ...);
everything that it chose by itself is chosen again. Exit status 1: something differs.

Sources without a row (degraded intervals) and losses are not known here: captures have neither.
"""

import argparse
import csv
import datetime
import ipaddress
import json
import pathlib
import re
import sys
import time
import tomllib

from recount.compare import Comparison
from recount.counts import Counts, Run
from recount.figures import Figures
from recount.periods import about_of
from recount.places import Places
from recount.pseudonyms import Pseudonyms
from recount.rules import Rules

SHIPPED = pathlib.Path(__file__).parents[2] / "collector/packet/src/rules/shipped.toml"


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several = {"action": "append", "default": []}
    parser.add_argument("--report", required=True, help="the report.json to hold against")
    parser.add_argument("--capture", required=True, metavar="SENSOR[/RUN]=FILE", **several)
    parser.add_argument("--prefix", required=True, metavar="SENSOR[/RUN]=CIDR", **several)
    parser.add_argument("--exclude", metavar="SENSOR[/RUN]=CIDR", **several)
    parser.add_argument("--interval", type=int, default=60, help="seconds")
    parser.add_argument("--country", help="file of start,end,code")
    parser.add_argument("--asn", help="file of start,end,number")
    parser.add_argument("--rules", metavar="[SENSOR[/RUN]=]FILE", **several,
                        help="a file that adds to the shipped rules, of one run or of all")
    parser.add_argument("--research-list")
    parser.add_argument("--settings", help="the store's noctule.toml, for its lists of research scanners")
    parser.add_argument("--research-packets", type=int, default=300_000)
    parser.add_argument("--research-ports", type=int, default=30)
    parser.add_argument("--compare", help="as the report's --compare")
    parser.add_argument("--pseudonymise", metavar="KEYFILE")
    for name in ("sensor", "port", "peak", "country-port", "region-port", "answer-port", "notify"):
        parser.add_argument(f"--{name}", help=f"as the report's --{name}", **several)
    return parser.parse_args(argv)


def runs_of(args):
    """Runs by their names."""
    parts, rules = {}, {}
    for text in args.rules:
        name, _, path = text.rpartition("=")
        rules[name] = Rules([str(SHIPPED), path])
    for kind in ("capture", "prefix", "exclude"):
        for text in getattr(args, kind):
            name, value = text.split("=", 1)
            parts.setdefault(name, {"capture": [], "prefix": [], "exclude": []})[kind].append(value)
    return [
        Run(name.split("/")[0], of["capture"], of["prefix"], of["exclude"], rules.get(name, rules.get("")))
        for name, of in parts.items() if of["capture"]
    ]


def scanners(path):
    """The networks of a list of research scanners, each with its name or an empty text."""
    networks = []
    lines = [line.split("#")[0].strip() for line in pathlib.Path(path).read_text("utf-8-sig").splitlines()]
    for place, line in enumerate(line for line in lines if line):
        mark = re.search(r"\s*([,;\t])|\s+", line.split('"')[2] if line[0] == '"' else line)
        mark = mark[1] or " " if mark else ","
        if mark == " ":
            fields = line.split(None, 1)
        else:
            fields = next(csv.reader([line], delimiter=mark, skipinitialspace=True))
        net, name = (*(field.strip() for field in fields), "")[:2]
        if place > 0 or "." in net or ":" in net:
            networks.append((ipaddress.ip_network(net, strict=False), name.strip('"')))
    return networks


def research_lists(args):
    """Lists of research scanners: first and last day, and networks."""
    if args.research_list:
        return [(None, None, scanners(args.research_list))]
    if not args.settings:
        return []
    place = pathlib.Path(args.settings)
    research = tomllib.loads(place.read_text()).get("research", {})
    lists = [(None, None, scanners(place.parent / research["list"]))] if "list" in research else []
    for one in research.get("lists", []):
        days = [
            datetime.date.fromisoformat(str(one[key])).toordinal() if key in one else None
            for key in ("from", "until")
        ]
        networks = [(net, name or one.get("name", "")) for net, name in scanners(place.parent / one["file"])]
        lists.append((*days, networks))
    return lists


def counts_of(args, zone):
    """Counts of the captures, in days of a zone."""
    country = Places(args.country) if args.country else None
    asn = Places(args.asn, number=True) if args.asn else None
    counts = Counts(runs_of(args), Rules([str(SHIPPED)]), args.interval, zone, country, asn)
    counts.find_research(args.research_packets, args.research_ports, research_lists(args))
    return counts


def styles_of(report):
    """Which observatories' figures it has."""
    sections = {section["id"][0] for section in report["sections"]}
    styles = [style for letter, style in (("n", "nicter"), ("t", "tsubame")) if letter in sections]
    # Neither can be asked for: then all of them are missing.
    return styles or ["nicter", "tsubame"]


def main(argv=None):
    args = arguments(argv)
    began = time.monotonic()
    report = json.loads(pathlib.Path(args.report).read_text())
    counts = counts_of(args, report["about"]["timezone"])
    print(f"{int(counts.packets.sum())} dark packets, {len(counts.packets)} rows of a day, sensor, "
          f"cell and source, in {time.monotonic() - began:.0f} s", flush=True)
    names = ("sensor", "port", "peak", "country_port", "region_port", "answer_port", "notify")
    # What is given twice counts once.
    chosen = {name: list(dict.fromkeys(getattr(args, name))) for name in names}
    if args.pseudonymise:
        chosen["pseudonyms"] = Pseudonyms(pathlib.Path(args.pseudonymise).read_bytes())
    about = report["about"]
    periods = about_of(about["period"]["name"], args.compare, about["timezone"])
    figures = Figures(counts, periods, chosen, styles_of(report))
    comparison = Comparison()
    comparison.report(report, figures)
    status = comparison.end()
    print(f"in {time.monotonic() - began:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
