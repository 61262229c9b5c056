"""Daily tables of a Noctule store, made on a Spark cluster.

    noctule store spark-job > rollup.py
    spark-submit --master spark://master:7077 rollup.py --store s3a://telescope/store

It reads the same files and runs the same SQL as `noctule rollup`, gives its files the same names, and
changes the store in the same steps: a day that is killed half-way is as it was before. Geo files and
lists of research scanners are for `noctule rollup` only. `--store` may be anything that Hadoop's file
systems read; credentials come from their configuration.
"""

import argparse
import datetime
import hashlib
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
READ = ["flows", "ports", "ledger"]
GRACE = datetime.timedelta(minutes=10)


def arguments():
    parser = argparse.ArgumentParser(description="Daily tables of a Noctule store.")
    parser.add_argument("--store", required=True, help="folder or URL of the store")
    parser.add_argument("--timezone", default="UTC", help="time zone of the days")
    parser.add_argument("--sensor", action="append", default=[], help="only this sensor")
    parser.add_argument("--from", dest="first", type=datetime.date.fromisoformat)
    parser.add_argument("--to", dest="last", type=datetime.date.fromisoformat)
    parser.add_argument("--redo", action="store_true", help="make days again that are there")
    parser.add_argument("--research-packets", type=int, default=300_000)
    parser.add_argument("--research-ports", type=int, default=30)
    return parser.parse_args()


class Store:
    """The store's files, through Hadoop's file systems."""

    def __init__(self, spark, root):
        self.jvm = spark._jvm
        self.path_of = self.jvm.org.apache.hadoop.fs.Path
        self.root = self.path_of(root)
        self.files = self.root.getFileSystem(spark._jsc.hadoopConfiguration())
        self.root = self.files.makeQualified(self.root)

    def path(self, relative):
        return self.path_of(self.root, relative)

    def list(self, table):
        """(path in the store, octets) of every file of a table, by path."""
        top = self.path(table)
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

    def move(self, old, new):
        target = self.path(new)
        self.files.mkdirs(target.getParent())
        self.files.delete(target, False)
        if not self.files.rename(self.path(old), target):
            raise RuntimeError(f"cannot move {old} to {new}")
        checksum = self.path_of(target.getParent(), f".{target.getName()}.crc")
        if self.files.exists(checksum):
            self.files.delete(checksum, False)

    def remove(self, relative, whole=False):
        self.files.delete(self.path(relative), whole)

    def create(self, relative, text):
        """Writes a file where none is."""
        stream = self.files.create(self.path(relative), False)
        stream.write(bytearray(text, "utf-8"))
        stream.close()


def start_and_sensor(path):
    """When the interval of a file begins, and whose it is; none for files of another kind."""
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
                print(f"left out {path}: it does not stand where files of this table do")
                continue
            start, sensor = place
            day = days.setdefault((start.astimezone(zone).date(), sensor), {t: [] for t in READ})
            day[table].append((path, octets))
    return days


def inputs_digest(inputs):
    lines = [f"{path} {octets}\n" for table in READ for path, octets in inputs[table]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def settings_digest(args):
    about = {
        "research_packets": args.research_packets,
        "research_ports": args.research_ports,
        "research_list": None,
        "country_db": None,
        "asn_db": None,
    }
    text = json.dumps(about, sort_keys=True, separators=(",", ":")) + "".join(SQL.values())
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def view(spark, store, table, inputs):
    paths = [store.path(path).toString() for path, _ in inputs]
    if paths:
        frame = spark.read.option("mergeSchema", "true").parquet(*paths)
        frame.createOrReplaceTempView(table)
    return bool(paths)


def make(spark, store, zone_name, date, sensor, inputs, name, args):
    change = f"rollup-{zone_name}-{date}-{sensor}-{name}"
    staging = f"_staging/{change}"
    store.remove(staging, whole=True)
    for table in READ:
        if not view(spark, store, table, inputs[table]):
            # An interval without packets has a ledger only.
            view(spark, store, table, store.list(table)[:1])
            spark.table(table).limit(0).createOrReplaceTempView(table)
    spark.createDataFrame(
        [(args.research_packets, args.research_ports)], "research_packets long, research_ports long"
    ).createOrReplaceTempView("rollup_settings")
    addresses = T.StructType(
        [T.StructField("source4", T.LongType()), T.StructField("source6", T.BinaryType())]
    )
    spark.createDataFrame([], addresses).createOrReplaceTempView("research_list")
    come, go = [], []
    for table, sql in SQL.items():
        folder = f"{staging}/work-{table}"
        spark.sql(sql).coalesce(1).write.parquet(store.path(folder).toString())
        parts = [path for path, _ in store.list(folder)]
        path = f"{table}/zone={zone_name}/date={date}/sensor={sensor}/{name}.parquet"
        store.move(parts[0], f"{staging}/{path}")
        come.append(path)
        if table != "ledger_daily":
            view(spark, store, table, [(f"{staging}/{path}", 0)])
        old = f"{table}/zone={zone_name}/date={date}/sensor={sensor}"
        go += [found for found, _ in store.list(old) if found != path]
    record = json.dumps({"version": 1, "come": come, "go": go})
    store.create(f"_changes/{change}.json", record)
    for path in come:
        store.move(f"{staging}/{path}", path)
    for path in go:
        store.remove(path)
    store.remove(f"_changes/{change}.json")
    store.remove(staging, whole=True)


def main():
    args = arguments()
    spark = SparkSession.builder.appName("noctule rollup").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark.conf.set("spark.sql.parquet.compression.codec", "zstd")
    spark.conf.set("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    store = Store(spark, args.store)
    zone = zoneinfo.ZoneInfo(args.timezone)
    zone_name = args.timezone.replace("/", "-")
    now = datetime.datetime.now(datetime.timezone.utc)
    settings = settings_digest(args)
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
        digest = inputs_digest(inputs)
        folder = f"ledger_daily/zone={zone_name}/date={date}/sensor={sensor}"
        there = [path.rsplit("/", 1)[1] for path, _ in store.list(folder)]
        if not args.redo and there and there[0].startswith(f"{digest}-"):
            print(f"{date} {sensor}: up to date")
            continue
        make(spark, store, zone_name, date, sensor, inputs, f"{digest}-{settings}", args)
        print(f"{date} {sensor}: made")
    spark.stop()


if __name__ == "__main__":
    main()
