-- Distinct sources by country over the union of two ports: a source on both counts once.
SELECT
  country,
  COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources
FROM flows_daily
WHERE protocol = 'tcp' AND port IN (23, 2323) AND class <> 'backscatter'
GROUP BY country
ORDER BY sources DESC, country NULLS LAST
