-- Distinct sources of chosen destination ports of every day, over all sensors, with and without
-- research scanners: all of them, less those that are research scanners at every sensor that saw
-- them. Research scanners are few, so that a join with them reads little.
--
-- Reads: flows_daily, research_daily, chosen_ports (protocol, port).
-- Runs unchanged on DataFusion and Spark SQL.
WITH by_source AS (
  SELECT f.date, f.protocol, f.port, f.source4, f.source6
  FROM flows_daily f
  JOIN chosen_ports c ON f.protocol = c.protocol AND f.port = c.port
  WHERE f.class IN ('scan', 'other')
  GROUP BY f.date, f.protocol, f.port, f.source4, f.source6
),
every AS (
  SELECT date, protocol, port, COUNT(*) AS sources FROM by_source GROUP BY date, protocol, port
),
research AS (
  SELECT DISTINCT date, sensor, source4, source6 FROM research_daily
),
rows4 AS (
  SELECT f.date, f.sensor, f.protocol, f.port, f.source4, f.source6
  FROM (SELECT DISTINCT date, source4 FROM research WHERE source4 IS NOT NULL) r
  JOIN flows_daily f ON r.date = f.date AND r.source4 = f.source4
  WHERE f.class IN ('scan', 'other')
),
rows6 AS (
  SELECT f.date, f.sensor, f.protocol, f.port, f.source4, f.source6
  FROM (SELECT DISTINCT date, source6 FROM research WHERE source6 IS NOT NULL) r
  JOIN flows_daily f ON r.date = f.date AND r.source6 = f.source6
  WHERE f.class IN ('scan', 'other')
),
judged AS (
  SELECT
    f.date, f.protocol, f.port, f.source4, f.source6,
    CASE WHEN r.date IS NULL THEN 1 ELSE 0 END AS plain
  FROM rows4 f
  LEFT JOIN research r ON f.date = r.date AND f.sensor = r.sensor AND f.source4 = r.source4
  UNION ALL
  SELECT
    f.date, f.protocol, f.port, f.source4, f.source6,
    CASE WHEN r.date IS NULL THEN 1 ELSE 0 END AS plain
  FROM rows6 f
  LEFT JOIN research r ON f.date = r.date AND f.sensor = r.sensor AND f.source6 = r.source6
),
only AS (
  SELECT date, protocol, port, source4, source6
  FROM judged
  GROUP BY date, protocol, port, source4, source6
  HAVING MAX(plain) = 0
),
scanners AS (
  SELECT date, protocol, port, COUNT(*) AS sources FROM only GROUP BY date, protocol, port
)
SELECT
  e.date, e.protocol, e.port, e.sources, e.sources - COALESCE(s.sources, 0) AS sources_without
FROM every e
LEFT JOIN scanners s ON e.date = s.date AND e.protocol = s.protocol AND e.port = s.port
ORDER BY e.date, e.protocol, e.port
