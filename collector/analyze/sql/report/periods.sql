-- All dark packets of several periods, and how many addresses sensors observed in them for how long.
--
-- Reads: ports_daily, ledger_daily, chosen_periods (period, period_from, period_to).
-- Runs unchanged on DataFusion and Spark SQL.
WITH packets_by_day AS (
  SELECT
    date,
    SUM(packets) AS packets,
    SUM(packets - COALESCE(research_packets, 0)) AS packets_without
  FROM ports_daily
  GROUP BY date
),
counted AS (
  SELECT period, SUM(packets) AS packets, SUM(packets_without) AS packets_without
  FROM packets_by_day
  JOIN chosen_periods ON date >= period_from AND date <= period_to
  GROUP BY period
),
by_sensor AS (
  SELECT
    period,
    sensor,
    SUM(observed_ms) AS observed_ms,
    SUM(address_ms) AS address_ms,
    CAST(SUM(address_ms) AS DOUBLE) / NULLIF(CAST(SUM(observed_ms) AS DOUBLE), 0) AS addresses
  FROM ledger_daily
  JOIN chosen_periods ON date >= period_from AND date <= period_to
  GROUP BY period, sensor
),
observed AS (
  SELECT
    period,
    COUNT(*) AS sensors,
    SUM(observed_ms) AS observed_ms,
    SUM(address_ms) AS address_ms,
    -- Exact in whatever order sensors are added up.
    CAST(SUM(CAST(addresses AS DECIMAL(20, 6))) AS DOUBLE) AS addresses
  FROM by_sensor
  GROUP BY period
)
SELECT
  p.period,
  p.period_from,
  c.packets,
  c.packets_without,
  o.sensors,
  o.observed_ms,
  CAST(o.observed_ms AS DOUBLE) / 3600000 AS observed_hours,
  CAST(o.address_ms AS DOUBLE) / 3600000 AS address_hours,
  o.addresses,
  CAST(c.packets AS DOUBLE) / NULLIF(o.addresses, 0) AS packets_per_address,
  CAST(c.packets_without AS DOUBLE) / NULLIF(o.addresses, 0) AS packets_per_address_without
FROM chosen_periods p
LEFT JOIN counted c ON p.period = c.period
LEFT JOIN observed o ON p.period = o.period
ORDER BY p.period_from, p.period
