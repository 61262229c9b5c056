-- Countries by packets to chosen destination ports: the first five in either population.
--
-- Reads: ports_daily, chosen_ports (protocol, port). Runs unchanged on DataFusion and Spark SQL.
WITH by_country AS (
  SELECT
    p.protocol,
    p.port,
    p.country,
    SUM(p.packets) AS packets,
    SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
  FROM ports_daily p
  JOIN chosen_ports c ON p.protocol = c.protocol AND p.port = c.port
  WHERE p.class IN ('scan', 'other') AND p.country IS NOT NULL AND p.country <> '??'
  GROUP BY p.protocol, p.port, p.country
),
ranked AS (
  SELECT
    protocol,
    port,
    country,
    packets,
    packets_without,
    ROW_NUMBER() OVER (PARTITION BY protocol, port ORDER BY packets DESC, country) AS place,
    ROW_NUMBER() OVER (PARTITION BY protocol, port ORDER BY packets_without DESC, country)
      AS place_without
  FROM by_country
)
SELECT protocol, port, country, packets, packets_without, place, place_without
FROM ranked
WHERE place <= 5 OR place_without <= 5
ORDER BY protocol, port, place
