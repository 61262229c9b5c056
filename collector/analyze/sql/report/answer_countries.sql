-- Distinct sources of answers from chosen source ports over the whole period, by country.
--
-- Reads: flows_daily, chosen_ports (protocol, port). Runs unchanged on DataFusion and Spark SQL.
WITH by_source AS (
  SELECT
    f.protocol,
    f.port,
    f.source4,
    f.source6,
    MAX(COALESCE(f.country, '??')) AS country,
    SUM(f.packets) AS packets
  FROM flows_daily f
  JOIN chosen_ports c ON f.protocol = c.protocol AND f.port = c.port
  WHERE f.class = 'backscatter'
  GROUP BY f.protocol, f.port, f.source4, f.source6
)
SELECT protocol, port, country, COUNT(*) AS resolvers, SUM(packets) AS packets
FROM by_source
GROUP BY protocol, port, country
ORDER BY protocol, port, packets DESC, country
