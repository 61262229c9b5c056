-- Distinct TCP sources of every day over all sensors, all classes, with and without research
-- scanners.
--
-- Reads: flows_daily, research_daily. Runs unchanged on DataFusion and Spark SQL.
WITH research4 AS (
  SELECT DISTINCT date, sensor, source4 FROM research_daily WHERE source4 IS NOT NULL
),
research6 AS (
  SELECT DISTINCT date, sensor, source6 FROM research_daily WHERE source6 IS NOT NULL
),
by_source AS (
  SELECT
    f.date,
    f.source4,
    f.source6,
    MAX(CASE WHEN r4.source4 IS NULL AND r6.source6 IS NULL THEN 1 ELSE 0 END) AS plain
  FROM flows_daily f
  LEFT JOIN research4 r4 ON f.date = r4.date AND f.sensor = r4.sensor AND f.source4 = r4.source4
  LEFT JOIN research6 r6 ON f.date = r6.date AND f.sensor = r6.sensor AND f.source6 = r6.source6
  WHERE f.protocol = 'tcp'
  GROUP BY f.date, f.source4, f.source6
)
SELECT date, COUNT(*) AS sources, SUM(plain) AS sources_without
FROM by_source
GROUP BY date
ORDER BY date
