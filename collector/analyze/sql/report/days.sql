-- Packets of every day by kind of protocol, over all classes; `..._without` leaves those of research
-- scanners out.
--
-- Reads: ports_daily. Runs unchanged on DataFusion and Spark SQL.
SELECT
  date,
  SUM(CASE WHEN protocol = 'tcp' THEN packets ELSE 0 END) AS tcp,
  SUM(CASE WHEN protocol = 'udp' THEN packets ELSE 0 END) AS udp,
  SUM(CASE WHEN protocol IN ('icmp', 'icmpv6') THEN packets ELSE 0 END) AS icmp,
  SUM(CASE WHEN protocol IN ('tcp', 'udp', 'icmp', 'icmpv6') THEN 0 ELSE packets END) AS other,
  SUM(packets) AS total,
  SUM(CASE WHEN protocol = 'tcp' THEN packets - COALESCE(research_packets, 0) ELSE 0 END)
    AS tcp_without,
  SUM(CASE WHEN protocol = 'udp' THEN packets - COALESCE(research_packets, 0) ELSE 0 END)
    AS udp_without,
  SUM(CASE WHEN protocol IN ('icmp', 'icmpv6')
    THEN packets - COALESCE(research_packets, 0) ELSE 0 END) AS icmp_without,
  SUM(CASE WHEN protocol IN ('tcp', 'udp', 'icmp', 'icmpv6')
    THEN 0 ELSE packets - COALESCE(research_packets, 0) END) AS other_without,
  SUM(packets - COALESCE(research_packets, 0)) AS total_without
FROM ports_daily
GROUP BY date
ORDER BY date
