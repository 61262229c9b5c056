-- Destination ports with many packets on a day, without research scanners: the first 20 by packets, and
-- those that have 0.5 % of the day's dark packets.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
WITH by_port AS (
  SELECT date, protocol, port, SUM(packets - COALESCE(research_packets, 0)) AS packets
  FROM ports_daily
  WHERE class IN ('scan', 'other') AND port IS NOT NULL
  GROUP BY date, protocol, port
),
whole AS (
  SELECT date, CAST(SUM(packets) AS DOUBLE) AS all_packets
  FROM ports_daily
  GROUP BY date
),
ranked AS (
  SELECT
    date,
    protocol,
    port,
    packets,
    ROW_NUMBER() OVER (PARTITION BY date ORDER BY packets DESC, protocol, port) AS place
  FROM by_port
)
SELECT r.date, r.protocol, r.port, r.packets
FROM ranked r
JOIN whole w ON r.date = w.date
WHERE r.place <= 20 OR CAST(r.packets AS DOUBLE) >= 0.005 * w.all_packets
ORDER BY r.date, r.place
