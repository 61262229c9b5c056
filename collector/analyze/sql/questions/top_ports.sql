-- Top destination ports: packets and share of all dark packets (backscatter and packets without a
-- port count in the whole, as in NICTER's and TSUBAME's tables).
SELECT
  protocol,
  port,
  SUM(packets) AS packets,
  100 * CAST(SUM(packets) AS DOUBLE) / MAX(all_packets) AS percent
FROM ports_daily
CROSS JOIN (SELECT CAST(SUM(packets) AS DOUBLE) AS all_packets FROM ports_daily) whole
WHERE class IN ('scan', 'other') AND port IS NOT NULL
GROUP BY protocol, port
ORDER BY packets DESC, protocol, port
LIMIT 10
