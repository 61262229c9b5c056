"""Daily tables of a Noctule store, computed on a Spark cluster.

    noctule store spark-job > rollup.py
    spark-submit --master spark://master:7077 rollup.py --store s3a://telescope/store --out s3a://telescope/days
    noctule rollup --store s3://telescope/store --adopt s3://telescope/days

It reads the files and runs the SQL of `noctule rollup`, and writes to a folder of its own (`--out`).
`noctule rollup --adopt` checks that folder and publishes its days in the store. Geo files and lists of
research scanners are for `noctule rollup` only. `--store` and `--out` may be anything that Hadoop's file
systems read and write; credentials come from their configuration.
"""

import argparse
import datetime
import json
import zoneinfo

from pyspark.sql import SparkSession
from pyspark.sql import types as T

SQL = {
    "flows_daily": """@@flows_daily@@""",
    "research_daily": """@@research_daily@@""",
    "ports_daily": """@@ports_daily@@""",
    "ledger_daily": """@@ledger_daily@@""",
}
# A digest of the SQL, by which `noctule rollup` knows it.
SQL_DIGEST = "@@sql_digest@@"
READ = ["flows", "ports", "ledger"]
GRACE = datetime.timedelta(minutes=10)


def arguments():
    parser = argparse.ArgumentParser(description="Daily tables of a Noctule store.")
    parser.add_argument("--store", required=True, help="folder or URL of the store")
    parser.add_argument("--out", required=True, help="folder or URL that days are written to")
    parser.add_argument("--timezone", default="UTC", help="time zone of the days")
    parser.add_argument("--sensor", action="append", default=[], help="only this sensor")
    parser.add_argument("--from", dest="first", type=datetime.date.fromisoformat)
    parser.add_argument("--to", dest="last", type=datetime.date.fromisoformat)
    parser.add_argument("--redo", action="store_true", help="compute days again that the store has")
    parser.add_argument("--research-packets", type=int, default=300_000)
    parser.add_argument("--research-ports", type=int, default=30)
    return parser.parse_args()


class Files:
    """Files below a folder, through Hadoop's file systems."""

    def __init__(self, spark, root):
        self.path_of = spark._jvm.org.apache.hadoop.fs.Path
        root = self.path_of(root)
        self.files = root.getFileSystem(spark._jsc.hadoopConfiguration())
        self.root = self.files.makeQualified(root)

    def path(self, relative):
        return self.path_of(self.root, relative).toString()

    def list(self, under):
        """(path, octets) of every Parquet file below a folder, by path."""
        top = self.path_of(self.root, under)
        if not self.files.exists(top):
            return []
        base = self.root.toString().rstrip("/") + "/"
        found = []
        entries = self.files.listFiles(top, True)
        while entries.hasNext():
            entry = entries.next()
            path = entry.getPath().toString()
            if path.endswith(".parquet") and not entry.getPath().getName().startswith("."):
                found.append((path[len(base):], entry.getLen()))
        return sorted(found)

    def remove(self, relative):
        self.files.delete(self.path_of(self.root, relative), True)

    def write(self, relative, text):
        stream = self.files.create(self.path_of(self.root, relative), True)
        stream.write(bytearray(text, "utf-8"))
        stream.close()


def start_and_sensor(path):
    """Start of the interval and sensor of a file, or None if its place is foreign."""
    parts = path.split("/")
    folders = dict(part.split("=", 1) for part in parts[1:-1] if "=" in part)
    try:
        start = datetime.datetime.strptime(parts[-1].split("-", 1)[0], "%Y%m%dT%H%M%SZ")
        return start.replace(tzinfo=datetime.timezone.utc), folders["sensor"]
    except (ValueError, KeyError):
        return None


def days_of(store, zone):
    """{(date, sensor): {table: [(path, octets)]}}"""
    days = {}
    for table in READ:
        for path, octets in store.list(table):
            place = start_and_sensor(path)
            if place is None:
                print(f"left out {path}: its place is foreign to this table")
                continue
            start, sensor = place
            day = days.setdefault((start.astimezone(zone).date(), sensor), {t: [] for t in READ})
            day[table].append((path, octets))
    return days


def register(spark, store, table, inputs):
    """Registers the files of a day as a table."""
    # An interval without packets has only a ledger: another day's file has the columns.
    paths = inputs or store.list(table)[:1]
    frame = spark.read.option("mergeSchema", "true").parquet(*[store.path(path) for path, _ in paths])
    if table == "ledger" and "interface" not in frame.columns:
        # Files of earlier versions lack it.
        frame = frame.selectExpr("*", "CAST(NULL AS STRING) AS interface")
    if not inputs:
        frame = frame.limit(0)
    frame.createOrReplaceTempView(table)


def make(spark, store, out, date, sensor, inputs, args):
    for table in READ:
        register(spark, store, table, inputs[table])
    spark.createDataFrame(
        [(args.research_packets, args.research_ports)], "research_packets long, research_ports long"
    ).createOrReplaceTempView("rollup_settings")
    ranges = T.StructType(
        [T.StructField(name, T.LongType()) for name in ("block", "first4", "last4")]
        + [T.StructField(name, T.BinaryType()) for name in ("first6", "last6")]
        + [T.StructField("name", T.StringType())]
    )
    spark.createDataFrame([], ranges).createOrReplaceTempView("research_list")
    day = f"days/date={date}/sensor={sensor}"
    out.remove(day)
    for table, sql in SQL.items():
        path = out.path(f"{day}/{table}")
        # Sorted over all its files, in the order of their names.
        spark.sql(sql).write.parquet(path)
        spark.read.parquet(path).createOrReplaceTempView(table)
    about = {
        "version": 1,
        "zone": args.timezone,
        "date": str(date),
        "sensor": sensor,
        "inputs": [list(one) for table in READ for one in inputs[table]],
        "sql": SQL_DIGEST,
        "research_packets": args.research_packets,
        "research_ports": args.research_ports,
    }
    # Written last: a day without this file is incomplete.
    out.write(f"{day}/day.json", json.dumps(about, indent=1))


def main():
    args = arguments()
    spark = SparkSession.builder.appName("noctule rollup").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark.conf.set("spark.sql.parquet.compression.codec", "zstd")
    store, out = Files(spark, args.store), Files(spark, args.out)
    zone = zoneinfo.ZoneInfo(args.timezone)
    now = datetime.datetime.now(datetime.timezone.utc)
    for (date, sensor), inputs in sorted(days_of(store, zone).items()):
        end = datetime.datetime.combine(date + datetime.timedelta(days=1), datetime.time(), zone)
        wanted = (
            (args.first is None or date >= args.first)
            and (args.last is None or date <= args.last)
            and (not args.sensor or sensor in args.sensor)
            and end + GRACE <= now
        )
        if not wanted:
            continue
        folder = f"ledger_daily/zone={args.timezone.replace('/', '-')}/date={date}/sensor={sensor}"
        if store.list(folder) and not args.redo:
            print(f"{date} {sensor}: the store has it (--redo computes it again)")
            continue
        make(spark, store, out, date, sensor, inputs, args)
        print(f"{date} {sensor}: computed")
    spark.stop()


if __name__ == "__main__":
    main()
