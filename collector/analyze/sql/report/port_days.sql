-- Packets to chosen destination ports, day by day.
--
-- Reads: ports_daily, chosen_ports (protocol, port). Runs unchanged on DataFusion and Spark SQL.
SELECT
  p.date,
  p.protocol,
  p.port,
  SUM(p.packets) AS packets,
  SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
FROM ports_daily p
JOIN chosen_ports c ON p.protocol = c.protocol AND p.port = c.port
WHERE p.class IN ('scan', 'other')
GROUP BY p.date, p.protocol, p.port
ORDER BY p.date, p.protocol, p.port
