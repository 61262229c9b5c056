-- Distinct sources by country on chosen days, over the union of each day's ports: a source on two of
-- them counts once.
--
-- Reads: flows_daily, research_daily, chosen_peaks (peak, date, protocol, port).
-- Runs unchanged on DataFusion and Spark SQL.
WITH research4 AS (
  SELECT DISTINCT date, sensor, source4 FROM research_daily WHERE source4 IS NOT NULL
),
research6 AS (
  SELECT DISTINCT date, sensor, source6 FROM research_daily WHERE source6 IS NOT NULL
),
by_source AS (
  SELECT
    c.peak,
    f.source4,
    f.source6,
    MAX(COALESCE(f.country, '??')) AS country,
    MAX(CASE WHEN r4.source4 IS NULL AND r6.source6 IS NULL THEN 1 ELSE 0 END) AS plain
  FROM flows_daily f
  JOIN chosen_peaks c ON f.date = c.date AND f.protocol = c.protocol AND f.port = c.port
  LEFT JOIN research4 r4 ON f.date = r4.date AND f.sensor = r4.sensor AND f.source4 = r4.source4
  LEFT JOIN research6 r6 ON f.date = r6.date AND f.sensor = r6.sensor AND f.source6 = r6.source6
  WHERE f.class IN ('scan', 'other')
  GROUP BY c.peak, f.source4, f.source6
)
SELECT peak, country, COUNT(*) AS sources, SUM(plain) AS sources_without
FROM by_source
GROUP BY peak, country
ORDER BY peak, sources DESC, country
