package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	descWebOpen     = desc("web_connections", "Connections with the web listeners. WebSockets count as clients, not here.")
	descWebAccepted = desc("web_accepted_total", "Connections that the web listeners have accepted.")
	descWebRefused  = desc("web_refused_total", "Connections refused: too many of one address, or a proxy without its header.")
	descWebRequests = desc("web_requests_total", "Requests answered, by the first digit of the status.", "class")
)

// collectWeb reads the counters of the web listeners.
func (c *collector) collectWeb(ch chan<- prometheus.Metric) {
	if c.s.site == nil {
		return
	}
	s := c.s.site.Stats()
	ch <- prometheus.MustNewConstMetric(descWebOpen, prometheus.GaugeValue, float64(s.Open.Load()))
	ch <- prometheus.MustNewConstMetric(descWebAccepted, prometheus.CounterValue, float64(s.Accepted.Load()))
	ch <- prometheus.MustNewConstMetric(descWebRefused, prometheus.CounterValue, float64(s.Refused.Load()))
	for class := range s.Requests[2:] {
		ch <- prometheus.MustNewConstMetric(descWebRequests, prometheus.CounterValue, float64(s.Requests[class+2].Load()), strconv.Itoa(class+2)+"xx")
	}
}
