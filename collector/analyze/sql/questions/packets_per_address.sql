-- Packets and packets per observed address: the denominator is weighted by the time observed.
SELECT
  date,
  SUM(counted_packets) AS packets,
  SUM(observed_addresses) AS observed_addresses,
  CAST(SUM(counted_packets) AS DOUBLE) / NULLIF(SUM(observed_addresses), 0) AS packets_per_address
FROM ledger_daily
GROUP BY date
ORDER BY date
