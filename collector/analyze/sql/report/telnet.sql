-- Distinct Telnet scanners (23 and 2323/TCP) of every day, with and without the mark of a rule.
--
-- Reads: flows_daily, fingerprints (`date` is the day of the report's zone),
-- chosen_telnet_marks (rule).
-- Runs unchanged on DataFusion and Spark SQL.
WITH marked AS (
  SELECT DISTINCT f.date, f.source4
  FROM chosen_telnet_marks c
  JOIN fingerprints f ON c.rule = f.rule
  WHERE f.protocol = 'tcp' AND f.port IN (23, 2323) AND f.hits > 0 AND f.source4 IS NOT NULL
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
