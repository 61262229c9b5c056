-- One row per research scanner of one sensor's day.
--
-- A research scanner sends at least `research_packets` packets and probes at least `research_ports`
-- TCP and UDP ports on the day (NICTER's rule: 300,000 and 30), or is in an operator's list that is
-- in force on the day.
--
-- Reads: flows_daily (the day of one sensor), rollup_settings (one row: research_packets,
-- research_ports), research_list (ranges that do not overlap: first4 and last4 with the first address
-- of their /16 in `block`, or first6 and last6; name).
-- The first side of a join is held in memory: it is never flows_daily.
-- Runs unchanged on DataFusion and Spark SQL.
WITH listed4 AS (
  -- Joined by /16: a range never extends over two.
  SELECT f.source4, MAX(l.name) AS name
  FROM research_list l
  JOIN flows_daily f
    ON l.block = f.source4 - f.source4 % 65536
    AND f.source4 >= l.first4
    AND f.source4 <= l.last4
  GROUP BY f.source4
),
listed6 AS (
  SELECT s.source6, MAX(l.name) AS name
  FROM (SELECT first6, last6, name FROM research_list WHERE first6 IS NOT NULL) l
  JOIN (SELECT DISTINCT source6 FROM flows_daily WHERE source6 IS NOT NULL) s
    ON s.source6 >= l.first6 AND s.source6 <= l.last6
  GROUP BY s.source6
),
candidates4 AS (
  SELECT source4, MAX(name) AS name, MAX(listed) AS listed
  FROM (
    SELECT source4, CAST(NULL AS STRING) AS name, 0 AS listed
    FROM rollup_settings CROSS JOIN flows_daily
    WHERE source4 IS NOT NULL
    GROUP BY source4, research_packets
    HAVING SUM(packets) >= research_packets
    UNION ALL
    SELECT source4, name, 1 AS listed FROM listed4
  ) found
  GROUP BY source4
),
candidates6 AS (
  SELECT source6, MAX(name) AS name, MAX(listed) AS listed
  FROM (
    SELECT source6, CAST(NULL AS STRING) AS name, 0 AS listed
    FROM rollup_settings CROSS JOIN flows_daily
    WHERE source6 IS NOT NULL
    GROUP BY source6, research_packets
    HAVING SUM(packets) >= research_packets
    UNION ALL
    SELECT source6, name, 1 AS listed FROM listed6
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
    MAX(c.listed) AS listed,
    MAX(c.name) AS name
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
    MAX(c.listed) AS listed,
    MAX(c.name) AS name
  FROM candidates6 c
  JOIN flows_daily f ON f.source6 = c.source6
  GROUP BY f.source6
)
SELECT source4, NULL AS source6, country, asn, packets, ports, listed = 1 AS listed, name
FROM rollup_settings
CROSS JOIN judged4
WHERE listed = 1 OR ports >= research_ports
UNION ALL
SELECT NULL AS source4, source6, country, asn, packets, ports, listed = 1 AS listed, name
FROM rollup_settings
CROSS JOIN judged6
WHERE listed = 1 OR ports >= research_ports
ORDER BY source4 NULLS LAST, source6 NULLS LAST
