-- Distinct TCP sources of every day over all sensors, all classes, with and without research
-- scanners: all of them, less those that are research scanners at every sensor that saw them.
-- Research scanners are few, so that a join with them reads little.
--
-- Reads: flows_daily, research_daily. Runs unchanged on DataFusion and Spark SQL.
WITH by_source AS (
  SELECT date, source4, source6
  FROM flows_daily
  WHERE protocol = 'tcp'
  GROUP BY date, source4, source6
),
every AS (
  SELECT date, COUNT(*) AS sources FROM by_source GROUP BY date
),
research AS (
  SELECT DISTINCT date, sensor, source4, source6 FROM research_daily
),
rows4 AS (
  SELECT f.date, f.sensor, f.source4, f.source6
  FROM (SELECT DISTINCT date, source4 FROM research WHERE source4 IS NOT NULL) r
  JOIN flows_daily f ON r.date = f.date AND r.source4 = f.source4
  WHERE f.protocol = 'tcp'
),
rows6 AS (
  SELECT f.date, f.sensor, f.source4, f.source6
  FROM (SELECT DISTINCT date, source6 FROM research WHERE source6 IS NOT NULL) r
  JOIN flows_daily f ON r.date = f.date AND r.source6 = f.source6
  WHERE f.protocol = 'tcp'
),
judged AS (
  SELECT f.date, f.source4, f.source6, CASE WHEN r.date IS NULL THEN 1 ELSE 0 END AS plain
  FROM rows4 f
  LEFT JOIN research r ON f.date = r.date AND f.sensor = r.sensor AND f.source4 = r.source4
  UNION ALL
  SELECT f.date, f.source4, f.source6, CASE WHEN r.date IS NULL THEN 1 ELSE 0 END AS plain
  FROM rows6 f
  LEFT JOIN research r ON f.date = r.date AND f.sensor = r.sensor AND f.source6 = r.source6
),
only AS (
  SELECT date, source4, source6
  FROM judged
  GROUP BY date, source4, source6
  HAVING MAX(plain) = 0
),
scanners AS (
  SELECT date, COUNT(*) AS sources FROM only GROUP BY date
)
SELECT e.date, e.sources, e.sources - COALESCE(s.sources, 0) AS sources_without
FROM every e
LEFT JOIN scanners s ON e.date = s.date
ORDER BY e.date
