"""A report's figures, added up by DuckDB from the interval tables that the collector wrote.

`sum_report.py STORE HOURS FROM TO PORT,... PEAK_DATE PEAK_PORTS COUNTRY_PORT`: HOURS is the zone's
distance from UTC. Prints tables by name, each a list of rows, as JSON.
"""

import json
import sys

import duckdb

store, hours, first, last, ports, peak_date, peak_ports, country_port = sys.argv[1:9]


def table(name):
    files = f"read_parquet('{store}/{name}/*/*/*.parquet', hive_partitioning = true, union_by_name = true)"
    day = f"CAST(interval_start AT TIME ZONE 'UTC' + INTERVAL {hours} HOUR AS DATE)"
    return f"(SELECT * EXCLUDE (date), {day} AS day FROM {files} WHERE {day} BETWEEN '{first}' AND '{last}')"


def ask(sql):
    rows = duckdb.sql(sql).fetchall()
    return [[value if isinstance(value, (int, float, str, type(None))) else str(value) for value in row] for row in rows]


def port_text(port="port", protocol="protocol"):
    return (
        f"CASE WHEN {protocol} LIKE 'icmp%' THEN ({port} // 256)::VARCHAR || '/' || ({port} % 256)::VARCHAR"
        f" ELSE {port}::VARCHAR END || '/' || {protocol}"
    )


def listed(text):
    """`23/tcp,...` as a condition."""
    pairs = [part.split("/") for part in text.split(",")]
    return "(" + " OR ".join(f"(protocol = '{of}' AND port = {number})" for number, of in pairs) + ")"


SOURCES = "COUNT(DISTINCT source4) + COUNT(DISTINCT source6)"
DST = "class IN ('scan', 'other') AND port IS NOT NULL"
FLOWS, PORTS, LEDGER, HITS = table("flows"), table("ports"), table("ledger"), table("fingerprints")
duckdb.sql("SET TimeZone = 'UTC'")
answers = {}

answers["n2-days"] = ask(f"""
    SELECT day, SUM(packets) FILTER (protocol = 'tcp')::BIGINT, SUM(packets) FILTER (protocol = 'udp')::BIGINT,
      SUM(packets) FILTER (protocol IN ('icmp', 'icmpv6'))::BIGINT,
      SUM(packets) FILTER (protocol NOT IN ('tcp', 'udp', 'icmp', 'icmpv6'))::BIGINT, SUM(packets)::BIGINT
    FROM {PORTS} GROUP BY day ORDER BY day""")
answers["n3-days"] = ask(f"SELECT day, {SOURCES} FROM {FLOWS} WHERE protocol = 'tcp' GROUP BY day ORDER BY day")
answers["n4-ports"] = ask(f"""
    SELECT {port_text()}, SUM(packets)::BIGINT AS n FROM {PORTS} WHERE {DST} GROUP BY protocol, port
    ORDER BY n DESC, protocol, port LIMIT 10""")
answers["parts"] = ask(f"""
    SELECT SUM(packets) FILTER (class = 'backscatter')::BIGINT,
      SUM(packets) FILTER (class <> 'backscatter' AND port IS NULL)::BIGINT, SUM(packets)::BIGINT FROM {PORTS}""")
answers["n5-sources"] = ask(f"""
    SELECT day, {port_text()}, {SOURCES} FROM {FLOWS} WHERE {DST} AND {listed(ports)}
    GROUP BY day, protocol, port ORDER BY day, 2""")
answers["n6-countries"] = ask(f"""
    SELECT country, {SOURCES} AS n FROM {FLOWS} WHERE {DST} AND {listed(peak_ports)} AND day = '{peak_date}'
    GROUP BY country ORDER BY n DESC, country""")
country, port = country_port.split(":")
answers["n7-days"] = ask(f"""
    SELECT day, {SOURCES} FROM {FLOWS} WHERE {DST} AND {listed(port)} AND country = '{country}' GROUP BY day ORDER BY day""")

# Flow rows carry the values of rules that are only an expression; the ledger names their places.
constants = duckdb.sql(f"SELECT DISTINCT constants FROM {LEDGER}").fetchall()
assert len(constants) == 1, constants
carried = []
for place, name in enumerate(constants[0][0].split(","), 1):
    if name:
        value, bit = f"constant{place}", f"(refuted & {1 << place - 1})"
        carried.append(f"""
            SELECT day, '{name.rsplit("/", 1)[0]}' AS rule, source4, SUM(packets) AS hits FROM {FLOWS}
            WHERE protocol = 'tcp' AND class = 'scan' AND ({value} IS NOT NULL OR {bit} <> 0)
            GROUP BY day, source4
            HAVING SUM(packets) >= 3 AND MAX({bit}) = 0 AND MIN({value}) = MAX({value})""")
