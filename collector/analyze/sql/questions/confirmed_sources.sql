-- Sources confirmed for a fingerprint on a day (UTC): three matches, with a constant expression
-- where the rule has one.
WITH by_source AS (
  SELECT date, rule, source4
  FROM fingerprints
  WHERE source4 IS NOT NULL
  GROUP BY date, rule, source4
  HAVING SUM(hits) >= 3
    AND (MIN(constant_min) IS NULL OR MIN(constant_min) = MAX(constant_max))
)
SELECT date, rule, COUNT(*) AS sources
FROM by_source
GROUP BY date, rule
ORDER BY date, rule
