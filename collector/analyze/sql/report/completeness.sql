-- Every sensor's account of every day.
--
-- Reads: ledger_daily. Runs unchanged on DataFusion and Spark SQL.
SELECT
  date,
  sensor,
  interval_seconds,
  intervals,
  intervals - complete_intervals AS incomplete,
  degraded_intervals AS degraded,
  partial_intervals AS partial,
  observed_ms,
  address_ms,
  CAST(address_ms AS DOUBLE) / 3600000 AS address_hours,
  observed_addresses AS addresses,
  matched_packets AS dark,
  counted_packets AS counted,
  lost_unserved,
  lost_rx_dropped,
  lost_rx_ring_full,
  lost_unexplained,
  overflow_packets AS overflow,
  late_packets AS late,
  prefixes_first,
  prefixes_last,
  rules_first,
  rules_last,
  constants_first,
  constants_last,
  software_first,
  software_last
FROM ledger_daily
ORDER BY date, sensor
