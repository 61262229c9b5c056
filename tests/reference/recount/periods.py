"""Years, quarters, months and days by their names, and what a report should be of."""

import datetime
import re
from zoneinfo import ZoneInfo

GRACE = datetime.timedelta(minutes=10)


def ends_of(name):
    """First and last day of `2016`, `2016-Q3`, `2016-09` or `2016-09-20`, as numbers."""
    first, months = name, 0
    if re.fullmatch(r"\d{4}", name):
        first, months = f"{name}-01-01", 12
    elif quarter := re.fullmatch(r"(\d{4})-Q([1-4])", name, re.IGNORECASE):
        first, months = f"{quarter[1]}-{int(quarter[2]) * 3 - 2:02}-01", 3
    elif re.fullmatch(r"\d{4}-\d{2}", name):
        first, months = f"{name}-01", 1
    begin = datetime.date.fromisoformat(first)
    if not months:
        return begin.toordinal(), begin.toordinal()
    month = begin.year * 12 + begin.month - 1 + months
    return begin.toordinal(), datetime.date(month // 12, month % 12 + 1, 1).toordinal() - 1


def before(name):
    """The name of the period of the same kind before this one."""
    last = datetime.date.fromordinal(ends_of(name)[0] - 1)
    if len(name) == 4:
        return f"{last.year:04}"
    if "Q" in name.upper():
        return f"{last.year:04}-Q{(last.month + 2) // 3}"
    return last.isoformat()[: len(name)]


def about_of(name, compare, zone):
    """Names and ends of the period and of its comparison; days that have not closed are left out."""
    now = datetime.datetime.now(ZoneInfo(zone))
    closed = (now - GRACE).date().toordinal() - 1
    found = {}
    for key, period in (("period", name), ("compare", compare or before(name))):
        begin, end = ends_of(period)
        found[key] = {"name": period, "from": begin, "to": min(end, closed)}
    return found
