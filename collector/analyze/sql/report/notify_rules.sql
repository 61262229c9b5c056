-- Sources that chosen rules were confirmed for, with their TCP probes on the days on which they were.
--
-- Reads: flows_daily, confirmed, chosen_rules (rule). Runs unchanged on DataFusion and Spark SQL.
WITH wanted AS (
  SELECT s.date, s.rule, s.source4, s.source6
  FROM confirmed s
  JOIN chosen_rules c ON s.rule = c.rule
),
wanted4 AS (
  SELECT date, rule, source4 FROM wanted WHERE source4 IS NOT NULL
),
wanted6 AS (
  SELECT date, rule, source6 FROM wanted WHERE source6 IS NOT NULL
),
probes AS (
  SELECT
    w.rule, f.source4, f.source6, f.asn, f.country, f.first_seen, f.last_seen, f.last_source_port,
    f.packets
  FROM flows_daily f
  JOIN wanted4 w ON f.date = w.date AND f.source4 = w.source4
  WHERE f.protocol = 'tcp' AND f.class = 'scan'
  UNION ALL
  SELECT
    w.rule, f.source4, f.source6, f.asn, f.country, f.first_seen, f.last_seen, f.last_source_port,
    f.packets
  FROM flows_daily f
  JOIN wanted6 w ON f.date = w.date AND f.source6 = w.source6
  WHERE f.protocol = 'tcp' AND f.class = 'scan'
)
SELECT
  rule,
  source4,
  source6,
  MAX(asn) AS asn,
  MAX(COALESCE(country, '??')) AS country,
  MIN(first_seen) AS first_seen,
  MAX(last_seen) AS last_seen,
  MAX(unix_millis(last_seen) * 65536 + last_source_port) % 65536 AS last_source_port,
  SUM(packets) AS packets
FROM probes
GROUP BY rule, source4, source6
ORDER BY rule, asn NULLS LAST, country, source4 NULLS LAST, source6 NULLS LAST
