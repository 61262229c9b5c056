"""Sums of a store as JSON, by one engine: `sum_store.py pyarrow|duckdb|chdb STORE`."""

import json
import sys


def by_pyarrow(store):
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    def table(name):
        return ds.dataset(f"{store}/{name}", format="parquet", partitioning="hive").to_table()

    keys = ["protocol", "class", "port"]
    cells = {}
    sums = table("ports").group_by(keys).aggregate([("packets", "sum"), ("bytes", "sum")])
    for row in sums.to_pylist():
        key = tuple(row[name] for name in keys)
        cells[key] = [row["packets_sum"], row["bytes_sum"]]
    sources = table("flows").group_by(keys).aggregate(
        [("source4", "count_distinct"), ("source6", "count_distinct")]
    )
    for row in sources.to_pylist():
        key = tuple(row[name] for name in keys)
        cells[key].append(row["source4_count_distinct"] + row["source6_count_distinct"])
    ledger = table("ledger")
    names = ["records", "counted_packets", "counted_bytes"]
    return cells, [pc.sum(ledger[name]).as_py() for name in names]


def by_duckdb(store):
    import duckdb

    def query(name, what):
        files = f"read_parquet('{store}/{name}/**/*.parquet', hive_partitioning = true)"
        return duckdb.sql(f"SELECT {what} FROM {files}").fetchall()

    every = "protocol, class, port"
    of_ports = f"{every}, CAST(SUM(packets) AS BIGINT), CAST(SUM(bytes) AS BIGINT)"
    distinct = f"{every}, COUNT(DISTINCT source4) + COUNT(DISTINCT source6)"

    def grouped(name, what):
        files = f"read_parquet('{store}/{name}/**/*.parquet', hive_partitioning = true)"
        return duckdb.sql(f"SELECT {what} FROM {files} GROUP BY {every}").fetchall()

    cells = {tuple(row[:3]): list(row[3:]) for row in grouped("ports", of_ports)}
    for row in grouped("flows", distinct):
        cells[tuple(row[:3])].append(row[3])
    sums = "CAST(SUM({}) AS BIGINT)"
    names = ["records", "counted_packets", "counted_bytes"]
    [ledger] = query("ledger", ", ".join(sums.format(name) for name in names))
    return cells, list(ledger)


def by_chdb(store):
    from chdb import session

    clickhouse = session.Session()

    def query(name, what, more=""):
        files = f"file('{store}/{name}/*/*/*.parquet', Parquet)"
        lines = str(clickhouse.query(f"SELECT {what} FROM {files} {more}", "JSONCompactEachRow"))
        return [json.loads(line) for line in lines.splitlines()]

    every = "protocol, class, port"
    sums = f"{every}, toInt64(SUM(packets)), toInt64(SUM(bytes)) "
    distinct = f"{every}, COUNT(DISTINCT source4) + COUNT(DISTINCT source6)"
    # 64-bit integers may be texts in ClickHouse's JSON.
    cells = {}
    for row in query("ports", sums, f"GROUP BY {every}"):
        cells[tuple(row[:3])] = [int(row[3]), int(row[4])]
    for row in query("flows", distinct, f"GROUP BY {every}"):
        cells[tuple(row[:3])].append(int(row[3]))
    names = ["records", "counted_packets", "counted_bytes"]
    [ledger] = query("ledger", ", ".join(f"toInt64(SUM({name}))" for name in names))
    return cells, [int(value) for value in ledger]


def main():
    engine, store = sys.argv[1:]
    engines = {"pyarrow": by_pyarrow, "duckdb": by_duckdb, "chdb": by_chdb}
    cells, ledger = engines[engine](store)
    cells = [[*key, *values] for key, values in cells.items()]
    print(json.dumps({"cells": cells, "ledger": ledger}))


main()
