-- One row per flow key of one sensor's day: the sum of its rows in `flows`.
--
-- Reads: flows (the day's rows of one sensor).
-- Runs unchanged on DataFusion and Spark SQL.
SELECT
  source4,
  source6,
  protocol,
  class,
  port,
  SUM(packets) AS packets,
  SUM(bytes) AS bytes,
  timestamp_millis(MIN(unix_millis(interval_start) + first_ms)) AS first_seen,
  timestamp_millis(MAX(unix_millis(interval_start) + first_ms + duration_ms)) AS last_seen,
  MIN(ttl_min) AS ttl_min,
  MAX(ttl_min + ttl_span) AS ttl_max,
  BIT_OR(tcp_flags) AS tcp_flags,
  -- That of the row whose last packet came last: time in the high bits, port in the low 16.
  MAX((unix_millis(interval_start) + first_ms + duration_ms) * 65536 + last_source_port) % 65536
    AS last_source_port,
  BIT_OR(destinations) AS destinations,
  -- A file that was exchanged during the day may know more: '??' sorts before every code.
  MAX(country) AS country,
  MAX(asn) AS asn,
  BOOL_OR(bogon) AS bogon,
  -- A row's expressions hold over all probes of its source in the interval; where two intervals
  -- differ, the key's are refuted, too.
  CASE WHEN MIN(constant1) = MAX(constant1) THEN MIN(constant1) END AS constant1,
  CASE WHEN MIN(constant2) = MAX(constant2) THEN MIN(constant2) END AS constant2,
  CASE WHEN MIN(constant3) = MAX(constant3) THEN MIN(constant3) END AS constant3,
  BIT_OR(refuted)
    | CASE WHEN MIN(constant1) <> MAX(constant1) THEN 1 ELSE 0 END
    | CASE WHEN MIN(constant2) <> MAX(constant2) THEN 2 ELSE 0 END
    | CASE WHEN MIN(constant3) <> MAX(constant3) THEN 4 ELSE 0 END AS refuted
FROM flows
GROUP BY source4, source6, protocol, class, port
ORDER BY protocol, class, port NULLS FIRST, source4 NULLS LAST, source6 NULLS LAST
