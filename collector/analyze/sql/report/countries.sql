-- Countries by packets of all classes, with their places; those of unknown country have none.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
WITH by_country AS (
  SELECT
    country,
    SUM(packets) AS packets,
    SUM(packets - COALESCE(research_packets, 0)) AS packets_without
  FROM ports_daily
  WHERE country IS NOT NULL AND country <> '??'
  GROUP BY country
)
SELECT
  country,
  packets,
  packets_without,
  ROW_NUMBER() OVER (ORDER BY packets DESC, country) AS place,
  ROW_NUMBER() OVER (ORDER BY packets_without DESC, country) AS place_without
FROM by_country
ORDER BY place
