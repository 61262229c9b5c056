-- Distinct sources that each rule was confirmed for on at least one day of the period.
--
-- Reads: confirmed. Runs unchanged on DataFusion and Spark SQL.
WITH by_source AS (
  SELECT rule, source4, source6, SUM(hits) AS hits
  FROM confirmed
  GROUP BY rule, source4, source6
)
SELECT rule, COUNT(*) AS sources, SUM(hits) AS hits
FROM by_source
GROUP BY rule
ORDER BY rule
