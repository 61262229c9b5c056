-- Packets of every month, and on how many days of sensors they were counted.
--
-- Reads: ports_daily, ledger_daily, chosen_days (date, month).
-- Runs unchanged on DataFusion and Spark SQL.
WITH counted AS (
  SELECT
    d.month,
    SUM(p.packets) AS packets,
    SUM(p.packets - COALESCE(p.research_packets, 0)) AS packets_without
  FROM ports_daily p
  JOIN chosen_days d ON p.date = d.date
  GROUP BY d.month
),
observed AS (
  SELECT d.month, COUNT(*) AS days
  FROM ledger_daily l
  JOIN chosen_days d ON l.date = d.date
  WHERE l.observed_ms > 0
  GROUP BY d.month
),
months AS (
  SELECT DISTINCT month FROM chosen_days
)
SELECT
  m.month,
  COALESCE(o.days, 0) AS days,
  COALESCE(c.packets, 0) AS packets,
  COALESCE(c.packets_without, 0) AS packets_without,
  CAST(COALESCE(c.packets, 0) AS DOUBLE) / CAST(o.days AS DOUBLE) AS packets_per_sensor_day,
  CAST(COALESCE(c.packets_without, 0) AS DOUBLE) / CAST(o.days AS DOUBLE)
    AS packets_per_sensor_day_without
FROM months m
LEFT JOIN counted c ON m.month = c.month
LEFT JOIN observed o ON m.month = o.month
ORDER BY m.month
