-- Research scanners over the period, the busiest 100.
--
-- Reads: research_daily. Runs unchanged on DataFusion and Spark SQL.
SELECT
  source4,
  source6,
  MAX(country) AS country,
  MAX(asn) AS asn,
  COUNT(DISTINCT date) AS days,
  SUM(packets) AS packets,
  MAX(ports) AS ports,
  MAX(CASE WHEN listed THEN 1 ELSE 0 END) AS listed,
  MAX(name) AS name
FROM research_daily
GROUP BY source4, source6
ORDER BY packets DESC, source4 NULLS LAST, source6 NULLS LAST
LIMIT 100
