-- Where packets went: matched = counted + lost, and how complete each day is.
SELECT
  date,
  sensor,
  matched_packets,
  counted_packets,
  lost_unserved + lost_rx_dropped + lost_rx_ring_full + lost_unexplained AS lost,
  intervals,
  complete_intervals,
  degraded_intervals,
  CAST(observed_ms AS DOUBLE) / 3600000 AS hours_observed
FROM ledger_daily
ORDER BY date, sensor
