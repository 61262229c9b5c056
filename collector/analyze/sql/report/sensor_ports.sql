-- Destination ports by packets, for every sensor: the first ten in either population, with all dark
-- packets of the sensor beside them.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
WITH by_port AS (
  SELECT
    sensor,
    protocol,
    port,
    SUM(packets) AS packets,
    SUM(packets - COALESCE(research_packets, 0)) AS packets_without
  FROM ports_daily
  WHERE class IN ('scan', 'other') AND port IS NOT NULL
  GROUP BY sensor, protocol, port
),
whole AS (
  SELECT
    sensor,
    SUM(packets) AS whole,
    SUM(packets - COALESCE(research_packets, 0)) AS whole_without
  FROM ports_daily
  GROUP BY sensor
),
ranked AS (
  SELECT
    sensor,
    protocol,
    port,
    packets,
    packets_without,
    ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY packets DESC, protocol, port) AS place,
    ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY packets_without DESC, protocol, port)
      AS place_without
  FROM by_port
)
SELECT
  r.sensor, r.protocol, r.port, r.packets, r.packets_without, r.place, r.place_without,
  w.whole, w.whole_without
FROM ranked r
JOIN whole w ON r.sensor = w.sensor
WHERE r.place <= 10 OR r.place_without <= 10
ORDER BY r.sensor, r.place
