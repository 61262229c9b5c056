-- Sources of chosen destination ports over the period, with the rule that most of their packets
-- confirm.
--
-- Reads: flows_daily, confirmed, chosen_ports (protocol, port).
-- Runs unchanged on DataFusion and Spark SQL.
WITH by_source AS (
  SELECT
    f.protocol,
    f.port,
    f.source4,
    f.source6,
    MAX(f.asn) AS asn,
    MAX(COALESCE(f.country, '??')) AS country,
    MIN(f.first_seen) AS first_seen,
    MAX(f.last_seen) AS last_seen,
    -- That of the row whose last packet came last: time in the high bits, port in the low 16.
    MAX(unix_millis(f.last_seen) * 65536 + f.last_source_port) % 65536 AS last_source_port,
    SUM(f.packets) AS packets
  FROM flows_daily f
  JOIN chosen_ports c ON f.protocol = c.protocol AND f.port = c.port
  WHERE f.class IN ('scan', 'other')
  GROUP BY f.protocol, f.port, f.source4, f.source6
),
rules AS (
  SELECT source4, source6, rule, SUM(hits) AS hits
  FROM confirmed
  GROUP BY source4, source6, rule
),
ranked AS (
  SELECT
    source4,
    source6,
    rule,
    ROW_NUMBER() OVER (PARTITION BY source4, source6 ORDER BY hits DESC, rule) AS place
  FROM rules
),
first4 AS (
  SELECT source4, rule FROM ranked WHERE place = 1 AND source4 IS NOT NULL
),
first6 AS (
  SELECT source6, rule FROM ranked WHERE place = 1 AND source6 IS NOT NULL
)
SELECT
  s.protocol, s.port, s.source4, s.source6, s.asn, s.country, s.first_seen, s.last_seen,
  s.last_source_port, s.packets, COALESCE(r4.rule, r6.rule) AS rule
FROM by_source s
LEFT JOIN first4 r4 ON s.source4 = r4.source4
LEFT JOIN first6 r6 ON s.source6 = r6.source6
ORDER BY
  s.protocol, s.port, s.asn NULLS LAST, s.country, s.source4 NULLS LAST, s.source6 NULLS LAST
