-- One row per research scanner of one sensor's day.
--
-- A research scanner sends at least `research_packets` packets and probes at least `research_ports`
-- TCP and UDP ports on the day (NICTER's rule: 300,000 and 30), or is in the operator's list.
--
-- Reads: flows_daily (the day of one sensor), rollup_settings (one row: research_packets,
-- research_ports), research_list (source4, source6).
-- The first side of a join is held in memory: it is never flows_daily.
-- Runs unchanged on DataFusion and Spark SQL.
WITH candidates4 AS (
  SELECT source4, MAX(listed) AS listed
  FROM (
    SELECT source4, 0 AS listed FROM rollup_settings CROSS JOIN flows_daily
    WHERE source4 IS NOT NULL
    GROUP BY source4, research_packets
    HAVING SUM(packets) >= research_packets
    UNION ALL
    SELECT source4, 1 AS listed FROM research_list WHERE source4 IS NOT NULL
  ) found
  GROUP BY source4
),
candidates6 AS (
  SELECT source6, MAX(listed) AS listed
  FROM (
    SELECT source6, 0 AS listed FROM rollup_settings CROSS JOIN flows_daily
    WHERE source6 IS NOT NULL
    GROUP BY source6, research_packets
    HAVING SUM(packets) >= research_packets
    UNION ALL
    SELECT source6, 1 AS listed FROM research_list WHERE source6 IS NOT NULL
  ) found
  GROUP BY source6
),
judged4 AS (
  SELECT
    f.source4,
    MAX(f.country) AS country,
    MAX(f.asn) AS asn,
    SUM(f.packets) AS packets,
    COUNT(DISTINCT CASE
      WHEN f.class = 'scan' AND f.protocol = 'tcp' THEN f.port
      WHEN f.class = 'scan' AND f.protocol = 'udp' THEN f.port + 65536
    END) AS ports,
    MAX(c.listed) AS listed
  FROM candidates4 c
  JOIN flows_daily f ON f.source4 = c.source4
  GROUP BY f.source4
),
judged6 AS (
  SELECT
    f.source6,
    MAX(f.country) AS country,
    MAX(f.asn) AS asn,
    SUM(f.packets) AS packets,
    COUNT(DISTINCT CASE
      WHEN f.class = 'scan' AND f.protocol = 'tcp' THEN f.port
      WHEN f.class = 'scan' AND f.protocol = 'udp' THEN f.port + 65536
    END) AS ports,
    MAX(c.listed) AS listed
  FROM candidates6 c
  JOIN flows_daily f ON f.source6 = c.source6
  GROUP BY f.source6
)
SELECT source4, NULL AS source6, country, asn, packets, ports, listed = 1 AS listed
FROM rollup_settings
CROSS JOIN judged4
WHERE listed = 1 OR ports >= research_ports
UNION ALL
SELECT NULL AS source4, source6, country, asn, packets, ports, listed = 1 AS listed
FROM rollup_settings
CROSS JOIN judged6
WHERE listed = 1 OR ports >= research_ports
ORDER BY source4 NULLS LAST, source6 NULLS LAST
