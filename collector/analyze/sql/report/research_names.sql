-- Research scanners over the period by the name that the operator's lists give them, the busiest 100.
-- Sources that a list has without a name are one row, those that no list has another.
--
-- Reads: research_daily. Runs unchanged on DataFusion and Spark SQL.
SELECT
  name,
  CASE WHEN listed THEN 1 ELSE 0 END AS listed,
  COUNT(DISTINCT date) AS days,
  COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources,
  SUM(packets) AS packets
FROM research_daily
GROUP BY name, listed
ORDER BY packets DESC, name NULLS LAST, listed
LIMIT 100
