"""A report as it was made, against its tables as they were worked out here."""

import datetime


class Comparison:
    """Counts cells and differences, and prints a line for each table."""

    SHOWN = 5

    def __init__(self, out=print):
        self.out, self.tables, self.cells, self.differences = out, 0, 0, 0

    def say(self, table, what, theirs, mine, shown=None):
        self.differences += 1
        if shown is None or shown < self.SHOWN:
            self.out(f"{table}: {what}: report {theirs!r}, recount {mine!r}")

    def report(self, report, figures):
        for key, days in figures.about.items():
            mine = {**days, **{end: datetime.date.fromordinal(days[end]).isoformat() for end in ("from", "to")}}
            if report["about"][key] != mine:
                self.say("report", key, report["about"][key], mine)
        if sorted(report["about"]["sensors"]) != figures.sensors:
            self.say("report", "sensors", report["about"]["sensors"], figures.sensors)
        wanted = list(figures.sections)
        given = [section["id"] for section in report["sections"]]
        if given != wanted:
            self.say("report", "sections", given, wanted)
        for section in report["sections"]:
            name = section["id"]
            if name in figures.sections:
                self.section(section, figures.sections[name], figures.notes[name])

    def section(self, section, tables, notes):
        name = section["id"]
        self.remarks(f"section {name}", section["notes"], notes)
        mine = {table["id"]: table for table in tables}
        order = [table["id"] for table in section["tables"]]
        if order != list(mine):
            self.say(f"section {name}", "tables", order, list(mine))
        for table in section["tables"]:
            if table["id"] in mine:
                self.table(table, mine[table["id"]])

    def table(self, theirs, mine):
        name, before = theirs["id"], self.differences
        self.tables += 1
        for what in ("kind", "population"):
            if theirs[what] != mine[what]:
                self.say(name, what, theirs[what], mine[what])
        args = {key: value["value"] for key, value in theirs["args"].items()}
        for key in sorted({*args, *mine["args"]}):
            # The day of a peak may be given twice.
            if key != "peak" and args.get(key) != mine["args"].get(key):
                self.say(name, f"argument {key}", args.get(key), mine["args"].get(key))
        columns = [
            (column["id"], column["kind"],
             column.get("name") and (column["name"]["kind"], column["name"]["value"]))
            for column in theirs["columns"]
        ]
        if columns != mine["columns"]:
            self.say(name, "columns", columns, mine["columns"])
        self.remarks(name, theirs["notes"], mine["notes"])
        if bool(theirs["plots"]) != (mine["marked"] is not None):
            self.say(name, "has a plot", bool(theirs["plots"]), mine["marked"] is not None)
        known = {column[0] for column in columns}
        for plot in theirs["plots"]:
            if plot["incomplete"] != (mine["marked"] or []):
                self.say(name, "incomplete days of a plot", plot["incomplete"], mine["marked"])
            if not {plot["x"], *plot["y"]} <= known:
                self.say(name, "columns of a plot", [plot["x"], *plot["y"]], sorted(known))
        if len(theirs["rows"]) != len(mine["rows"]):
            self.say(name, "rows", len(theirs["rows"]), len(mine["rows"]))
        shown = 0
        for number, (left, right) in enumerate(zip(theirs["rows"], mine["rows"]), 1):
            if len(left) != len(right):
                self.say(name, f"cells of row {number}", len(left), len(right))
            for column, one, other in zip(columns, left, right):
                self.cells += 1
                if not same(column[1], one, other):
                    self.say(name, f"row {number} ({right[0]}), {column[0]}", one, other, shown)
                    shown += 1
        if shown > self.SHOWN:
            self.out(f"{name}: {shown} cells differ")
        if self.differences == before:
            rows = len(mine["rows"])
            self.out(f"{name}: {rows} {'row' if rows == 1 else 'rows'} equal")

    def remarks(self, name, theirs, mine):
        """Notes, whatever their order among others of another kind."""
        theirs = sorted(
            (note["id"], note["warning"],
             sorted((key, stamp(value)) for key, value in note["args"].items()))
            for note in theirs
        )
        mine = sorted((one, warning, sorted(args.items())) for one, warning, args in mine)
        self.cells += len(mine)
        if theirs != mine:
            self.say(name, "notes", theirs, mine)

    def end(self):
        self.out(f"{self.tables} tables, {self.cells} cells, {self.differences} differences")
        return 1 if self.differences else 0


def stamp(value):
    if value["kind"] == "time":
        return f"{datetime.datetime.fromisoformat(value['value']):%Y-%m-%dT%H:%M:%SZ}"
    return value["value"]


def same(kind, theirs, mine):
    """Whole numbers exactly, fractions to 1e-9 of their size, moments by what they say."""
    if theirs is None or mine is None:
        return theirs is None and mine is None
    if kind in ("number", "share"):
        numbers = all(isinstance(one, (int, float)) for one in (theirs, mine))
        return numbers and abs(theirs - mine) <= 1e-9 * max(abs(theirs), abs(mine))
    if kind == "time":
        return datetime.datetime.fromisoformat(theirs) == datetime.datetime.fromisoformat(mine)
    return type(theirs) is type(mine) and theirs == mine
