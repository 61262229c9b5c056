-- Packets of all classes from chosen countries, day by day.
--
-- Reads: ports_daily, chosen_countries (country). Runs unchanged on DataFusion and Spark SQL.
SELECT
  p.date,
  p.country,
  SUM(p.packets) AS packets,
  SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
FROM ports_daily p
JOIN chosen_countries c ON p.country = c.country
GROUP BY p.date, p.country
ORDER BY p.date, p.country
