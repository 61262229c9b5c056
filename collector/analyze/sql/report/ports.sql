-- Destination ports by packets, with their places among all: the first 30 in either population.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
WITH by_port AS (
  SELECT
    protocol,
    port,
    SUM(packets) AS packets,
    SUM(packets - COALESCE(research_packets, 0)) AS packets_without
  FROM ports_daily
  WHERE class IN ('scan', 'other') AND port IS NOT NULL
  GROUP BY protocol, port
),
ranked AS (
  SELECT
    protocol,
    port,
    packets,
    packets_without,
    ROW_NUMBER() OVER (ORDER BY packets DESC, protocol, port) AS place,
    ROW_NUMBER() OVER (ORDER BY packets_without DESC, protocol, port) AS place_without
  FROM by_port
)
SELECT protocol, port, packets, packets_without, place, place_without
FROM ranked
WHERE place <= 30 OR place_without <= 30
ORDER BY place
