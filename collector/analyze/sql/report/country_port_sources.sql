-- Distinct sources of every day from one country on one destination port, for chosen pairs of these.
--
-- Reads: flows_daily, research_daily, chosen_country_ports (country, protocol, port).
-- Runs unchanged on DataFusion and Spark SQL.
WITH research4 AS (
  SELECT DISTINCT date, sensor, source4 FROM research_daily WHERE source4 IS NOT NULL
),
research6 AS (
  SELECT DISTINCT date, sensor, source6 FROM research_daily WHERE source6 IS NOT NULL
),
by_source AS (
  SELECT
    f.date,
    c.country,
    f.protocol,
    f.port,
    f.source4,
    f.source6,
    MAX(CASE WHEN r4.source4 IS NULL AND r6.source6 IS NULL THEN 1 ELSE 0 END) AS plain
  FROM flows_daily f
  JOIN chosen_country_ports c
    ON COALESCE(f.country, '??') = c.country AND f.protocol = c.protocol AND f.port = c.port
  LEFT JOIN research4 r4 ON f.date = r4.date AND f.sensor = r4.sensor AND f.source4 = r4.source4
  LEFT JOIN research6 r6 ON f.date = r6.date AND f.sensor = r6.sensor AND f.source6 = r6.source6
  WHERE f.class IN ('scan', 'other')
  GROUP BY f.date, c.country, f.protocol, f.port, f.source4, f.source6
)
SELECT date, country, protocol, port, COUNT(*) AS sources, SUM(plain) AS sources_without
FROM by_source
GROUP BY date, country, protocol, port
ORDER BY date, country, protocol, port
