-- Packets to chosen destination ports by day and country; NULL: all countries together.
--
-- Reads: ports_daily, chosen_ports (protocol, port),
-- chosen_port_countries (protocol, port, country).
-- Runs unchanged on DataFusion and Spark SQL.
SELECT
  p.date,
  p.protocol,
  p.port,
  p.country,
  SUM(p.packets) AS packets,
  SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
FROM ports_daily p
JOIN chosen_port_countries c
  ON p.protocol = c.protocol AND p.port = c.port AND p.country = c.country
WHERE p.class IN ('scan', 'other')
GROUP BY p.date, p.protocol, p.port, p.country
UNION ALL
SELECT
  p.date,
  p.protocol,
  p.port,
  NULL AS country,
  SUM(p.packets) AS packets,
  SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
FROM ports_daily p
JOIN chosen_ports c ON p.protocol = c.protocol AND p.port = c.port
WHERE p.class IN ('scan', 'other')
GROUP BY p.date, p.protocol, p.port
ORDER BY date, protocol, port, country NULLS LAST
