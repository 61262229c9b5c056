-- The period's packets in three parts: to a destination port, backscatter, and without a port.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
WITH sorted AS (
  SELECT
    CASE WHEN class = 'backscatter' THEN 'backscatter' WHEN port IS NULL THEN 'no-port' ELSE 'port' END
      AS part,
    packets,
    packets - COALESCE(research_packets, 0) AS packets_without
  FROM ports_daily
)
SELECT part, SUM(packets) AS packets, SUM(packets_without) AS packets_without
FROM sorted
GROUP BY part
ORDER BY part
