-- Distinct Telnet scanners (23 and 2323/TCP) of every day, with and without Mirai's mark.
--
-- Reads: flows_daily, fingerprints (`date` is the day of the report's zone).
-- Runs unchanged on DataFusion and Spark SQL.
WITH marked AS (
  SELECT DISTINCT date, source4
  FROM fingerprints
  WHERE rule = 'mirai' AND protocol = 'tcp' AND port IN (23, 2323) AND hits > 0
    AND source4 IS NOT NULL
),
scanners AS (
  SELECT date, source4, source6
  FROM flows_daily
  WHERE protocol = 'tcp' AND class = 'scan' AND port IN (23, 2323)
  GROUP BY date, source4, source6
)
SELECT
  s.date,
  SUM(CASE WHEN m.source4 IS NOT NULL THEN 1 ELSE 0 END) AS with_mark,
  SUM(CASE WHEN m.source4 IS NULL THEN 1 ELSE 0 END) AS without_mark
FROM scanners s
LEFT JOIN marked m ON s.date = m.date AND s.source4 = m.source4
GROUP BY s.date
ORDER BY s.date