# Bots of Mirai's predecessor have Mirai's mark, too, and count for the predecessor only.
matched = f"""(
    SELECT day, rule, source4, SUM(hits) AS hits FROM {HITS} GROUP BY day, rule, source4
    HAVING SUM(hits) >= 3 AND (MIN(constant_min) IS NULL OR MIN(constant_min) = MAX(constant_max)))"""
confirmed = f"""(
    SELECT day, rule, source4, hits FROM {matched} m WHERE rule <> 'mirai' OR NOT EXISTS (
      SELECT 1 FROM {matched} p WHERE p.rule = 'mirai-precursor' AND p.day = m.day AND p.source4 = m.source4)
    {"".join(" UNION ALL " + part for part in carried)})"""
answers["n8-rules"] = ask(f"""
    WITH c AS {confirmed}, d AS (SELECT rule, day, COUNT(*) AS n, SUM(hits) AS hits FROM c GROUP BY rule, day),
    p AS (SELECT rule, day, n, hits, ROW_NUMBER() OVER (PARTITION BY rule ORDER BY n DESC, day) AS place FROM d)
    SELECT rule, (SELECT MIN(day) FROM d WHERE d.rule = c.rule), p.day, p.n, p.hits::BIGINT,
      COUNT(DISTINCT source4), SUM(c.hits)::BIGINT
    FROM c JOIN p USING (rule) WHERE p.place = 1 GROUP BY rule, p.day, p.n, p.hits ORDER BY rule""")
answers["n8-telnet"] = ask(f"""
    WITH s AS (SELECT DISTINCT day, source4, source6 FROM {FLOWS}
        WHERE protocol = 'tcp' AND class = 'scan' AND port IN (23, 2323)),
      m AS (SELECT DISTINCT day, source4 FROM {HITS} WHERE rule = 'mirai' AND port IN (23, 2323))
    SELECT s.day, COUNT(*) FILTER (m.source4 IS NOT NULL), COUNT(*) FILTER (m.source4 IS NULL)
    FROM s LEFT JOIN m ON s.day = m.day AND s.source4 = m.source4 GROUP BY s.day ORDER BY s.day""")

answers["t2-regions"] = ask(f"""
    SELECT country, SUM(packets)::BIGINT AS n FROM {FLOWS} WHERE country <> '??' GROUP BY country
    ORDER BY n DESC, country LIMIT 5""")
top = "', '".join(row[0] for row in answers["t2-regions"])
answers["t4-days"] = ask(f"""
    SELECT day, country, SUM(packets)::BIGINT FROM {FLOWS} WHERE country IN ('{top}') GROUP BY day, country ORDER BY day, country""")
answers["t5-days"] = ask(f"""
    SELECT day, SUM(packets)::BIGINT FROM {PORTS} WHERE {DST} AND {listed(ports.split(",")[0])} GROUP BY day ORDER BY day""")
answers["t6-days"] = ask(f"""
    SELECT day, SUM(packets)::BIGINT FROM {PORTS} WHERE class = 'backscatter' AND protocol = 'udp' AND port = 53
    GROUP BY day ORDER BY day""")
answers["t6-countries"] = ask(f"""
    SELECT country, {SOURCES}, SUM(packets)::BIGINT AS n FROM {FLOWS}
    WHERE class = 'backscatter' AND protocol = 'udp' AND port = 53 GROUP BY country ORDER BY n DESC, country""")
answers["t7-systems"] = ask(f"""
    WITH s AS (SELECT source4, source6, MAX(asn) AS asn, MAX(country) AS country, SUM(packets) AS n FROM {FLOWS}
        WHERE {DST} AND {listed(ports.split(",")[0])} GROUP BY source4, source6)
    SELECT asn, country, COUNT(*), SUM(n)::BIGINT FROM s GROUP BY asn, country ORDER BY asn NULLS LAST, country""")
answers["t8-sensor"] = ask(f"""
    WITH p AS (SELECT sensor, {port_text()} AS name, SUM(packets)::BIGINT AS n,
        ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY n DESC, protocol, port) AS place
      FROM {PORTS} WHERE {DST} GROUP BY sensor, protocol, port)
    SELECT sensor, name, n FROM p WHERE place <= 10 ORDER BY sensor, place""")
answers["c1-days"] = ask(f"""
    WITH i AS (SELECT day, sensor, interval_start, MAX(observed_ms) AS ms, BOOL_AND(complete) AS complete,
        BOOL_OR(degraded) AS degraded, SUM(matched_packets) AS dark, SUM(counted_packets) AS counted,
        SUM(overflow_packets) AS overflow, MAX(observed_addresses * observed_ms) AS address_ms
      FROM {LEDGER} GROUP BY day, sensor, interval_start)
    SELECT day, sensor, COUNT(*), COUNT(*) FILTER (NOT complete), COUNT(*) FILTER (degraded),
      SUM(dark)::BIGINT, SUM(counted)::BIGINT, SUM(overflow)::BIGINT, SUM(ms)::BIGINT, SUM(address_ms)::BIGINT
    FROM i GROUP BY day, sensor ORDER BY day, sensor""")
print(json.dumps(answers))
