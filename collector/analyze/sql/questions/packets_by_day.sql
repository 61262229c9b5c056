-- Packets per day and protocol, over all classes.
SELECT
  date,
  CASE WHEN protocol IN ('tcp', 'udp', 'icmp') THEN protocol ELSE 'other' END AS kind,
  SUM(packets) AS packets
FROM ports_daily
GROUP BY date, CASE WHEN protocol IN ('tcp', 'udp', 'icmp') THEN protocol ELSE 'other' END
ORDER BY date, kind
