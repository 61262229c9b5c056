-- Distinct TCP sources per day, over all sensors.
SELECT
  date,
  COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources
FROM flows_daily
WHERE protocol = 'tcp'
GROUP BY date
ORDER BY date
